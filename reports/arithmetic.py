"""The report on conditions: which arithmetic ran, what changes its bits and by how much, and whether it stays in the bounds."""

from __future__ import annotations

import importlib
import importlib.util
import math
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..checks.conditions import condition as conditions
from ..checks.conditions import outcome as outcomes
from ..checks.conditions.condition import CUDA, PLAIN, Condition
from ..checks.conditions.outcome import Outcome
from ..checks.finding import Finding, Status
from ..impls.find import name_and_setting
from . import arithmetic_plots, files, parity, plots
from .claims_sources import escape
from .findings_file import Findings
from .markdown import folded, percent, table

Grid = dict[str, dict[str, Outcome]]  # by condition, then by implementation
FAMILY = "condition-"


def write(found: Findings, path: Path) -> None:
    """The report at `path` and its figures in figures/ beside it; nothing is replaced unless all of it could be made."""
    summed, back = grid(found.findings), able(grid(found.findings, back=True))
    folder = files.folder(path.parent / "figures")
    grids = {f"{path.stem}-conditions.svg": summed} | ({f"{path.stem}-gradients.svg": back} if back else {})
    pictures = {name: arithmetic_plots.grid(those, implementations(those)) for name, those in grids.items()}
    text = document(found, *(f"figures/{name}" for name in pictures))
    for name, picture in pictures.items():
        plots.save(picture, folder / name)
    files.write(path, text)


def grid(findings: Sequence[Finding], back: bool = False) -> Grid:
    """Every condition's outcome by implementation, the plain run first, in the order in which they were asked.

    Of layers' outputs or, on the way back, of gradients.
    """
    groups: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.check.startswith(FAMILY) and outcomes.is_back(finding) == back:
            impl, name = parted(finding.impl)
            groups[name, impl].append(finding)
    found: Grid = defaultdict(dict)
    for (name, impl), those in groups.items():
        found[name][impl] = outcomes.of(those, "gradients" if back else "layers")
    return dict(sorted(found.items(), key=lambda item: place(item[0])))


def able(back: Grid) -> Grid:
    """Gradients of those implementations alone whose plain run has some."""
    without = {impl for impl, o in back.get(PLAIN, {}).items() if o.status is Status.UNSUPPORTED}
    left = {name: {impl: o for impl, o in row.items() if impl not in without} for name, row in back.items()}
    return {name: row for name, row in left.items() if row}


def parted(name: str) -> tuple[str, str]:
    """An implementation and the condition that it ran under."""
    impl, condition = name_and_setting(name)
    return impl, condition or PLAIN


def plain(name: str) -> bool:
    """Is it an implementation as it is?"""
    return parted(name)[1] == PLAIN


def place(name: str) -> int:
    """The plain run's own conditions first, then settings as their table has them; those for a GPU last."""
    own = [condition.name for condition in conditions.OWN if condition.name != CUDA]
    settings = [conditions.of_setting(setting) for setting in conditions.table.SETTINGS]
    gpu = [CUDA, *(c.name for c in settings if c.cuda)]
    cpu = [c.name for c in settings if not c.cuda]
    reduced = [c.name for c in settings if not c.cuda and c.reduced]
    known = [*own, *(name for name in cpu if name not in reduced), *reduced, *gpu]
    return known.index(name) if name in known else len(known)


def about(name: str) -> Condition | None:
    """What is known of a condition of that name, of any implementation."""
    settings = [conditions.of_setting(setting) for setting in conditions.table.SETTINGS]
    return next((c for c in (*conditions.OWN, *settings) if c.name == name), None)


def implementations(summed: Grid) -> list[str]:
    return list(dict.fromkeys(impl for row in summed.values() for impl in row))


def document(found: Findings, figure: str, gradients: str = "") -> str:
    """figure, gradients: where the pictures of both grids are, as the document says it."""
    summed, back = grid(found.findings), able(grid(found.findings, back=True))
    parts = [
        "# Which arithmetic really ran",
        verdict(found, summed, back),
        f"![What each condition does to the bits]({figure})",
        wrong(found),
        precision(found.findings),
        determinism(summed),
        moves(summed),
        way_back(back, gradients),
        moves(back),
        on_gpu(summed, back),
        reduced(summed),
        method(found),
        environment(found),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def as_cell(text: str) -> str:
    """Plain text for a cell; `table` sees to its bars."""
    return escape(text).replace("\\|", "|")


# Summary ----------------------------------------------------------------------------------------------------------------


def verdict(found: Findings, summed: Grid, back: Grid) -> str:
    """What holds, in a few lines."""
    names = ", ".join(f"`{name}`" for name in implementations(summed))
    head = f"**Verdict: {'PASS' if found.good() else 'FAIL'}.** {names}, each as it is and under every condition that it has: "
    counts = ", ".join(f"{n:,} {status}" for status, n in counted(found.findings).items())
    return "\n".join([f"{head}{counts}{where(found)}.", "", *claims(found.findings, summed, back)])


def where(found: Findings) -> str:
    """The GPUs that plain runs were on, as the frameworks call them; "" on a CPU."""
    runs = [flags for run in found.environment["runs"] for name, flags in run["implementations"].items() if plain(name)]
    devices = dict.fromkeys(flags.get("device", "") for flags in runs)
    names = [name.removeprefix("cuda ") for name in devices if name.startswith("cuda")]
    return f", on {' and '.join(names)}" if names else ""


def counted(findings: Sequence[Finding]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for finding in findings:
        counts[finding.status.value] += 1
    return counts


def claims(findings: Sequence[Finding], summed: Grid, back: Grid) -> Iterator[str]:
    """One line for each thing that was shown."""
    exact = [exactly(findings, check) for check in (f"{FAMILY}exact", f"{outcomes.BACK}exact")]
    if said := [f"{held:,} of {asked:,} {what}" for (held, asked), what in zip(exact, WHAT, strict=True) if asked]:
        yield f"- In exact arithmetic {' and '.join(said)} under a condition are the oracle's, **bit for bit**."
    keeps = [(c, row) for grid in (summed, back) for name, row in grid.items() if (c := about(name)) and c.keeps]
    ran = [o for _, row in keeps for o in row.values() if o.asked]
    if ran:
        what = ", ".join(dict.fromkeys(f"`{condition.name}`" for condition, _ in keeps))
        same = sum(o.same_bits for o in ran)
        ways = ", forward and back" if any(o.things != "layers" for o in ran) else ""
        yield f"- On real numbers {what} must not change a bit{ways}: {same} of {len(ran)} runs have the plain run's throughout."
    moving = [
        o
        for grid in (summed, back)
        for name, row in grid.items()
        for o in row.values()
        if o.layers and not fewer_bits(name)
    ]
    if moving:
        most = max(o.share for o in moving)
        shares = [o.share for grid in (summed, back) for o in grid.get(PLAIN, {}).values()]
        yield (
            f"- What does change bits, {len(moving)} runs, uses at most **{percent(most)}** of the bound; the plain runs use "
            f"{percent(max(shares, default=None))}."
        )
    fewer = [o for row in summed.values() for o in row.values() if o.reduced]
    if fewer:
        far = [o.share for o in fewer if math.isfinite(o.share)]
        beyond = f"; {len(fewer) - len(far)} overflow" if len(far) < len(fewer) else ""
        how = f": {min(far):,.0f} to {max(far):,.0f} times{beyond}" if far else beyond
        yield (
            f"- Fewer bits on purpose, {len(fewer)} runs, leave float32's bound by far{how}. What passes the gate was not "
            "computed so. Each layer of theirs is within the bound of its own format."
        )
    gpu = [o for name, row in summed.items() for o in row.values() if on_gpu_only(name)]
    if gpu and all(o.status is Status.UNSUPPORTED for o in gpu):
        yield "- **On a GPU nothing was run here**: [why](#on-a-gpu)."


WHAT = ("layers' outputs", "gradients")


def exactly(findings: Sequence[Finding], check: str) -> tuple[int, int]:
    """How many were the oracle's to the bit, of how many that had to be."""
    asked = [f for f in findings if f.check == check and f.status in (Status.PASS, Status.FAIL)]
    return sum(f.status is Status.PASS for f in asked), len(asked)


def fewer_bits(name: str) -> bool:
    """Is it a mode that is meant to compute in less than float32?"""
    condition = about(name)
    return bool(condition and condition.reduced)


def on_gpu_only(name: str) -> bool:
    condition = about(name)
    return name == CUDA or bool(condition and condition.cuda)


def wrong(found: Findings) -> str:
    bad = [finding for finding in found.findings if not finding.good()]
    if not bad:
        return ""
    headers = ("status", "implementation", "check", "layer", "expected", "got", "why", "again")
    lines = [
        (f.status, f.impl, f.check, f.layer, as_cell(f.expected), as_cell(f.got), as_cell(f.hint), f"`{f.replay}`")
        for f in bad
    ]
    return f"## What is wrong\n\n{folded(lines, headers)}"


# Chapters ---------------------------------------------------------------------------------------------------------------


def precision(findings: Sequence[Finding]) -> str:
    """The chapter on the arithmetic that the probe found, where it was asked."""
    if importlib.util.find_spec("alexnet_parity.reports.precision") is None:
        return ""
    return str(importlib.import_module("alexnet_parity.reports.precision").chapter(findings))


def determinism(summed: Grid) -> str:
    """Conditions by implementations."""
    text = (
        "The same weights and images under each condition, each in a process of its own (but `again`), on real numbers "
        "with large activations. *same bits*: every number of every layer is the plain run's. Else the largest distance from "
        "the plain run in units of the last place, which is large where a number is the small difference of large ones, and "
        "the largest share of the derived bound that any layer then uses: under 100 % the change is as harmless as the "
        "rounding that was there before. Conditions in bold must keep the bits. Empty: there is no such setting."
    )
    return f"## What changes bits\n\n{text}\n\n{by_implementation(summed)}"


def by_implementation(summed: Grid) -> str:
    """The table of conditions by implementations; what means something on a GPU, or in fewer bits, has its own chapter."""
    impls = implementations(summed)
    lines = [
        (f"`{name}`", meaning(name), *(cell(row.get(impl)) for impl in impls))
        for name, row in summed.items()
        if not on_gpu_only(name) and not fewer_bits(name)
    ]
    return table(lines, ("condition", "what it is", *impls))


def way_back(back: Grid, figure: str) -> str:
    """The same of gradients."""
    if not back:
        return ""
    text = (
        "The same of the way back: the gradient of the mean cross-entropy at every layer's output, at the pixels and for every "
        "parameter, in two backward passes of each process. Batches of another size are left out, whose mean is another; so "
        "are modes of fewer bits. What only infers has no column."
    )
    picture = f"![What each condition does to gradients' bits]({figure})\n\n" if figure else ""
    return f"## What changes gradients' bits\n\n{text}\n\n{picture}{by_implementation(back)}"


def meaning(name: str) -> str:
    condition = about(name)
    text = condition.about if condition else ""
    return f"**{text}**" if condition and condition.keeps else text


def cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return ""
    if outcome.status is Status.UNSUPPORTED:
        return as_cell(outcome.reason)
    share = percent(outcome.share) if math.isfinite(outcome.share) else "out of any bound"
    used = f"{arithmetic_plots.distance(outcome)}, {share}" if outcome.asked else ""
    return used if outcome.status in (Status.PASS, Status.KNOWN) else f"**{outcome.status}** {used}".strip()


def moves(summed: Grid) -> str:
    """Where the bits part first, and why."""
    lines = [
        (
            f"`{impl}`",
            f"`{name}`",
            o.first,
            f"{o.layers} of {o.asked}",
            percent(o.moved),
            f"{o.ulps:,.0f}" if math.isfinite(o.ulps) else "not finite",
            percent(o.share) if math.isfinite(o.share) else "out of any bound",
            explained(o.why),
        )
        for name, row in summed.items()
        if not on_gpu_only(name) and not fewer_bits(name)
        for impl, o in row.items()
        if o.layers
    ]
    if not lines:
        return ""
    headers = (
        "implementation",
        "condition",
        "parts first at",
        f"{next(o.things for row in summed.values() for o in row.values())} that move",
        "numbers that move, at most",
        "ulps, at most",
        "share of the bound",
        "why",
    )
    return f"### Where the bits part, and why\n\n{table(lines, headers)}"


def explained(why: str) -> str:
    """A reason with its source as a link."""
    text, source, link = why.rpartition(" (https://")
    if not source:
        return as_cell(why) or "not explained"
    return f"{as_cell(text)} ([source](https://{link.removesuffix(')')}))"


def on_gpu(summed: Grid, back: Grid) -> str:
    """What means something on a GPU only; never left out."""
    lines = [
        (f"`{name}`", meaning(name), f"`{impl}`", cell(o), cell(back.get(name, {}).get(impl)))
        for name, row in summed.items()
        if on_gpu_only(name)
        for impl, o in row.items()
    ]
    if not lines:
        return ""
    text = (
        "The same on a GPU, against the CPU's bits (`cuda`), and what cuDNN and XLA may do there, against the GPU's plain "
        "run: an algorithm chosen by trying, TF32, kernels that may add in any order. `alexnet-parity conditions --device cuda` "
        "asks it on a machine with a GPU."
    )
    if not any(o.asked for name, row in summed.items() if on_gpu_only(name) for o in row.values()):
        text += " Here each framework was asked for its GPU, and says:"
    return (
        f"## On a GPU\n\n{text}\n\n{table(lines, ('condition', 'what it is', 'implementation', 'found', 'gradients'))}"
    )


def reduced(summed: Grid) -> str:
    """Modes of fewer bits: how far from the bounds."""
    lines = [
        (
            f"`{impl}`",
            f"`{name}`",
            o.arithmetic or condition.arithmetic,
            times(o),
            percent(o.moved),
            percent(o.fewer) if o.asked else "",
            f"{o.beyond:,.0f}" if o.asked else "",
            f"{o.status}",
        )
        for name, row in summed.items()
        if (condition := about(name)) and condition.reduced and not condition.cuda
        for impl, o in row.items()
    ]
    if not lines:
        return ""
    text = (
        "Modes that compute in fewer bits, run for real. A gate that they pass is worth nothing: each has to leave float32's "
        "bound somewhere, or it fails here as a mode that was not on. A library that may round operands to fewer bits does so "
        "only where the processor has the instructions; where it has not, as the mode itself tells, the products are float32's. "
        "And it may keep single layers in float32 all the same: which, the probe says. What a mode gives is held to the bound of "
        "its own format, layer by layer, from what each layer was fed (`checks/conditions/fewer.py`); *beyond its range* counts "
        "numbers that the format cannot hold, or whose squares it cannot, as LRN's in float16, which no bound judges."
    )
    headers = (
        "implementation",
        "mode",
        "arithmetic",
        "times float32's bound, at most",
        "numbers that move, at most",
        "of its format's bound",
        "numbers beyond its range",
        "",
    )
    return f"## Fewer bits\n\n{text}\n\n{table(lines, headers)}"


def times(outcome: Outcome) -> str:
    """How many times over the bound; a mode that computes exactly here stays within it."""
    if outcome.status is Status.UNSUPPORTED:
        return as_cell(textwrap.shorten(outcome.reason, 120, placeholder=" ..."))
    if outcome.reduced:
        return f"{outcome.share:,.0f}" if math.isfinite(outcome.share) else "overflows"
    return f"exact here: {percent(outcome.share)} of it"


def method(found: Findings) -> str:
    variant = next((finding.variant for finding in found.findings), "")
    return f"""## How it is judged

- Two images through `{variant}` in each process, twice: the second run has to repeat the first under every condition but the one
  that allows kernels to add in any order.
- **Against the plain run**: every output of every layer, its bits. **Against float64**: every number within the end-to-end bound
  of its layer (`checks/bounds.py`), and, where it was fed the very bits that the plain run fed to it, within the layer's own.
- **Gradients** in the same way: their bits against the plain run's, their numbers against the float64 network's, gone back by
  the decisions that the run itself took where a ReLU or a maximum lies within rounding of its kink (`checks/gradients/`).
- Weights and images of integers make every sum exact in any order: there the oracle's bits are required, forward and back,
  whatever the condition. Transforms in place of sums are exact in none; conditions that bring them back are KNOWN for it.
- A condition has to show that it is on: what the framework says of its threads, of oneDNN, of TF32, of its compiler or of where
  maps lie is read back under it, and what did not take effect is BLIND, not PASS. A mode of fewer bits shows it by its numbers.
  Of an environment variable or a flag of XLA that a library only reads, that the process has it is all that is shown.
- `unaligned` hands weights and images over off the boundary. PyTorch computes on the images where they lie; TensorFlow and JAX
  copy what they are given, and so show only that they do. `unaligned-weights` moves PyTorch's own parameters.
- Why bits part is a table with sources (`checks/conditions/reasons.py`); what is not known is called so."""


def environment(found: Findings) -> str:
    """Of the plain runs: versions, devices, flags, digests."""
    runs = [
        run | {"implementations": {name: flags for name, flags in run["implementations"].items() if plain(name)}}
        for run in found.environment["runs"]
    ]
    return parity.environment(replace(found, environment=found.environment | {"runs": runs}))
