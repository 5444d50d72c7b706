"""`pytest --alexnet-parity=...` as somebody's project would run it, in a folder of its own."""

from __future__ import annotations

from importlib import metadata

import pytest
from harness import SUPPORT

from alexnet_parity.cli import pytest_run

pytest_plugins = "pytester"

NAME = "alexnet_parity.cli.pytest_plugin"
INSTALLED = any(entry.value == NAME for entry in metadata.entry_points(group="pytest11"))
QUICK = ("--alexnet-parity-variant=paper-thin", "--alexnet-parity-check=structure", "--alexnet-parity-check=local")

GOOD = f"""
import sys
from pathlib import Path

sys.path.append({str(SUPPORT)!r})
from numpy_alexnet import build

with Path(__file__).with_name("runs").open("a") as stream:
    stream.write("run\\n")
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
THEIRS = """
def test_theirs():
    pass
"""


@pytest.fixture
def project(pytester, monkeypatch):
    """project(*arguments) -> what pytest gave in a folder with a good and a faulty implementation and a test of its own."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makepyfile(good=GOOD, faulty=FAULTY, test_theirs=THEIRS)
    pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = --strict-markers --strict-config -p no:cacheprovider")

    def run(*arguments, apart=False):
        """apart: in a process of its own; here is quicker."""
        forced = () if INSTALLED else ("-p", NAME)
        return (pytester.runpytest_subprocess if apart else pytester.runpytest_inprocess)(*forced, *arguments)

    return run


def runs(pytester) -> int:
    """How many processes the implementation was imported in."""
    return len(file.read_text().splitlines()) if (file := pytester.path / "runs").exists() else 0


def test_without_the_option_nothing_is_loaded_and_nothing_is_done(project, pytester):
    pytester.makeconftest(
        """
        import sys

        def pytest_unconfigure():
            print("LOADED", *sorted(name for name in sys.modules if name.startswith(("alexnet_parity", "numpy", "pandas"))))
        """
    )
    done = project("-q", apart=True)
    done.assert_outcomes(passed=1)
    loaded = next(line for line in done.outlines if "LOADED" in line).partition("LOADED")[2].split()
    assert set(loaded) == {"alexnet_parity", "alexnet_parity.cli", NAME}


def test_a_good_module_passes_and_runs_once_beside_their_own_tests(project, pytester):
    done = project("--alexnet-parity=good", "--alexnet-parity-check=init-seeds", *QUICK, "-v", "-rs")
    done.assert_outcomes(passed=6, skipped=1)
    assert done.ret == 0
    done.stdout.fnmatch_lines_random(
        [
            "*test_theirs PASSED*",
            "alexnet-parity::good passes structure-shapes on paper-thin PASSED*",
            "alexnet-parity::good passes local-photograph on paper-thin PASSED*",
            "*: no initialisers.initial(network, seed): *",
        ]
    )
    assert runs(pytester) == 1


def test_a_planted_fault_fails_its_checks_and_is_named(project):
    done = project("--alexnet-parity=faulty.py", *QUICK, "--junitxml=j.xml")
    done.assert_outcomes(passed=4, failed=2)
    done.stdout.fnmatch_lines(
        [
            "*__ faulty.py passes local-large on paper-thin __*",
            "local-large FAIL at norm1: agrees if alpha is divided by n [[]lrn-alpha-over-n[]]",
            "norm1 (FAIL)",
            "  found     * over their bound, *",
            "  expected  *",
            "  hint      agrees if alpha is divided by n *",
            "norm2 (FAIL)",
            "2 of 24 findings are wrong; again: alexnet-parity verify --impl faulty.py --variant paper-thin *",
            "FAILED alexnet-parity::faulty.py passes local-large on paper-thin*",
        ]
    )
    assert "Traceback" not in done.stdout.str()
    assert "pytest_gate.py" not in done.stdout.str()


def test_collecting_runs_nothing_and_k_runs_what_is_left(project, pytester):
    done = project("--alexnet-parity=good", *QUICK, "--collect-only", "-q")
    done.stdout.fnmatch_lines(["alexnet-parity::good passes structure-shapes on paper-thin", "6 tests collected*"])
    assert runs(pytester) == 0
    done = project("--alexnet-parity=good", *QUICK, "-k", "structure-shapes")
    done.assert_outcomes(passed=1, deselected=5)


def test_workers_of_xdist_share_one_run(project, pytester):
    done = project("--alexnet-parity=good", *QUICK, "-n", "2", apart=True)
    done.assert_outcomes(passed=6)
    assert runs(pytester) == 1


def test_what_another_worker_finished_just_now_is_not_made_again(tmp_path, monkeypatch):
    made, claimed = [], pytest_run.claimed

    def late(claim):
        """The other worker ends between our look at what is done and our claim."""
        (tmp_path / "verify.json").write_text('{"findings": []}')
        return claimed(claim)

    monkeypatch.setattr(pytest_run, "claimed", late)
    found = pytest_run.shared(tmp_path / "verify", lambda: made.append("again") or {"findings": ["ours"]})
    assert (found, made) == ({"findings": []}, [])
    assert [path.name for path in tmp_path.iterdir()] == ["verify.json"]


def test_who_is_interrupted_leaves_the_work_to_others(tmp_path):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pytest_run.shared(tmp_path / "verify", interrupted)
    assert list(tmp_path.iterdir()) == []
    assert pytest_run.shared(tmp_path / "verify", lambda: {"findings": []}) == {"findings": []}


def test_two_implementations_are_held_against_each_other_wherever_pytest_finds_them(project, pytester):
    pytester.mkdir("src")
    (pytester.path / "good.py").rename(pytester.path / "src" / "elsewhere.py")
    both = ("--alexnet-parity=elsewhere", "--alexnet-parity=faulty", "--alexnet-parity-variant=paper-thin")
    asked = ("--alexnet-parity-check=together-large", "--alexnet-parity-check=dropout-conventions")
    done = project(*both, *asked, "-v", "-o", "pythonpath=src")
    done.assert_outcomes(passed=2, failed=1)
    done.stdout.fnmatch_lines(
        [
            "alexnet-parity::elsewhere and faulty pass together-large on paper-thin FAILED*",
            "alexnet-parity::oracle passes dropout-conventions on paper-thin PASSED*",
            "norm1 (FAIL)",
        ]
    )


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--alexnet-parity=goood"], "--alexnet-parity: no implementation, module or file 'goood'"),
        (["--alexnet-parity=nets/mine.py"], "--alexnet-parity: no file 'nets/mine.py' here"),
        (["--alexnet-parity=t.safetensors"], "alexnet-parity verify --impl t.safetensors judges it"),
        (["--alexnet-parity=good", "--alexnet-parity-variant=papr"], "did you mean 'paper'?"),
        (["--alexnet-parity=good", "--alexnet-parity-check=loacl"], "did you mean 'local'?"),
        (["--alexnet-parity=net.onnx", "--alexnet-parity-variant=*"], "audited against one variant"),
        (["--alexnet-parity=good", "--alexnet-parity-timeout=0"], "seconds above 0"),
    ],
    ids=str,
)
def test_what_is_unknown_is_a_usage_error_of_one_line(project, arguments, words):
    done = project(*arguments)
    assert done.ret == pytest.ExitCode.USAGE_ERROR == 4
    said = [line for line in done.errlines if line.strip()]
    assert len(said) == 1
    assert said[0].startswith("ERROR: ")
    assert words in said[0]


def test_an_implementation_that_cannot_be_imported_fails_with_the_reason(project, pytester):
    pytester.makepyfile(broken="raise ValueError('no luck today')")
    done = project("--alexnet-parity=broken", *QUICK, "-k", "structure-shapes or local-large")
    done.assert_outcomes(failed=2, deselected=4)
    done.stdout.fnmatch_lines(["*its import raised ValueError: no luck today*"])


def test_a_model_that_cannot_be_audited_fails_in_one_line(project):
    done = project("--alexnet-parity=faulty.py:builds", "-k", "unexplained")
    done.assert_outcomes(failed=1, deselected=3)
    done.stdout.fnmatch_lines(["faulty.py has no 'builds'; did you mean 'build'?"])
