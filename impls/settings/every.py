"""Settings of any implementation: what it is given is changed, not the implementation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

Build = Callable[..., Any]


def rebuilt(module: Any, build: Build) -> Any:
    """The module with another build()."""
    return SimpleNamespace(**(vars(module) | {"build": build}))


def after_build(module: Any, change: Callable[[Any], object]) -> Any:
    """The module, its models changed once they are built."""

    def build(network: Any, params: Mapping[str, np.ndarray], **device: str) -> Any:
        model = module.build(network, params, **device)
        change(model)
        return model

    return rebuilt(module, takes_device(module, build))


def takes_device(module: Any, build: Build) -> Build:
    """`build` with a `device` if the module's own has one: whoever runs it looks."""

    def without(network: Any, params: Mapping[str, np.ndarray]) -> Any:
        return build(network, params)

    def on(network: Any, params: Mapping[str, np.ndarray], device: str = "cpu") -> Any:
        return build(network, params, device=device)

    return on if "device" in inspect.signature(module.build).parameters else without


def with_flags(module: Any, told: Callable[[], Mapping[str, str]]) -> Any:
    """The module, its models' flags() telling this as well."""

    def tell(model: Any) -> None:
        plain = getattr(model, "flags", dict)
        model.flags = lambda: {**plain(), **told()}

    return after_build(module, tell)


# Alignment ------------------------------------------------------------------------------------------------------------


def off_boundary(x: np.ndarray) -> np.ndarray:
    """A copy of x that begins 4 bytes beyond a multiple of 64."""
    room = np.empty(x.nbytes + 128, dtype=np.uint8)
    start = -room.ctypes.data % 64 + 4
    moved = room[start : start + x.nbytes].view(x.dtype).reshape(x.shape)
    moved[...] = x
    return moved


def unaligned(module: Any) -> Any:
    """Weights and inputs handed over off the boundary; whether a framework copies them onto one is its own affair."""

    def build(network: Any, params: Mapping[str, np.ndarray], **device: str) -> Any:
        model = module.build(network, {name: off_boundary(value) for name, value in params.items()}, **device)
        plain = model.activations
        model.activations = lambda x: plain(off_boundary(x))
        if back := getattr(model, "backward", None):
            model.backward = lambda x, **given: back(off_boundary(x), **given)
        return model

    return rebuilt(module, takes_device(module, build))


# Batches ----------------------------------------------------------------------------------------------------------------


def pairs(given: Any) -> Iterable[tuple[str, np.ndarray]]:
    return given.items() if isinstance(given, Mapping) else given


def alone(activations: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], Mapping[str, np.ndarray]]:
    """Each image in a batch of one."""

    def run(x: np.ndarray) -> Mapping[str, np.ndarray]:
        each = [dict(pairs(activations(x[i : i + 1].copy()))) for i in range(len(x))]
        return {name: np.concatenate([one[name] for one in each]) for name in each[0]}

    return run


def among(
    size: int,
) -> Callable[[Callable[[np.ndarray], Any]], Callable[[np.ndarray], Iterator[tuple[str, np.ndarray]]]]:
    """The same images in a batch of `size`: the first at its beginning, the last at its end, their mirror images between."""

    def of(activations: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], Iterator[tuple[str, np.ndarray]]]:
        def run(x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
            others = np.resize(x[..., ::-1], (size - len(x), *x.shape[1:]))
            batch = np.concatenate([x[:1], others, x[1:]])
            kept = [0, *range(size - len(x) + 1, size)]
            for name, array in pairs(activations(batch)):
                yield name, array[kept]

        return run

    return of


def in_batches(run: Callable[[Callable[[np.ndarray], Any]], Any]) -> Callable[[Any], Any]:
    """The wrapper that changes how a model's activations() are run."""

    def change(model: Any) -> None:
        model.activations = run(model.activations)

    return lambda module: after_build(module, change)


WRAPPERS = {
    "unaligned": unaligned,
    "batch-1": in_batches(alone),
    "batch-3": in_batches(among(3)),
    "batch-5": in_batches(among(5)),
}
