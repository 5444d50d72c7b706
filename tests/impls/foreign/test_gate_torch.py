"""A torch model in somebody else's CI: audited by the GitHub action and by pytest, with its deviations told in both."""

from __future__ import annotations

from importlib import metadata
from xml.etree import ElementTree

import pytest

pytest.importorskip("torch")
pytest.importorskip("yaml")

from action_runner import job

pytest_plugins = "pytester"

PLUGIN = "alexnet_parity.cli.pytest_plugin"
INSTALLED = any(entry.value == PLUGIN for entry in metadata.entry_points(group="pytest11"))

# Few maps keep it quick; the geometry is the paper's, the norms' alpha and the place of dropout as many write them.
NET = """
from torch import nn


def norm():
    return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0)


def net():
    return nn.Sequential(
        nn.Conv2d(3, 6, 11, stride=4), nn.ReLU(), norm(), nn.MaxPool2d(3, 2),
        nn.Conv2d(6, 12, 5, padding=2, groups=2), nn.ReLU(), norm(), nn.MaxPool2d(3, 2),
        nn.Conv2d(12, 14, 3, padding=1), nn.ReLU(),
        nn.Conv2d(14, 16, 3, padding=1, groups=2), nn.ReLU(),
        nn.Conv2d(16, 10, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Flatten(),
        nn.Dropout(), nn.Linear(360, 24), nn.ReLU(),
        nn.Dropout(), nn.Linear(24, 20), nn.ReLU(),
        nn.Linear(20, 7), nn.Softmax(dim=1),
    )
"""


@pytest.fixture
def project(pytester, monkeypatch):
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    (pytester.path / "mine.py").write_text(NET)
    return pytester


def test_the_action_tells_deviations_at_the_line_of_the_factory(project):
    done = job(project.path, project.mkdir("runner"), target="mine.py:net", report="audit.md", json="audit.json")
    assert done.status == 1, done.log
    assert done.outputs["verdict"] == "FAIL"
    assert done.outputs["first-departure"].startswith("conv1 (0) [channels-other]: found maps 6, expected maps 96")
    line = 1 + NET[: NET.index("def net")].count("\n")
    wrong = [told for told in done.annotations("error") if "[dropout-before-dense]" in told]
    assert len(wrong) == 1
    assert wrong[0].startswith(f"::error file=mine.py,line={line},title=deviation%3A drop6 (16) [")
    chosen = [told for told in done.annotations("notice") if "[lrn-alpha-over-n]" in told]
    assert chosen[0].startswith(f"::notice file=mine.py,line={line},title=convention%3A norm1 (2)%2C norm2 (6) [")
    assert done.summary.startswith("## alexnet-parity audit: FAIL\n")
    assert "dropout-before-dense" in done.summary
    assert (project.path / "audit.md").is_file()
    cases = list(ElementTree.parse(project.path / "alexnet-parity.xml").getroot().iter("testcase"))
    failed = {case.get("name") for case in cases if case.find("failure") is not None}
    assert "drop6 (16) [dropout-before-dense]" in failed
    assert "norm1 (2), norm2 (6) [lrn-alpha-over-n]" in {case.get("name") for case in cases} - failed


def test_pytest_asks_what_the_audit_answers(project):
    forced = () if INSTALLED else ("-p", PLUGIN)
    done = project.runpytest_subprocess(*forced, "--alexnet-parity=mine:net", "-v")
    done.stdout.fnmatch_lines(
        [
            "alexnet-parity::mine:net is an AlexNet PASSED*",
            "alexnet-parity::mine:net has nothing unexplained PASSED*",
            "alexnet-parity::mine:net deviates nowhere FAILED*",
            "deviation    drop6 (16) [[]dropout-before-dense[]]",
            "  found      behind flatten*",
            "again: alexnet-parity audit mine:net",
        ]
    )
    done.assert_outcomes(passed=2, failed=1)
