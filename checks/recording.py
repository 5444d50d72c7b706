"""What an implementation did with a stimulus: every activation it gave, its weights read back, and how it failed.

`events` runs the implementation and says what happens as it happens; `Recording` gathers that up. Between the two there
may be a pipe to another process (`worker.py`, `runner.py`) or nothing at all (tests).
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..impls.describe import describe
from ..impls.interface import Unavailable, Unsupported
from ..reference import variants
from ..reference.stimuli import Stimulus

Array = np.ndarray

# What is done with one built model: the whole batch, the same again, and the first image alone.
BATCH, AGAIN, FIRST = "batch", "again", "first"

MOST = 1000  # activations of one run: a generator that never ends must not go on for ever


@dataclass(frozen=True)
class Feed:
    """One stimulus of one variant, what is done with the built model, and whether its weights are read back.

    A fallback is only for modules fixed to one network, which cannot be fed what the others are.
    """

    variant: str
    stimulus: str
    runs: tuple[str, ...] = (BATCH,)
    read_back: bool = True
    fallback: bool = False


@dataclass(frozen=True)
class Event:
    """kind: activation, param, same-param, params-read, flag, error, skipped, unsupported, unavailable or done."""

    kind: str
    run: str = ""
    name: str = ""
    text: str = ""
    array: Array | None = None


@dataclass
class Recording:
    """One stimulus through one implementation. `runs` maps run to {layer: array}; `errors` maps run to a message."""

    impl: str
    variant: str
    stimulus: str
    runs: dict[str, dict[str, Array]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    params: dict[str, Array | None] = field(default_factory=dict)  # None: equal to what was given, bit for bit
    params_read: bool = False
    skipped: bool = False
    unsupported: str = ""
    unavailable: str = ""
    flags: dict[str, str] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        match event.kind:
            case "activation":
                self.runs.setdefault(event.run, {})[event.name] = event.array  # type: ignore[assignment]
            case "param" | "same-param":
                self.params[event.name] = event.array
            case "params-read":
                self.params_read = True
            case "flag":
                self.flags[event.name] = event.text
            case "error":
                self.errors[event.run] = event.text
            case "skipped":
                self.skipped = True
            case "unsupported":
                self.unsupported = event.text
            case "unavailable":
                self.unavailable = event.text

    def run(self, run: str = BATCH) -> dict[str, Array]:
        return self.runs.get(run, {})

    def why_missing(self, run: str = BATCH) -> str:
        """Why a layer is not there: the crash if there was one, else nothing."""
        return self.errors.get(run) or self.errors.get("build", "")


def in_both(
    one: Mapping[str, Array], other: Mapping[str, Array], layers: Iterable[str]
) -> Iterator[tuple[str, Array, Array]]:
    """(layer, its output here, its output there) for each of `layers` that both runs recorded."""
    for name in layers:
        if name in one and name in other:
            yield name, one[name], other[name]


def record(module: Any, stimulus: Stimulus, feed: Feed, impl: str = "", device: str = "cpu") -> Recording:
    """Run an implementation in this process and gather what it did."""
    recording = Recording(impl, feed.variant, feed.stimulus)
    for event in events(module, stimulus, feed, device):
        recording.take(event)
    return recording


def events(module: Any, stimulus: Stimulus, feed: Feed, device: str) -> Iterator[Event]:
    """Build the model, read its weights back, run it; an exception becomes an event and ends what it concerns."""
    if feed.fallback and getattr(module, "variant", None) is None:
        yield Event("skipped")
        return
    before = {name: checksum(value) for name, value in stimulus.params.items()} if feed.read_back else {}
    try:
        if reason := fixed_to_another(module, stimulus):
            yield Event("unsupported", text=reason)
            return
        model = build(module, stimulus, device)
    except Unsupported as error:
        yield Event("unsupported", text=str(error))
        return
    except Unavailable as error:
        yield Event("unavailable", text=str(error))
        return
    except Exception as error:
        yield Event("error", "build", text=f"build() raised {describe(error)}")
        return
    yield from flags(model)
    if feed.read_back:
        yield from read_back(model, stimulus.params, before)
    for run in feed.runs:
        x = stimulus.x[:1] if run == FIRST else stimulus.x
        yield from activations(model, run, x)


def fixed_to_another(module: Any, stimulus: Stimulus) -> str:
    """Why a module that is fixed to one network cannot take this one ("" if it can)."""
    fixed = getattr(module, "variant", None)
    if fixed is None:
        return ""
    own = variants.variant(fixed)
    same = (own.input_shape, own.layers) == (stimulus.network.input_shape, stimulus.network.layers)
    return "" if same else f"fixed to the network {fixed!r}; this needs {stimulus.network.name!r}"


def build(module: Any, stimulus: Stimulus, device: str) -> Any:
    """module.build(network, params), with the device where it is asked for."""
    if not callable(getattr(module, "build", None)):
        raise TypeError("the module has no build(network, params)")
    takes_device = "device" in inspect.signature(module.build).parameters
    if device == "cuda" and not takes_device:
        raise Unavailable("build() takes no device; give it a `device` parameter, or run with --device auto")
    return module.build(stimulus.network, dict(stimulus.params), **({"device": device} if takes_device else {}))


def flags(model: Any) -> Iterator[Event]:
    """What the model says of itself (device, precision, determinism), if it says anything."""
    try:
        said = dict(model.flags()) if hasattr(model, "flags") else {}
    except Exception as error:
        said = {"flags": f"not known: {describe(error)}"}
    for name, value in said.items():
        yield Event("flag", name=str(name), text=str(value))


def read_back(model: Any, given: Mapping[str, Array], before: Mapping[str, int]) -> Iterator[Event]:
    """Each parameter as the model holds it; only those that are not what was given travel on.

    `before` are the checksums of what was given: a model that changes it in place must not be compared with itself.
    """
    try:
        for name, value in dict(model.params()).items():
            problem = not_an_array(value)
            if problem:
                yield Event("error", "params", text=f"params()[{name!r}] is {problem}")
            elif name in given and checksum(given[name]) == before[name] and same_bits(value, given[name]):
                yield Event("same-param", name=str(name))
            else:
                yield Event("param", name=str(name), array=np.asarray(value, order="C"))
        yield Event("params-read")
    except Exception as error:
        yield Event("error", "params", text=f"params() raised {describe(error)}")


def activations(model: Any, run: str, x: Array) -> Iterator[Event]:
    try:
        given = model.activations(x.copy())
        pairs = given.items() if isinstance(given, Mapping) else given
        seen: set[str] = set()
        for pair in pairs:
            if not (isinstance(pair, tuple) and len(pair) == 2):
                raise TypeError(f"activations() gave {type(pair).__name__}, expected a mapping or (name, array) pairs")
            name, value = pair
            if name in seen or len(seen) == MOST:
                raise ValueError(
                    f"activation {name!r} was given twice" if name in seen else f"more than {MOST} activations"
                )
            seen.add(name)
            if problem := not_an_array(value):
                raise TypeError(f"activation {name!r} is {problem}")
            yield Event("activation", run, str(name), array=np.array(value, order="C"))
    except Exception as error:
        yield Event("error", run, text=f"activations() raised {describe(error)}")


def not_an_array(value: Any) -> str:
    """Why a value cannot be an activation or a parameter ("" if it can)."""
    if not isinstance(value, np.ndarray):
        return f"a {type(value).__module__}.{type(value).__qualname__}, expected a numpy.ndarray"
    if value.dtype.kind not in "fiub":
        return f"an array of {value.dtype}, expected float32"
    return ""


def checksum(values: Array) -> int:
    """Changes when any single number does: the sum of the float32 bits, modulo 2^64."""
    return int(np.ascontiguousarray(values).view(np.uint32).sum(dtype=np.uint64))


def same_bits(a: Array, b: Array) -> bool:
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return all(np.array_equal(part.view(np.uint32), other.view(np.uint32)) for part, other in blocks(a, b))


def blocks(a: Array, b: Array, rows: int = 256) -> Iterator[tuple[Array, Array]]:
    """Both arrays, contiguous, some rows at a time: no full-size temporaries for fc6."""
    for start in itertools.count(0, rows):
        if start >= len(a):
            return
        yield np.ascontiguousarray(a[start : start + rows]), np.ascontiguousarray(b[start : start + rows])
