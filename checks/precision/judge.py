"""Which arithmetic each convolution and dense layer really used, by its answers; anything narrower than float32 fails."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator

import numpy as np

from ...reference.precision import FLOAT32, Arithmetic, Format
from ...reference.spec import AFFINE, Layer
from ..compare import unlike
from ..exact import recordable
from ..finding import Finding, Status
from ..recording import Recording
from ..structure import missing
from ..truth import Truth
from .verdict import Verdict, verdict

Array = np.ndarray

TRANSFORM = "a transform of tiles, as Winograd's"
UNEXPLAINED = "unexplained"
HINTS = {  # by the first word of the inputs' format: where it may come from
    "tf32": "TF32 is on: torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32, "
    "tf.config.experimental.enable_tensor_float_32_execution, jax_default_matmul_precision, NVIDIA_TF32_OVERRIDE=0",
    "bfloat16": "an autocast, a policy of mixed types, or a library's own choice: fp32_precision of torch.backends.mkldnn, "
    "ONEDNN_DEFAULT_FPMATH_MODE, OpenVINO's INFERENCE_PRECISION_HINT",
    "float16": "an autocast, a policy of mixed types, or OpenVINO's INFERENCE_PRECISION_HINT",
}


def inputs(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """How each convolution and dense layer reads activations and weights: as float32, or rounded to fewer bits."""
    for layer, found in verdicts(recording, truth):
        yield about_inputs(layer, found)
    yield from missing(recording, truth)


def accumulator(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """What each convolution and dense layer sums and gives in: float32 or wider; fused, split or transformed where seen."""
    for layer, found in verdicts(recording, truth):
        yield about_sums(layer, found)
    yield from missing(recording, truth)


def chain_inputs(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """Of a module fixed to one network: how its layers read what reaches them, and their weights."""
    yield from inputs(recording, truth)


def chain_accumulator(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """Of a module fixed to one network: what its layers sum and give in."""
    yield from accumulator(recording, truth)


# Verdicts, once for both checks -----------------------------------------------------------------------------------------


class Last:
    """What was found in the recording judged last: two checks ask for it, one after the other."""

    recording: weakref.ref[Recording] | None = None
    found: tuple[tuple[Layer, Verdict], ...] = ()


def verdicts(recording: Recording, truth: Truth) -> tuple[tuple[Layer, Verdict], ...]:
    """Each affine layer whose input and output are known, with its verdict; the layer's input is the recorded one."""
    if Last.recording is None or Last.recording() is not recording:
        Last.found = tuple(judged(recording, truth))
        Last.recording = weakref.ref(recording)
    return Last.found


def judged(recording: Recording, truth: Truth) -> Iterator[tuple[Layer, Verdict]]:
    x: Array | None = truth.x
    for layer, _, shape in truth.network.walk():
        got = recording.run().get(layer.name)
        if isinstance(layer, AFFINE) and x is not None and got is not None and not unlike(got, (len(truth.x), *shape)):
            yield layer, verdict(layer, truth.params, x, got)
        x = recordable(got, (len(truth.x), *shape))


# Findings -------------------------------------------------------------------------------------------------------------


def about_inputs(layer: Layer, found: Verdict) -> Finding:
    expected = "activations and weights as float32, 24 significant bits"
    activations, weights = found.places("activations"), found.places("weights")
    if not found.found:
        status = Status.BLIND if found.transformed else Status.FAIL
        text = f"{TRANSFORM}: not seen behind it" if found.transformed else f"{UNEXPLAINED}: {found.unlike}"
        return Finding(status, layer.name, expected, text, source=layer.source)
    numbers = {"activation_bits": fewest(activations), "weight_bits": fewest(weights), "asked": float(found.asked)}
    text = read_as(found.found)
    status = grade((a.activations, a.weights) for a in found.found) if found.found[0].pieces == 1 else Status.FAIL
    narrow = next((known.name for known in (*activations, *weights) if not fine(known)), "")
    hint = next((said for name, said in HINTS.items() if narrow.startswith(name)), "")
    return Finding(status, layer.name, expected, text, source=layer.source, hint=hint, numbers=numbers)


def about_sums(layer: Layer, found: Verdict) -> Finding:
    expected = "sums and results in float32, or wider"
    if not found.found:
        text = f"{TRANSFORM}: one product differs from place to place, or reaches beyond its window"
        text = text if found.transformed else f"{UNEXPLAINED}: {found.unlike}"
        return Finding(Status.FAIL, layer.name, expected, text, source=layer.source)
    sums, results = found.places("accumulator"), found.places("result")
    numbers = {"accumulator_bits": fewest(sums), "result_bits": fewest(results), "fused": float(found.fused)}
    numbers |= {} if found.split is None else {"split": float(found.split)}
    parts = [either(sums)]
    parts += ["fused multiply-add"] if found.fused else []
    parts += ["split accumulation"] if found.split else []
    parts += [] if results in ((FLOAT32,), sums) else [f"results rounded to {either(results)}"]
    status = grade((a.accumulator, a.result) for a in found.found)
    return Finding(status, layer.name, expected, ", ".join(parts), source=layer.source, numbers=numbers)


def grade(possible: Iterable[tuple[Format, ...]]) -> Status:
    """Of what it may be, each with the formats of two places: PASS where all are float32 or wider, FAIL where each has one that
    is not, BLIND else."""
    wide = [all(fine(known) for known in formats) for formats in possible]
    if all(wide):
        return Status.PASS
    return Status.BLIND if any(wide) else Status.FAIL


def fine(known: Format) -> bool:
    return known.bits >= FLOAT32.bits and not known.truncates


def fewest(formats: tuple[Format, ...]) -> float:
    return float(min(known.bits for known in formats))


def either(formats: tuple[Format, ...]) -> str:
    return " or ".join(known.name for known in formats)


def read_as(found: tuple[Arithmetic, ...]) -> str:
    """Inputs in words: "float32", "bfloat16 (8 significant bits)", "23 significant bits", "activations float32, weights tf32"."""
    names = list(dict.fromkeys(arithmetic.inputs for arithmetic in found))
    if len(names) > 1:
        return " or ".join(names)
    first = found[0]
    alike = first.activations == first.weights and first.activations != FLOAT32
    width = f"{first.activations.bits} significant bits"
    return f"{names[0]} ({width})" if alike and first.pieces == 1 and not names[0].startswith(width) else names[0]
