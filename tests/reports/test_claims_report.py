"""The trial and its report: no claim is left out, no row breaks the table, each source leads to its file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from alexnet_parity.checks.claims import trial as checks
from alexnet_parity.checks.claims.verdict import Facts, Outcome, Verdict
from alexnet_parity.reference.claims import ledger
from alexnet_parity.reference.claims.claim import Claim, How
from alexnet_parity.reports import claims, claims_sources
from alexnet_parity.reports.claims import Trial

PROJECT = claims_sources.PROJECT
REPORTS = PROJECT / "reports"


def claim(name: str, section: str = "3.3", source: str = "CHM layers/layers-145.cfg:9-33", needs: str = "") -> Claim:
    return Claim(name, section, f"What {name} says.", (How.ARITHMETIC,), source, needs)


def holding(facts: Facts) -> Outcome:
    return Outcome(Verdict.HOLDS, "2 x 3 = 6")


def contradicting(facts: Facts) -> Outcome:
    return Outcome(Verdict.CONTRADICTED, "2 x 3 = 6, a|b and *c* and cnorm2_a < 1 `a_b`\nnext line")


def out_of_reach(facts: Facts) -> Outcome:
    return Outcome(Verdict.NOT_CHECKABLE, "no run is logged")


def silent(facts: Facts) -> Outcome:
    return Outcome(Verdict.HOLDS, "  ")


def breaking(facts: Facts) -> Outcome:
    raise RuntimeError("no\nsuch layer")


def wordless(facts: Facts):
    return True


def judged(*pairs):
    claims_given = [one for one, _ in pairs]
    return tuple(checks.judge(Facts(), claims_given, {one.id: check for one, check in pairs if check}))


GOOD = (
    (claim("one-holds", "Abstract, 6"), holding),
    (claim("two-wrong", "3.3, footnote 3"), contradicting),
    (claim("three-far", "Table 2", needs="ImageNet"), out_of_reach),
)


# The trial -------------------------------------------------------------------------------------------------------------


def test_each_claim_gets_what_its_check_says():
    found = judged(*GOOD)
    assert [one.verdict for one in found] == ["holds", "contradicted", "not checkable here"]
    assert all(one.good for one in found)
    assert found[0].check == "checks/claims/test_claims_report.py: holding"


@pytest.mark.parametrize(
    "given, check, why",
    [
        (claim("x"), None, "no check decides it"),
        (claim("x"), silent, "no evidence"),
        (claim("x"), breaking, "RuntimeError: no such layer (test_claims_report.py:"),
        (claim("x"), wordless, "gave bool"),
        (claim("x", source=" "), holding, "no source"),
        (claim("x"), out_of_reach, "what a check would need"),
    ],
    ids=["no check", "no evidence", "broke off", "no outcome", "no source", "no needs"],
)
def test_a_claim_without_verdict_evidence_or_source_is_an_error(given, check, why):
    (found,) = judged((given, check))
    assert (found.verdict, found.good) == ("error", False)
    assert why in found.error
    assert Trial((found,)).summary["verdict"] == "FAIL"
    assert why in claims.document(Trial((found,)), "f.svg", REPORTS).replace("\\", "")


def test_a_check_of_two_claims_runs_once():
    calls = []

    def counted(facts):
        calls.append(facts)
        return Outcome(Verdict.HOLDS, "seen")

    assert len(judged((claim("a"), counted), (claim("b"), counted))) == 2
    assert len(calls) == 1


def test_nothing_judged_is_no_pass():
    assert Trial(()).summary["verdict"] == "FAIL"


def test_a_check_of_no_claim_is_an_error():
    assert checks.orphans({ledger.CLAIMS[0].id: holding, "no-such-claim": holding}) == ["no-such-claim"]
    assert not Trial(judged(*GOOD), orphans=("no-such-claim",)).good()


# The ledger ------------------------------------------------------------------------------------------------------------


def test_the_ledger_is_in_the_papers_order_with_every_claim_once():
    places = list(ledger.TITLES)
    order = [places.index(ledger.chapter(one)) for one in ledger.CLAIMS]
    assert order == sorted(order)
    assert len(set(ledger.ids())) == len(ledger.CLAIMS) == 143
    assert sum(map(len, ledger.sections().values())) == 143


def test_sections_are_read_from_the_first_place_named():
    wanted = {
        "3.3 fn. 3": "3.3",
        "Fig. 2 vs Abstract": "Fig. 2",
        "Figure 2": "Fig. 2",
        "Table 2": "6",
        "Figure 1": "3.1",
    }
    assert {given: ledger.chapter(claim("x", given)) for given in wanted} == wanted
    for wrong in ("8", "", "Appendix"):
        with pytest.raises(ValueError, match="claim x: found section"):
            ledger.chapter(claim("x", wrong))
    with pytest.raises(ValueError, match="same id: a"):
        ledger.in_order([claim("a"), claim("a", "1")])


def test_an_unknown_id_is_answered_with_the_nearest():
    assert ledger.claim("abs-60m-params").section.startswith("Abstract")
    with pytest.raises(KeyError, match="did you mean 'abs-60m-params'"):
        ledger.claim("abs-60m-param")


# The report ------------------------------------------------------------------------------------------------------------


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def test_every_claim_has_one_row_with_its_anchor_and_five_cells(tmp_path):
    text = claims.document(Trial(judged(*GOOD)), "figures/x.svg", tmp_path)
    rows = [line for line in text.splitlines() if line.startswith("| <a id=")]
    assert [cells(row)[0] for row in rows] == [f'<a id="{one.id}"></a>`{one.id}`' for one, _ in GOOD[:2] + GOOD[2:]]
    assert all(len(cells(row)) == 5 for row in rows)
    (wrong,) = (cells(row) for row in rows if "two-wrong" in row)
    assert wrong[2] == "**contradicted**"
    assert r"a\|b and \*c\* and cnorm2\_a \< 1 `a_b` next line" in wrong[3]
    assert "Needs: ImageNet." in text
    assert text.index("two-wrong") < text.index("one-holds")  # what is contradicted comes first
    assert "**as recorded**" in text
    assert "## 6 Results" in text


def test_the_report_says_what_was_parsed():
    assert "**parsed** from their files for `145`" in claims.document(
        Trial(judged(*GOOD), parsed=frozenset({"145"})), "x.svg", REPORTS
    )


def test_the_json_holds_all_that_the_report_does():
    found = Trial(judged(*GOOD), parsed=frozenset({"145"}))
    document = json.loads(found.as_json())
    assert document["schema"] == "alexnet-parity/claims/1"
    assert document["summary"]["claims"] == 3
    assert (document["summary"]["holds"], document["summary"]["verdict"]) == (1, "PASS")
    assert document["environment"]["original_code"]["parsed"] == ["145"]
    row = document["claims"][2]
    assert (row["id"], row["section"], row["claim"]) == ("three-far", "Table 2", "What three-far says.")
    assert (row["how"], row["verdict"], row["needs"]) == (["arithmetic"], "not checkable here", "ImageNet")
    assert all(row[key] for row in document["claims"] for key in ("verdict", "evidence", "source"))


def test_the_report_and_its_figure_are_written_whole_and_alike_each_time(tmp_path):
    path = tmp_path / "claims.md"
    found = Trial(judged(*GOOD))
    claims.write(found, path)
    picture = tmp_path / "figures" / "claims-verdicts.svg"
    first = path.read_bytes(), picture.read_bytes()
    claims.write(found, path)
    assert (path.read_bytes(), picture.read_bytes()) == first
    assert picture.read_text().rstrip().endswith("</svg>")
    assert "not checkable here (1)" in picture.read_text()
    assert "![Claims by section and verdict: 1 holds, 1 contradicted" in path.read_text()
    assert {p.name for p in tmp_path.rglob("*")} == {"claims.md", "figures", "claims-verdicts.svg"}


# Sources ---------------------------------------------------------------------------------------------------------------

CHM = "https://github.com/computerhistory/AlexNet-Source-Code/blob/2f8b81f"
CC1 = "https://github.com/mbrukman/cuda-convnet/blob/fb78b3d"


@pytest.mark.parametrize(
    "source, addresses",
    [
        ("CHM layers/layers-145.cfg:9-33", [f"{CHM}/layers/layers-145.cfg#L9-L33"]),
        ("CHM layers/a.cfg:1,7-8", [f"{CHM}/layers/a.cfg#L1", f"{CHM}/layers/a.cfg#L7-L8"]),
        (
            "CHM layer.py:3; CC1 src/cudaconv2/conv_util.cu:5",
            [f"{CHM}/layer.py#L3", f"{CC1}/src/cudaconv2/conv_util.cu#L5"],
        ),
        ("CHM layers/layer-params-145.cfg, -147.cfg", [f"{CHM}/layers/layer-params-{n}.cfg" for n in ("145", "147")]),
        ("image-net.org/challenges/LSVRC/2010/index", ["https://image-net.org/challenges/LSVRC/2010/index"]),
        ("run by checks/bounds.py; CHM test.sh:3", ["../checks/bounds.py", f"{CHM}/test.sh#L3"]),
        ("no such run in any notes", []),
        ("elsewhere.py:3", []),
    ],
)
def test_sources_link_to_the_commit_that_was_read(source, addresses):
    text = claims_sources.links(source, REPORTS)
    found = re.findall(r"\]\(([^)]*)\)", text)
    assert [address for address in found if "/tree/" not in address] == addresses
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text).replace("\\", "")
    assert plain == source  # not a word is lost


def test_a_report_elsewhere_has_no_links_into_this_machine(tmp_path):
    assert claims_sources.links("checks/bounds.py", tmp_path) == "`checks/bounds.py`"
    assert str(PROJECT) not in claims.document(Trial(judged(*GOOD)), "x.svg", tmp_path)


def test_files_of_this_project_that_the_ledger_names_exist():
    for one in ledger.CLAIMS:
        for path in re.findall(r"\b(?:reference|checks|impls)/[\w./]+\.py", one.source):
            assert Path(PROJECT, path).is_file(), (one.id, path)


def test_every_check_is_in_a_file_of_this_project_under_its_own_name():
    for one in checks.verdicts(Facts()):
        file, _, function = one.check.partition(": ")
        text = (Path(__file__).parents[2] / file).read_text(encoding="utf-8")
        assert f"def {function}(" in text, one.check
