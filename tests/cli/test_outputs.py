"""What a command reads it never writes over; what it could not write it says before the work; what it wrote it says truly."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from harness import NUMPY, SUPPORT, run

from alexnet_parity.cli import verify
from alexnet_parity.cli.progress import Progress
from alexnet_parity.reports import junit, parity

THIN = ("--impl", NUMPY, "--variant", "paper-thin", "--check", "structure")
COMMAND = (sys.executable, "-m", "alexnet_parity.cli")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The current folder, with one file of each kind that a command reads; none of them would do."""
    monkeypatch.chdir(tmp_path)
    for name in ("mine.py", "theirs.py", "t.safetensors", "a.json", "b.json", "w.npz", "labels.txt", "m.npy", "m.onnx"):
        Path(name).write_text(name)
    Path("images").mkdir()
    Path("images/1.png").write_text("1.png")
    Path("link.safetensors").symlink_to("mine.py")
    Path("link.json").symlink_to("a.json")
    return tmp_path


DATA = ("--weights", "w.npz", "--data", "images")


@pytest.mark.parametrize(
    "output, arguments",
    [
        ("mine.py", ["verify", "--impl", "mine.py", "--json"]),
        ("mine.py", ["verify", "--impl", NUMPY, "--impl", "./mine.py@compile", "--junit"]),
        ("mine.py", ["verify", "--impl", "mine", "--report"]),
        ("mine.py", ["verify", "--impl", "link.py", "--json"]),
        ("t.safetensors", ["verify", "--impl", "t.safetensors", "--json"]),
        ("images/../a.json", ["report", "a.json", "b.json", "-o"]),
        ("b.json", ["report", "a.json", "b.json", "-o", "r.md", "--json"]),
        ("a.json", ["diff", "a.json", "b.json", "--json"]),
        ("link.json", ["diff", "a.json", "b.json", "--report"]),
        ("mine.py", ["audit", "mine.py:Net(classes=3)", "--json"]),
        ("m.onnx", ["audit", "m.onnx", "--report"]),
        ("theirs.py", ["audit", "theirs:Net", "--junit"]),
        ("w.npz", ["audit", "mine.py:Net", "--weights", "w.npz", "--json"]),
        ("mine.py", ["conditions", "--impl", "mine.py", "--json"]),
        ("w.npz", ["evaluate", "--impl", NUMPY, *DATA, "--json"]),
        ("w.npz", ["evaluate", "--impl", NUMPY, *DATA, "--state"]),
        ("images/1.png", ["evaluate", "--impl", NUMPY, *DATA, "--report"]),
        ("labels.txt", ["evaluate", "--impl", NUMPY, *DATA, "--labels", "labels.txt", "--json"]),
        ("m.npy", ["evaluate", "--impl", NUMPY, *DATA, "--mean", "m.npy", "--json"]),
        ("mine.py", ["evaluate", "--impl", "mine.py", *DATA, "--json"]),
        ("w.npz", ["convert", "w.npz", "-o"]),
        ("t.safetensors", ["train", "--from", "t.safetensors", "--json"]),
        ("images/1.png", ["train", "--data", "images", "--report"]),
        ("mine.py", ["train", "--impl", "mine.py", "--json"]),
        ("link.safetensors", ["record", "--impl", "mine.py", "-o"]),
        ("mine.py", ["differences", "--impl", "mine.py", "--json"]),
        ("images/1.png", ["claims", "--id", "x", "--original-code", "images", "--json"]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_an_output_that_is_an_input_is_refused_before_anything_runs(folder, output, arguments, capsys):
    Path("link.py").symlink_to("mine.py")
    before = {path: path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert run(*arguments, output) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert said.err.startswith(f"alexnet-parity: {output} is ")
    assert "input of this command; give the output another name" in said.err
    assert {path: path.read_text() for path in folder.rglob("*") if path.is_file()} == before


def test_a_new_file_in_a_folder_of_data_and_a_file_named_as_ours_are_taken(folder, capsys):
    assert run("evaluate", "--impl", NUMPY, *DATA, "--json", "images/new.json") == 2
    assert "input of this command" not in capsys.readouterr().err
    assert run("spec", "--variant", "paper") == 0
    assert run("verify", "--impl", "trch", "--json", "torch.py") == 2
    assert "input of this command" not in capsys.readouterr().err


def test_a_folder_of_figures_that_takes_none_is_told_before_the_work(folder, monkeypatch, capsys):
    Path("figures").touch()
    monkeypatch.setattr(verify, "ask", None)
    assert run("verify", *THIN, "--report", "r.md") == 2
    assert "figures is no folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["/dev/stdout", "out.txt"])
def test_where_standard_output_goes_nothing_else_is_written(folder, name):
    command = f"{' '.join(COMMAND)} verify {' '.join(THIN)} --json {name} > out.txt"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"alexnet-parity: cannot write {name}: standard output goes there; give a file of its own\n"


# Interrupted -------------------------------------------------------------------------------------------------------------


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_interrupted_while_a_report_is_made_nothing_was_written(folder, monkeypatch, capsys):
    monkeypatch.setattr(parity, "document", interrupt)
    before = sorted(folder.iterdir())
    assert run("verify", *THIN, "--json", "f.json", "--junit", "j.xml", "--report", "r.md") == 130
    assert capsys.readouterr().err == "alexnet-parity: interrupted; nothing was written\n"
    assert sorted(folder.iterdir()) == before


def test_interrupted_after_the_files_were_written_says_which(folder, monkeypatch, capsys):
    monkeypatch.setattr(verify, "lines", interrupt)
    assert run("verify", *THIN, "--json", "f.json", "--junit", "j.xml") == 130
    assert capsys.readouterr().err == "alexnet-parity: interrupted; already written: f.json, j.xml\n"
    assert run("verify", *THIN) == 130
    assert "nothing was written" in capsys.readouterr().err


def test_a_file_that_cannot_be_made_takes_the_others_with_it(folder, monkeypatch, capsys):
    def cut_off(_: object):
        yield "<?xml"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(junit, "as_xml", cut_off)
    assert run("verify", *THIN, "--json", "f.json", "--junit", "j.xml") == 2
    assert capsys.readouterr().err == "alexnet-parity: cannot write j.xml: No space left on device\n"
    assert not Path("f.json").exists()


# Streams and a folder that are not there ----------------------------------------------------------------------------------


def in_shell(text: str, **more) -> subprocess.CompletedProcess[str]:
    command = text.replace("COMMAND", " ".join(COMMAND)).replace("THIN", " ".join(THIN))
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, **more)


@pytest.mark.parametrize(
    "command, status",
    [
        ("COMMAND list >&-", 0),
        ("COMMAND spec >&- 2>&-", 0),
        ("COMMAND spec --variant papr >&-", 2),
        ("COMMAND spec --variant papr 2>&-", 2),
        ("COMMAND spec --variant papr 2>/dev/full", 2),
        ("COMMAND verify THIN >&-", 0),
        ("COMMAND diff a.json none.json 2>&- <&-", 2),
    ],
)
def test_a_closed_stream_changes_no_status_and_errors_go_nowhere_else(folder, command, status):
    done = in_shell(command)
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert bool(done.stderr) == (status == 2 and "2>" not in command)


def test_a_file_that_takes_the_number_of_a_closed_stream_takes_no_prints(folder):
    mine = folder / "prints.py"
    mine.write_text(
        f"import os, sys\nsys.path.append({str(SUPPORT)!r})\nfrom numpy_alexnet import build\n"
        "for number in (1, 2):\n    os.write(number, b'hello')\n"
    )
    path = folder / "t.safetensors"
    path.unlink()
    arguments = f"--impl {mine} --variant paper-thin"
    assert in_shell(f"COMMAND record {arguments} --pass exact -o {path} >&- 2>&- <&-").returncode == 0
    assert in_shell(f"COMMAND verify --impl {path} --check exact-chain --json f.json >&- 2>&-").returncode == 0
    assert in_shell("COMMAND diff f.json f.json").returncode == 0


def test_a_terminal_that_is_closed_ends_no_work():
    ours, theirs = pty.openpty()
    stream = os.fdopen(theirs, "w")
    with Progress(stream=stream) as progress:
        assert progress.shown
        os.close(ours)
        assert list(progress.watch("abc", str)) == ["a", "b", "c"]
        assert not progress.shown
    with contextlib.suppress(OSError):  # what it could not take
        stream.close()


@pytest.mark.parametrize(
    "arguments",
    [
        "verify --impl x.safetensors",
        "convert a.npz -o b.npz",
        "verify --json z.json",
        "record --impl a.py -o t.safetensors",
    ],
)
def test_a_current_folder_that_is_gone_is_one_line(tmp_path, arguments):
    (tmp_path / "gone").mkdir()
    done = in_shell(f"cd {tmp_path}/gone; rmdir ../gone; COMMAND {arguments}")
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if not line.startswith("shell-init")]
    assert said == [
        "alexnet-parity: the current folder is no longer there, expected one that is; cd to it and try again"
    ]
    assert not done.stdout
    assert os.listdir(tmp_path) == []
