"""A trace: what one implementation did with some stimuli of one variant, in a file that can be judged anywhere.

The file is a sealed safetensors container (`container.py`). Its arrays are called STIMULUS/RUN/LAYER, and what else there
is to a recording stands in the header: of the weights read back only that they are what was given, or, of those that are
not, the places that differ most. Outputs that are others' bits, or the ReLU of them, are left out (`derived.py`), and those
of a probe deflated (`packed.py`); how much all of that may come to when it is read follows from the network (`room.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...reference import export, stimuli, variants
from ...reference.spec import Network
from ...reference.stimuli import Stimulus
from .. import compare
from ..recording import BATCH, Feed, Recording
from . import container, packed, room
from .container import BadTrace
from .derived import first_that_fits, made
from .room import WEIGHTS

Array = np.ndarray

FORMAT = "alexnet-parity/trace/1"
TEXTS = ("format", "impl", "device", "variant", "seed", "network", "environment", "flags", "stimuli")
MOST = 1000  # numbers kept of a weight that is not what was given
PROSE = ("about", "source")  # of a layer or network: words, which decide nothing


@dataclass(frozen=True)
class Trace:
    """What a file holds. network: the spec (`spec_of`). digests: of each stimulus' network, weights and input.

    environment: machine and code; flags: what the model said of itself, and the frameworks' versions.
    """

    impl: str
    device: str
    variant: str
    seed: int
    network: dict[str, Any]
    digests: dict[str, dict[str, str]]
    environment: dict[str, str]
    flags: dict[str, str]
    recordings: dict[str, Recording]
    path: Path = Path()

    def check_network(self) -> None:
        """Raise BadTrace unless the variant's network is today's."""
        try:
            ours = spec_of(variants.variant(self.variant))
        except KeyError as error:
            raise BadTrace(f"{self.path}: {error.args[0]}") from None
        if place := departure(self.network, ours):
            where, found, expected = place
            raise BadTrace(
                f"{self.path} was recorded of another network {self.variant}: {where} is {found}, expected {expected}; "
                "record it again with this version of the project"
            )

    def check_stimulus(self, given: Stimulus) -> None:
        """Raise BadTrace unless it was fed with what this stimulus is, to the bit."""
        found, expected = self.digests[given.name], digests_of(given)
        for what in expected:
            if found.get(what) != expected[what]:
                raise BadTrace(
                    f"{self.path}: its {what} of {self.variant}/{given.name} has SHA-256 "
                    f"{str(found.get(what))[:12]}, expected {expected[what][:12]}; record it again with this version "
                    f"of the project and --seed {self.seed}"
                )

    def recording(self, feed: Feed, impl: str) -> Recording:
        """What is held of what a feed asks; the rest is refused, with the reason."""
        held = self.recordings.get(feed.stimulus) if feed.variant == self.variant else None
        found = held or Recording("", feed.variant, feed.stimulus, skipped=feed.fallback)
        of = "" if feed.variant == self.variant else f", which is of {self.variant}"
        absent = f"not in the trace {self.path.name}{of}"
        said = {*found.runs, *found.errors, *found.refused, *found.absent}
        refused = {run: absent for run in feed.runs if run not in said}
        return replace(
            found,
            impl=impl,
            refused=refused | found.refused,
            unsupported=found.unsupported if held else absent,
            flags=self.environment | self.flags,
        )


# What is compared with today's --------------------------------------------------------------------------------------


def spec_of(network: Network) -> dict[str, Any]:
    """The network as JSON has it, without its prose."""
    return dict(json.loads(json.dumps(without_prose(export.as_dict(network)))))


def without_prose(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_prose(item) for key, item in value.items() if key not in PROSE}
    return [without_prose(item) for item in value] if isinstance(value, list) else value


def digest_of(network: Network) -> str:
    return hashlib.sha256(json.dumps(spec_of(network), sort_keys=True).encode()).hexdigest()


def digests_of(given: Stimulus) -> dict[str, str]:
    return {"network": digest_of(given.network), **given.digests}


def departure(found: Any, expected: Any, where: str = "") -> tuple[str, str, str] | None:
    """The first place where two specs differ, by name, with what is found and expected there."""
    if isinstance(found, dict) and isinstance(expected, dict) and set(found) == set(expected):
        pairs = [(found[key], expected[key], f"{where}.{key}".strip(".")) for key in expected]
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        pairs = [
            (a, b, f"{where}[{named(b, place)}]") for place, (a, b) in enumerate(zip(found, expected, strict=True))
        ]
    else:
        return None if found == expected else (where or "the spec", str(found)[:60], str(expected)[:60])
    places = (departure(*pair) for pair in pairs)
    return next((place for place in places if place), None)


def named(item: Any, place: int) -> str:
    return str(item.get("name", place)) if isinstance(item, dict) else str(place)


# Writing ------------------------------------------------------------------------------------------------------------


def write(path: Path, trace: Trace) -> None:
    """The trace as a file, whole or not there; raises OSError, and BadTrace for what no file can hold or `read` would refuse."""
    arrays: dict[str, Array] = {}
    held: dict[str, Any] = {}
    for stimulus, recording in trace.recordings.items():
        given = stimuli.stimulus(variants.variant(trace.variant), stimulus, trace.seed) if changed(recording) else None
        stored, left_out = outputs_of(stimulus, recording)
        small = packed_of(stimulus, stored)
        arrays |= stored | small | differing(stimulus, recording, given)
        how = {name: {"dtype": stored[name].dtype.str, "shape": list(stored[name].shape)} for name in small}
        held[stimulus] = {
            "digests": trace.digests[stimulus],
            **described(recording),
            "left_out": left_out,
            "packed": how,
        }
    try:
        room.check(held, arrays, known(trace.variant))
    except ValueError as error:
        raise BadTrace(f"found {error}, which no trace can hold; the implementation gave it") from None
    texts = {
        "format": FORMAT,
        "impl": trace.impl,
        "device": trace.device,
        "variant": trace.variant,
        "seed": str(trace.seed),
        **{
            name: json.dumps(value, allow_nan=False)
            for name, value in {
                "network": trace.network,
                "environment": trace.environment,
                "flags": trace.flags,
                "stimuli": held,
            }.items()
        },
    }
    container.write(path, arrays, texts)


def known(variant: str) -> Network | None:
    """The variant's network; None for one that this version does not have."""
    return variants.variant(variant) if variant in variants.names() else None


def changed(recording: Recording) -> bool:
    """Does the implementation hold weights other than it was given?"""
    return any(value is not None for value in recording.params.values())


def outputs_of(stimulus: str, recording: Recording) -> tuple[dict[str, Array], dict[str, Any]]:
    """The outputs by name, and how those that need not be stored are made: of the first run, or of the layer before."""
    seen: dict[str, Array] = {}  # what is there when the file is read from its beginning
    left_out: dict[str, Any] = {}
    for run, layers in recording.runs.items():
        before = ""
        for layer, array in layers.items():
            names = (f"{stimulus}/{BATCH}/{layer}", f"{stimulus}/{run}/{before}")
            name, before = f"{stimulus}/{run}/{layer}", layer
            if found := first_that_fits(array, {other: seen[other] for other in names if other in seen}):
                left_out[name] = {"rule": found[0], "of": found[1], "shape": list(array.shape)}
            seen[name] = array
    return {name: array for name, array in seen.items() if name not in left_out}, left_out


def packed_of(stimulus: str, stored: Mapping[str, Array]) -> dict[str, Array]:
    """Those outputs of a probe that are stored deflated."""
    if stimulus.partition(".")[0] not in packed.STIMULI:
        return {}
    small = {name: packed.packed(array) for name, array in stored.items()}
    return {name: array for name, array in small.items() if array is not None}


def differing(stimulus: str, recording: Recording, given: Stimulus | None) -> dict[str, Array]:
    """Of each weight that is not what was given, the numbers farthest from it and their places, in flat order."""
    found = {}
    for name, held in recording.params.items():
        before = given.params.get(name) if given else None
        if held is not None and before is not None and not compare.unlike(held, before.shape):
            places = farthest(held, before)
            found[f"{stimulus}/{WEIGHTS}/{name}/places"] = places
            found[f"{stimulus}/{WEIGHTS}/{name}/values"] = held.reshape(-1)[places]
    return found


def farthest(held: Array, given: Array) -> Array:
    """Flat places where two float32 arrays differ in their bits, at most MOST of them, (n,), int64."""
    bits = held.reshape(-1).view(np.uint32) != given.reshape(-1).view(np.uint32)
    places = np.flatnonzero(bits)
    with np.errstate(invalid="ignore"):
        distance = compare.ulps(held.reshape(-1)[places], given.reshape(-1)[places])
    return np.sort(places[np.argsort(-distance, kind="stable")[:MOST]])


def described(recording: Recording) -> dict[str, Any]:
    """What there is to a recording besides its arrays."""
    return {
        "runs": {run: list(layers) for run, layers in recording.runs.items()},
        "params": {
            name: None if held is None else {"dtype": held.dtype.str, "shape": list(held.shape)}
            for name, held in recording.params.items()
        },
        "params_read": recording.params_read,
        "absent": sorted(recording.absent),
        "unsupported": recording.unsupported,
        "errors": recording.errors,
        "refused": recording.refused,
    }


# Reading ------------------------------------------------------------------------------------------------------------


def read(path: Path) -> Trace:
    """Read a trace; raises BadTrace for anything that is not one, whole and as it was written."""
    contents = container.read(path)
    try:
        return replace(parsed(contents), path=path)
    except BadTrace as error:
        raise BadTrace(f"{path}: {error}") from None
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BadTrace(f"{path}: its header is not as `record` writes it ({error!r}); record it again") from None


def parsed(contents: container.Contents) -> Trace:
    texts = contents.metadata
    if texts.get("format") != FORMAT:
        raise BadTrace(f"found format {texts.get('format')!r}, expected {FORMAT!r}; record it again with this version")
    if absent := [name for name in TEXTS if name not in texts]:
        raise BadTrace(f"{', '.join(absent)} missing in its header; record it again")
    loaded = {name: json.loads(texts[name]) for name in ("network", "environment", "flags", "stimuli")}
    flags, seed = texts_of(loaded["flags"]), int(texts["seed"])
    network = known(texts["variant"])
    room.check(loaded["stimuli"], contents.arrays, network)
    held = {
        name: recorded(texts, name, about, contents.arrays, network, seed) for name, about in loaded["stimuli"].items()
    }
    if strangers := set(contents.arrays) - {*expected_names(loaded["stimuli"])}:
        raise BadTrace(f"found an array {min(strangers)!r} that its header does not speak of; record it again")
    return Trace(
        texts["impl"],
        texts["device"],
        texts["variant"],
        seed,
        dict(loaded["network"]),
        {name: texts_of(about["digests"]) for name, about in loaded["stimuli"].items()},
        texts_of(loaded["environment"]),
        flags,
        held,
    )


def texts_of(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise BadTrace(f"found {str(value)[:60]} in its header, expected texts by name; record it again")
    return value


def expected_names(held: Mapping[str, Any]) -> Iterable[str]:
    for stimulus, about in held.items():
        yield from (f"{stimulus}/{run}/{layer}" for run, layers in about["runs"].items() for layer in layers)
        yield from (f"{stimulus}/{WEIGHTS}/{name}/{part}" for name in about["params"] for part in ("places", "values"))


def recorded(
    texts: Mapping[str, str], stimulus: str, about: Any, arrays: Mapping[str, Array], network: Network | None, seed: int
) -> Recording:
    """One stimulus' recording out of the arrays and what the header says."""
    recording = Recording(texts["impl"], texts["variant"], stimulus)
    recording.runs = outputs(stimulus, about, arrays)
    recording.absent, recording.params_read = set(about["absent"]), about["params_read"] is True
    recording.unsupported = str(about["unsupported"])
    recording.errors, recording.refused = texts_of(about["errors"]), texts_of(about["refused"])
    kept = any(f"{stimulus}/{WEIGHTS}/{name}/places" in arrays for name in about["params"])
    given = stimuli.stimulus(network, stimulus, seed).params if kept and network else {}
    for name, shape in about["params"].items():
        recording.params[name] = (
            None if shape is None else weight(arrays, f"{stimulus}/{WEIGHTS}/{name}", shape, given.get(name))
        )
    return recording


def outputs(stimulus: str, about: Any, arrays: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """Every run's outputs in their order, those that were left out made again."""
    found: dict[str, Array] = {}
    runs: dict[str, dict[str, Array]] = {run: {} for run in about["runs"]}
    for run, layers in about["runs"].items():
        for layer in layers:
            name = f"{stimulus}/{run}/{layer}"
            if (how := about["left_out"].get(name)) is not None:
                found[name] = made(how["rule"], found[how["of"]], tuple(how["shape"]))
            elif name in arrays:
                about_it = about["packed"].get(name)
                found[name] = arrays[name] if about_it is None else packed.unpacked(arrays[name], about_it)
            else:
                raise BadTrace(f"no array {name}, which its header speaks of; record it again")
            runs[run][layer] = found[name]
    return runs


def weight(arrays: Mapping[str, Array], place: str, about: Any, given: Array | None) -> Array:
    """A weight that is not what was given: as given but for the places that were kept, or zeros of its shape and dtype."""
    dtype, shape, _ = packed.extent(about)
    if given is None or f"{place}/places" not in arrays:
        return np.broadcast_to(np.zeros((), dtype), shape)
    if given.shape != shape:  # places are kept of a weight of the right shape alone
        raise ValueError(f"{shape} for the shape of {place}, expected {given.shape}")
    held = given.copy()
    held.reshape(-1)[arrays[f"{place}/places"]] = arrays[f"{place}/values"]
    return held
