"""A model saved in its framework's own formats and loaded again: its parameters and its outputs, bit for bit.

Asked of an implementation that offers `formats`: a module with FORMATS, {name: Codec} (`impls/formats/codec.py`). Each format is
given two sets of weights: the large ones, whose outputs are compared, and awkward ones, of every kind of bit pattern that a
float32 has. The new model is built with other weights before it is loaded, and it is another object; the file is gone after it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...impls.describe import describe
from ...impls.formats.table import BY_NAME
from ...impls.interface import Unsupported
from ...reference import stimuli
from ...reference.spec import AFFINE, Network, perhaps
from .. import compare
from ..finding import Finding, Status
from ..recording import Recording
from ..truth import Truth
from . import awkward, causes

if TYPE_CHECKING:
    from ..passes import Given, Subject

Array = np.ndarray
Arrays = Mapping[str, Array]

SAVED = "saved"  # the pass and the stimulus
LARGE, AWKWARD = "large", "awkward"  # weights
READ, LOADED, ORIGINAL = (
    "read",
    "loaded",
    "original",
)  # out of the file alone; out of the new model; out of the saved one
REFUSED, FAILED = "refused", "failed"  # in words
WORDS = {READ: "as read from the file", LOADED: "as the loaded model holds it"}


# What is asked of an implementation -----------------------------------------------------------------------------------


def saved(subject: Subject) -> Given:
    """Each format: both sets of weights read back and loaded, the outputs before and after.

    Arrays are named FORMAT/WEIGHTS/VIEW/NAME. Why a format cannot be used, or how it failed, is FORMAT/refused or /failed, as
    the bytes of a sentence: one format does not keep the others from being judged.
    """
    codecs = getattr(getattr(subject.module, "formats", None), "FORMATS", None)
    if not codecs:
        raise Unsupported("no formats: saving and loading cannot be asked of it")
    network, seed = subject.stimulus.network, subject.stimulus.seed
    with tempfile.TemporaryDirectory() as folder:
        for name, codec in codecs.items():
            try:
                yield from through(subject.module, network, seed, name, codec, Path(folder))
            except Unsupported as error:
                yield SAVED, f"{name}/{REFUSED}", sentence(str(error))
            except ModuleNotFoundError as error:
                yield SAVED, f"{name}/{REFUSED}", sentence(f"needs {error.name}, not installed here")
            except Exception as error:
                yield SAVED, f"{name}/{FAILED}", sentence(describe(error))


def through(module: Any, network: Network, seed: int, name: str, codec: Any, folder: Path) -> Given:
    given = stimuli.stimulus(network, LARGE, seed)
    ending = BY_NAME[name].ending if name in BY_NAME else ""
    for which, params in ((LARGE, given.params), (AWKWARD, awkward.weights(network, seed))):
        path = folder / f"{name}-{which}{ending}"
        model = module.build(network, dict(params))
        codec.save(model, network, path)
        loaded = codec.load(module, network, path)
        for view, found in ((READ, codec.read(path, network)), (LOADED, loaded.params())):
            yield from ((SAVED, f"{name}/{which}/{view}/{key}", value) for key, value in found.items())
        if which == LARGE:
            for view, outputs in ((ORIGINAL, codec.original(model, given.x)), (LOADED, loaded.activations(given.x))):
                pairs = outputs.items() if isinstance(outputs, Mapping) else outputs
                yield from ((SAVED, f"{name}/output/{view}/{key}", value) for key, value in pairs)


def sentence(text: str) -> Array:
    return np.frombuffer(text.encode(), np.uint8)


# What is judged -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class File:
    """What came through one format, by WEIGHTS/VIEW/NAME."""

    format: str
    arrays: Arrays

    def words(self, key: str) -> str:
        return bytes(self.arrays[key].tobytes()).decode(errors="replace") if key in self.arrays else ""

    def part(self, which: str, view: str) -> dict[str, Array]:
        start = f"{which}/{view}/"
        return {key.removeprefix(start): value for key, value in self.arrays.items() if key.startswith(start)}


def formats(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """Saved in each of its framework's own formats and loaded again: every parameter and every output, bit for bit."""
    arrays = recording.run(SAVED)
    if not arrays:
        yield Finding(
            Status.ERROR, expected="what came through each format", got=recording.why_missing(SAVED) or "none"
        )
        return
    seed = truth.stimulus.seed
    given = {
        LARGE: dict(stimuli.stimulus(truth.network, LARGE, seed).params),
        AWKWARD: awkward.weights(truth.network, seed),
    }
    for name in dict.fromkeys(key.partition("/")[0] for key in arrays):
        mine = {key.partition("/")[2]: value for key, value in arrays.items() if key.partition("/")[0] == name}
        yield from of_format(File(name, mine), truth.network, given)
    if crashed := recording.errors.get(SAVED):
        yield Finding(Status.ERROR, expected="what came through each format", got=crashed)


def of_format(file: File, network: Network, given: Mapping[str, Arrays]) -> Iterator[Finding]:
    if refused := file.words(REFUSED):
        yield Finding(Status.UNSUPPORTED, expected=f"{file.format}: a file", got=f"{file.format}: {refused}")
        return
    if failed := file.words(FAILED):
        yield Finding(Status.ERROR, expected=f"{file.format}: saved, read and loaded", got=failed)
        return
    places = causes.places(network)
    for layer in network.layers:
        if isinstance(layer, AFFINE):
            yield of_layer(file, places[layer.name], given)
    yield from strangers(file, network)
    yield outputs(file, network)


def of_layer(file: File, place: causes.Place, given: Mapping[str, Arrays]) -> Finding:
    """Both weights and biases of one layer: the first of them that is not as given, or a PASS for all."""
    layer = place.layer.name
    names = [name for name in given[LARGE] if name.rpartition(".")[0] == layer]
    expected = f"{file.format}: {' and '.join(names)} as given, read and loaded, awkward bits too"
    for which, params in given.items():
        for view in (READ, LOADED):
            found = file.part(which, view)
            for name in names:
                what = f"{name} {WORDS[view]}{' (awkward bits)' if which == AWKWARD else ''}"
                if name not in found:
                    return Finding(Status.ERROR, layer, expected, f"no {what}{perhaps(name, list(found))}")
                outcome = compare.patterns(found[name], params[name])
                if not outcome.ok:
                    hint = causes.cause(place, found[name], params[name])
                    return Finding(Status.FAIL, layer, expected, f"{what}: {outcome.got}", outcome.share, hint=hint)
    count = sum(params[name].size for params in given.values() for name in names)
    return Finding(Status.PASS, layer, expected, f"every bit of {count:,} numbers", 0.0)


def strangers(file: File, network: Network) -> Iterator[Finding]:
    """Parameters that the network has not."""
    names = list(network.param_shapes())
    for name in file.part(LARGE, READ):
        if name not in names:
            expected = f"{file.format}: a parameter's name{perhaps(name, names)}"
            yield Finding(Status.ERROR, name.rpartition(".")[0], expected, repr(name))


def outputs(file: File, network: Network) -> Finding:
    """The first layer whose output is another than before, or a PASS for all."""
    before, after = file.part("output", ORIGINAL), file.part("output", LOADED)
    expected = f"{file.format}: every layer's output as before it was saved"
    for name in network.names():
        if name not in before or name not in after:
            return Finding(Status.ERROR, name, expected, f"no output of {name}")
        outcome = compare.patterns(after[name], before[name])
        if not outcome.ok:
            return Finding(Status.FAIL, name, expected, outcome.got, outcome.share)
    return Finding(Status.PASS, "", expected, f"every bit of {len(before)} outputs", 0.0)
