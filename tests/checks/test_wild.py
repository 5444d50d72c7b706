"""Published AlexNets: the readings by hand are in order, a disagreement is never published, and absence is no failure."""

from __future__ import annotations

import dataclasses
import os
import re
from importlib import metadata

import pytest

from alexnet_parity.checks.audit import process, wild
from alexnet_parity.checks.audit.result import ANOTHER, Audit, Deviation, Row, verdict_of
from alexnet_parity.checks.traps import BY_ID
from alexnet_parity.impls.foreign import published
from alexnet_parity.impls.foreign.graph import Refused
from alexnet_parity.impls.foreign.published import CONVENTION, DEVIATION, Fact, Published
from alexnet_parity.reference import variants
from alexnet_parity.reports import wild as report

SUBJECTS = published.subjects()
AUDITED = [subject for subject in SUBJECTS if not (subject.refused or subject.another)]
by_name = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)


def deviation(layer: str, trap: str, kind: str, found: str = "7 | 8 <b>") -> Deviation:
    return Deviation(
        layer, trap, kind, found, "5", "its output moves by 31 %", "pass depth_radius=2", "Section 3.3", f"net.{layer}"
    )


READ = {
    "conv1": "convolution 11 x 11, 64 maps, stride 4, padding 2 + 1",
    **{
        f"conv{n}": f"convolution 3 x 3, {maps} maps, padding 1, 2 groups"
        for n, maps in enumerate((192, 384, 256, 256), 2)
    },
    "norm1": "LRN n=11, k=2, alpha=0.0001, beta=0.75",
    "pool1": "max pooling 3 x 3, stride 2, padding 1 + 0",
    **{"pool2": "max pooling 3 x 3, stride 2", "pool5": "max pooling 3 x 3, stride 2"},
    **{"fc6": "dense, 4096 units", "drop6": "dropout 0.2", "fc7": "dense, 4096 units", "fc8": "dense, 1000 units"},
}


def audit_of(subject: Published) -> Audit:
    """What an audit has to find in a subject."""
    deviations = tuple(deviation(*one) for one in sorted(subject.expected()))
    rows = tuple(Row(f"net.{layer}", "call()", text, layer, (3, 4, 5), 0.25) for layer, text in READ.items())
    return Audit(
        target="somewhere",
        framework="torch 1.2.3",
        nearest_variant=subject.nearest,
        verdict=verdict_of(deviations),
        deviations=deviations,
        rows=rows,
        input_shape=(3, 224, 224),
        batch=2,
        versions={"peak_memory_mb": "1234"},
        seconds=4.2,
    )


def a_file(tmp_path, text: str = "x = 1\n") -> dict[str, str]:
    file = tmp_path / "net.py"
    file.write_text(text)
    return {str(file): published.sha256(file)}


def installed(tmp_path, **changes) -> Published:
    """A subject whose package is there wherever pytest runs."""
    facts = (
        Fact(("norm1", "norm2"), "lrn-radius-n", DEVIATION, "net.py:7", "the radius is left at 5"),
        Fact(("prob",), "softmax-missing", CONVENTION, "net.py:9", "logits"),
    )
    here = Published("mine", "pytest", metadata.version("pytest"), "MIT", "m:net", "A network.", a_file(tmp_path))
    return dataclasses.replace(here, **{"nearest": "single-tower", "facts": facts, **changes})


def outcome_of(subject: Published, audit: Audit | None) -> wild.Outcome:
    return wild.Outcome(subject, audit)


# The readings ------------------------------------------------------------------------------------------------------------


@by_name
def test_a_reading_speaks_of_the_catalogues_traps_and_the_variants_layers(subject):
    if subject.refused or subject.another:
        assert not subject.facts
        assert not subject.nearest
        return
    known = {*variants.variant(subject.nearest).names(), *variants.variant("paper").names()}
    traps = {trap for _, trap, _ in subject.expected()}
    assert traps <= {*BY_ID, "init-other", "layer-missing"}
    assert {layer for layer, _, _ in subject.expected()} <= known
    assert subject.facts


@by_name
def test_every_finding_names_a_file_that_was_read_with_lines(subject):
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in subject.files.values())
    for fact in subject.facts:
        for place in fact.lines.split("; "):
            path, _, lines = place.partition(":")
            assert path in subject.files
            assert re.search(r"\d", lines)


@by_name
def test_a_finding_is_told_once(subject):
    told = [(layer, fact.trap) for fact in subject.facts for layer in fact.layers]
    assert len(told) == len(set(told))


def test_names_are_distinct():
    assert len({subject.name for subject in SUBJECTS}) == len(SUBJECTS)


# Held against audits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", AUDITED, ids=lambda subject: subject.name)
def test_what_the_reading_says_agrees_and_any_other_audit_does_not(subject):
    audit = audit_of(subject)
    assert outcome_of(subject, audit).agrees
    first = audit.deviations[0]
    other = CONVENTION if first.kind == DEVIATION else DEVIATION
    planted = {
        "found": dataclasses.replace(audit, deviations=(*audit.deviations, deviation("conv3", "tanh", DEVIATION))),
        "not found": dataclasses.replace(audit, deviations=audit.deviations[1:]),
        "nearest": dataclasses.replace(audit, nearest_variant="cifar-11pct"),
        "(conv": dataclasses.replace(audit, deviations=(dataclasses.replace(first, kind=other), *audit.deviations[1:])),
    }
    for says, wrong in planted.items():
        outcome = outcome_of(subject, wrong)
        assert not outcome.agrees
        assert any(says in text for text in outcome.disagreements)


def test_what_is_no_alexnet_or_could_not_be_audited_disagrees(tmp_path):
    subject = installed(tmp_path)
    other = dataclasses.replace(audit_of(subject), verdict=ANOTHER, deviations=(), notes=("no AlexNet: found 3",))
    assert outcome_of(subject, other).disagreements == ("no AlexNet: found 3",)
    assert wild.Outcome(subject, refused="it raised").disagreements == ("it could not be audited: it raised",)


def test_no_alexnet_has_to_be_said_where_it_is_expected_and_of_what_is_expected(tmp_path):
    subject = installed(tmp_path, facts=(), nearest="", another="found 5 convolutions and 0 dense layers")
    whole = audit_of(installed(tmp_path))
    trunk = dataclasses.replace(
        whole, verdict=ANOTHER, deviations=(), notes=("no AlexNet: found 5 convolutions and 0 dense layers | <b>",)
    )
    good = outcome_of(subject, trunk)
    assert good.agrees
    text = report.document([good])
    assert "found 5 convolutions and 0 dense layers \\| \\<b\\>" in text
    assert f"### {report.title(subject)}" not in text
    assert not report.read_whole([good])
    other = dataclasses.replace(trunk, notes=("no AlexNet: found 13 convolutions and 3 dense layers",))
    assert outcome_of(subject, other).disagreements == other.notes
    (says,) = outcome_of(subject, whole).disagreements
    assert "expected no AlexNet" in says
    assert not wild.Outcome(subject, refused="it raised").agrees


def test_a_refusal_has_to_be_the_expected_one(tmp_path):
    subject = installed(tmp_path, facts=(), nearest="", refused="weights.bin")
    assert wild.Outcome(subject, refused="net.onnx: weights.bin is not there").agrees
    assert not wild.Outcome(subject, refused="out of memory").agrees
    assert not wild.Outcome(subject, audit_of(installed(tmp_path))).agrees


def test_another_source_than_the_one_that_was_read_disagrees(tmp_path):
    subject = installed(tmp_path)
    assert wild.outcome(subject, lambda job: audit_of(subject)).agrees
    (file,) = subject.files
    with open(file, "a") as stream:
        stream.write("# changed\n")
    outcome = wild.outcome(subject, lambda job: audit_of(subject))
    assert outcome.disagreements == (f"{file} is not the file that was read",)


def test_an_audit_is_run_with_its_target_its_images_and_its_environment(tmp_path):
    subject = installed(tmp_path, environment=(("ALEXNET_PARITY_TEST", "1"),), input_shape=(2, 3, 5, 7))
    seen = []

    def run(job: process.Job) -> Audit:
        seen.append((job, os.environ.get("ALEXNET_PARITY_TEST")))
        return audit_of(subject)

    (outcome,) = wild.audited([subject], run)
    assert seen == [(process.Job("m:net", input_shape=(2, 3, 5, 7)), "1")]
    assert "ALEXNET_PARITY_TEST" not in os.environ
    assert outcome.audit is not None
    assert outcome.audit.target == "m:net"


def test_the_environment_is_put_back_even_where_the_audit_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("ALEXNET_PARITY_TEST", "before")
    subject = installed(tmp_path, environment=(("ALEXNET_PARITY_TEST", "1"),))
    outcome = wild.outcome(subject, refusing("it raised"))
    assert outcome.refused == "it raised"
    assert os.environ["ALEXNET_PARITY_TEST"] == "before"


def refusing(text: str):
    def run(job: process.Job) -> Audit:
        raise Refused(text)

    return run


def test_a_file_is_named_by_its_place_in_the_package_and_not_on_this_machine(tmp_path):
    subject = installed(tmp_path, target="pytest/net.onnx", facts=(), nearest="", refused="weights.bin")
    place = subject.address()
    assert place.endswith("net.onnx")
    assert place != subject.target
    outcome = wild.outcome(subject, refusing(f"{place}: weights.bin is not in {os.path.dirname(place)}"))
    assert outcome.refused == "pytest/net.onnx: weights.bin is not in pytest"


def test_a_package_that_is_not_here_or_another_version_is_absent_and_not_run(tmp_path):
    gone = dataclasses.replace(installed(tmp_path), package="no-such-package-xyz")
    old = dataclasses.replace(installed(tmp_path), version="0.0.1")
    gone_outcome, old_outcome = wild.audited([gone, old], refusing("it must not be run"))
    assert gone_outcome.absent == "no-such-package-xyz is not installed here"
    assert "0.0.1" in old_outcome.absent
    for outcome in (gone_outcome, old_outcome):
        assert not outcome.agrees
        assert not outcome.disagreements


# The report ---------------------------------------------------------------------------------------------------------------


def test_the_report_tells_every_finding_of_every_subject():
    outcomes = [outcome_of(subject, audit_of(subject)) for subject in AUDITED]
    text = report.document(outcomes)
    for subject in AUDITED:
        assert f"### {report.title(subject)}" in text
        assert f"(#{report.anchor(subject)})" in text
        for fact in subject.facts:
            assert f"`{fact.lines}`" in text
            assert f"`{fact.trap}`" in text
    assert "Not published" not in text
    assert "7 \\| 8 \\<b\\>" in text  # what a model says of itself cannot break the table


def test_a_disagreement_is_shown_and_nothing_else_is_said_of_the_subject(tmp_path):
    subject = installed(tmp_path)
    wrong = dataclasses.replace(audit_of(subject), nearest_variant="paper")
    text = report.document([outcome_of(subject, wrong)])
    assert "- mine: nearest variant: found paper, the source says single-tower" in text
    assert f"### {report.title(subject)}" not in text
    assert "lrn-radius-n" not in text


def test_cells_say_what_the_network_has_and_whose_choice_it_is(tmp_path):
    outcome = outcome_of(installed(tmp_path), audit_of(installed(tmp_path)))
    cells = {aspect: report.cell(aspect, outcome) for aspect in report.ASPECTS}
    assert cells["conv1"] == ("11 x 11 / 4\npad 2 + 1", report.EQUAL)
    assert cells["maps of conv1 to conv5"] == ("64-192-384-256-256", report.EQUAL)
    assert cells["groups"] == ("2 at 2, 3, 4, 5", report.EQUAL)
    assert cells["response\nnormalisation"] == ("k 2, n 11\nalpha 1e-4", DEVIATION)
    assert cells["pooling"] == ("3 / 2\npool1: pad 1 + 0", report.EQUAL)
    assert cells["dense"] == ("4096-4096-1000", report.EQUAL)
    assert cells["dropout"] == ("0.2, behind", report.EQUAL)
    assert cells["output"] == ("logits", CONVENTION)
    assert report.cell("dense", outcome_of(*with_deviation(tmp_path, "fc7", "units-1024"))) == cells["dense"]


UNIFORM = "weight: uniform within +-0.1, mean 0, std 0.03"
BIASES = "bias: uniform within +-0.1, mean 0, std 0.03"
WEIGHTED = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


@pytest.mark.parametrize(
    ("begun", "text", "state"),
    [
        ((), "N(0, 0.01)\nbiases 0 or 1", report.EQUAL),
        ([(n, "init-torch-uniform", CONVENTION, UNIFORM) for n in WEIGHTED], "±1 / √fan in", CONVENTION),
        ([(n, "init-torch-uniform", DEVIATION, UNIFORM) for n in WEIGHTED[:5]], "±1 / √fan in\nN(0, 0.01)", DEVIATION),
        ([(n, "init-std-001", CONVENTION, "weight: normal") for n in WEIGHTED], "N(0, 0.01)", CONVENTION),
        ([("conv1", "init-bias-uniform", CONVENTION, BIASES)], "N(0, 0.01)\nother biases", CONVENTION),
        (
            [(n, "init-other", DEVIATION, "weight: truncated, mean 7.9e-06, std 0.00439") for n in WEIGHTED],
            "truncated, std 0.00439",
            DEVIATION,
        ),
    ],
    ids=("the paper's", "torch's", "half torch's", "the paper's weights by name", "biases alone", "no known law"),
)
def test_first_values_are_the_papers_only_where_nothing_begins_otherwise(tmp_path, begun, text, state):
    subject = installed(tmp_path, nearest="one-weird-trick")
    audit = dataclasses.replace(audit_of(subject), deviations=tuple(deviation(*one) for one in begun))
    assert report.cell("first values", outcome_of(subject, audit)) == (text, state)


@pytest.mark.parametrize("subject", AUDITED, ids=lambda subject: subject.name)
def test_no_cell_says_that_a_subject_begins_as_the_paper_where_its_reading_says_otherwise(subject):
    audit = audit_of(subject)
    begun = [dataclasses.replace(d, found=UNIFORM) if d.trap in report.LAWS else d for d in audit.deviations]
    text, state = report.cell("first values", outcome_of(subject, dataclasses.replace(audit, deviations=tuple(begun))))
    assert state != report.EQUAL or not any(trap.startswith("init-") for _, trap, _ in subject.expected())
    assert text != report.PAPER[-1] or state == report.EQUAL


def with_deviation(tmp_path, layer: str, trap: str) -> tuple[Published, Audit]:
    """A deviation from a nearest variant that is otherwise than the paper there: the cell is as in the paper all the same."""
    subject = installed(tmp_path)
    audit = audit_of(subject)
    return subject, dataclasses.replace(audit, deviations=(*audit.deviations, deviation(layer, trap, DEVIATION)))


def test_dropout_that_could_not_be_run_is_not_judged(tmp_path):
    audit = audit_of(installed(tmp_path))
    rows = tuple(row for row in audit.rows if row.layer != "drop6")
    blind = dataclasses.replace(
        audit, rows=rows, notes=("it cannot be run in training mode here: dropout was not judged",)
    )
    assert report.cell("dropout", outcome_of(installed(tmp_path), blind)) == (report.NOT_JUDGED, report.NOT_JUDGED)
    without = dataclasses.replace(audit, rows=rows)
    assert report.cell("dropout", outcome_of(installed(tmp_path), without))[0] == "none"


# The command --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def one(monkeypatch, tmp_path) -> Published:
    subject = installed(tmp_path)
    monkeypatch.setattr(published, "subjects", lambda: (subject,))
    return subject


def test_the_report_and_its_figure_are_written_and_all_agree(one, tmp_path, capsys):
    file = tmp_path / "wild.md"
    assert report.main(["-o", str(file)], lambda job: audit_of(one)) == 0
    assert "1 of 1 subjects are what their source says" in capsys.readouterr().out
    assert "figures/wild.svg" in file.read_text()
    picture = (tmp_path / "figures" / "wild.svg").read_text()
    assert report.title(one) in picture
    assert "k 2, n 11" in picture


def test_a_planted_disagreement_fails(one, tmp_path, capsys):
    wrong = dataclasses.replace(audit_of(one), deviations=())
    assert report.main(["-o", str(tmp_path / "wild.md")], lambda job: wrong) == 1
    said = capsys.readouterr().err
    assert "wild: mine: in the source and not found: lrn-radius-n at norm1 (deviation)" in said
    assert "Not published" in (tmp_path / "wild.md").read_text()


def test_nothing_installed_is_told_in_one_line(one, tmp_path, capsys, monkeypatch):
    gone = dataclasses.replace(one, package="no-such-package-xyz")
    monkeypatch.setattr(published, "subjects", lambda: (gone,))
    assert report.main(["-o", str(tmp_path / "wild.md")], refusing("it must not be run")) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == "wild: none of the 1 subjects is installed here; `tox -e wild` installs them"
    assert not (tmp_path / "wild.md").exists()


def test_a_subject_can_be_chosen_and_an_unknown_one_is_refused(one, tmp_path, capsys):
    assert report.main(["mine", "-o", str(tmp_path / "wild.md")], lambda job: audit_of(one)) == 0
    assert report.main(["yours", "-o", str(tmp_path / "wild.md")], refusing("it must not be run")) == 2
    assert "no subject 'yours'; there are mine" in capsys.readouterr().err
