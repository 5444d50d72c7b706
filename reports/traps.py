"""The report on the trap catalogue's trial, and the same as JSON: who notices which mistake, and what this audit calls it."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..checks.audit.trial import LOOSE, Alarm, Outcome, family_of
from ..checks.traps import BY_ID, FAMILIES
from ..impls import find
from ..impls.foreign import poses
from . import files
from .claims_sources import escape
from .findings_file import processor
from .markdown import folded, table

SCHEMA = "alexnet-parity/traps/1"
ENOUGH = 0.9  # of the pairs must be named
AUDIT = "this audit"
TITLES = {"torch": "PyTorch", "keras": "Keras", "tf": "TensorFlow 1 graph", "onnx": "ONNX", "jax": "JAX"}
ABOUT = {
    "final shape": "the shape of the output is another one",
    "parameter count": "the number of learned numbers is another one",
    "allclose 1e-3": "`np.allclose(rtol=1e-3, atol=1e-3)` on the output fails, or the weights do not fit",
    "allclose 1e-5": "`np.allclose(rtol=1e-5, atol=1e-5)` on the output fails, or the weights do not fit",
    AUDIT: "`alexnet-parity audit` reports a deviation, in every framework that it was posed in",
}


@dataclass(frozen=True)
class Tried:
    """What was tried. loose: which loose comparison notices an entry, by its id; clean: how many models without a mistake."""

    frameworks: tuple[str, ...]
    singles: tuple[Outcome, ...]
    pairs: tuple[Outcome, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    clean: int = 0
    loose: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    seed: int = 0

    @property
    def ids(self) -> list[str]:
        return list(dict.fromkeys(one.trap for one in self.singles))

    def of(self, framework: str) -> list[Outcome]:
        """The single mistakes that were posed in a framework."""
        return [one for one in self.singles if one.framework == framework and one.posed]

    def pairs_of(self, framework: str) -> list[Outcome]:
        return [one for one in self.pairs if one.framework == framework and one.posed]

    def failed(self) -> list[Outcome]:
        return [one for one in self.singles if not one.good]

    def unnamed_pairs(self) -> list[Outcome]:
        return [one for one in self.pairs if one.posed and not one.named]

    def notices(self, trap: str) -> dict[str, bool]:
        """Who notices an entry: each of LOOSE, and AUDIT."""
        posed = [one for one in self.singles if one.trap == trap and one.posed]
        return {**self.loose.get(trap, {}), AUDIT: bool(posed) and all(one.detected for one in posed)}

    def shown(self) -> list[str]:
        """Entries that were posed somewhere: those that the comparison side by side is about."""
        return [trap for trap in self.ids if any(one.posed for one in self.singles if one.trap == trap)]

    def good(self) -> bool:
        """Every posed mistake detected, located and named; enough pairs named; nothing reported where nothing is wrong."""
        some = any(one.posed for one in (*self.singles, *self.pairs))
        return some and not self.failed() and not self.alarms and self.enough()

    def enough(self) -> bool:
        """Pairs are dealt to the frameworks in turn, and counted together."""
        pairs = [pair for framework in self.frameworks for pair in self.pairs_of(framework)]
        return sum(pair.named for pair in pairs) >= ENOUGH * len(pairs)

    @property
    def versions(self) -> dict[str, str]:
        packages = dict.fromkeys(p for framework in self.frameworks for p in poses.PACKAGES.get(framework, ()))
        return {"python": platform.python_version(), **find.versions(["numpy", *packages])}

    def as_json(self) -> str:
        content = {
            "schema": SCHEMA,
            "verdict": "PASS" if self.good() else "FAIL",
            "frameworks": list(self.frameworks),
            "seed": self.seed,
            "traps": [self.entry(trap) for trap in self.ids],
            "pairs": [joined(trap, of) for trap, of in by_trap(self.pairs).items()],
            "false_alarms": {"audits": self.clean, "alarms": [vars(alarm) for alarm in self.alarms]},
            "versions": self.versions,
        }
        return json.dumps(content, indent=1) + "\n"

    def entry(self, trap: str) -> dict[str, Any]:
        says, family = BY_ID[trap].says, family_of(trap)
        of = [one for one in self.singles if one.trap == trap]
        return {"id": trap, "says": says, "family": family, **verdicts(of), "loose": dict(self.loose.get(trap, {}))}


def by_trap(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], list[Outcome]]:
    """Outcomes of the same pair at the same layers, together."""
    found: dict[tuple[str, str], list[Outcome]] = {}
    for one in outcomes:
        found.setdefault((one.trap, one.layer), []).append(one)
    return found


def joined(key: tuple[str, str], of: Sequence[Outcome]) -> dict[str, Any]:
    return {"traps": key[0].split(" + "), **verdicts(of)}


def verdicts(of: Sequence[Outcome]) -> dict[str, Any]:
    """detected, located, named by framework where it was posed; what was said; why it was not posed elsewhere."""
    posed = [one for one in of if one.posed]
    return {
        "variant": of[0].variant,
        "layer": of[0].layer,
        "detected": {one.framework: one.detected for one in posed},
        "located": {one.framework: one.located for one in posed},
        "named": {one.framework: one.named for one in posed},
        "said": {one.framework: list(one.said) for one in posed},
        "not_posed": {one.framework: one.reason for one in of if not one.posed},
    }


def write(tried: Tried, path: Path) -> None:
    """The report at `path` and its figure in figures/ beside it; nothing is replaced unless both could be made."""
    from . import plots, trap_plots  # matplotlib, only where a report is wanted

    name = f"{path.stem}-noticed.svg"
    figure = trap_plots.matrix(tried)
    text = document(tried, f"figures/{name}")
    plots.save(figure, files.folder(path.parent / "figures") / name)
    files.write(path, text)


# The document ----------------------------------------------------------------------------------------------------------


def document(tried: Tried, figure: str) -> str:
    parts = [
        "# The traps: mistakes set on purpose, and who notices",
        head(tried),
        counts(tried),
        f"![Each mistake and who notices it: {side_by_side_in_words(tried)}]({figure})",
        side_by_side(tried),
        failures(tried),
        pairs(tried),
        false_alarms(tried),
        entries(tried),
        not_posed(tried),
        environment(tried),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def head(tried: Tried) -> str:
    return (
        f"**{len(tried.shown())} mistakes that AlexNets in the wild make, each set on purpose in a thin network, written as "
        f"a user of the framework would write it, and audited without a word about what was done: "
        f"{'all' if not tried.failed() else 'not all'} were detected, located and named.** Detected: the audit reports "
        "something. Located: it reports it at the layer where the mistake was set. Named: it reports this mistake, and "
        "nothing else.\n\nTo see it again: `alexnet-parity traps --pairs 200 --clean 200 --report reports/traps.md`; one "
        "mistake: `alexnet-parity traps --trap ID`."
    )


def counts(tried: Tried) -> str:
    rows = [count_row(tried, framework) for framework in tried.frameworks]
    return table(rows, ("framework", "posed", "detected", "located", "named", "pairs", "pairs named"))


def count_row(tried: Tried, framework: str) -> tuple[Any, ...]:
    """One framework's counts, as the terminal and the report show them."""
    of, two = tried.of(framework), tried.pairs_of(framework)
    named = sum(one.named for one in two)
    return (
        TITLES.get(framework, framework),
        len(of),
        *(sum(getattr(one, what) for one in of) for what in ("detected", "located", "named")),
        len(two) or "",
        f"{named} ({100 * named / len(two):.3g} %)" if two else "",
    )


def share_noticed(tried: Tried, who: str) -> tuple[int, int]:
    """(entries noticed, entries)."""
    shown = tried.shown()
    return sum(tried.notices(trap).get(who, False) for trap in shown), len(shown)


def side_by_side_in_words(tried: Tried) -> str:
    return ", ".join(f"{who} {share_noticed(tried, who)[0]}" for who in (*LOOSE, AUDIT))


def side_by_side(tried: Tried) -> str:
    rows = []
    for who in (*LOOSE, AUDIT):
        noticed, of = share_noticed(tried, who)
        rows.append(
            (who if who != AUDIT else f"**{who}**", f"{noticed} of {of} ({100 * noticed / of:.0f} %)", ABOUT[who])
        )
    text = (
        "The same mistakes before comparisons that are usual. Each of these has the network with the mistake and the one "
        "without on the same parameters (the paper's first values) and the same images, N(0, 1), at inference and in float64: "
        "what is left of a difference is the mistake's own. They get what they never have outside such a trial, a right "
        "network with the same weights to compare with; they say no more than that something differs, somewhere. Thin "
        "networks at their first values give nearly equal probabilities for every image, so much passes for close; that is "
        "how networks are usually compared before they are trained."
    )
    return "\n".join(["## How loose comparisons fare", "", table(rows, ("comparison", "notices", "how")), "", text])


def failures(tried: Tried) -> str:
    rows = [
        (f"`{one.trap}`", TITLES.get(one.framework, one.framework), f"{one.variant}, {one.layer}", what(one), said(one))
        for one in tried.failed()
    ]
    if not rows:
        return ""
    text = table(rows, ("mistake", "framework", "set in", "not", "said instead"))
    return f"## Not detected, located or named\n\n{text}"


def what(one: Outcome) -> str:
    return ", ".join(name for name in ("detected", "located", "named") if not getattr(one, name))


def said(one: Outcome) -> str:
    return escape("; ".join(one.said)) or "nothing"


def pairs(tried: Tried) -> str:
    if not tried.pairs:
        return ""
    rows = [
        (one.trap.replace(" + ", "` and `").join("``"), TITLES.get(one.framework, one.framework), one.layer, said(one))
        for one in tried.unnamed_pairs()
    ]
    text = (
        "Two mistakes in one network, drawn by seed: the second is made on the result of the first. Left out are pairs of "
        "which one undoes or hides the other. A pair counts as named if the mistakes reported are these two and no other; "
        "what two mistakes come to may have another name just as right."
    )
    left = (
        folded(rows, ("pair", "framework", "set at", "said instead"), "Pairs not named") if rows else "All were named."
    )
    return f"## Pairs\n\n{text}\n\n{left}"


def false_alarms(tried: Tried) -> str:
    if not tried.clean:
        return ""
    rows = [(a.framework, a.variant, a.seed, escape("; ".join(a.said))) for a in tried.alarms]
    text = f"{tried.clean} audits of networks without a mistake, over seeds and thin variants: {len(rows)} reported anything."
    return f"## False alarms\n\n{text}" + (
        "\n\n" + table(rows, ("framework", "variant", "seed", "said")) if rows else ""
    )


def entries(tried: Tried) -> str:
    headers = ("mistake", "family", "agrees if", "set in", *tried.frameworks, *LOOSE)
    rows = [entry_row(tried, trap) for trap in tried.ids]
    legend = (
        "A dot: detected, located and named. Otherwise what is missing. Empty: not posed there. In the last columns a dot "
        "where the loose comparison notices."
    )
    return f"## Every mistake\n\n{legend}\n\n{folded(rows, headers, 'All entries')}"


def entry_row(tried: Tried, trap: str) -> tuple[str, ...]:
    of = {one.framework: one for one in tried.singles if one.trap == trap}
    where = next((f"{one.variant}, {one.layer}" for one in of.values() if one.variant), "")
    loose = tried.loose.get(trap, {})
    return (
        f"`{trap}`",
        family_of(trap),
        escape(BY_ID[trap].says),
        where,
        *(cell(of.get(framework)) for framework in tried.frameworks),
        *("•" if loose.get(who) else "" for who in LOOSE),
    )


def cell(one: Outcome | None) -> str:
    return "" if one is None or not one.posed else "•" if one.good else f"not {what(one)}"


def not_posed(tried: Tried) -> str:
    grouped: dict[str, list[str]] = {}
    for one in tried.singles:
        if not one.posed:
            who = TITLES.get(one.framework, one.framework)
            grouped.setdefault(f"{one.trap}|{one.reason}", []).append(who)
    rows = [
        (f"`{key.partition('|')[0]}`", ", ".join(who), escape(key.partition("|")[2])) for key, who in grouped.items()
    ]
    return f"## Not posed\n\n{folded(rows, ('mistake', 'framework', 'why'), 'Not posed')}" if rows else ""


def environment(tried: Tried) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in tried.versions.items())
    return f"## Environment\n\n{platform.system()} {platform.machine()}, {processor()}; {versions}. Seed {tried.seed}."


def families(tried: Tried) -> Iterator[tuple[str, list[str]]]:
    """(family, its entries that were posed), in the order of the table."""
    shown = set(tried.shown())
    for family, members in FAMILIES.items():
        ids = [trap.id for trap in members if trap.id in shown]
        if ids:
            yield family, ids
