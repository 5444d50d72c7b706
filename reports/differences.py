"""The report of the differences: figure, table by area, LRN's conventions, effects, equal pairs, ablations; and its JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checks.deviations import DEVIATIONS, Deviation
from ..checks.effects import Effect
from ..checks.finding import Finding, Status
from ..checks.pairs import pairs
from ..reference.differences import COLUMNS, VARIANTS, Area, Aspect, Cell, Source, Stance, aspects
from ..reference.differences_ablations import ABLATIONS
from ..reference.differences_lrn import CONVENTIONS, ORIGINAL, PAPER
from . import difference_plots, files, plots
from .findings_file import summary
from .markdown import percent, table

SCHEMA = "alexnet-parity/differences/1"
HEADS = {"paper": "paper", "original": "original code", "caffe": "Caffe", "torchvision": "torchvision"}
AREAS = {
    Area.INPUT: "Input",
    Area.ARCHITECTURE: "Architecture",
    Area.NORMALISATION: "Normalisation",
    Area.INITIALISATION: "Initialisation",
    Area.TRAINING: "Training",
    Area.TESTING: "Testing",
    Area.RESULT: "Result",
}


@dataclass(frozen=True)
class Differences:
    """What was measured. environment: as `findings_file.environment` gives it; untrained: std of conv1's first outputs."""

    effects: tuple[Effect, ...]
    findings: tuple[Finding, ...]
    environment: dict[str, Any]
    untrained: float

    def good(self) -> bool:
        return summary(self.findings)["verdict"] == "PASS"

    def as_json(self) -> str:
        document = {
            "schema": SCHEMA,
            "environment": self.environment,
            "summary": summary(self.findings),
            "aspects": [aspect.as_dict() for aspect in aspects()],
            "conventions": [convention.as_dict() for convention in CONVENTIONS],
            "effects": [dataclasses.asdict(effect) for effect in self.effects],
            "pairs": [finding.as_dict() for finding in self.findings],
            "ablations": [ablation.as_dict() for ablation in ABLATIONS],
        }
        return json.dumps(document, indent=1, allow_nan=False) + "\n"


def write(found: Differences, path: Path) -> None:
    """The report at `path` and its figure in figures/ beside it; nothing is replaced unless all of it could be made."""
    folder = files.folder(path.parent / "figures")
    name = f"{path.stem}-effects.svg"
    picture = difference_plots.effects(found.effects)
    text = document(found, f"figures/{name}")
    plots.save(picture, folder / name)
    files.write(path, text)


def document(found: Differences, figure: str) -> str:
    parts = [
        "# The paper, the original code, Caffe and torchvision",
        verdict(found),
        introduction(found.effects),
        f"![How far each difference moves the outputs, by the scale of the activations]({figure})",
        "## Aspect by aspect",
        legend(),
        *by_area(),
        "## What LRN's arguments mean",
        conventions(),
        "## How far each difference moves the outputs",
        effects(found),
        "## Different in writing, the same function",
        equal(found),
        "## The ablations are not single changes",
        ablations(),
        "## How this was checked",
        METHOD,
        environment(found),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def verdict(found: Differences) -> str:
    counts = summary(found.findings)
    what = ", ".join(f"{counts[status.value]:,} {status.value}" for status in Status if counts[status.value])
    who = ", ".join(f"`{name}`" for name in implementations(found)) or "no implementation (none was at hand)"
    head = "**Every pair holds: PASS.**" if found.good() else "**A pair does not hold: FAIL.**"
    lines = [f"{head} On the oracle and {who}: {what}."]
    lines += [f"- {finding.line()}" for finding in found.findings if not finding.good()]
    return "\n".join(lines)


def introduction(effects: Sequence[Effect]) -> str:
    rows = aspects()
    other = {column: sum(row.cells[column].stance is Stance.DIFFERS for row in rows) for column in COLUMNS[1:]}
    moved = [f"{percent(e.at_logits)} at {e.scale:g}" for e in effects if e.deviation == "alpha / 5"]
    return (
        f"Four things go by the name of AlexNet: of {len(rows)} aspects, the authors' own code departs from their paper in "
        f"{other['original']}, Caffe's bvlc_alexnet in {other['caffe']} and torchvision's alexnet in {other['torchvision']}. "
        "How much that does depends on how large the activations are: dividing LRN's alpha by 5, as the original code and Caffe "
        f"do, moves the logits by {', '.join(moved)} (standard deviation of the activations). "
        "Some differences in writing are none in function, and that is proved to the last bit."
    )


# The table ----------------------------------------------------------------------------------------------------------


def legend() -> str:
    nets = ", ".join(f"`{name}` ({HEADS[column]})" for column, name in VARIANTS.items())
    return (
        "**Bold** departs from the paper. What has a paper cell of *not stated* is neither right nor wrong. "
        f"Rows marked ° are read off the networks that this suite verifies: {nets}."
    )


def by_area() -> list[str]:
    parts = []
    for area, title in AREAS.items():
        lines = [row(aspect) for aspect in aspects() if aspect.area is area]
        parts += [f"### {title}", table(lines, ("", "aspect", *HEADS.values(), "sources"))]
    return parts


def row(aspect: Aspect) -> tuple[str, ...]:
    number = f"{aspect.number}{'°' if aspect.computed else ''}"
    cells = [marked(aspect.cells[column]) for column in COLUMNS]
    return (number, aspect.name, *cells, sources(aspect.sources))


def marked(cell: Cell) -> str:
    return f"**{cell.text}**" if cell.stance is Stance.DIFFERS else cell.text


def sources(given: Sequence[Source]) -> str:
    return ", ".join(f"[{source.label}]({source.address})" if source.address else source.label for source in given)


# LRN ----------------------------------------------------------------------------------------------------------------


def conventions() -> str:
    text = (
        f"The paper's formula is a / (k + alpha x sum of squares over n maps)^beta with k = {PAPER.k:g}, n = {PAPER.n}, "
        f"alpha = {PAPER.alpha:g}, beta = {PAPER.beta:g}. The original code has alpha = {ORIGINAL.alpha:g}, over each half of "
        "the maps by itself. Read as written, the same arguments mean other things elsewhere:"
    )
    meanings = [
        (
            c.name,
            c.offset,
            "yes" if c.divides else "no",
            "maps on either side" if c.radius else "maps in all",
            c.span,
            c.note,
            sources(c.sources),
        )
        for c in CONVENTIONS
    ]
    headers = ("implementation", "offset", "alpha divided by n", "the size counts", "over", "note", "source")
    calls = [
        (c.name, code(c.write(PAPER)), code(c.write(ORIGINAL)) + ("" if c.own_towers else HALVES))
        for c in CONVENTIONS
        if c.form
    ]
    return "\n\n".join(
        [
            text,
            table(meanings, headers),
            "### What to write",
            table(calls, ("implementation", "for the paper", "for the original code")),
        ]
    )


HALVES = ", on each half of the maps"


def code(text: str) -> str:
    return f"`{text}`"


# Effects ------------------------------------------------------------------------------------------------------------


def effects(found: Differences) -> str:
    scales = sorted({effect.scale for effect in found.effects})
    cells = {(e.deviation, e.scale): f"{percent(e.at_layer)} / {percent(e.at_logits)}" for e in found.effects}
    lines = [
        (d.name, d.who, ", ".join(map(str, d.aspects)), read_at(d), *(cells.get((d.name, s), "") for s in scales))
        for d in DEVIATIONS
    ]
    text = (
        "Mean absolute difference from the paper's outputs over their mean absolute value, in float64: before the next "
        "convolution (first figure) and at the logits of the whole network (second), at activations of standard deviation s. "
        f"With the paper's initialisation and a photograph conv1's outputs have s = {found.untrained:.0f}. The weights are "
        "Gaussian, not trained: a figure tells how strong a change of function is, not how much accuracy it costs. "
        "torchvision as a whole has other widths, so other weights: it is another network, and no figure compares it."
    )
    headers = ("difference", "where it is met", "aspects", "first figure read", *(f"s = {scale:g}" for scale in scales))
    return "\n\n".join([text, table(lines, headers), READING])


def read_at(deviation: Deviation) -> str:
    return f"behind {deviation.at}" if deviation.drawn else f"at {deviation.at}"


READING = """- At s = 1 LRN multiplies everything by 2^-0.75 = 0.59 (with k = 1: by 1); that is all that leaving it out changes.
- The layers behind norm2 are nearly homogeneous, so a factor there passes to the logits undiminished, and edits that hit both
  norms compound.
- Exactly zero, at every scale: pooling rounded up, the last ReLU behind pool5, dropout elsewhere (the identity at inference).
- *Groups ignored*: the missing half of each kernel is drawn like the other half."""


# Pairs --------------------------------------------------------------------------------------------------------------


def implementations(found: Differences) -> list[str]:
    return list(dict.fromkeys(finding.impl for finding in found.findings if finding.impl != "oracle"))


def equal(found: Differences) -> str:
    columns = ["oracle", *implementations(found)]
    lines = []
    for pair in pairs(found.environment["seed"]):
        verdicts = [outcome(found, pair.name, impl) for impl in columns]
        lines.append((pair.says, "no difference" if pair.equal else "there only", pair.arithmetic.value, *verdicts))
    training = outcome(found, "dropout-training", "oracle")
    rest = [""] * (len(columns) - 1)
    says = "fc6 to fc8 with dropout, in training and at test, halved or inverted, the same masks"
    lines.append((says, "no difference", "real", training, *rest))
    text = (
        "Each side is held against the oracle, then the sides against one another: the same bits, or other bits in the places "
        "named and in no other. *exact*: integers, so that every sum is exact in float32 in any order (proved on the numbers "
        "used). *real*: real numbers where nothing is summed. *lrn*: real numbers through LRN, within its derived bound."
    )
    note = (
        "Equal in function is not equal in training: inverted dropout puts initialisation, weight decay and learning rate on "
        "weights of another scale."
    )
    return "\n\n".join([text, table(lines, ("pair", "expected", "arithmetic", *columns)), note])


def outcome(found: Differences, pair: str, impl: str) -> str:
    """The worst status of a pair's findings on one implementation; "" if there are none."""
    mine = [finding for finding in found.findings if finding.check == f"pair-{pair}" and finding.impl == impl]
    bad = [finding.status.value for finding in mine if not finding.good()]
    if bad or not mine:
        return bad[0] if bad else ""
    return Status.UNSUPPORTED.value if any(f.status is Status.UNSUPPORTED for f in mine) else Status.PASS.value


# Ablations ----------------------------------------------------------------------------------------------------------


def ablations() -> str:
    lines = [
        (a.name, f"`{a.variant}`", f"`{a.against}`", "; ".join(a.changes()), a.besides, a.outside, sources(a.sources))
        for a in ABLATIONS
    ]
    headers = (
        "meant to show",
        "network",
        "against",
        "all that changes",
        "besides what is meant",
        "outside it",
        "source",
    )
    text = (
        "Each row compares two of the authors' configurations, layer by layer. All are single runs whose learning rates were "
        "switched by hand; how far two runs of one configuration lie apart was not recorded."
    )
    return "\n\n".join([text, table(lines, headers)])


METHOD = """- Rows marked ° cannot drift from the networks: they are computed from them, and a test undoes each way in which two
  networks differ and demands that a cell changes.
- Caffe's cells were read against its prototxt files and sources at the commit linked, the original code's against its own
  configurations and run notes. The kernels of 2012 are missing from its release; how they round and pad is read from
  cuda-convnet (2011) and cuda-convnet2 (2014), which agree.
- torchvision's cells were read against its model, presets and reference scripts. Not confirmed: that the weights it offers
  were trained with these scripts as they are now.
- Paddle's meaning of alpha is read in its source, which contradicts its documentation; it was not run."""


def environment(found: Differences) -> str:
    run = found.environment
    machine = f"{run['system']}, {run['processor']}, Python {run['python']}, seed {run['seed']}."
    lines = []
    for name, flags in sorted(run["implementations"].items()):
        wanted = ("torch", "tensorflow", "keras", "numpy", "device")
        lines.append((name, ", ".join(f"{key} {flags[key]}" for key in wanted if key in flags)))
    versions = table(lines, ("implementation", "versions and device")) if lines else ""
    return "\n\n".join(part for part in ("## Environment", machine, versions) if part)
