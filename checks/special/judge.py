"""NaN, infinities, signed zeros, denormals and overflow through each kind of layer alone, case by case.

A case is right if every number is what IEEE 754 single precision gives step by step (`reference/special_answers.py`). What is
known to give something else is KNOWN, by a row of `behaviours.py` that says what and why; anything else fails.

**Tolerance.** Sums, means, maxima and what is only handed on are integers or special: no tolerance. (A mean n of 9, 6 or 4
multiples of 36 comes out as exact by a product with 1/9 or 1/6, rounded, as by a division: the product is off by n u / 2 at
most, less than half a unit in the last place of n. A mean of the largest number has the bound of `bounds.py`.) LRN and softmax
have the bounds of `bounds.py` without its allowance for results that are flushed to zero, tanh 16 u of its value; and a result
below 2^-126, which is rounded to a multiple of 2^-149, twice that for one or two operations. Where the answer is 0, NaN or
infinite there is no tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ...impls.find import name_and_setting
from ...impls.interface import Unsupported
from ...reference import special_answers, special_values
from ...reference.mistaken import Computed
from ...reference.spec import AFFINE, Pool, Softmax
from ...reference.special_values import LARGEST, Case, Kind
from .. import bounds, compare
from ..finding import Finding, Status
from ..recording import Absent, Recording
from ..structure import missing
from ..traces.replay import called
from ..truth import Truth
from . import behaviours
from .whose import whose

if TYPE_CHECKING:
    from ..passes import Given, Subject

Array = np.ndarray

SPECIAL = "special"  # the pass and the run; stimuli are special.KIND
BY, ON = "by/", "on/"  # entries of the run that say whose arithmetic it is, and on which device
SPACING = 2.0**-149  # of denormals
SOURCE = "IEEE 754-2019"


def given(subject: Subject) -> Given:
    """The batch through the one layer; NumPy's warnings about what is meant to happen are kept quiet."""
    if getattr(subject.module, "towers", 0):
        raise Absent("its layers are those of the same framework in one process")
    if fixed := getattr(subject.module, "variant", None):
        raise Unsupported(
            f"fixed to the network {fixed!r}; this needs a {subject.stimulus.network.names()[0]} layer alone"
        )
    with np.errstate(all="ignore"):
        outputs = dict(subject.model.activations(subject.stimulus.x.copy()))
        yield from ((SPECIAL, name, array) for name, array in outputs.items())
    for fact in (BY + whose(subject.module), ON + device(subject)):
        yield SPECIAL, fact, np.zeros(1, np.float32)


def device(subject: Subject) -> str:
    """What the model says that it ran on, in small letters; what was asked for, if it does not say."""
    said = dict(subject.model.flags()) if hasattr(subject.model, "flags") else {}
    return str(said.get("device", subject.device)).lower()


def feeds(theme: str) -> tuple[str, ...]:
    """The stimuli that have cases of a theme."""
    kinds = {name: special_values.kind(name) for name in special_values.KINDS}
    return tuple(f"{SPECIAL}.{name}" for name, kind in kinds.items() if any(c.theme == theme for c in kind.cases))


def nan(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """NaN through each kind of layer: it must be seen in all that depends on it, and in nothing else."""
    yield from of_theme("nan", recording, truth)


def infinity(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """Infinities: inf - inf and 0 * inf are NaN, a maximum of -inf is -inf."""
    yield from of_theme("infinity", recording, truth)


def zero_sign(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """The sign of zero, where the definition leaves a choice and where not."""
    yield from of_theme("zero-sign", recording, truth)


def denormals(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """Numbers below 2^-126 among inputs, weights, products and results: kept, or flushed to zero?"""
    yield from of_theme("denormals", recording, truth)


def overflow(recording: Recording, truth: Truth) -> Iterator[Finding]:
    """The largest numbers: squares, sums and products that leave float32's range, logits that need their shift."""
    yield from of_theme("overflow", recording, truth)


def of_theme(theme: str, recording: Recording, truth: Truth) -> Iterator[Finding]:
    name = truth.stimulus.name.removeprefix(f"{SPECIAL}.")
    run, kind = recording.run(SPECIAL), special_values.kind(name)
    setting = name_and_setting(called(recording.impl))[1]
    who = behaviours.Who(fact(run, BY), setting, fact(run, ON))
    if (outputs := run.get(kind.layer.name)) is None:
        yield from missing(recording, truth, SPECIAL)
        return
    for case in (case for case in kind.cases if case.theme == theme):
        yield of_case(name, case, outputs, who)


def fact(run: Mapping[str, Array], kind: str) -> str:
    """What an entry of the run says in its name."""
    return next((entry.removeprefix(kind) for entry in run if entry.startswith(kind)), "")


def of_case(name: str, case: Case, outputs: Array, who: behaviours.Who) -> Finding:
    expected = f"{case.float32}, as float32 step by step" + (f"; exactly {case.exact}" if case.exact else "")
    layer = f"{name}: {case.name}"
    if problem := compare.unlike(outputs, answer(name, "float32").shape):
        return Finding(Status.FAIL, layer, expected, problem, source=SOURCE)
    right = ("float32", "exact") if case.either else ("float32",)
    outcome = alike(name, case, outputs, right)
    rows = behaviours.of(who, name, case)
    strict = [row for row in rows if row.strict(who)]
    mixed = () if strict else right  # what is met sometimes may be met in some of the numbers
    fitting = next((row for row in rows if alike(name, case, outputs, (*mixed, row.answer)).ok), None)
    if outcome.ok and not strict:
        return Finding(Status.PASS, layer, expected, word(name, case, outputs), 0.0, SOURCE)
    if outcome.ok:
        hint = f"no longer deviates ({strict[0].reason}): remove its row in checks/special/behaviours.py"
        return Finding(Status.FAIL, layer, strict[0].answer, word(name, case, outputs), 0.0, SOURCE, hint)
    if fitting:
        gave = case.exact if fitting.answer == "exact" else special_answers.ANSWERS[fitting.answer].word
        hint = f"{fitting.reason} ({fitting.link}) [{fitting.answer}]"
        return Finding(Status.KNOWN, layer, expected, f"{gave}: {outcome.got}", source=SOURCE, hint=hint)
    return Finding(Status.FAIL, layer, expected, outcome.got, source=SOURCE, hint=explained(name, case, outputs))


def word(name: str, case: Case, outputs: Array) -> str:
    """What a right answer is, where there are two."""
    if not case.either or alike(name, case, outputs, ("float32",)).ok:
        return case.float32
    if alike(name, case, outputs, ("exact",)).ok:
        return case.exact
    return f"{case.float32} or {case.exact}"


def explained(name: str, case: Case, outputs: Array) -> str:
    """The known answers that it is."""
    found = [other for other in special_answers.OF_KIND[name] if alike(name, case, outputs, (other,)).ok]
    return " or ".join(f"{special_answers.ANSWERS[other].about} [{other}]" for other in found)


def alike(name: str, case: Case, outputs: Array, answers: tuple[str, ...]) -> compare.Comparison:
    """Is every number of the case that of one of the answers? What is not float32's own has zeros without a sign."""
    signed = answers == ("float32",)
    wants = [case.of(answer(name, which)) for which in answers]
    return compare.one_of(case.of(outputs), wants, case.of(tolerance(name)), signed)


@cache
def answer(name: str, which: str) -> Array:
    """What the definition gives for a kind's whole batch: "float32", "exact", or one of `special_answers.ANSWERS`."""
    kind = special_values.kind(name)
    how = {"float32": special_answers.single, "exact": special_answers.exact}.get(which)
    given = (kind.layer, kind.params, kind.x)
    return how(*given) if how else special_answers.answer(which, *given)


@cache
def tolerance(name: str) -> Array:
    """How far the finite numbers of either right answer may be off, as derived above."""
    kind = special_values.kind(name)
    with np.errstate(all="ignore"):
        both = [rounding(kind, answer(name, which).astype(np.float64)) for which in ("float32", "exact")]
    return np.maximum(*both)


def rounding(kind: Kind, y: Array) -> Array:
    """Of one answer (float64): the bound of `bounds.py` for one layer, and for a denormal two units more."""
    if isinstance(kind.layer, AFFINE):
        return np.zeros_like(y)
    x = np.maximum(kind.x.astype(np.float64), -LARGEST)  # as good as -inf to a softmax, and 0 times it is 0
    most = bounds.local_tolerance(kind.layer, kind.params, x, y)
    if isinstance(kind.layer, Pool):
        most = np.where(np.abs(y) > LARGEST / 2, most, 0.0)
    if isinstance(kind.layer, Softmax):
        most = most - bounds.SMALLEST_NORMAL
    if isinstance(kind.layer, Computed):
        most = 16 * bounds.U * np.abs(y)
    most = most + 2 * SPACING * ((most > 0) & (np.abs(y) < bounds.SMALLEST_NORMAL))
    return np.where(np.isfinite(most) & np.isfinite(y), most, 0.0)
