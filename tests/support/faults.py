"""Planted faults: a wrapper around any implementation that makes it wrong in one named way.

The wrapper edits the network and the weights that the real implementation is built with, so that the fault happens
inside the framework, and reads the weights back as if nothing had happened, so that reading back cannot give it away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import harness
import numpy as np
from harness import bad, verified

from alexnet_parity.checks import traps
from alexnet_parity.reference import oracle, variants
from alexnet_parity.reference.spec import Dense, Flatten, Network

Params = dict[str, np.ndarray]


@dataclass(frozen=True)
class Fault:
    """What is done, the layer where it must be found, and the checks that must find it there (any one of them)."""

    id: str
    layer: str
    seen_by: tuple[str, ...]
    network: Callable[[Network], Network] = lambda network: network
    params: Callable[[Network, Params], Params] = lambda network, params: params
    output: Callable[[str, np.ndarray], np.ndarray] | None = None
    honest: bool = False  # reads back what it really holds
    hint: str = ""  # the trap that must be named
    variant: str = "paper-thin"


@dataclass(frozen=True)
class Faulty:
    """An implementation with a fault in it."""

    module: Any
    fault: Fault

    def build(self, network: Network, params: Params) -> Any:
        edited = self.fault.params(network, params)
        return FaultyModel(self.module.build(self.fault.network(network), edited), self.fault, params)


@dataclass
class FaultyModel:
    model: Any
    fault: Fault
    given: Params

    def activations(self, x: np.ndarray) -> dict[str, np.ndarray]:
        change = self.fault.output or (lambda name, array: array)
        return {name: change(name, array) for name, array in dict(self.model.activations(x)).items()}

    def params(self) -> Params:
        return self.model.params() if self.fault.honest else self.given


def trapped(trap: str, layer: str, *seen_by: str, named: bool = True) -> Fault:
    """A trap of the suite's own table, set at one layer."""
    entry = traps.BY_ID[trap]

    def network(given: Network) -> Network:
        if layer not in given.names():
            return given
        edited = next(entry.edited(site) for site in traps.sites(given) if site.layer.name == layer)
        return given if edited is None else given.swap(layer, edited)

    def params(given: Network, values: Params) -> Params:
        site = next((s for s in traps.sites(given) if s.layer.name == layer), None)
        return values if site is None else values | (entry.edited_params(site, values) or {})

    seen_by = seen_by or ("local-large",)
    return Fault(f"{trap}-at-{layer}", layer, seen_by, network, params, hint=trap if named else "")


def one_weight(layer: str, honest: bool) -> Fault:
    """A single weight larger by a relative 2^-10."""

    def params(_: Network, values: Params) -> Params:
        name = f"{layer}.weight"
        if name not in values:
            return values
        weight = values[name].copy()
        weight[tuple(0 for _ in weight.shape[:1])][tuple(n // 2 for n in weight.shape[1:])] *= 1 + 2.0**-10
        return values | {name: weight}

    how = "read-back" if honest else "hidden"
    seen_by = ("structure-readback",) if honest else ("exact-dense",)
    return Fault(f"one-weight-off-by-2^-10-{how}-at-{layer}", layer, seen_by, params=params, honest=honest)


def nan_weight(layer: str) -> Fault:
    def params(_: Network, values: Params) -> Params:
        name = f"{layer}.weight"
        if name not in values:
            return values
        weight = values[name].copy()
        weight.flat[-1] = np.nan
        return values | {name: weight}

    return Fault(f"nan-weight-at-{layer}", layer, ("local-large", "exact-chain"), params=params)


def moved(layer: str, after: str, found_at: str = "", hint: str = "") -> Fault:
    """A layer in the wrong place; its output has the shape of where it is. Found there, or at the layer it now comes before."""

    def network(given: Network) -> Network:
        return given.move(layer, after) if {layer, after} <= set(given.names()) else given

    seen_by = ("structure-shapes", "local-large") if not hint else ("local-large",)
    return Fault(f"{layer}-moved-behind-{after}", found_at or layer, seen_by, network, hint=hint)


def on(variant: str, fault: Fault) -> Fault:
    """The same fault in another network."""
    return replace(fault, id=f"{fault.id}-in-{variant}", variant=variant)


def fitted(fault: Fault) -> Fault:
    """With fewer pixels at the end than there should be, the first dense layer reads those that are left.

    Its weights would not load otherwise, and nothing would be recorded.
    """

    def params(given: Network, values: Params) -> Params:
        values = fault.params(given, values)
        flatten = next((layer.name for layer in given.layers if isinstance(layer, Flatten)), None)
        first = next((layer.name for layer in given.layers if isinstance(layer, Dense)), None)
        if flatten is None or first is None:
            return values
        maps, (_, rows, columns) = maps_before(given, flatten), maps_before(fault.network(given), flatten)
        weight = values[f"{first}.weight"].reshape(-1, *maps)
        cut = np.ascontiguousarray(weight[:, :, :rows, :columns]).reshape(len(weight), -1)
        return values | {f"{first}.weight": cut}

    return replace(fault, params=params)


def maps_before(network: Network, layer: str) -> tuple[int, int, int]:
    """Shape of what a layer on maps is fed."""
    return next(before for this, before, _ in network.walk() if this.name == layer)


def edited(fault: str, layer: str, **fields: Any) -> Fault:
    """Fields of one layer changed, in a way that no trap has a name for."""

    def network(given: Network) -> Network:
        return given.edit(layer, **fields) if layer in given.names() else given

    return Fault(f"{fault}-at-{layer}", layer, ("local-large",), network)


def units_moved(layer: str) -> Fault:
    """A unit's weights in the place of its neighbour's, biases where they belong."""

    def params(_: Network, values: Params) -> Params:
        name = f"{layer}.weight"
        return values | {name: np.roll(values[name], 1, axis=0)} if name in values else values

    return Fault(f"units-moved-at-{layer}", layer, ("local-large",), params=params)


def positions_moved(axis: str) -> Fault:
    """Each position of an unshared layer has the kernels of the one before it, in its row or its column."""

    def params(_: Network, values: Params) -> Params:
        name = "local3.weight"  # (O, H', W', I, K, K)
        return (
            values | {name: np.roll(values[name], 1, 1 + ("row", "column").index(axis))} if name in values else values
        )

    return Fault(f"kernels-one-{axis}-further-at-local3", "local3", ("local-large", "exact-dense"), params=params)


def zeros_counted(layer: str) -> Fault:
    """A mean over whole windows of 3 x 3, with zeros beyond the edge of the map."""
    pool, before, _ = next(row for row in variants.variant("cifar-18pct-thin").walk() if row[0].name == layer)
    counts = oracle.window_counts((1, *before), pool).astype(np.float32)
    return reported("zeros-counted-in-the-mean", layer, lambda array: array * counts / counts.max())


def reported(fault: str, layer: str, change: Callable[[np.ndarray], np.ndarray], *seen_by: str) -> Fault:
    """What is reported for one layer is not what was computed."""
    return Fault(
        f"{fault}-at-{layer}",
        layer,
        seen_by or ("local-large",),
        output=lambda name, array: change(array) if name == layer else array,
    )


def flattened_by_pixel(array: np.ndarray) -> np.ndarray:
    """(N, C * 2 * 3) in the order H, W, C instead of C, H, W."""
    return np.ascontiguousarray(array.reshape(len(array), -1, 2, 3).transpose(0, 2, 3, 1)).reshape(len(array), -1)


def nan_at(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flat[array.size // 2] = np.nan
    return array


def on_each(variant: str, *faults: Fault) -> tuple[Fault, ...]:
    return tuple(on(variant, fault) for fault in faults)


ORIGINAL = (
    *on_each(
        "original-2012-thin",
        fitted(trapped("conv-floor", "conv1")),
        trapped("lrn-across-towers", "norm1"),
        trapped("lrn-across-towers", "norm2"),
        trapped("lrn-alpha-times-n", "norm1"),
        trapped("lrn-alpha-over-n", "norm2"),
        trapped("lrn-k-1", "norm1"),
        trapped("lrn-within-maps", "norm2"),
        moved("relu1", "conv1", found_at="norm1", hint="relu-first"),  # as the paper has it
        trapped("relu-missing", "relu1"),
        moved("cnorm2", "pool2"),
        trapped("lrn-missing", "cnorm2"),
        trapped("lrn-across-maps", "cnorm2"),
        trapped("lrn-k-2", "cnorm2"),
        trapped("lrn-alpha-times-n", "cnorm2"),
        trapped("lrn-alpha-times-n2", "cnorm2"),
        trapped("lrn-alpha-over-n", "cnorm2"),
        edited("window-of-3", "cnorm2", n=3),
        fitted(trapped("pool-floor", "pool1")),
        fitted(trapped("pool-floor", "pool5")),
        trapped("pool-average", "pool2"),
        one_weight("conv5", honest=False),
    ),
    on("original-one-tower-thin", trapped("lrn-per-tower", "norm1")),
    on("original-no-lrn-thin", fitted(trapped("pool-floor", "pool2"))),
    on("original-non-overlapping-thin", trapped("padding-shifted", "conv2")),
    *on_each(
        "original-no-communication-thin",
        trapped("groups-ignored", "conv3"),
        trapped("groups-ignored", "fc6"),
        trapped("groups-ignored", "fc7"),
        trapped("towers-swapped", "fc6"),
        trapped("towers-swapped", "fc7"),
        trapped("bias-missing", "fc7"),
        trapped("weights-bfloat16", "fc6"),
        units_moved("fc6"),
        one_weight("fc6", honest=False),
        one_weight("fc7", honest=True),
    ),
    on("original-six-conv-thin", trapped("kernels-flipped", "conv6")),
    on("original-six-conv-thin", one_weight("conv6", honest=False)),
)

DESCENDANTS = (
    on("caffe-thin", trapped("lrn-k-2", "norm1")),
    on("caffe-thin", trapped("lrn-alpha-times-n", "norm2")),
    on("caffe-thin", fitted(trapped("pool-floor", "pool1"))),
    on("caffenet-thin", moved("norm1", "relu1", found_at="pool1")),
    on("one-weird-trick-thin", trapped("padding-shifted", "conv1")),
    on("one-weird-trick-thin", fitted(trapped("padding-missing", "conv1"))),
    on("cuda-convnet2-1gpu-thin", trapped("lrn-per-tower", "norm1")),
    on("cuda-convnet2-1gpu-thin", moved("relu1", "conv1", found_at="norm1", hint="relu-first")),
    on("onnx-zoo-thin", fitted(trapped("pool-padding-missing", "pool5"))),
    on("onnx-zoo-thin", trapped("pool-padding-left", "pool5")),
    on("onnx-zoo-thin", trapped("bgr", "conv1")),
)

CIFAR = (
    *on_each(
        "cifar-13pct-thin",
        trapped("kernels-shared", "local3"),
        trapped("kernels-flipped", "local3"),
        trapped("kernels-transposed", "local4"),
        trapped("bias-missing", "local3"),
        trapped("weights-bfloat16", "local4"),
        positions_moved("row"),
        positions_moved("column"),
        one_weight("local3", honest=False),
        one_weight("local4", honest=True),
        nan_weight("local3"),
    ),
    *on_each(
        "cifar-18pct-thin",
        trapped("pool-max", "pool2"),
        trapped("pool-max", "pool3"),
        trapped("pool-average", "pool1"),
        trapped("pool-floor", "pool1"),
        trapped("pool-floor", "pool2"),
        fitted(trapped("pool-floor", "pool3")),
        zeros_counted("pool2"),
        zeros_counted("pool3"),
        trapped("lrn-across-maps", "norm1"),
        trapped("lrn-across-maps", "norm2"),
        trapped("lrn-missing", "norm1"),
        trapped("lrn-alpha-times-n2", "norm1"),
        trapped("lrn-k-2", "norm2"),
        moved("norm1", "relu1", found_at="pool1"),
    ),
    *on_each(
        "cifar-11pct-thin",
        trapped("lrn-n-5", "norm1"),
        trapped("lrn-n-5", "norm2"),
        trapped("lrn-n-3", "norm1"),
        trapped("lrn-radius-n", "norm2"),
        trapped("lrn-alpha-times-n", "norm1"),
        trapped("lrn-k-2", "norm2"),
        trapped("lrn-within-maps", "norm1"),
        trapped("kernels-shared", "local4"),
    ),
    on("cifar-brukman-thin", trapped("lrn-n-5", "norm1")),
    on("cifar-brukman-thin", trapped("lrn-n-5", "norm2")),
    on("cifar-brukman-thin", trapped("lrn-alpha-10e-4", "norm1")),
    on("cifar-brukman-pylearn2-thin", trapped("lrn-radius-n", "norm1")),
    on("cifar-brukman-pylearn2-thin", trapped("lrn-radius-n", "norm2")),
)

# For the thin networks: `paper-thin` unless the id says otherwise. Every fault at its own layer.
FAULTS: tuple[Fault, ...] = (
    trapped("stride-3", "conv1", "exact-dense", named=False),
    trapped("padding-missing", "conv3", "exact-dense", named=False),
    trapped("padding-shifted", "conv2"),
    trapped("padding-shifted", "conv5"),
    trapped("groups-ignored", "conv4"),
    trapped("groups-ignored", "conv2"),
    trapped("towers-swapped", "conv5"),
    trapped("kernels-flipped", "conv2"),
    trapped("kernels-flipped", "conv1"),
    trapped("kernels-transposed", "conv3"),
    trapped("bgr", "conv1"),
    trapped("bias-missing", "conv1"),
    trapped("bias-missing", "fc7"),
    trapped("dense-transposed", "fc7"),
    trapped("dense-transposed", "fc8"),
    trapped("flattened-hwc", "fc6"),
    reported("flattened-hwc", "flatten", flattened_by_pixel),
    trapped("pool-ceil", "pool1", "structure-shapes", "local-large", named=False),
    trapped("pool-2x2", "pool1", "structure-shapes", "local-large", named=False),
    trapped("relu-missing", "relu3"),
    trapped("relu-missing", "relu7"),
    moved("relu1", "pool1"),
    moved("norm1", "pool1"),
    moved("norm2", "pool2"),
    trapped("lrn-alpha-over-n", "norm1"),
    trapped("lrn-alpha-over-n", "norm2"),
    trapped("lrn-alpha-10e-4", "norm2"),
    trapped("lrn-radius-n", "norm1"),
    trapped("lrn-n-3", "norm2"),
    trapped("lrn-k-1", "norm1"),
    trapped("lrn-beta-half", "norm2"),
    trapped("lrn-per-tower", "norm1"),
    trapped("lrn-missing", "norm2"),
    trapped("softmax-missing", "prob"),
    trapped("weights-float16", "conv4", named=False),  # ten bits of mantissa, as TF32: the hint names both
    trapped("weights-bfloat16", "fc6"),
    trapped("weights-tf32", "conv5", named=False),
    nan_weight("conv3"),
    reported("nan", "pool2", nan_at),
    reported("float16", "norm1", lambda a: a.astype(np.float16).astype(np.float32)),
    reported("permuted-channels", "conv4", lambda a: np.ascontiguousarray(a[:, ::-1])),
    reported("image-of-another", "fc7", lambda a: np.ascontiguousarray(a[::-1])),
    one_weight("conv1", honest=False),
    one_weight("conv3", honest=False),
    one_weight("fc6", honest=False),
    one_weight("fc8", honest=False),
    one_weight("conv2", honest=True),
    one_weight("fc7", honest=True),
    *ORIGINAL,
    *DESCENDANTS,
    *CIFAR,
)


ALONE = ("structure-", "exact-dense", "exact-local", "local-")  # checks that judge a layer alone


def checks_for(fault: Fault) -> tuple[str, ...]:
    """Outside `paper-thin` the one-layer networks of exact-dense, each a model of its own, only where they are needed."""
    if fault.variant == "paper-thin" or "exact-dense" in fault.seen_by:
        return ("structure", "exact", "local", "chain")
    return ("structure", "exact-chain", "exact-local", "local", "chain")


def check_caught(module: Any, fault: Fault) -> None:
    """Caught at its own layer by the checks that must see it, no earlier layer blamed, and named where it has a name."""
    wrong = bad(verified(Faulty(module, fault), fault.variant, checks_for(fault)))
    caught = [f for f in wrong if f.layer == fault.layer and f.check in fault.seen_by]
    assert caught, [f.line() for f in wrong]
    names = variants.variant(fault.variant).names()
    failed = [f for f in wrong if f.status == "FAIL" and f.check.startswith(ALONE)]  # ERROR: nothing was recorded
    blamed = [names.index(f.layer) for f in failed]
    assert names[min(blamed)] == fault.layer, f"blames {names[min(blamed)]} before {fault.layer}"
    if fault.hint and hides_its_cause(module, fault):
        assert all(f"[{fault.hint}]" in f.hint or f.hint.startswith("unexplained") for f in caught), [
            f.hint for f in caught
        ]
    elif fault.hint:
        assert any(f"[{fault.hint}]" in f.hint for f in caught), [f.hint for f in caught]


def hides_its_cause(module: Any, fault: Fault) -> bool:
    """ONNX Runtime's LRN parts from the formula by itself (`checks/known.py`): with a mistake besides, neither explains it."""
    return harness.named(module) == "onnxruntime" and "norm" in fault.layer
