"""The chapter on precision: the arithmetic that each layer of each implementation really used, as its own answers tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..checks.finding import Finding, Status
from ..impls.find import name_and_setting
from ..impls.settings import table as settings
from .markdown import folded

INPUTS, SUMS = ("precision-inputs", "precision-chain-inputs"), ("precision-accumulator", "precision-chain-accumulator")
FUSED, SPLIT = "fused multiply-add", "split accumulation"
GIVEN = "results rounded to "
NARROW = ("bfloat16", "float16")  # sums in these are given in them
MARKS = {FUSED: "\\*", SPLIT: "†"}


@dataclass(frozen=True)
class Cell:
    """What was found of one layer: of its inputs, and of its sums."""

    inputs: Finding
    sums: Finding

    @property
    def text(self) -> str:
        """What inputs are read in, sums kept in and results given in, and marks; once where all three are the same."""
        if self.inputs.got.startswith("unexplained"):
            return "**unexplained**"
        if "Winograd" in self.sums.got:
            return "a transform"
        summed, *rest = self.sums.got.split(", ")
        given = next((part.removeprefix(GIVEN) for part in rest if part.startswith(GIVEN)), "")
        kept = given or (summed if summed in NARROW else "float32")
        steps = [self.inputs.got.partition(" (")[0], summed, kept]
        text = steps[0] if len(set(steps)) == 1 else " → ".join(steps)
        marks = "".join(mark for name, mark in MARKS.items() if name in rest)
        return f"{text} {marks}".rstrip()

    @property
    def plain(self) -> bool:
        return self.inputs.status is self.sums.status is Status.PASS


Row = dict[str, Cell]  # by layer


def rows(findings: Iterable[Finding]) -> dict[tuple[str, str], Row]:
    """By variant and implementation, its layers in the network's order; a layer asked alone before the same in its network."""
    asked = {(f.check, f.variant, f.impl, f.layer): f for f in findings if f.status is not Status.UNSUPPORTED}
    found: dict[tuple[str, str], Row] = {}
    for inputs, sums in zip(INPUTS, SUMS, strict=True):
        for (check, variant, impl, layer), finding in asked.items():
            read = asked.get((inputs, variant, impl, layer))
            if check == sums and read is not None:
                found.setdefault((variant, impl), {}).setdefault(layer, Cell(read, finding))
    return found


def chapter(findings: Sequence[Finding]) -> str:
    """All that the probe found; "" where it was not asked."""
    found = rows(findings)
    if not found:
        return ""
    parts = ["## Each layer, by its own answers", method()]
    for variant in dict.fromkeys(variant for variant, _ in found):
        of_variant = {impl: row for (name, impl), row in found.items() if name == variant}
        parts += [f"### `{variant}`", summary(of_variant), grid(of_variant)]
    return "\n\n".join(parts)


def method() -> str:
    return (
        "No flag is believed. Each convolution and dense layer alone is fed integers of 9 to 24 significant bits and weights of "
        "few taps, made so that every way of rounding gives answers of its own: inputs to TF32, bfloat16 or float16, "
        "activations and weights apart; sums in fewer bits; results given in fewer (`reference/probe.py`). For up to three "
        "products every order of summation is written out to the bit (`reference/precision.py`), and an arithmetic is named "
        "only if *all* of a layer's answers allow it. Where none does, it says *unexplained*. In the tables: what inputs are "
        "read in → sums are kept in → results are given in, or one name for all three. \\* a product went into its "
        "addition unrounded (fused multiply-add); † several partial sums. That a mark is missing proves nothing: it is set "
        "where the numbers could tell."
    )


def summary(of_variant: dict[str, Row]) -> str:
    """How many run in float32, and how those do that are meant to run in less."""
    plain = [impl for impl, row in of_variant.items() if all(cell.plain for cell in row.values())]
    meant = {impl: wanted for impl in of_variant if (wanted := declared(impl, of_variant[impl])) != "float32"}
    lines = [f"{len(plain)} of {len(of_variant)} compute every layer in float32, or wider: " + listed(plain) + "."]
    if meant:
        named = [
            impl for impl, wanted in meant.items() if all(as_meant(cell, wanted) for cell in of_variant[impl].values())
        ]
        idle = [impl for impl in meant if impl in plain]
        partly = [
            impl
            for impl in meant
            if impl not in (*named, *idle)
            and all(cell.inputs.good() and cell.sums.good() for cell in of_variant[impl].values())
        ]
        cells = sum(len(of_variant[impl]) for impl in named)
        lines.append(f"{len(named)} that compute in less are named so in all of their {cells} layers: {listed(named)}.")
        if idle:
            lines.append(f"Asked for less, and in float32 all the same on this processor: {listed(idle)}.")
        if partly:
            lines.append(f"Allowed less, and in float32 in some layers: {listed(partly)}.")
        if other := [impl for impl in meant if impl not in (*named, *idle, *partly)]:
            lines.append(f"**Otherwise than they say**: {listed(other)}.")
    return " ".join(lines)


def listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def read(cell: Cell) -> str:
    return cell.inputs.got.partition(" (")[0]


def as_meant(cell: Cell, wanted: str) -> bool:
    """Named by all answers; or by those of one product, where nothing explains the sums and `conditions` says so."""
    return read(cell) == wanted or (cell.inputs.status is Status.KNOWN and cell.inputs.got.startswith("unexplained"))


def declared(impl: str, row: Row) -> str:
    """What an implementation under its setting is meant to compute in, where it ran."""
    name, setting = name_and_setting(impl)
    device = next((cell.inputs.device for cell in row.values()), "")
    try:
        return settings.setting_of(name, setting).arithmetic_on(device) if setting else "float32"
    except KeyError:  # of a file or module called so
        return "float32"


def grid(of_variant: dict[str, Row]) -> str:
    layers = list(dict.fromkeys(layer for row in of_variant.values() for layer in row))
    lines = []
    for impl, row in of_variant.items():
        texts = [row[layer].text if layer in row else "" for layer in layers]
        lines.append((f"`{impl}`", *texts))
    return folded(lines, ("implementation", *layers), "Every implementation")
