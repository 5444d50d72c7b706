"""Planted faults: a wrapper around any implementation that makes it wrong in one named way.

The wrapper edits the network and the weights that the real implementation is built with, so that the fault happens
inside the framework, and reads the weights back as if nothing had happened, so that reading back cannot give it away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from harness import bad, verified

from alexnet_parity.checks import traps
from alexnet_parity.reference import variants
from alexnet_parity.reference.spec import Network

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


def moved(layer: str, after: str) -> Fault:
    """A layer in the wrong place; its output has the shape of where it is."""

    def network(given: Network) -> Network:
        return given.move(layer, after) if {layer, after} <= set(given.names()) else given

    return Fault(f"{layer}-moved-behind-{after}", layer, ("structure-shapes", "local-large"), network)


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


# For the thin networks: `paper-thin` unless the id says otherwise. Every fault at its own layer.
FAULTS: tuple[Fault, ...] = (
    trapped("stride", "conv1", "exact-dense", named=False),
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
)


ALONE = ("structure-", "exact-dense", "exact-local", "local-")  # checks that judge a layer alone


def check_caught(module: Any, fault: Fault) -> None:
    """Caught at its own layer by the checks that must see it, no earlier layer blamed, and named where it has a name."""
    wrong = bad(verified(Faulty(module, fault), "paper-thin", ("structure", "exact", "local", "chain")))
    caught = [f for f in wrong if f.layer == fault.layer and f.check in fault.seen_by]
    assert caught, [f.line() for f in wrong]
    names = variants.variant("paper-thin").names()
    failed = [f for f in wrong if f.status == "FAIL" and f.check.startswith(ALONE)]  # ERROR: nothing was recorded
    blamed = [names.index(f.layer) for f in failed]
    assert names[min(blamed)] == fault.layer, f"blames {names[min(blamed)]} before {fault.layer}"
    if fault.hint:
        assert any(f"[{fault.hint}]" in f.hint for f in caught), [f.hint for f in caught]
