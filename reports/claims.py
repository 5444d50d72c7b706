"""The report on the paper's claims, and the same as JSON: what is contradicted first, then every claim by section."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checks.claims.trial import ERROR, Judged
from ..checks.claims.verdict import Verdict
from ..impls import find
from ..reference.claims import ledger
from . import claims_sources, files
from .claims_sources import escape
from .findings_file import processor

SCHEMA = "alexnet-parity/claims/1"
VERDICTS = tuple(verdict.value for verdict in Verdict)
MEANING = {
    "holds": "arithmetic, code, a log or a run agrees with the paper's wording",
    "contradicted": "it disagrees with the wording",
    "underspecified": "the text does not settle the behaviour, or what is known covers only a part of the claim",
    "not checkable here": "it would take what the row says it needs",
}


@dataclass(frozen=True)
class Trial:
    """What was judged. `parsed`: nets and notes of the authors' that were read from files; `impls`: what was run.

    `orphans`: ids with a check that are no claims; each makes the trial fail.
    """

    judged: tuple[Judged, ...]
    parsed: frozenset[str] = frozenset()
    impls: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()

    @property
    def summary(self) -> dict[str, Any]:
        """Counts by verdict, of errors and of all, and PASS if every claim has a verdict, evidence and a source."""
        counts = Counter(one.verdict for one in self.judged)
        errors = counts[ERROR] + len(self.orphans)
        verdict = "PASS" if self.judged and not errors else "FAIL"
        return {name: counts[name] for name in VERDICTS} | {
            ERROR: errors,
            "claims": len(self.judged),
            "verdict": verdict,
        }

    def good(self) -> bool:
        return self.summary["verdict"] == "PASS"

    def errors(self) -> list[tuple[str, str]]:
        """(id, why there is no verdict)."""
        broken = [(one.claim.id, one.error) for one in self.judged if not one.good]
        return broken + [(name, "it has a check, but the ledger has no such claim") for name in self.orphans]

    def with_verdict(self, verdict: Verdict) -> list[Judged]:
        return [one for one in self.judged if one.verdict == verdict.value]

    def environment(self) -> dict[str, Any]:
        """Where and with what the trial was held."""
        return {
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "processor": processor(),
            "implementations": {name: find.versions(find.requires(find.own()[name])) for name in self.impls},
            "original_code": {"parsed": sorted(self.parsed), "else": "recorded"},
        }

    def as_json(self) -> str:
        document = {
            "schema": SCHEMA,
            "environment": self.environment(),
            "summary": self.summary,
            "errors": dict(self.errors()),
            "sources": {name: claims_sources.tree(name) for name in claims_sources.REPOSITORIES},
            "claims": [as_dict(one) for one in self.judged],
        }
        return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def as_dict(judged: Judged) -> dict[str, Any]:
    claim = judged.claim
    return {
        "id": claim.id,
        "section": claim.section,
        "claim": claim.says,
        "how": [how.value for how in claim.how],
        "verdict": judged.verdict,
        "evidence": judged.evidence,
        "source": claim.source,
        "needs": claim.needs,
        "reread": claim.reread,
        "check": judged.check,
    }


def write(trial: Trial, path: Path) -> None:
    """The report at `path` and its figure in figures/ beside it; nothing is replaced unless both could be made."""
    from . import plots  # matplotlib, only where a report is wanted

    name = f"{path.stem}-verdicts.svg"
    figure = bars(trial)
    text = document(trial, f"figures/{name}", path.parent)
    plots.save(figure, files.folder(path.parent / "figures") / name)
    files.write(path, text)


# The document ----------------------------------------------------------------------------------------------------------


def document(trial: Trial, figure: str, folder: Path) -> str:
    parts = [
        "# The paper on trial",
        head(trial),
        f"![Claims by section and verdict: {in_words(trial)}]({figure})",
        errors(trial),
        contradicted(trial),
        reread(trial),
        "## How to read it",
        legend(),
        *(section(title, claims, trial, folder) for title, claims in sections(trial).items()),
        environment(trial),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def in_words(trial: Trial) -> str:
    """ "85 holds, 18 contradicted, ..."."""
    return ", ".join(f"{trial.summary[name]} {name}" for name in (*VERDICTS, ERROR) if trial.summary[name])


def head(trial: Trial) -> str:
    if trial.parsed:
        code = (
            f"The authors' configurations and run notes were **parsed** from their files for {listed(trial.parsed)}; "
        )
        code += "what those files do not say is taken as recorded in `reference/original_code/`."
    else:
        code = (
            "The authors' configurations and run notes are taken **as recorded** in `reference/original_code/recorded.json`; "
            "`--original-code DIR` parses them from a clone of the "
            f"[museum's release]({claims_sources.tree('CHM')}) instead."
        )
    ran = f"Run on shared weights: the float64 oracle{' and ' + listed(trial.impls) if trial.impls else ' alone'}."
    return "\n\n".join(
        [
            f"**{len(trial.judged)} checkable claims of the AlexNet paper (2012): {in_words(trial)}.** Each is in our words "
            "and has a check that runs; the verdicts below are what the checks said.",
            f"{code} {ran}",
            f"To see it again: `alexnet-parity claims{' --original-code DIR' if trial.parsed else ''}`; one claim: "
            "`alexnet-parity claims --id ID`.",
        ]
    )


def listed(names: Sequence[str] | frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def errors(trial: Trial) -> str:
    if trial.good():
        return ""
    rows = [f"- `{name}`: {escape(why)}" for name, why in trial.errors()]
    return "\n".join(["## Without a verdict", "", *rows])


def contradicted(trial: Trial) -> str:
    """What the paper says beside what is so, each in a line."""
    found = trial.with_verdict(Verdict.CONTRADICTED)
    if not found:
        return ""
    rows = [
        f"- **{escape(one.claim.says)}** ({escape(one.claim.section)}, [{one.claim.id}](#{one.claim.id}))  \n"
        f"  {escape(one.evidence)}"
        for one in found
    ]
    return "\n".join(["## Contradicted: what the paper says, and what is so", "", *rows])


def reread(trial: Trial) -> str:
    """Verdicts that we had otherwise before the checks were written."""
    found = [one for one in trial.judged if one.claim.reread]
    if not found:
        return ""
    rows = [
        f"- [{one.claim.id}](#{one.claim.id}): now {one.verdict}. At first: {escape(one.claim.reread)}."
        for one in found
    ]
    return "\n".join(["## Verdicts that changed when we checked them", "", *rows])


def legend() -> str:
    rows = [f"- **{name}**: {meaning}." for name, meaning in MEANING.items()]
    sources = [f"[{name}]({claims_sources.tree(name)}) is {about}" for name, about in claims_sources.ABOUT.items()]
    notes = (
        "A verdict from a run note says what the authors logged, not that training again would give it. Section numbers "
        "are the paper's. In the sources, " + "; ".join(sources) + "; links lead to the commit that was read."
    )
    return "\n".join([*rows, "", notes])


def sections(trial: Trial) -> dict[str, list[Judged]]:
    by_id = {one.claim.id: one for one in trial.judged}
    grouped = ledger.sections(one.claim for one in trial.judged)
    return {title: [by_id[claim.id] for claim in claims] for title, claims in grouped.items()}


def section(title: str, judged: Sequence[Judged], trial: Trial, folder: Path) -> str:
    rows = ["| id | claim | verdict | evidence | source |", "|---|---|---|---|---|"]
    rows += ["| " + " | ".join(cells(one, folder)) + " |" for one in judged]
    return "\n".join([f"## {title}", "", *rows])


def cells(judged: Judged, folder: Path) -> Iterator[str]:
    """One row. Text is escaped, so nothing in it can break the table."""
    claim = judged.claim
    verdict = judged.verdict
    yield f'<a id="{claim.id}"></a>`{claim.id}`'
    yield escape(claim.says)
    yield verdict if verdict == Verdict.HOLDS.value else f"**{verdict}**"
    needs = f" Needs: {claim.needs.rstrip('.')}." if claim.needs else ""
    yield " ".join(escape(judged.evidence + needs).split())
    check, _, function = judged.check.partition(": ")
    decided = f"; decided by {claims_sources.links(check, folder)} (`{function}`)" if check else ""
    yield claims_sources.links(claim.source, folder) + decided


def environment(trial: Trial) -> str:
    facts = trial.environment()
    ran = [
        f"`{name}` ({', '.join(f'{package} {version}' for package, version in versions.items())})"
        for name, versions in facts["implementations"].items()
    ]
    where = f"{facts['system']}, {facts['processor']}, Python {facts['python']}"
    return f"## Environment\n\n{where}. Run on shared weights: {', '.join(['the oracle', *ran])}."


# The figure ------------------------------------------------------------------------------------------------------------


def bars(trial: Trial) -> Any:
    """A bar for each section, its claims stacked by verdict, the counts written in."""
    from . import plots

    names = [*VERDICTS, ERROR]
    colours = dict(zip(names, ("#009e73", "#d55e00", "#e69f00", "#bbbbbb", "#b00020"), strict=True))
    ink = dict.fromkeys(names, "black") | {ERROR: "white"}
    groups = sections(trial)
    figure, axis = plots.plt.subplots(figsize=(11, 0.6 + 0.32 * max(4, len(groups))), layout="constrained")
    for row, judged in enumerate(groups.values()):
        counts = Counter(one.verdict for one in judged)
        start = 0
        for name in names:
            if count := counts[name]:
                axis.barh(row, count, left=start, height=0.72, color=colours[name], edgecolor="white", linewidth=0.8)
                axis.text(start + count / 2, row, str(count), ha="center", va="center", fontsize=9, color=ink[name])
                start += count
    shown = [name for name in names if trial.summary[name]]
    for name in shown:
        axis.barh(0, 0, color=colours[name], label=f"{name} ({trial.summary[name]})")
    axis.set_yticks(range(len(groups)), list(groups), fontsize=9)
    axis.set(ylim=(len(groups) - 0.5, -0.5), xlabel="claims")
    axis.xaxis.set_major_locator(plots.plt.MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axis.legend(ncols=len(shown), fontsize=9, loc="lower center", bbox_to_anchor=(0.45, 1.0), frameon=False)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    return figure
