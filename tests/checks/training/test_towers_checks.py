"""What must cross, by hand; the process that watches two others; the report. Without PyTorch."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from harness import SUPPORT, verified

from alexnet_parity.checks.finding import Finding, Status
from alexnet_parity.checks.recording import Recording
from alexnet_parity.checks.training import towers
from alexnet_parity.checks.training.towers import Crossing, crossings, unrestricted
from alexnet_parity.checks.truth import Truth
from alexnet_parity.impls import find
from alexnet_parity.impls.interface import Unsupported
from alexnet_parity.impls.towers import halves
from alexnet_parity.impls.towers.job import Failed, Job
from alexnet_parity.impls.towers.messages import Ended, Line
from alexnet_parity.reference import stimuli, variants
from alexnet_parity.reference.spec import Conv, Dense, Flatten, Local, Lrn, Network, Relu, Softmax
from alexnet_parity.reports import towers as chapter

COMMAND = (sys.executable, str(SUPPORT / "fake_tower.py"))
PAPER = variants.variant("paper")


# What has to cross ----------------------------------------------------------------------------------------------------


def test_what_crosses_in_the_papers_network_worked_out_by_hand():
    """Float32, one image, each way: maps x rows x columns x 4 bytes."""
    norm1, norm2 = 2 * 55 * 55 * 4, 2 * 27 * 27 * 4
    conv3, fc6, fc7 = 128 * 13 * 13 * 4, 128 * 6 * 6 * 4, 2048 * 4
    want = {"norm1": norm1, "norm2": norm2, "conv3": conv3, "fc6": fc6, "fc7": fc7, "fc8": fc7}
    found = crossings(PAPER, 1)
    assert {name: found[name] for name in want} == {n: Crossing((b, b), (b, b)) for n, b in want.items()}
    assert found["prob"] == Crossing((2000, 2000))  # the loss is computed in both
    assert set(found) == {*want, "prob"}


def test_an_unrestricted_split_adds_conv2_conv4_and_conv5():
    restricted, free = crossings(PAPER, 1), crossings(unrestricted(PAPER), 1)
    assert {name: crossing.forward[0] for name, crossing in free.items() if name not in restricted} == {
        "conv2": 48 * 27 * 27 * 4,
        "conv4": 192 * 13 * 13 * 4,
        "conv5": 192 * 13 * 13 * 4,
    }
    assert crossings(variants.variant("single-tower"), 1) == free


def test_the_authors_networks():
    assert not {"norm1", "norm2"} & set(crossings(variants.variant("original-2012"), 1))  # LRN within towers
    assert set(crossings(variants.variant("original-no-communication"), 1)) == {"fc8", "prob"}


def test_odd_numbers_divide_unevenly_and_gradients_go_the_other_way():
    network = Network("odd", (3, 4, 5), (Conv("c", 5, 1), Flatten("f"), Dense("d", 3), Softmax("p")))
    found = crossings(network, 2)
    assert found["d"] == Crossing((2 * 3 * 20 * 4, 2 * 2 * 20 * 4), (2 * 2 * 20 * 4, 2 * 3 * 20 * 4))
    assert found["p"] == Crossing((2 * 2 * 4, 2 * 1 * 4))


def test_a_window_wider_than_a_tower_takes_all_of_it():
    network = Network("wide", (3, 4, 5), (Conv("c", 5, 1), Lrn("n", n=9)))
    assert crossings(network, 1)["n"] == Crossing((3 * 80, 2 * 80), (2 * 80, 3 * 80))


# Judging the count ----------------------------------------------------------------------------------------------------


def judged(change: dict[str, tuple[int, int]]) -> list[Finding]:
    network = variants.variant("paper-thin")
    counts = {}
    for name, crossing in crossings(network, stimuli.BATCH).items():
        counts |= {f"forward/{name}": crossing.forward, f"backward/{name}": crossing.backward}
    recording = Recording("two", network.name, towers.TRAIN)
    recording.runs[towers.TRAFFIC] = {n: np.array(c) for n, c in (counts | change).items() if any(c)}
    truth = Truth(stimuli.stimulus(network, towers.TRAIN, 0))
    return list(towers.traffic(recording, truth))


def test_the_right_count_passes_with_its_numbers():
    found = judged({})
    assert {f.status for f in found} == {Status.PASS}
    conv4 = next(f for f in found if f.layer == "conv4")
    assert conv4.numbers["bytes_forward"] == 0 < conv4.numbers["unrestricted_forward"]
    assert found[-1].got.startswith("weights read both towers at conv3 fc6 fc7 fc8; ")


@pytest.mark.parametrize(
    "change, layer, cause",
    [
        ({"forward/norm1": (0, 0), "backward/norm1": (0, 0)}, "norm1", "norm1 stops at the border between the towers"),
        ({"forward/conv3": (0, 0), "backward/conv3": (0, 0)}, "conv3", "conv3 reads its own tower's half only"),
        ({"backward/fc7": (0, 0)}, "fc7", "fc7's gradients are not added up over the towers"),
        ({"forward/conv4": (8, 8)}, "conv4", "conv4 reads the other tower, which it is not connected to"),
    ],
)
def test_a_wrong_count_is_named(change, layer, cause):
    found = next(f for f in judged(change) if f.layer == layer)
    assert (found.status, found.hint) == (Status.FAIL, f"agrees if {cause}")


def test_one_byte_too_few_fails():
    assert [f.layer for f in judged({"forward/fc6": (287, 288)}) if not f.good()] == ["fc6"]


def test_who_runs_in_one_process_is_not_asked():
    import numpy_alexnet

    assert not verified(numpy_alexnet, "paper-thin", ("towers",))


# Halves ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["paper-thin", "original-2012-thin", "cifar-13pct-thin"])
def test_halves_put_together_are_the_whole(variant):
    network = variants.variant(variant)
    params = stimuli.stimulus(network, "large", 1).params
    both = [halves.cut_params(network, params, tower) for tower in range(2)]
    for name, value in params.items():
        assert np.array_equal(halves.together([half[name] for half in both], axis=0), value)
    assert halves.from_json(halves.as_json(network)).layers == network.layers


def test_a_tower_computes_its_own_maps_and_groups():
    conv1, conv2, conv3 = (p for p in halves.parts(PAPER, 1) if p.layer.name in ("conv1", "conv2", "conv3"))
    assert (conv1.inputs, conv1.layer.channels, conv1.crosses) == ((3, 227, 227), 48, "")
    assert (conv2.inputs, conv2.layer.channels, conv2.layer.groups, conv2.crosses) == ((48, 27, 27), 128, 1, "")
    assert (conv3.inputs, conv3.layer.channels, conv3.crosses) == ((256, 13, 13), 192, halves.GATHER)


@pytest.mark.parametrize(
    "layers, reason",
    [
        ((Conv("c", 6, 1, groups=3),), "c: 3 groups do not divide into two towers"),
        ((Conv("c", 6, 1), Lrn("n", towers=3)), "n: its 3 towers do not divide into two"),
        ((Conv("c", 6, 1), Flatten("f"), Softmax("p"), Relu("r")), "p: two towers take a softmax only at the end"),
    ],
)
def test_what_does_not_divide_is_unsupported(layers, reason):
    with pytest.raises(Unsupported, match=reason):
        halves.parts(Network("n", (3, 4, 5), layers), 0)


def test_unshared_kernels_are_divided_like_others():
    part = halves.parts(Network("n", (3, 4, 5), (Conv("c", 4, 1), Local("l", 5, 3))), 0)[1]
    assert (part.layer.channels, part.inputs, part.crosses) == (3, (4, 4, 5), halves.GATHER)


# Messages -------------------------------------------------------------------------------------------------------------


def test_a_message_arrives_as_it_was_sent():
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "none": np.empty((0, 4)), "one": np.array(7, np.int64)}
    ours, theirs = (Line(end) for end in socket.socketpair())
    sender = threading.Thread(target=ours.send, args=({"kind": "x"}, {**arrays, "big": np.ones(1 << 20)}))
    sender.start()
    message, got = theirs.receive()
    sender.join()
    assert message == {"kind": "x"}
    assert got["big"].sum() == 1 << 20
    assert all(
        np.array_equal(got[n], v) and got[n].dtype == v.dtype and got[n].shape == v.shape for n, v in arrays.items()
    )
    ours.close()
    with pytest.raises(Ended):
        theirs.receive()
    theirs.close()


# The process that watches two others ----------------------------------------------------------------------------------


@pytest.fixture
def job():
    made = Job("cpu", 1.5, COMMAND)
    yield made
    made.close()


def test_both_answer(job):
    arrays = [{"x": np.arange(3.0)}, {"x": np.arange(4.0)}]
    answers = job.ask({"do": "act", "what": "echo", "said": 5}, arrays)
    assert [(message["said"], found["x"].size) for message, found in answers] == [(5, 3), (5, 4)]


@pytest.mark.parametrize(
    "what, said",
    [
        (
            "is killed",
            r"tower 1 \(process \d+\) was ended by SIGKILL \(out of memory\?\) at conv3, forward\. Run it again",
        ),
        (
            "exits",
            r"tower 1 \(process \d+\) exited with status 3 at conv3, forward; it last said: the last thing that it says",
        ),
        (
            "raises",
            r"tower 1 \(process \d+\) raised ArithmeticError: no luck today at fake_tower.py:\d+, at conv3, forward",
        ),
        (
            "is stopped",
            r"for 1.5 s there was no sign of life: tower 1 \(process \d+\) is stopped, at conv3, forward\. Run it",
        ),
        (
            "hangs",
            r"for 1.5 s there was no sign of life: tower 1 \(process \d+\) hangs at conv3, forward\. If it was only slow",
        ),
        ("dies late", r"tower 1 \(process \d+\) exited with status 4"),
        (
            "both wait",
            r"tower 0 \(process \d+\) waits for the other at conv3, forward and tower 1 \(process \d+\) waits",
        ),
    ],
    ids=lambda value: value if " " in value and len(value) < 12 else "",
)
def test_who_was_to_blame_is_said_and_nothing_is_left(job, what, said):
    with pytest.raises(Failed, match=said) as failure:
        job.ask({"do": "act", "what": what})
    assert "tower 0" not in str(failure.value) or what == "both wait"  # it only waited
    assert all(tower.process.returncode is not None for tower in job.towers)
    assert not Path(job.folder).exists()
    with pytest.raises(Failed, match=said):
        job.ask({"do": "act", "what": "echo", "said": 1})


def test_who_is_slow_and_says_so_is_waited_for(job):
    """Three seconds, where half of that without a word would be the end."""
    assert len(job.ask({"do": "act", "what": "slow"})) == 2


def test_what_cannot_be_asked_leaves_the_job_as_it_is(job):
    with pytest.raises(Unsupported, match="no such layer in two towers"):
        job.ask({"do": "act", "what": "declines"})
    assert job.ask({"do": "act", "what": "echo", "said": 2})[1][0]["said"] == 2


def test_ctrl_c_ends_the_job(job, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "listen", interrupted)
    with pytest.raises(KeyboardInterrupt):
        job.ask({"do": "act", "what": "echo", "said": 1})
    assert all(tower.process.returncode is not None for tower in job.towers)
    with pytest.raises(Failed, match="interrupted; start another"):
        job.ask({"do": "act", "what": "echo", "said": 1})


STARTER = f"""
import os, signal, time
from alexnet_parity.impls.towers.job import Job
job = Job("cpu", 60, {COMMAND!r})
pids = [tower.process.pid for tower in job.towers]
os.kill(pids[1], signal.SIGSTOP)
print(*pids, job.folder, flush=True)
time.sleep(600)
"""


def test_both_end_with_the_process_that_started_them():
    """Killed, so that it can tell nobody, and one of the two is stopped."""
    with subprocess.Popen([sys.executable, "-c", STARTER], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        *words, folder = starter.stdout.readline().split()
        pids = [int(word) for word in words]
        assert len(pids) == 2
        starter.kill()
    assert not Path(folder).exists()
    until = time.monotonic() + 60
    while any(runs(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [pid for pid in pids if runs(pid)]


def runs(pid: int) -> bool:
    """Is there such a process, other than one that has ended and waits to be asked how?"""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


# Around it ------------------------------------------------------------------------------------------------------------


def test_it_runs_only_where_it_is_named(monkeypatch):
    monkeypatch.setattr(find, "missing", lambda name: [])
    assert {"torch_towers", "torch", "keras", "jax"} <= set(find.own())
    assert set(find.own()) - set(find.runnable()) == {"torch_towers"}
    assert find.extra("torch_towers") == "torch"


def test_the_chapter_has_a_row_for_each_layer_and_says_what_it_means():
    found = [f.filled(check=towers.TRAFFIC, impl="torch_towers", variant="paper-thin") for f in judged({})]
    text = chapter.section(found, "figures/towers.svg")
    for name in ("norm1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8", "prob", "**all**"):
        assert f"| {name} " in text
    assert "![Bytes that cross between the towers](figures/towers.svg)" in text
    assert "The authors' own code clips the sum at the border" in text
    assert chapter.section([]) == ""
    assert len(chapter.figure(found).axes[0].patches) == 4 * 10


def test_the_chapter_says_when_something_is_wrong():
    found = [f.filled(check=towers.TRAFFIC, impl="t", variant="v") for f in judged({"forward/conv3": (0, 0)})]
    assert "findings are wrong" in chapter.section(found)
