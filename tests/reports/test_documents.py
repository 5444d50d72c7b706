"""The documents that lie in the repository: their links lead somewhere, and they say what the code says today."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from alexnet_parity.checks.claims import trial
from alexnet_parity.checks.claims.verdict import Facts, Verdict
from alexnet_parity.reference import differences, variants

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "reports").glob("*.md"), *(ROOT / "reports").glob("*.ipynb")]


def text_of(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return "\n".join("".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "markdown")


def anchors(text: str) -> set[str]:
    """What a #fragment can lead to: headings as GitHub names them, and anchors set by hand."""
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    names = {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
    return names | set(re.findall(r'<a (?:id|name)="([^"]+)"', text))


def broken(document: Path, text: str) -> list[str]:
    """Relative links of a document whose file, or whose place in it, does not exist."""
    found = []
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"^\[[^\]]+\]: (\S+)$", text, flags=re.MULTILINE)
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        file, _, fragment = link.partition("#")
        target = (document.parent / file).resolve() if file else document
        if not target.exists() or (fragment and target.suffix == ".md" and fragment not in anchors(text_of(target))):
            found.append(link)
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_of_a_document_leads_somewhere(document):
    assert broken(document, text_of(document)) == []


def test_a_broken_link_would_be_seen(tmp_path):
    document = tmp_path / "a.md"
    document.write_text(
        "# A heading, with a comma\n[x](gone.md) [y](#a-heading-with-a-comma) [z](#gone) [w](https://x.org)"
    )
    assert broken(document, text_of(document)) == ["gone.md", "#gone"]


def test_the_claims_report_has_todays_verdicts():
    text = (ROOT / "reports" / "claims.md").read_text(encoding="utf-8")
    rows = re.findall(r'^\| <a id="([\w-]+)">.*', text, flags=re.MULTILINE)
    lines = dict(zip(rows, re.findall(r"^\| <a id=.*", text, flags=re.MULTILINE), strict=True))
    judged = trial.verdicts(Facts())
    for one in judged:
        assert re.search(rf"\| \**{one.verdict}\** \|", lines[one.claim.id]), one.claim.id
    counts = [sum(one.verdict == v.value for one in judged) for v in Verdict]
    assert ", ".join(f"{n} {v.value}" for n, v in zip(counts, Verdict, strict=True)) in text


def test_the_differences_report_has_todays_cells():
    text = (ROOT / "reports" / "differences.md").read_text(encoding="utf-8")
    for row in differences.aspects():
        (line,) = re.findall(rf"^\| {row.number}°? +\|.*$", text, flags=re.MULTILINE)
        assert row.name in line


@pytest.mark.parametrize(
    "report, pattern", [("parity.md", ("paper", "paper-224", "single-tower")), ("variants.md", variants.names())]
)
def test_the_parity_reports_pass_on_every_variant(report, pattern):
    text = (ROOT / "reports" / report).read_text(encoding="utf-8")
    assert "**Verdict: PASS.**" in text
    shown = [n for n in pattern if not n.endswith("-thin")]
    own = ("paper", "paper-224", "single-tower")
    for name in shown if report == "parity.md" else [n for n in shown if n not in own]:
        line = re.search(rf"^\| {name} +\|.*\| {variants.variant(name).parameter_count():,} ", text, flags=re.MULTILINE)
        assert line, name
