"""`audit` as a person meets it: exit status, one clear line, files whole, a process of its own that may do anything."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alexnet_parity.checks.audit import process, worker
from alexnet_parity.checks.audit.blame import blamed
from alexnet_parity.checks.audit.result import Audit, Deviation, Row, verdict_of
from alexnet_parity.cli import audit as command
from alexnet_parity.cli.main import main
from alexnet_parity.impls.foreign.graph import Refused
from alexnet_parity.reference import draws, variants
from tests.support.numpy_subject import Subject

LRN = Deviation(
    *("norm1", "lrn-alpha-over-n", "deviation", "alpha = 2e-05", "alpha = 0.0001", "its output moves by 66 %"),
    *("torch.nn.LocalResponseNorm divides alpha by size", "Section 3.3", "features.2"),
)
CEIL = Deviation(
    *("pool1", "pool-ceil", "convention", "28 x 28", "27 x 27", "another shape", "ceil_mode=True", "Section 3.4"),
    agrees_with=("caffe",),
)
ODD = Deviation("conv3", "", "unexplained", "times 1.5", "conv3", "all moves", "no entry explains it", "Section 3.5")
ROWS = tuple(
    Row(
        f"features.{i}",
        "nn.Something(3)",
        f"what {name} does",
        name,
        (96, 55 - i, 54),
        0.125,
        (f"features.{i}.weight",),
    )
    for i, name in enumerate(("conv1", "relu1", "norm1", "pool1", "conv2", "relu2", "norm2", "pool2", "conv3"))
)


def audit_of(*deviations: Deviation, **more: object) -> Audit:
    given = {"rows": ROWS, "notes": ("one note",), "input_shape": (3, 227, 226), "batch": 2, "versions": {"numpy": "2"}}
    return Audit("net.py:net", "torch 2", "paper", verdict_of(deviations), deviations, **(given | more))


NOT_ONE = Audit("net.py:net", "torch 2", "paper", "no AlexNet", (), notes=("no AlexNet: found 53 convolutions",))


@pytest.fixture
def given(monkeypatch):
    """Stands in for the process: {"audit": what it returns, "jobs": what it was asked for}."""
    held: dict[str, object] = {"audit": audit_of(), "jobs": []}

    def run(job, timeout, watch):
        held["jobs"].append((job, timeout))
        watch("reading each\x1b layer")
        if isinstance(held["audit"], BaseException):
            raise held["audit"]
        return held["audit"]

    monkeypatch.setattr(process, "run", run)
    return held


def told(capsys, *arguments: object) -> tuple[int, list[str], list[str]]:
    """(exit status, lines on standard output, lines on standard error)."""
    status = main(["audit", *map(str, arguments)])
    said = capsys.readouterr()
    return status, said.out.splitlines(), said.err.splitlines()


# The command ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "audit, on_deviation, on_unexplained",
    [
        (audit_of(), 0, 0),
        (audit_of(CEIL), 0, 0),
        (audit_of(LRN), 1, 0),
        (audit_of(LRN, CEIL), 1, 0),
        (audit_of(ODD), 1, 1),
        (NOT_ONE, 1, 1),
    ],
    ids=["equal", "convention", "deviation", "both", "unexplained", "no AlexNet"],
)
def test_exit_status(audit, on_deviation, on_unexplained, given, capsys):
    given["audit"] = audit
    assert told(capsys, "net.py:net")[0] == on_deviation
    assert told(capsys, "net.py:net", "--fail-on", "deviation")[0] == on_deviation
    assert told(capsys, "net.py:net", "--fail-on", "unexplained")[0] == on_unexplained


def test_layers_notes_deviations_and_the_verdict_are_told(given, capsys):
    given["audit"] = audit_of(LRN, dataclasses.replace(LRN, layer="norm2", at="features.6"), CEIL, ODD)
    _, out, err = told(capsys, "net.py:net")
    assert not err
    assert out[-1] == "UNEXPLAINED: nearest variant paper; 1 deviation, 1 convention, 1 unexplained"
    assert out[1].split() == ["layer", "read", "as", "paper", "of", "the", "bound"]
    assert out[3].split() == ["features.0", "what", "conv1", "does", "conv1", "12", "%"]
    assert "note: one note" in out
    assert out.count("deviation    norm1 (features.2), norm2 (features.6) [lrn-alpha-over-n]") == 1
    assert "  as in      caffe" in out
    assert [line.split()[0] for line in out if line.startswith(("unexplained", "deviation", "convention"))] == [
        "unexplained",
        "deviation",
        "convention",
    ]


def test_what_is_no_alexnet_is_told_in_one_line(given, capsys):
    given["audit"] = NOT_ONE
    assert told(capsys, "net.py:net") == (1, ["NO ALEXNET: net.py:net: found 53 convolutions"], [])


def test_one_trap_with_other_numbers_at_each_layer_is_told_once(given, capsys):
    each = [
        dataclasses.replace(LRN, layer=f"conv{i}", found=f"std {i}", at=f"c{i}.weight", trap="init")
        for i in range(1, 6)
    ]
    given["audit"] = audit_of(*each)
    _, out, _ = told(capsys, "net.py:net")
    assert "deviation    conv1, conv2, conv3, conv4, conv5 [init]" in out
    assert "  found      conv1: std 1; conv2: std 2; conv3: std 3; and 2 more" in out
    assert out[-1].endswith("1 deviation, 0 conventions, 0 unexplained")


def test_text_from_the_model_cannot_command_the_terminal(given, capsys):
    rows = (dataclasses.replace(ROWS[0], at="\x1b[2Jconv\nVERDICT"),)
    given["audit"] = audit_of(dataclasses.replace(LRN, cause="a\x1b]0;b"), rows=rows, notes=("\x07note",))
    _, out, _ = told(capsys, "net.py:net")
    assert not any(c < " " for line in out for c in line)
    assert any("?[2Jconv VERDICT" in line for line in out)


def test_the_options_reach_the_process(given, capsys):
    told(capsys, "m.py:f", "--weights", "w.npz", "--variant", "caffe", "--input-shape", "2,3,231,229", "--seed", 5)
    told(capsys, "m.py:f", "--timeout", 7)
    assert given["jobs"] == [
        (process.Job("m.py:f", "w.npz", "caffe", (2, 3, 231, 229), 5), 600.0),
        (process.Job("m.py:f"), 7.0),
    ]


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "required: TARGET"),
        (["m.py:f", "--variant", "papr"], "did you mean 'paper'?"),
        (["m.py:f", "--variant", "closest"], "or 'nearest'"),
        (["m.py:f", "--input-shape", "3,227,227"], "expected four numbers above 0"),
        (["m.py:f", "--input-shape", "1,3,0,227"], "expected four numbers above 0"),
        (["m.py:f", "--input-shape", "1,3,-4,227"], "expected four numbers above 0"),
        (["m.py:f", "--input-shape", "1,3,22.7,227"], "expected four numbers above 0"),
        (["m.py:f", "--input-shape", "65,3,8,8"], "at most 64 images"),
        (["m.py:f", "--input-shape", "1,1,8192,8193"], "67,108,864 numbers"),
        (["m.py:f", "--input-shape", "1,1,1,99999999999999999999"], "expected four numbers above 0"),
        (["m.py:f", "--seed", "-1"], "expected a whole number"),
        (["m.py:f", "--timeout", "0"], "expected a number of seconds above 0"),
        (["m.py:f", "--weights", ""], "expected a file name"),
        (["m.py:f", "--fail-on", "convention"], "invalid choice"),
        (["m.py:f", "--json", "/no/such/folder/a.json"], "no folder"),
        (["m.py:f", "--report", "/"], "it is a folder"),
        (["m.py:f", "--json", "a.md", "--report", "./a.md"], "two outputs into one file"),
    ],
    ids=" ".join,
)
def test_bad_usage_is_one_line_before_anything_runs(arguments, words, given, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = told(capsys, *arguments)
    assert (status, out) == (2, [])
    assert len(err) == 1
    assert words in err[0]
    assert not given["jobs"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text, sizes", [("64,1,8,9", (64, 1, 8, 9)), ("1,1,8192,8192", (1, 1, 8192, 8192))])
def test_the_largest_input_shapes(text, sizes):
    assert command.shape(text) == sizes


def test_a_refusal_is_one_line_and_writes_nothing(given, capsys, tmp_path):
    given["audit"] = Refused("m.py has no 'f'\nat all")
    status, out, err = told(capsys, "m.py:f", "--json", tmp_path / "a.json", "--report", tmp_path / "a.md")
    assert (status, out, err) == (2, [], ["alexnet-parity: m.py has no 'f' at all"])
    assert not list(tmp_path.iterdir())


def test_interrupted_it_writes_nothing(given, capsys, tmp_path):
    given["audit"] = KeyboardInterrupt()
    status, out, err = told(capsys, "m.py:f", "--json", tmp_path / "a.json")
    assert (status, out, len(err)) == (130, [], 1)
    assert not list(tmp_path.iterdir())


def test_a_terminal_sees_progress(given, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["audit", "net.py:net"]) == 0
    said = capsys.readouterr()
    assert "starting net.py:net" in said.err
    assert "reading each? layer" in said.err
    assert "reading" not in said.out


def test_json_and_report_hold_the_audit(given, capsys, tmp_path):
    given["audit"] = audit_of(LRN, CEIL, ODD)
    told(capsys, "net.py:net", "--json", tmp_path / "a.json", "--report", tmp_path / "a.md")
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["schema"] == "alexnet-parity/audit/1"
    assert {"target", "framework", "nearest_variant", "verdict", "deviations"} <= document.keys()
    assert Audit.from_dict(document) == given["audit"]
    assert "lrn-alpha-over-n" in (tmp_path / "a.md").read_text()
    assert (tmp_path / "figures" / "a-layers.svg").is_file()


@pytest.mark.parametrize("broken", [{}, {"deviations": 3}, {"deviations": [], "rows": [], "notes": [], "more": 1}])
def test_what_is_no_audit_is_not_read_as_one(broken):
    with pytest.raises(ValueError, match="no audit"):
        Audit.from_dict(broken)


# The process ------------------------------------------------------------------------------------------------------------

START = "import json, os, sys, time, signal, subprocess\njob = json.loads(sys.stdin.readline())\n"


def run_script(script: str, timeout: float = 60.0, seen: list[str] | None = None) -> Audit:
    watch = (lambda _: None) if seen is None else seen.append
    return process.run(process.Job("net.py:net"), timeout, watch, [sys.executable, "-c", START + script])


def test_progress_and_the_result_come_through():
    seen: list[str] = []
    result = json.dumps({"kind": "result", "audit": audit_of(LRN).as_dict()})
    script = f"print(json.dumps({{'kind': 'progress', 'text': job['target']}}))\nprint({result!r})"
    assert run_script(script, seen=seen) == audit_of(LRN)
    assert seen == ["net.py:net"]


@pytest.mark.parametrize(
    "script, words",
    [
        ("sys.exit(3)", "exited with status 3 before it was done"),
        ("os._exit(0)", "exited with status 0 before it was done"),
        ("print('last words', file=sys.stderr); os.abort()", "ended by SIGABRT; it last said: last words"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "ended by SIGKILL (out of memory?)"),
        ("print('no json')", "sent what cannot be read"),
        ("print('[1]')", "sent what cannot be read"),
        ("print('\"text\"')", "sent what cannot be read"),
        ("print(json.dumps({'kind': 'progress'}))", "sent what cannot be read"),
        ("print(json.dumps({'kind': 'result', 'audit': {'target': 1}}))", "sent what cannot be read"),
        ("print(json.dumps({'kind': 'refused', 'text': 'not this one'}))", "not this one"),
        ("sys.stdout.write('half a li'); sys.stdout.flush()", "exited with status 0"),
    ],
)
def test_every_end_without_a_result_is_one_line(script, words):
    with pytest.raises(Refused) as refusal:
        run_script(script)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_silence_is_ended_and_so_is_what_it_started(tmp_path):
    child = tmp_path / "child"
    script = (
        f"sub = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(child)!r}, 'w').write(str(sub.pid))\n"
        "print(json.dumps({'kind': 'progress', 'text': 'on'}), flush=True)\ntime.sleep(600)"
    )
    with pytest.raises(Refused, match=r"no sign of life for 2 s, ended \(--timeout\)"):
        run_script(script, timeout=2.0)
    assert gone(int(child.read_text()))


def test_interrupted_the_worker_is_ended(tmp_path):
    child = tmp_path / "child"
    script = f"open({str(child)!r}, 'w').write(str(os.getpid()))\n"
    script += "print(json.dumps({'kind': 'progress', 'text': ''}), flush=True)\ntime.sleep(600)"

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process.run(process.Job("net.py:net"), 60.0, interrupt, [sys.executable, "-c", START + script])
    assert gone(int(child.read_text()))


def gone(pid: int) -> bool:
    """Has the process ended, now or within a few seconds? One that nobody waits for stays as a zombie, Z."""
    stat = Path(f"/proc/{pid}/stat")
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


# The worker -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def loaded(monkeypatch):
    """Stands in for the loader: whatever is put at "model" is given for every target."""
    held: dict[str, object] = {}

    def load(target, weights, input_shape, variant):
        held["asked"] = (target, weights, input_shape, variant)
        if isinstance(held["model"], BaseException):
            raise held["model"]
        return held["model"]

    monkeypatch.setattr(worker.loading, "load", load)
    return held


def work(**job: object) -> list[dict[str, object]]:
    events: list[dict[str, object]] = []
    asked = dataclasses.asdict(process.Job("net.py:net")) | job
    worker.work(json.loads(json.dumps(asked)), events.append)
    return events


def thin_alexnet() -> Subject:
    network = variants.variant("paper-thin")
    params = {name: draws.normal(1, name, shape, 0.05) for name, shape in network.param_shapes().items()}
    return Subject(network, params)


def test_the_worker_audits_and_tells_its_progress(loaded):
    loaded["model"] = thin_alexnet()
    *progress, last = work(variant="paper-thin")
    assert loaded["asked"] == ("net.py:net", "", None, "paper-thin")
    assert progress[0] == {"kind": "progress", "text": "loading net.py:net"}
    assert {event["kind"] for event in progress} == {"progress"}
    assert last["kind"] == "result", last
    audit = Audit.from_dict(json.loads(json.dumps(last["audit"])))
    assert (audit.target, audit.nearest_variant, audit.seed) == ("net.py:net", "paper-thin", 0)
    assert {"alexnet-parity", "python", "numpy", "peak_memory_mb"} <= audit.versions.keys()


def test_the_worker_hands_shape_and_seed_on(loaded, monkeypatch):
    asked: list[object] = []

    def stand_in(subject, target, variant, input_shape, batch, seed, fresh, watch):
        asked.extend((subject, target, variant, input_shape, batch, seed, fresh))
        return audit_of()

    monkeypatch.setattr(worker.auditing, "audit", stand_in)
    loaded["model"] = "a subject"
    work(variant="caffe", input_shape=[5, 3, 231, 229], seed=7, weights="w.npz")
    assert asked == ["a subject", "net.py:net", "caffe", (3, 231, 229), 5, 7, False]
    assert loaded["asked"] == ("net.py:net", "w.npz", (3, 231, 229), "caffe")
    asked.clear()
    work(target="net.onnx")
    assert asked[-1] is False  # a saved model's values are not as first drawn
    asked.clear()
    work()
    assert asked[-1] is True
    assert loaded["asked"][-1] == ""  # the nearest variant: an implementation of ours builds its own


@pytest.mark.parametrize(
    "raised, words",
    [
        (Refused("no such\nfile"), "no such file"),
        (ValueError("bad\nthing"), "net.py:net: its own code raised ValueError: bad thing at test_audit_command.py:"),
        (SystemExit(4), "net.py:net: its own code called exit(4) at test_audit_command.py:"),
        (KeyboardInterrupt(), "its own code raised KeyboardInterrupt at "),
        (RecursionError("too deep"), "its own code raised RecursionError: too deep"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_worker_words_what_is_raised(raised, words, loaded):
    loaded["model"] = raised
    (_, event) = work()
    assert event["kind"] == "refused"
    assert words in event["text"]
    assert "\n" not in event["text"]


def test_a_fault_of_the_audit_is_not_put_on_the_model(loaded):
    loaded["model"] = None  # no Subject: the audit's own code stumbles
    event = work()[-1]
    assert event["kind"] == "refused"
    assert "the audit itself broke off with AttributeError" in event["text"]


def test_blame_falls_on_the_innermost_line_of_the_models_own_code():
    def forward():
        return json.loads("{")

    try:
        forward()
    except ValueError as error:
        text = blamed(error)
    line = forward.__code__.co_firstlineno + 1
    assert text.startswith("its own code raised JSONDecodeError: ")
    assert text.endswith(f"at test_audit_command.py:{line}")


def test_the_worker_itself_is_nobodys_model():
    script = "from alexnet_parity.checks.audit import worker\nworker.loading.load = lambda *_: None\nworker.main()"
    package = "__package__ = 'alexnet_parity.checks.audit'\n"  # as `python -m` sets it
    with pytest.raises(Refused, match="the audit itself broke off with AttributeError"):
        process.run(process.Job("net.py:net"), command=[sys.executable, "-P", "-c", package + script])


def test_without_a_line_of_anybodys_only_the_exception_is_told():
    assert blamed(MemoryError()).startswith("out of memory")
    assert blamed(OSError("no disk")) == "running it raised OSError: no disk"


NOISY = """
from alexnet_parity.checks.audit import worker
import os, sys
def load(*_):
    print("to standard output")
    os.write(1, b"past Python")
    assert sys.stdin.read() == ""
    print(os.getcwd(), file=sys.stderr)
    raise MESSAGE
worker.loading.load = load
worker.main()
"""


def test_prints_of_the_model_do_not_mix_with_the_events():
    script = NOISY.replace("MESSAGE", "worker.Refused('the only word')")
    with pytest.raises(Refused) as refusal:
        process.run(process.Job("net.py:net"), command=[sys.executable, "-P", "-c", script])
    assert str(refusal.value) == "the only word"


def test_the_worker_ends_with_the_command():
    script = NOISY.replace("raise MESSAGE", "import time; time.sleep(600)")
    started = subprocess.Popen(
        [sys.executable, "-P", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert started.stdin is not None
    assert started.stdout is not None
    started.stdin.write(json.dumps(dataclasses.asdict(process.Job("net.py:net"))).encode() + b"\n")
    started.stdin.flush()
    assert b"loading" in started.stdout.readline()
    started.stdin.close()
    assert started.wait(60) == 1
    started.stdout.close()


def test_a_real_refusal_from_end_to_end(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.py").write_text("def helper(): pass\n")
    status, out, err = told(capsys, "empty.py:net")
    assert (status, out) == (2, [])
    assert len(err) == 1
    assert "empty.py has no 'net'" in err[0]
    (tmp_path / "exits.py").write_text("import os\nos._exit(0)\n")
    status, out, err = told(capsys, "exits.py:net")
    assert (status, out) == (2, [])
    assert err == ["alexnet-parity: exits.py:net: its process exited with status 0 before it was done"]


def test_sigterm_counts_as_an_interrupt(tmp_path):
    (tmp_path / "slow.py").write_text("import time\nopen('began', 'w').close()\ntime.sleep(600)\n")
    command_line = [sys.executable, "-m", "alexnet_parity.cli", "audit", "slow.py:net"]
    started = subprocess.Popen(command_line, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if (tmp_path / "began").exists():
            break
        time.sleep(0.1)
    started.send_signal(signal.SIGTERM)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 130
    assert said == "alexnet-parity: interrupted; nothing was written\n"
