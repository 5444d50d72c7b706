"""`evaluate` as a person meets it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from data_files import caffemodel, cifar_binary, cifar_python, class_folders, params
from harness import NUMPY, SUPPORT, hears_ctrl_c, run

from alexnet_parity.evaluate import engines
from alexnet_parity.reference import variants

CIFAR, THIN = "cifar-brukman", "paper-thin"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """CIFAR-10, photographs, and weights for a variant of each."""
    root = tmp_path_factory.mktemp("files")
    cifar_python(root / "cifar")
    cifar_binary(root / "binary")
    class_folders(root / "photographs", 11, 1)
    np.savez(root / "cifar.npz", **params(variants.variant(CIFAR)))
    given = params(variants.variant(THIN))
    np.savez(root / "thin.npz", **given)
    (root / "thin.caffemodel").write_bytes(caffemodel(given, v1=True))
    return root


def on_cifar(files, *more):
    return [
        "evaluate",
        "--variant",
        CIFAR,
        "--weights",
        files / "cifar.npz",
        "--data",
        files / "cifar",
        "--impl",
        NUMPY,
        *more,
    ]


def on_photographs(files, *more):
    weights, data = files / "thin.npz", files / "photographs"
    return ["evaluate", "--variant", THIN, "--weights", weights, "--data", data, "--impl", NUMPY, *more]


def other(tmp_path, line="pass"):
    """A second implementation."""
    path = tmp_path / "other.py"
    path.write_text(
        f"""
import os
import sys
import time
sys.path.insert(0, {str(Path(NUMPY).parent)!r})
import numpy_alexnet
class Model(numpy_alexnet.Model):
    def activations(self, x):
        p = (found := super().activations(x))["prob"]
        {line}
        return found
build = Model
"""
    )
    return path


def test_everything_that_is_asked_is_written(files, tmp_path, capsys):
    swaps = other(tmp_path, "p[:, [2, 7]] = p[:, [7, 2]]")
    outputs = ("--json", tmp_path / "e.json", "--report", tmp_path / "e.md")
    assert run(*on_cifar(files, "--impl", swaps, "--batch", "8", *outputs)) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "agreement: top-1 on" in said.out
    assert f"{CIFAR} on 23 images (CIFAR-10, python version, test split), 1 view(s), ties: fractional" in said.out
    found = json.loads((tmp_path / "e.json").read_text())
    assert found["images_evaluated"] == len(found["images"]) == 23
    assert found["disagreements"]
    assert "Where they differ" in (tmp_path / "e.md").read_text()


def test_both_versions_and_all_weights_give_the_same(files, tmp_path):
    def images(arguments):
        assert run(*arguments, "--json", tmp_path / "e.json") == 0
        return [image | {"name": ""} for image in json.loads((tmp_path / "e.json").read_text())["images"]]

    binary = [files / "binary" if word == files / "cifar" else word for word in on_cifar(files)]
    assert images(binary) == images(on_cifar(files))
    caffe = [files / "thin.caffemodel" if word == files / "thin.npz" else word for word in on_photographs(files)]
    assert images(caffe) == images(on_photographs(files))


def test_ten_views_differ_from_one(files, tmp_path):
    for views in ("1", "10"):
        assert run(*on_photographs(files, "--views", views, "--json", tmp_path / views)) == 0
    one, ten = (json.loads((tmp_path / views).read_text()) for views in ("1", "10"))
    assert one["images"] != ten["images"]
    assert ten["run"]["views"] == 10


def test_the_default_mean_is_the_data_sets_own(files, tmp_path):
    run(*on_photographs(files, "--json", tmp_path / "default"))
    run(*on_photographs(files, "--mean", "123.68,116.779,103.939", "--json", tmp_path / "given"))
    run(*on_photographs(files, "--mean", "0,0,0", "--json", tmp_path / "none"))
    default, given, none = (json.loads((tmp_path / name).read_text()) for name in ("default", "given", "none"))
    assert default == given
    assert default["images"] != none["images"]
    assert default["run"]["mean"]["given"] == "123.68,116.779,103.939"


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--impl", "trch"], "did you mean 'torch'?"),
        (["--variant", "papr"], "did you mean 'paper'?"),
        (["--variant", "paper"], "found images of 3 x 32 x 32, expected at least 3 x 227 x 227"),
        (["--weights", "none.npz"], "no such file"),
        (["--weights", NUMPY], "expected .npz, .safetensors, .caffemodel"),
        (["--data", "none"], "no such folder"),
        (["--batch", "0"], "above 0"),
        (["--views", "5"], "invalid choice"),
        (["--mean", "1,2"], "expected three numbers R,G,B"),
        (["--mean", "none.npy"], "no usable .npy file"),
        (["--std", "1,0,1"], "three numbers above 0"),
        (["--workers", "2"], "add --engine dask"),
        (["--engine", "dask", "--workers", "2", "--scheduler", "tcp://x:1"], "give one of them"),
        (["--device", "cuda"], "takes no device"),
        (["--json", "/no/such/folder/f.json"], "no folder"),
        (["--json", "same.txt", "--state", "./same.txt"], "two outputs into one file"),
        (["--state", "/"], "it is a folder"),
        (["--json", ""], "argument --json: found '', expected a file name"),
        (["--report", ""], "argument --report: found '', expected a file name"),
        (["--state", ""], "argument --state: found '', expected a file name"),
        (["--data", ""], "argument --data: found '', expected a name"),
        (["--labels", ""], "argument --labels: found '', expected a name"),
        (["--labels", "labels.txt"], "which has its own labels; leave --labels out"),
        (["--mean-rule", "central"], "expected a mean image"),
        (["--variant", "cifar-18pct", "--views", "10"], "found 32 x 32 of 32 x 32"),
        (["--state", str(SUPPORT / "misbehaving.py")], "found another kind of file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_usage_is_one_line_and_status_2(files, arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*on_cifar(files, *arguments)) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert not said.out


def test_an_implementation_that_crashes_is_one_line_and_status_1(files, tmp_path, capsys):
    crashes = other(tmp_path, "raise RuntimeError('no luck')")
    assert run(*on_cifar(files, "--impl", crashes, "--json", tmp_path / "e.json")) == 1
    said = capsys.readouterr()
    assert "RuntimeError: no luck" in said.err
    assert len(said.err.splitlines()) == 1
    assert not (tmp_path / "e.json").exists()


def test_images_that_cannot_be_decoded_are_named_in_one_line(files, tmp_path, capsys):
    root = class_folders(tmp_path / "photographs", 11, 1)
    names = [f"{file.parent.name}/{file.name}" for file in sorted(root.glob("*/*"))]
    for name in (names[2], names[5]):
        (root / name).write_bytes(b"no picture")
    arguments = [root if word == files / "photographs" else word for word in on_photographs(files)]
    assert run(*arguments) == 1
    said = capsys.readouterr()
    assert (
        said.err.strip() == f"alexnet-parity: could not decode 2 images, which are not counted: {names[2]}, {names[5]}"
    )
    assert "on 9 images" in said.out


def test_a_split_of_photographs_is_bad_usage(files, capsys):
    assert run(*on_photographs(files, "--split", "test")) == 2
    assert "only they have splits; leave it out" in capsys.readouterr().err


def test_of_many_images_that_cannot_be_decoded_five_are_named(files, tmp_path, capsys):
    root = class_folders(tmp_path / "photographs", 11, 1)
    spoiled = sorted(root.glob("*/*"))[:7]
    for file in spoiled:
        file.write_bytes(b"no picture")
    arguments = [root if word == files / "photographs" else word for word in on_photographs(files)]
    assert run(*arguments, "--json", tmp_path / "e.json") == 1
    names = [f"{file.parent.name}/{file.name}" for file in spoiled]
    said = capsys.readouterr().err
    assert said.endswith(f"not counted: {', '.join(names[:5])} and 2 more (the JSON has them)\n")
    assert [image["name"] for image in json.loads((tmp_path / "e.json").read_text())["unreadable"]] == names


def command(files, *more):
    return [sys.executable, "-m", "alexnet_parity.cli", *map(str, on_cifar(files, "--batch", "2", *more))]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_command_that_was_ended_goes_on_where_it_was(files, tmp_path, end):
    """Nothing is lost, nothing counted twice, no process left; the file is as if nothing had happened."""
    pid = tmp_path / "pid"
    pid.touch()
    slow = other(
        tmp_path, f"os.path.getsize({str(pid)!r}) or open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(0.1)"
    )
    state, outputs = tmp_path / "state", [tmp_path / "resumed.json", tmp_path / "whole.json"]
    arguments = ("--impl", slow, "--state", state, "--json", outputs[0])
    process = subprocess.Popen(
        command(files, *arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hears_ctrl_c,  # noqa: PLW1509 (no other thread of ours is at work)
    )
    while not state.exists() or len(state.read_bytes().splitlines()) < 4:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(end)
    _, said = process.communicate()
    done = len(state.read_bytes().splitlines()) - 1
    assert 3 <= done < 12
    assert not outputs[0].exists()
    if end != signal.SIGKILL:
        assert process.returncode == 130
        assert said == f"alexnet-parity: interrupted; finished batches are kept in {state}: the same command goes on\n"
    while alive(int(pid.read_text())):  # a worker left behind hangs this test
        time.sleep(0.02)
    assert subprocess.run(command(files, *arguments), capture_output=True, check=True).stderr == b""
    subprocess.run(command(files, "--impl", slow, "--json", outputs[1]), capture_output=True, check=True)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_dask_gives_the_same_file_and_leaves_nothing_else(files, tmp_path):
    pytest.importorskip("distributed")
    (scratch := tmp_path / "scratch").mkdir()
    environment = os.environ | {"TMPDIR": str(scratch)}
    for name, more in (("local", ()), ("dask", ("--engine", "dask", "--workers", "2"))):
        arguments = command(files, "--json", tmp_path / name, *more)
        done = subprocess.run(arguments, capture_output=True, check=True, env=environment)
        assert done.stderr == b""
        assert list(scratch.iterdir()) == []
    assert (tmp_path / "local").read_bytes() == (tmp_path / "dask").read_bytes()


@pytest.fixture
def scheduler(tmp_path):
    """A Dask scheduler in a process of its own: (process, address)."""
    pytest.importorskip("distributed")
    file = tmp_path / "scheduler.json"
    anywhere = ("--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0")
    with dask("scheduler", tmp_path, *anywhere, "--scheduler-file", file) as process:
        while not file.exists() or not file.read_text().strip().endswith("}"):
            assert process.poll() is None
            time.sleep(0.02)
        yield process, json.loads(file.read_text())["address"]


@contextlib.contextmanager
def dask(part, folder, *arguments):
    words = [sys.executable, "-m", f"distributed.cli.dask_{part}", *map(str, arguments)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_cluster_without_workers_is_one_line(files, scheduler, capsys, monkeypatch):
    monkeypatch.setattr(engines, "SECONDS", 0.5)
    _, address = scheduler
    assert run(*on_cifar(files, "--engine", "dask", "--scheduler", address)) == 2
    assert capsys.readouterr().err == f"alexnet-parity: no workers at {address}; start `dask worker {address}`\n"


def test_the_last_worker_that_ends_is_one_line_and_nothing_is_lost(files, scheduler, tmp_path, capsys, monkeypatch):
    """The implementation ends the Dask worker that started it."""
    monkeypatch.setattr(engines, "ALONE", 0.2)
    _, address = scheduler
    state = tmp_path / "state"
    ends = other(tmp_path, f"open({str(state)!r}).read().count('stop') > 2 and os.kill(os.getppid(), 9)")
    arguments = on_cifar(files, "--impl", ends, "--batch", "2", "--state", state)
    with dask("worker", tmp_path, address, "--no-nanny", "--nthreads", "1", "--local-directory", tmp_path):
        assert run(*arguments, "--engine", "dask", "--scheduler", address) == 1
    said = capsys.readouterr()
    assert said.err == (
        f"alexnet-parity: the cluster has no workers left; start `dask worker {address}`; "
        f"finished batches are kept in {state}: the same command goes on\n"
    )
    assert not said.out
    assert len(state.read_bytes().splitlines()) > 2


def test_a_scheduler_that_ends_is_one_line_and_nothing_is_lost(files, scheduler, tmp_path):
    process, address = scheduler
    state = tmp_path / "state"
    ends = other(tmp_path, f"open({str(state)!r}).read().count('stop') > 2 and os.kill({process.pid}, 9)")
    arguments = command(files, "--impl", ends, "--state", state, "--engine", "dask", "--scheduler", address)
    with dask("worker", tmp_path, address, "--no-nanny", "--nthreads", "1", "--local-directory", tmp_path):
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"alexnet-parity: the connection to the Dask scheduler at {address} was lost; "
        f"finished batches are kept in {state}: the same command goes on\n"
    )
    assert len(state.read_bytes().splitlines()) > 2


def test_a_terminal_sees_progress_and_a_pipe_does_not(files):
    assert subprocess.run(command(files), capture_output=True, check=True).stderr == b""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command(files), stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        said = b""
        try:
            while more := os.read(ours, 4096):
                said += more
        except OSError:  # the other end is closed
            pass
    assert process.returncode == 0
    assert b"starting" in said
    assert b"[12/12 batches]" in said
    assert said.endswith(b"\r\x1b[2K")
