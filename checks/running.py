"""Runs an implementation in this process and says, as events, what happens as it happens."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..impls.describe import clean, describe, name_of, one_line
from ..impls.interface import Unavailable, Unsupported
from ..reference import variants
from ..reference.stimuli import Stimulus
from .passes import PASSES, Subject, unbuildable
from .recording import Absent, Event, Feed, Recording

Array = np.ndarray

LONGEST = 1000  # characters of a reason
MOST = 1000  # arrays of one pass: a generator that never ends must not go on for ever


def record(module: Any, stimulus: Stimulus, feed: Feed, impl: str = "", device: str = "cpu") -> Recording:
    """Run an implementation in this process and gather what it did."""
    recording = Recording(impl, feed.variant, feed.stimulus)
    for event in events(module, stimulus, feed, device):
        kept = None if event.array is None else event.array.copy()  # an in-place ReLU would write over it
        recording.take(replace(event, array=kept))
    return recording


def events(module: Any, stimulus: Stimulus, feed: Feed, device: str) -> Iterator[Event]:
    """Build the model, read its weights back, run it; an exception becomes an event and ends what it concerns."""
    if feed.fallback and getattr(module, "variant", None) is None:
        yield Event("skipped")
        return
    subject = Subject(module, stimulus, device)
    if any(PASSES[run].on_model for run in feed.runs):
        if reason := unbuildable(module):
            yield Event("unavailable", text=reason)
            return
        before = {name: checksum(value) for name, value in stimulus.params.items()} if feed.read_back else {}
        if broken := built(subject):
            yield broken
            return
        yield from flags(subject.model, file_of(module))
        if feed.read_back:
            yield from read_back(subject.model, stimulus.params, before, file_of(module))
    for run in feed.runs:
        yield from passed(run, subject)


def built(subject: Subject) -> Event | None:
    """Build the model; what kept it from being built, if anything."""
    try:
        if reason := fixed_to_another(subject.module, subject.stimulus):
            return Event("unsupported", text=reason)
        subject.model  # noqa: B018 - builds it
    except Unsupported as error:
        return Event("unsupported", text=one_line(error, LONGEST))
    except Unavailable as error:
        return Event("unavailable", text=one_line(error, LONGEST))
    except Exception as error:
        return Event("error", "build", text=f"build() raised {describe(error, file_of(subject.module))}")
    return None


def passed(run: str, subject: Subject) -> Iterator[Event]:
    """One pass: its arrays as they come, each under the run that it is recorded as.

    An array is the implementation's own until the next is asked for: whoever keeps it, copies it.
    """
    seen: set[tuple[str, str]] = set()
    try:
        for recorded, name, value in PASSES[run].run(subject):
            if (recorded, name) in seen or len(seen) == MOST:
                many = len(seen) == MOST
                told = f"more than {MOST} activations" if many else f"activation {one_line(repr(name))} was given twice"
                raise ValueError(told)
            seen.add((recorded, name))
            if problem := not_an_array(value):
                raise TypeError(f"activation {one_line(repr(name))} is {problem}")
            yield Event("activation", recorded, name_of(name), array=np.asarray(value, order="C"))
    except Absent:
        yield Event("absent", run)
    except Unsupported as error:
        yield Event("refused", run, text=one_line(error, LONGEST))
    except Unavailable as error:
        yield Event("unavailable", text=one_line(error, LONGEST))
    except Exception as error:
        yield Event("error", run, text=f"{PASSES[run].calls} raised {describe(error, file_of(subject.module))}")


def file_of(module: Any) -> str | None:
    """The implementation's own file, which places are told in; None if it says none."""
    return getattr(module, "__file__", None) or getattr(getattr(module, "module", None), "__file__", None)


def fixed_to_another(module: Any, stimulus: Stimulus) -> str:
    """Why a module that is fixed to one network cannot take this one ("" if it can)."""
    fixed = getattr(module, "variant", None)
    if fixed is None:
        return ""
    own = variants.variant(fixed)
    same = (own.input_shape, own.layers) == (stimulus.network.input_shape, stimulus.network.layers)
    return "" if same else f"fixed to the network {fixed!r}; this needs {stimulus.network.name!r}"


def flags(model: Any, file: str | None = None) -> Iterator[Event]:
    """What the model says of itself (device, precision, determinism), if it says anything."""
    try:
        said = dict(model.flags()) if hasattr(model, "flags") else {}
    except Exception as error:
        said = {"flags": f"not known: {describe(error, file)}"}
    for name, value in said.items():
        yield Event("flag", name=name_of(name), text=clean(value))


def read_back(
    model: Any, given: Mapping[str, Array], before: Mapping[str, int], file: str | None = None
) -> Iterator[Event]:
    """Each parameter as the model holds it; only those that are not what was given travel on.

    `before` are the checksums of what was given: a model that changes it in place must not be compared with itself.
    """
    try:
        for name, value in dict(model.params()).items():
            problem = not_an_array(value)
            if problem:
                yield Event("error", "params", text=f"params()[{one_line(repr(name))}] is {problem}")
            elif name in given and checksum(given[name]) == before[name] and same_bits(value, given[name]):
                yield Event("same-param", name=name_of(name))
            else:
                yield Event("param", name=name_of(name), array=np.asarray(value, order="C"))
        yield Event("params-read")
    except Exception as error:
        yield Event("error", "params", text=f"params() raised {describe(error, file)}")


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
