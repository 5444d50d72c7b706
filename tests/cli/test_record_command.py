"""`record`, and `verify` of what it wrote: exit status, one clear line, and a bare machine is enough."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
from harness import NUMPY, SUPPORT, findings_of, run

from alexnet_parity.checks.traces import taking, trace
from alexnet_parity.cli import record
from alexnet_parity.reports import findings_file

ROOT = SUPPORT.parent.parent
THIN = ("--impl", NUMPY, "--variant", "paper-thin")
JUDGED = ("--check", "exact-chain", "--check", "structure", "--check", "together")
MISBEHAVING = str(SUPPORT / "misbehaving.py")


@pytest.fixture(scope="module")
def taken(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("taken") / "t.safetensors"
    assert run("record", *THIN, "-o", path, "--pass", "exact", "--pass", "large", "--seed", "3") == 0
    return path


def test_the_passes_are_those_that_can_be_taken():
    assert record.PASSES is taking.PASSES


def test_what_was_recorded_verifies_with_its_own_variant_and_seed(taken, tmp_path):
    assert run("verify", "--impl", taken, *JUDGED, "--json", tmp_path / "f.json") == 0
    found = findings_of(tmp_path / "f.json")
    assert {f.impl for f in found} == {"numpy_alexnet.py (cpu)"}
    assert {(f.variant, f.seed, f.device) for f in found} == {("paper-thin", 3, "cpu")}


def test_a_recorded_and_a_live_implementation_are_compared(taken, tmp_path):
    assert run("verify", "--impl", taken, "--impl", NUMPY, "--check", "together", "--json", tmp_path / "f.json") == 0
    found = findings_of(tmp_path / "f.json")
    assert {f.impl for f in found} == {f"{NUMPY} ~ numpy_alexnet.py (cpu)"}
    assert {f.check for f in found if f.status == "PASS"} == {"together-exact", "together-large"}


def test_the_command_that_runs_a_finding_again_names_the_file(taken, tmp_path):
    run("verify", "--impl", taken, "--check", "exact-chain", "--json", tmp_path / "f.json")
    arguments = findings_of(tmp_path / "f.json")[0].replay.split()[1:]
    assert run(*arguments) == 0


def test_what_the_trace_says_of_its_making_is_in_the_findings(taken, tmp_path):
    run("verify", "--impl", taken, "--check", "exact-chain", "--json", tmp_path / "f.json")
    (made,) = findings_file.read(tmp_path / "f.json").environment["runs"]
    held = trace.read(taken)
    assert made["implementations"]["numpy_alexnet.py (cpu)"]["sources"] == held.environment["sources"]
    assert held.flags["numpy"] == np.__version__


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["record", *THIN], "-o/--output"),
        (["record", *THIN, "-o", "t.npz"], "ends in .safetensors"),
        (["record", *THIN, "-o", "no/such/folder/t.safetensors"], "no folder"),
        (["record", "--impl", NUMPY, "--variant", "papr", "-o", "t.safetensors"], "did you mean 'paper'?"),
        (["record", "--impl", "trch", "-o", "t.safetensors"], "did you mean 'torch'?"),
        (["record", *THIN, "-o", "t.safetensors", "--pass", "exat"], "invalid choice"),
        (["record", *THIN, "-o", "t.safetensors", "--device", "cuda"], "takes no device"),
        (["record", "--impl", "t.safetensors", "-o", "u.safetensors"], "is a trace"),
        (["verify", "--impl", "t.safetensors"], "no file"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[:1]),
)
def test_bad_usage_is_one_line_and_status_2(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--variant", "paper-224-thin"], "was recorded of paper-thin, asked for: paper-224-thin"),
        (["--seed", "4"], "was recorded with seed 3, expected 4"),
    ],
)
def test_a_trace_of_something_else_is_refused(taken, arguments, words, capsys):
    assert run("verify", "--impl", taken, *arguments) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_two_traces_of_different_seeds_are_not_judged_together(taken, tmp_path, capsys):
    assert run("record", *THIN, "-o", tmp_path / "u.safetensors", "--pass", "exact") == 0
    assert run("verify", "--impl", taken, "--impl", tmp_path / "u.safetensors") == 2
    assert "seed 0, expected 3" in capsys.readouterr().err


def test_a_damaged_trace_is_refused_before_anything_runs(taken, tmp_path, capsys):
    content = bytearray(taken.read_bytes())
    content[-3] ^= 4
    (tmp_path / "t.safetensors").write_bytes(content)
    assert run("verify", "--impl", tmp_path / "t.safetensors", "--impl", NUMPY, "--json", tmp_path / "f.json") == 2
    said = capsys.readouterr()
    assert "not those that were written" in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert not (tmp_path / "f.json").exists()


def test_an_implementation_that_fails_half_way_is_recorded_as_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ALEXNET_MISBEHAVES", "raises at fc6")
    path = tmp_path / "t.safetensors"
    arguments = ("--impl", MISBEHAVING, "--variant", "paper-thin", "-o", path, "--pass", "exact")
    assert run("record", *arguments) == 1
    assert "activations() raised" in capsys.readouterr().out
    assert run("verify", "--impl", path, "--check", "exact-chain", "--json", tmp_path / "f.json") == 1
    found = {f.layer: f.status for f in findings_of(tmp_path / "f.json")}
    assert (found["pool5"], found["fc6"]) == ("PASS", "ERROR")


@pytest.mark.parametrize("way", ["raises on import", "imports what is missing"])
def test_where_nothing_was_recorded_nothing_is_written_or_lost(tmp_path, monkeypatch, capsys, way):
    monkeypatch.setenv("ALEXNET_MISBEHAVES", way)
    path = tmp_path / "t.safetensors"
    path.write_text("what was there before")
    assert run("record", "--impl", MISBEHAVING, "--variant", "paper-thin", "-o", path, "--pass", "exact") == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert path.read_text() == "what was there before"


def test_a_run_that_fails_half_way_replaces_no_good_trace(taken, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ALEXNET_MISBEHAVES", "raises at fc6")
    path, failed = tmp_path / "t.safetensors", tmp_path / "t.failed.safetensors"
    path.write_bytes(taken.read_bytes())
    arguments = ("--impl", MISBEHAVING, "--variant", "paper-thin", "-o", path, "--pass", "exact", "--pass", "large")
    assert run("record", *arguments) == 1
    assert f"{path} was kept as it was; what was recorded, with what failed, is in {failed}" in capsys.readouterr().err
    assert path.read_bytes() == taken.read_bytes()
    assert list(trace.read(failed).recordings) == ["exact", "large"]


# A machine with a GPU, acted ---------------------------------------------------------------------------------------------

ON_GPU = """
import numpy_alexnet


class Model(numpy_alexnet.Model):
    def flags(self):
        return {"device": self.device, "tf32": "False"}


def build(network, params, device="cpu"):
    model = Model(network, params)
    model.device = "cuda ACME H1000"
    return model
"""
CARD = "#!/bin/sh\necho 'ACME H1000, 580.82.07, 9.0'\necho 'ACME H1000, 580.82.07, 9.0'\n"


def test_what_ran_on_a_gpu_is_judged_here_as_of_a_gpu(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(f"import sys\nsys.path.append({str(SUPPORT)!r})\n{ON_GPU}")
    (tmp_path / "nvidia-smi").write_text(CARD)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    path = tmp_path / "t.safetensors"
    words = ("--impl", tmp_path / "mine.py", "--variant", "paper-thin", "--device", "cuda", "--pass", "exact")
    assert run("record", *words, "-o", path) == 0
    held = trace.read(path)
    assert (held.impl, held.device) == ("mine.py", "cuda")
    card = {"gpu": "ACME H1000", "driver": "580.82.07", "compute capability": "9.0"}
    assert card.items() <= held.environment.items()
    assert run("verify", "--impl", path, "--impl", NUMPY, *JUDGED, "--json", tmp_path / "f.json") == 0
    found = findings_of(tmp_path / "f.json")
    assert {(f.impl, f.device) for f in found} >= {("mine.py (cuda)", "cuda"), (NUMPY, "cpu")}
    assert {f.device for f in found if "~" in f.impl} == {"cpu ~ cuda"}
    here, there = findings_file.read(tmp_path / "f.json").environment["runs"]
    assert (here["device"], *here["implementations"]) == ("cpu", NUMPY)
    assert (there["device"], *there["implementations"]) == ("cuda", "mine.py (cuda)")
    assert there["implementations"]["mine.py (cuda)"]["driver"] == "580.82.07"


@pytest.mark.parametrize(
    "said, device", [("cuda NVIDIA H100", "cuda"), ("/GPU:0", "cuda"), ("/CPU:0", "cpu"), ("cpu", "cpu"), ("", "cpu")]
)
def test_with_device_auto_a_model_says_where_it_ran(said, device):
    assert taking.ran_on(said) == device


# A machine with Python, NumPy and a clone ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A Python that has NumPy and nothing else, and the environment in which it finds the clone."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder / "python", with_pip=False, symlinks=True)
    (folder / "packages").mkdir()
    beside = Path(np.__file__).parent.parent
    for name in ("numpy", "numpy.libs"):
        if (beside / name).exists():
            (folder / "packages" / name).symlink_to(beside / name)
    paths = os.pathsep.join((str(ROOT / "cli" / "clone"), str(folder / "packages")))
    python = folder / "python" / ("Scripts" if os.name == "nt" else "bin") / Path(sys.executable).name
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("PYTHON", "COV_"))}
    return python, {**kept, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}


def test_a_plain_clone_records_and_verifies_with_numpy_alone(bare, tmp_path):
    python, environment = bare

    def command(*arguments: object) -> subprocess.CompletedProcess[str]:
        words = [python, "-m", "alexnet_parity.cli", *map(str, arguments)]
        return subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)

    done = command("record", *THIN, "-o", "t.safetensors")
    assert (done.returncode, done.stderr) == (0, "")
    assert "exact, large, photograph" in done.stdout
    judged = command("verify", "--impl", "t.safetensors", *JUDGED)
    assert (judged.returncode, judged.stderr) == (0, "")
    assert (tmp_path / "t.safetensors").stat().st_size < 2_000_000


def test_the_bare_machine_of_this_test_has_nothing_but_numpy(bare):
    python, environment = bare
    for name in ("pandas", "PIL", "matplotlib", "tabulate", "safetensors", "pytest"):
        assert subprocess.run(
            [python, "-c", f"import {name}"], env=environment, capture_output=True, check=False
        ).returncode
    assert not subprocess.run([python, "-c", "import numpy"], env=environment, check=False).returncode


def test_recording_imports_nothing_but_numpy_and_the_standard_library(tmp_path):
    script = (
        "import sys\nfrom alexnet_parity.cli.main import main\n"
        f"status = main({['record', *THIN, '-o', str(tmp_path / 't.safetensors'), '--pass', 'photograph']})\n"
        "print('LOADED', *{name.partition('.')[0] for name in sys.modules})\nsys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.partition("LOADED ")[2].split())
    outside = {
        name for name in loaded if name not in sys.stdlib_module_names and not name.startswith(("_", "sitecustomize"))
    }
    assert {"alexnet_parity", "numpy"} <= outside
    assert not outside & {
        "pandas",
        "PIL",
        "matplotlib",
        "tabulate",
        "safetensors",
        "torch",
        "tensorflow",
        "keras",
        "jax",
    }
