"""The GitHub action without GitHub: its file, and its steps run in bash on a repository as a caller might have it."""

from __future__ import annotations

import re
import subprocess
import tomllib
from xml.etree import ElementTree

import pytest
from action_runner import EXPRESSION, ROOT, action, job
from harness import SUPPORT

from alexnet_parity.impls import find

ACTION = action()
STEPS = ACTION["runs"]["steps"]
SCRIPTS = [step for step in STEPS if "run" in step]
THIN = {"command": "verify", "variant": "paper-thin"}
QUICK = {**THIN, "checks": "structure local-large"}

GOOD = f"""
import sys
sys.path.append({str(SUPPORT)!r})
from numpy_alexnet import build
"""
FAULTY = f"""
import dataclasses
import sys

sys.path.append({str(SUPPORT)!r})
import wrong
from alexnet_parity.reference.spec import Lrn


def build(network, params):
    return wrong.Wrong(Lrn, lambda norm: dataclasses.replace(norm, alpha=norm.alpha / norm.n)).build(network, params)
"""


@pytest.fixture
def used(tmp_path):
    """used(**inputs) -> Job: the action in a repository with a good and a faulty implementation."""
    repository, work = tmp_path / "their repository", tmp_path / "runner"
    (repository / "nets").mkdir(parents=True)
    work.mkdir()
    (repository / "good.py").write_text(GOOD)
    (repository / "nets" / "faulty.py").write_text(FAULTY)

    def use(**inputs):
        return job(repository, work, **inputs)

    use.repository = repository
    return use


# The file ---------------------------------------------------------------------------------------------------------------


def test_it_is_a_composite_action_and_every_step_says_what_runs_it():
    assert ACTION["runs"]["using"] == "composite"
    assert {"name", "description", "inputs", "outputs", "runs"} <= ACTION.keys()
    for step in STEPS:
        assert ("uses" in step) != ("run" in step)
        assert step.get("shell") == ("bash" if "run" in step else None)
    for about in (*ACTION["inputs"].values(), *ACTION["outputs"].values()):
        assert about["description"]
    assert {about.get("required", "default" in about) for about in ACTION["inputs"].values()} == {True}


def test_inputs_that_are_used_are_declared_and_those_declared_are_used():
    expressions = [found for step in STEPS for found in EXPRESSION.findall(str(step))]
    expressions += [word for step in STEPS for word in re.findall(r"inputs\.[\w-]+", str(step.get("if", "")))]
    named = {expression.removeprefix("inputs.") for expression in expressions}
    assert named == set(ACTION["inputs"])


def test_no_script_holds_an_expression():
    """Text from a pull request (a title, a branch, an input made of them) would be run."""
    for step in SCRIPTS:
        assert "${{" not in step["run"]


def test_outputs_come_from_a_step_that_exists():
    for about in ACTION["outputs"].values():
        step, _, name = re.fullmatch(r"\${{ steps\.([\w-]+)\.(outputs)\.([\w-]+) }}", about["value"]).groups()
        assert [s for s in STEPS if s.get("id") == step]
        assert name


@pytest.mark.parametrize("step", SCRIPTS, ids=lambda step: step["name"])
def test_every_variable_of_a_script_is_given_to_it(step):
    known = {*step["env"], "GITHUB_ACTION_PATH", "GITHUB_OUTPUT"}
    assigned = set(re.findall(r"\b(\w+)=", step["run"])) | set(re.findall(r"for (\w+) in", step["run"]))
    assert set(re.findall(r"\$\{?(\w+)", step["run"])) <= known | assigned
    assert subprocess.run(["bash", "-n", "-c", step["run"]], check=False).returncode == 0


# Used -------------------------------------------------------------------------------------------------------------------


def test_a_good_module_passes(used):
    done = used(target="good", framework="torch", report="parity.md", **QUICK)
    assert done.status == 0, done.log
    assert not done.annotations()
    junit = used.repository / "alexnet-parity.xml"
    assert done.outputs == {
        "verdict": "PASS",
        "first-departure": "",
        "report": "parity.md",
        "junit": "alexnet-parity.xml",
    }
    assert ElementTree.parse(junit).getroot().find(".//failure") is None
    assert (used.repository / "parity.md").is_file()
    assert done.summary.startswith("## alexnet-parity verify: PASS\n")
    assert "First departures" not in done.summary
    assert done.pip == f"{ROOT}: -m pip install --quiet .[torch]"


def test_a_faulty_module_fails_and_its_cause_is_told_everywhere(used):
    done = used(target="good nets/faulty.py", **QUICK)
    assert done.status == 1
    assert done.outputs["verdict"] == "FAIL"
    assert done.outputs["first-departure"] == (
        "norm1 (local-large, paper-thin): agrees if alpha is divided by n [lrn-alpha-over-n]"
    )
    first = done.annotations()[0]
    assert first.startswith("::error file=nets/faulty.py,line=10,title=FAIL%3A local-large norm1 (paper-thin)::")
    assert "%0Aagrees if alpha is divided by n [lrn-alpha-over-n]%0Aagain: alexnet-parity verify --impl" in first
    assert "norm2" in done.annotations()[1]
    assert done.summary.startswith("## alexnet-parity verify: FAIL\n")
    assert "agrees if alpha is divided by n" in done.summary
    failures = ElementTree.parse(used.repository / "alexnet-parity.xml").getroot().findall(".//failure")
    assert any("alpha is divided by n" in failure.text for failure in failures)


def test_the_folder_and_several_variants_and_patterns_are_passed_on(used):
    done = used(
        target="faulty.py",
        working_directory="nets",
        install="false",
        junit="",
        json="found.json",
        **{**QUICK, "variant": "paper-thin\n*brukman-thin", "checks": "structure-shapes"},
    )
    assert done.status == 0, done.log
    assert not done.pip
    assert "cifar-brukman-thin" in done.summary
    assert (used.repository / "nets" / "found.json").is_file()
    assert not list(used.repository.rglob("*.xml"))
    assert done.outputs["junit"] == ""


@pytest.mark.parametrize(
    "inputs, words",
    [
        ({"target": "god", **QUICK}, "no implementation, module or file 'god'"),
        ({"target": "good", **QUICK, "checks": "loacl"}, "did you mean 'local'?"),
        ({"target": "good", **QUICK, "device": "tpu"}, "invalid choice"),
        ({"target": "good", **QUICK, "seed": "-1"}, "whole number"),
        ({"target": "good", "command": "verfy"}, "neither audit nor verify"),
        ({"target": "-h"}, "-h"),
        ({"target": "net.py:Net"}, "no file 'net.py'"),
        ({"target": "good.py:build", "fail_on": "all"}, "invalid choice"),
    ],
    ids=str,
)
def test_what_cannot_be_judged_is_an_error_of_one_line(used, inputs, words):
    done = used(**inputs)
    assert done.status == 2
    assert len(done.annotations()) == 1
    assert words in done.annotations()[0]
    assert done.outputs["verdict"] == "ERROR"
    assert "Traceback" not in done.log


def test_the_framework_of_every_implementation_can_be_installed():
    install = next(step["run"] for step in SCRIPTS if "FRAMEWORK" in step["env"])
    names = re.search(r"^ *([\w |]+)\) extra=", install, flags=re.MULTILINE)[1].split(" | ")
    assert {find.extra(name) for name in find.own()} <= set(names)
    assert ", ".join(names) in install  # what is said of any other
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(names) <= extras.keys()


@pytest.mark.parametrize("name", ["torch; touch stolen", "keras]", "--help"])
def test_a_framework_that_is_none_is_not_installed(used, name):
    done = used(target="good", framework=name, **QUICK)
    assert done.status == 2
    assert not done.pip
    assert not done.outputs["verdict"]


@pytest.mark.parametrize("name", ["target", "variant", "checks", "device", "seed", "timeout", "command"])
def test_inputs_are_never_run(used, name):
    hostile = '"; touch stolen; " $(touch stolen) `touch stolen`\n::warning::stolen\n'
    done = used(**{"target": "good", "install": "false", "junit": "", **QUICK, name: hostile})
    assert done.status == 2
    assert not done.annotations("warning")
    assert not list(used.repository.rglob("stolen"))


def test_another_python_is_set_up_where_one_is_asked_for(used):
    assert used(target="none", **QUICK).used == []
    assert used(target="none", python_version="3.12", **QUICK).used == ["actions/setup-python@v5"]
