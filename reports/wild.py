"""The report on published AlexNets: who departs from the paper where, each finding confirmed in the source by hand.

    python -m alexnet_parity.reports.wild

audits what is installed of impls/foreign/published.py (`tox -e wild` installs all of it) and writes reports/wild.md with its
figure. Exit status: 0 if every audit is what its source says; 1 if one is not, which is then told and not published; 2 if none
of the packages is installed, or the report cannot be written.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checks.audit import wild
from ..checks.audit.result import CONVENTION, DEVIATION, Audit, Deviation
from ..checks.audit.wild import Outcome
from ..impls.foreign import published
from ..impls.foreign.published import Fact, Published
from ..reference import variants
from . import files
from .audit import again, code, escape, prose
from .audit_words import line
from .markdown import table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPORT = Path("reports/wild.md")
FIGURE = "wild.svg"


def document(outcomes: Sequence[Outcome]) -> str:
    """The whole report, without a line feed at the end; of what does not agree with its source only that it does not."""
    good = read_whole(outcomes)
    subjects = [one for one in good if not one.subject.control]
    controls = [one for one in good if one.subject.control]
    parts = [
        "# Published AlexNets, audited as they are",
        lead(outcomes),
        f"![Published AlexNets beside the paper's network, aspect by aspect](figures/{FIGURE})" if subjects else "",
        key() if subjects else "",
        f"## Who departs from the paper where\n\n{overview(subjects)}" if subjects else "",
        f"## What departs, and how far\n\n{FAR}\n\n{departures(subjects)}" if subjects else "",
        f"## Each finding and where it stands in the source\n\n{EACH}" if subjects else "",
        *(chapter(one) for one in subjects),
        f"## Controls\n\n{CONTROLS}\n\n{overview(controls)}" if controls else "",
        *(chapter(one) for one in controls),
        others(outcomes),
        refusals(outcomes),
        unpublished(outcomes),
        absent(outcomes),
        LEFT_OUT,
        AGAIN,
    ]
    return "\n\n".join(part for part in parts if part)


def read_whole(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those that were audited as AlexNets and agree with their source."""
    return [one for one in outcomes if one.agrees and one.audit is not None and not one.subject.another]


FAR = (
    "Deviations of the networks themselves; first values are in the tables below. The effect is measured with the one layer "
    "alone put right: the RMS of the difference as a share of the RMS of what is right."
)
EACH = (
    "File and line are those of the installed version. *Found*, *expected* and *effect* are the audit's, on shared weights "
    "under which every layer's outputs are large; the last column is what we read in the source. A **convention** is what the "
    "paper's authors, Caffe or the nearest variant do as well; a **deviation** agrees with none of these."
)
CONTROLS = "Networks that are AlexNet's neighbours and go by another name. An audit has to read them, and not to call them clean."
LEFT_OUT = """## Left out

- antialiased-cnns: its licence is not for commercial use.
- mmpretrain: its AlexNet is torchvision's layers again, and installing it takes 270 MB more."""
AGAIN = """## Run it again

    tox -e wild

It installs the packages in the versions named here, audits each in a process of its own, compares every audit with the
reading by hand in `impls/foreign/published.py`, and fails if one differs."""


def lead(outcomes: Sequence[Outcome]) -> str:
    good = [one for one in read_whole(outcomes) if not one.subject.control]
    packages = {one.subject.package for one in good}
    clean = sum(not deviating(one) for one in good)
    where = sum(len(one.subject.facts) for one in outcomes if one.agrees)
    several = f"{len(good)} AlexNets from {len(packages)} packages" if len(good) != 1 else "One AlexNet"
    return (
        f"**{several}, installed from PyPI and audited unmodified: {clean} of them depart from the paper only as others do.** "
        f"Each of the {where} findings below was confirmed by hand in the package's source, whose files are, by their "
        "SHA-256, the ones that were read. What is said is about one version each, and about agreement with the 2012 paper; "
        f"{sum(one.subject.cites == published.OWT for one in good)} of them name another one as theirs, {published.OWT}."
    )


def key() -> str:
    return (
        "Each cell says what the network has. A deviation is in bold. *Conventions* are what the paper's authors, Caffe or "
        "the nearest variant do as well; *not judged* is what a graph or file for inference does not show."
    )


# Tables ------------------------------------------------------------------------------------------------------------------


def deviating(outcome: Outcome) -> list[Fact]:
    return [fact for fact in outcome.subject.facts if fact.kind == DEVIATION]


def overview(outcomes: Sequence[Outcome]) -> str:
    """A line for each: deviations of the network, of its first values, and what is a convention."""
    rows = []
    for one in outcomes:
        assert one.audit is not None
        facts = one.subject.facts
        network = [fact for fact in facts if fact.kind == DEVIATION and not is_first_value(fact)]
        begun = [fact for fact in facts if fact.kind == DEVIATION and is_first_value(fact)]
        chosen = [fact for fact in facts if fact.kind == CONVENTION]
        name = f"[{escape(title(one.subject))}](#{anchor(one.subject)})"
        variant = f"`{one.audit.nearest_variant}`"
        rows.append((name, variant, one.audit.verdict, *map(listed, (network, begun, chosen))))
    headers = ("", "nearest variant", "verdict", "deviations", "first values that deviate", "conventions")
    return table(rows, headers)


def is_first_value(fact: Fact) -> bool:
    return fact.trap.startswith("init-")


def listed(facts: Sequence[Fact]) -> str:
    """Traps and their layers; stages' worth of them counted from to."""
    return "; ".join(f"{code(fact.trap)} ({span(fact.layers)})" for fact in facts)


def span(layers: Sequence[str]) -> str:
    """ "conv1 to conv5, fc6" of all convolutions and fc6."""
    text = ", ".join(layers)
    for kind in (published.CONVS, published.DENSE):
        text = text.replace(", ".join(kind), f"{kind[0]} to {kind[-1]}")
    return text


def departures(outcomes: Sequence[Outcome]) -> str:
    """Every deviation of a network (its first values apart), a line each: what the source says and what it moves."""
    rows = []
    for one in outcomes:
        assert one.audit is not None
        alike: dict[tuple[str, str], list[Fact]] = {}
        for fact in one.subject.facts:
            if fact.kind == DEVIATION and not is_first_value(fact):
                alike.setdefault((fact.says, fact.lines), []).append(fact)
        for (says, lines), facts in alike.items():
            order = variants.variant(one.subject.nearest).names()
            layers = span(sorted((layer for fact in facts for layer in fact.layers), key=order.index))
            effect = each([found.effect for fact in facts for found in found_in(fact, one.audit)])
            rows.append((escape(one.subject.name), f"{layers}: {escape(says)}", escape(effect), f"`{lines}`"))
    return table(rows, ("", "what is so", "effect", "source"))


def anchor(subject: Published) -> str:
    return re.sub(r"[^\w\- ]", "", title(subject).lower()).strip().replace(" ", "-")


def title(subject: Published) -> str:
    return f"{subject.name} {subject.version}"


def chapter(outcome: Outcome) -> str:
    """One subject: what it is, every finding with what the audit measured and where the source says it."""
    subject, audit = outcome.subject, outcome.audit
    assert audit is not None
    facts = sorted(subject.facts, key=lambda fact: fact.kind != DEVIATION)
    headers = ("kind", "layer", "trap", "found", "expected", "effect", "in the source")
    rows = [tuple(row(fact, audit)) for fact in facts]
    parts = [
        f"### {title(subject)}",
        escape(subject.about),
        "  \n".join(facts_of(subject, audit)),
        table(rows, headers),
        "\n".join(cause_lines(facts, audit)),
        "\n".join(["In the source, and nothing that this audit shows:", "", *(f"- {prose(t)}" for t in subject.unseen)])
        if subject.unseen
        else "",
        run_again(subject, audit) if not subject.in_a_file() else "",
    ]
    return "\n\n".join(part for part in parts if part)


def run_again(subject: Published, audit: Audit) -> str:
    """The command, with the variables that it needs, as an indented line."""
    variables = "".join(f"{name}={value} " for name, value in subject.environment)
    return f"    {variables}{again(audit).strip()}"


def facts_of(subject: Published, audit: Audit) -> Iterator[str]:
    yield f"Package: {escape(subject.package)} {subject.version}, {escape(subject.licence)}. Runs in: {escape(audit.framework)}"
    yield f"Nearest variant: `{audit.nearest_variant}`. Verdict: {audit.verdict}"
    if subject.cites:
        yield f"The paper that its source names: {subject.cites}"
    yield "Source: " + ", ".join(f"`{path}`" for path in subject.files)
    memory = audit.versions.get("peak_memory_mb", "")
    if memory:
        yield f"The audit took {audit.seconds:.0f} s beyond loading, {int(memory):,} MB at the peak"


def row(fact: Fact, audit: Audit) -> Iterator[str]:
    mine = found_in(fact, audit)
    yield fact.kind
    yield span(fact.layers)
    yield code(fact.trap)
    yield escape(each([one.found for one in mine]))
    yield escape(each([one.expected for one in mine]))
    yield escape(each([one.effect for one in mine]))
    yield f"{escape(fact.says)}: `{fact.lines}`"


def found_in(fact: Fact, audit: Audit) -> list[Deviation]:
    return [
        one for one in audit.deviations if (one.trap, one.kind) == (fact.trap, fact.kind) and one.layer in fact.layers
    ]


def each(said: Sequence[str]) -> str:
    """What was said, once; of several the first, and that there are others."""
    different = list(dict.fromkeys(line(text) for text in said if text))
    return different[0] + ("; others alike" if len(different) > 1 else "") if different else ""


def cause_lines(facts: Sequence[Fact], audit: Audit) -> Iterator[str]:
    """The likely cause in the framework's own words, of deviations alone."""
    for fact in facts:
        causes = dict.fromkeys(one.cause for one in found_in(fact, audit) if one.cause)
        if fact.kind == DEVIATION and causes:
            yield f"- {code(fact.trap)}: {prose(next(iter(causes)))}"


def others(outcomes: Sequence[Outcome]) -> str:
    """Networks that an audit has to find to be no AlexNet, whatever they are called."""
    rows = [
        f"- **{escape(title(one.subject))}** ({escape(one.subject.licence)}): {escape(one.subject.about)} In one line: "
        f"{prose(one.audit.notes[0])}"
        for one in outcomes
        if one.agrees and one.subject.another and one.audit is not None
    ]
    return "\n".join(["## Too little of it to be judged", "", *rows]) if rows else ""


def refusals(outcomes: Sequence[Outcome]) -> str:
    refused = [one for one in outcomes if one.agrees and one.refused]
    if not refused:
        return ""
    rows = [
        f"- **{escape(one.subject.name)} {one.subject.version}** ({escape(one.subject.licence)}): "
        f"{escape(one.subject.about)} In one line: {code(one.refused)}"
        for one in refused
    ]
    return "\n".join(["## Refused", "", *rows])


def unpublished(outcomes: Sequence[Outcome]) -> str:
    """Audits that are not what the source says: a fault of ours until it is known whose."""
    wrong = [one for one in outcomes if one.disagreements]
    if not wrong:
        return ""
    rows = [f"- {escape(one.subject.name)}: {prose(text)}" for one in wrong for text in one.disagreements]
    lead = "Audit and reading by hand do not agree, so nothing is said of these packages until they do."
    return "\n".join(["## Not published", "", lead, "", *rows])


def absent(outcomes: Sequence[Outcome]) -> str:
    missing = [one for one in outcomes if one.absent]
    if not missing:
        return ""
    rows = [f"- {escape(one.subject.name)}: {prose(one.absent)}." for one in missing]
    return "\n".join(["## Not installed here", "", *rows])


# The figure --------------------------------------------------------------------------------------------------------------

EQUAL, NOT_JUDGED = "as in the paper", "not judged"
COLOURS = {EQUAL: "#d3ece2", CONVENTION: "#f9e3ae", DEVIATION: "#f2b28f", NOT_JUDGED: "#ececec"}
PAPER = (
    *("11 x 11 / 4", "96-256-384-384-256", "2 at 2, 4, 5", "k 2, n 5\nalpha 1e-4", "3 / 2", "4096-4096-1000"),
    *("0.5, behind", "softmax", "N(0, 0.01)\nbiases 0 or 1"),
)
ASPECTS = {  # and the beginnings of the traps that speak of each, the layers where that is not enough
    "conv1": (("kernel-", "stride-", "pad-", "padding-", "conv-"), ("conv1",)),
    "maps of conv1 to conv5": (("maps-", "channels-"), ()),
    "groups": (("group",), ()),
    "response\nnormalisation": (("lrn-", "batch-norm"), ()),
    "pooling": (("pool-",), ()),
    "dense": (("units-", "dense-", "fc6-", "layer-missing", "flatten"), ("flatten", "fc6", "fc7", "fc8")),
    "dropout": (("dropout-",), ()),
    "output": (("softmax", "log-softmax"), ()),
    "first values": (("init-",), ()),
}


def matrix(outcomes: Sequence[Outcome]) -> Figure:
    """Published AlexNets by aspects of the paper's network; colours say whose choice each is."""
    from . import plots

    shown = read_whole(outcomes)
    rows = [("the paper", [(text, EQUAL) for text in PAPER])]
    rows += [(title(one.subject), [cell(aspect, one) for aspect in ASPECTS]) for one in shown]
    widths = (1.5, 1.75, 1.25, 1.45, 1.35, 1.55, 1.3, 0.95, 1.75)
    figure, axis = plots.plt.subplots(figsize=(14.5, 0.62 + 0.46 * len(rows)), layout="constrained")
    for number, (name, cells) in enumerate(rows):
        control = number > 0 and shown[number - 1].subject.control
        axis.text(
            -0.1, number + 0.5, name, ha="right", va="center", fontsize=9, style="italic" if control else "normal"
        )
        left = 0.0
        for (text, state), width in zip(cells, widths, strict=True):
            place = plots.plt.Rectangle(
                (left, number), width, 1, facecolor=COLOURS[state], edgecolor="white", linewidth=2
            )
            axis.add_patch(place)
            weight = "bold" if state == DEVIATION else "normal"
            axis.text(left + width / 2, number + 0.5, text, ha="center", va="center", fontsize=7.5, weight=weight)
            left += width
    heads(axis, widths)
    for state, colour in COLOURS.items():
        axis.bar(-99, 0, color=colour, label=state)
    axis.legend(ncols=4, fontsize=9, loc="upper center", bbox_to_anchor=(0.4, -0.005), frameon=False)
    axis.set(xlim=(0, sum(widths)), ylim=(len(rows), -0.75))
    axis.axis("off")
    return figure


def heads(axis: Any, widths: Sequence[float]) -> None:
    left = 0.0
    for aspect, width in zip(ASPECTS, widths, strict=True):
        axis.text(left + width / 2, -0.12, aspect, ha="center", va="bottom", fontsize=9, weight="bold")
        left += width


def cell(aspect: str, outcome: Outcome) -> tuple[str, str]:
    """(what it has, whose choice that is)."""
    assert outcome.audit is not None
    prefixes, layers = ASPECTS[aspect]
    kinds = {
        one.kind
        for one in outcome.audit.deviations
        if one.trap.startswith(prefixes) and one.trap != "lrn-running-sum" and (not layers or one.layer in layers)
    }
    text = READERS[aspect](outcome.audit)
    if text == NOT_JUDGED:
        return text, NOT_JUDGED
    state = DEVIATION if DEVIATION in kinds else CONVENTION if kinds else EQUAL
    if text == dict(zip(ASPECTS, PAPER, strict=True))[aspect]:
        return text, EQUAL  # as the paper has it, whatever the nearest variant has
    return text, state


def reads(audit: Audit) -> dict[str, str]:
    """What each of the paper's layers was read as."""
    return {row.layer: row.read for row in audit.rows if row.layer}


def conv1(audit: Audit) -> str:
    text = reads(audit).get("conv1", "")
    size, stride, padding = (
        re.search(p, text) for p in (r"convolution (\d+ x \d+)", r"stride (\d+)", r"padding ([\d +]+)")
    )
    where = f"{size[1] if size else '?'} / {stride[1] if stride else '1'}"
    return where + (f"\npad {padding[1].strip()}" if padding else "\nno padding")


def maps(audit: Audit) -> str:
    known = reads(audit)
    found = [re.search(r"(\d+) maps", known.get(f"conv{n}", "")) for n in range(1, 6)]
    return "-".join(one[1] if one else "?" for one in found)


def groups(audit: Audit) -> str:
    known = reads(audit)
    at = [str(n) for n in range(1, 6) if "groups" in known.get(f"conv{n}", "")]
    return f"2 at {', '.join(at)}" if at else "none"


def normalised(audit: Audit) -> str:
    text = reads(audit).get("norm1", "")
    found = re.search(r"n=(\S+), k=(\S+), alpha=(\S+), beta=(\S+)", text)
    if not found:
        return text or "none"
    n, k, alpha, beta = found.groups()
    power = "" if float(beta) == 0.75 else f", beta {beta}"
    return f"k {k}, n {n}\nalpha {float(alpha):.0e}{power}".replace("e-0", "e-")


def pooled(audit: Audit) -> str:
    known = reads(audit)
    found = [(n, known[n]) for n in ("pool1", "pool2", "pool5") if n in known]
    if not found:
        return "none"
    sizes = {n: f"{s[1]} / {s[2]}" for n, text in found if (s := re.search(r"(\d+) x \d+, stride (\d+)", text))}
    first = next(iter(sizes.values()), "?")
    extra = [f"{n}: {size}" for n, size in sizes.items() if size != first]
    extra += [f"{n}: pad {p[1].strip()}" for n, text in found if (p := re.search(r"padding ([\d +]+)", text))]
    extra += [f"no {n}" for n in ("pool1", "pool2", "pool5") if n not in known]
    return "\n".join([first, *extra[:2]])


def dense(audit: Audit) -> str:
    known = reads(audit)
    found = [re.search(r"(\d+) units", known.get(n, "")) for n in ("fc6", "fc7", "fc8")]
    return "-".join(one[1] if one else "none" for one in found) if any(found) else "none"


def dropped(audit: Audit) -> str:
    if not any("dropout" in row.read for row in audit.rows):
        unjudged = any("dropout" in note and "not judged" in note for note in audit.notes)
        return NOT_JUDGED if unjudged else "none"
    names = [row.read if "dropout" in row.read else row.layer for row in audit.rows]
    first = next(name for name in names if "dropout" in name)
    place = "before" if "fc6" in names and names.index(first) < names.index("fc6") else "behind"
    return f"{first.removeprefix('dropout ')}, {place}"


def output(audit: Audit) -> str:
    known = reads(audit)
    return known.get("prob", "logits" if "fc8" in known else "maps")


def first_values(audit: Audit) -> str:
    """The laws of the weights, those of most layers first; the paper's words only where all parameters follow its laws."""
    if any("first values" in note and "not judged" in note for note in audit.notes) or audit.target.endswith(".onnx"):
        return NOT_JUDGED
    begun = [one for one in audit.deviations if one.trap.startswith("init-")]
    if not begun:
        return PAPER[-1]
    laws = {one.layer: law(one) for one in begun if one.found.startswith("weight")}
    layers = [n for n, text in reads(audit).items() if text.startswith(("convolution", "dense"))]
    counted = Counter(laws.get(layer, OWN_LAW) for layer in layers)
    most = [text for text, _ in counted.most_common(2)]
    return "\n".join(most if laws else [OWN_LAW, "other biases"])


def law(one: Deviation) -> str:
    """The law that weights begin with, in a cell's few words; one without a name by its shape and spread."""
    if one.trap != "init-other":
        return LAWS.get(one.trap, one.trap.removeprefix("init-").replace("-", " "))
    known = re.search(r"weight: (\w+).*std (\S+)", one.found)
    return f"{known[1]}, std {known[2]}" if known else "another law"


OWN_LAW = "N(0, 0.01)"  # the paper's
LAWS = {
    "init-std-001": OWN_LAW,
    "init-he-uniform": "He uniform",
    "init-glorot-uniform": "Glorot uniform",
    "init-torch-uniform": "±1 / √fan in",
    "init-he-normal-fan-out": "He normal, fan out",
    "init-he-normal-truncated": "He normal, cut",
}
READERS = dict(
    zip(ASPECTS, (conv1, maps, groups, normalised, pooled, dense, dropped, output, first_values), strict=True)
)


# The command -------------------------------------------------------------------------------------------------------------


def write(outcomes: Sequence[Outcome], path: Path) -> None:
    """The report at `path`, its figure in figures/ beside it."""
    from . import plots

    text = document(outcomes)
    if read_whole(outcomes):
        plots.save(matrix(outcomes), files.folder(path.parent / "figures") / FIGURE)
    files.write(path, text + "\n")


def chosen(names: Sequence[str]) -> list[Published]:
    """Subjects whose name or package is among `names`; all where none is given. Raises ValueError for a name that nobody has."""
    every = published.subjects()
    known = {name for one in every for name in (one.name, one.package)}
    for name in names:
        if name not in known:
            raise ValueError(f"no subject {name!r}; there are {', '.join(sorted(one.name for one in every))}")
    return [one for one in every if not names or {one.name, one.package} & set(names)]


def main(arguments: list[str] | None = None, run: wild.Run = wild.process.run) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m alexnet_parity.reports.wild", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("subjects", nargs="*", metavar="NAME", help="of a package or a subject; default: all of them")
    parser.add_argument("-o", "--output", type=Path, default=REPORT, help=f"default: {REPORT}")
    options = parser.parse_args(arguments)
    try:
        subjects = chosen(options.subjects)
        files.check_writable(options.output)
        outcomes = list(wild.audited(subjects, run, lambda text: print(text, file=sys.stderr)))
        if all(one.absent for one in outcomes):
            raise ValueError(f"none of the {len(outcomes)} subjects is installed here; `tox -e wild` installs them")
        write(outcomes, options.output)
    except (ValueError, files.Unwritable) as error:
        print(f"wild: {error}", file=sys.stderr)
        return 2
    wrong = [(one, text) for one in outcomes for text in one.disagreements]
    for one, text in wrong:
        print(f"wild: {one.subject.name}: {text}", file=sys.stderr)
    agreeing = sum(one.agrees for one in outcomes)
    print(f"wrote {options.output}: {agreeing} of {len(outcomes)} subjects are what their source says")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
