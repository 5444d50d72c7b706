"""From request to result: processes, engines, restarts, and what the result says."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from data_files import NUMPY, cifar_batch, cifar_binary, cifar_python, class_folders, params, small

from alexnet_parity.evaluate import engines, evaluation, ties
from alexnet_parity.evaluate.dataset import Source
from alexnet_parity.evaluate.errors import Failed, Unusable
from alexnet_parity.evaluate.evaluation import Request
from alexnet_parity.impls import find
from alexnet_parity.reference import oracle

# NumPy as an implementation that says in a file what it does, and does what else the test wants.
WITNESS = f"""
import os
import sys
sys.path.insert(0, {str(Path(NUMPY).parent)!r})
import numpy as np
import numpy_alexnet

def note(text):
    with open(os.environ["WITNESS"], "a") as file:
        file.write(f"{{__name__}} {{os.getpid()}} {{text}}\\n")

class Model(numpy_alexnet.Model):
    def activations(self, x):
        note(f"ran {{len(x)}}")
        found = super().activations(x)
        p = found["prob"]
        %s
        return found

def build(network, params):
    note("built")
    return Model(network, params)
"""


@pytest.fixture
def setting(tmp_path, monkeypatch):
    """A folder with data, weights and implementations; `ask` evaluates them."""
    monkeypatch.setenv("WITNESS", str(tmp_path / "witness"))
    return Setting(tmp_path)


class Setting:
    def __init__(self, folder):
        self.folder = folder
        self.network = small()
        self.data = Source(str(cifar_python(folder / "cifar")))
        np.savez(folder / "w.npz", **params(self.network))

    def implementation(self, name, line="pass"):
        path = self.folder / f"{name}.py"
        path.write_text(WITNESS % line)
        return str(path)

    def prepare(self, *names, **changes):
        targets = [find.find(name) for name in names]
        asked = {"weights": str(self.folder / "w.npz"), "data": self.data, "batch": 4, "mean": "90,100,110"} | changes
        return evaluation.prepare(Request(targets, self.network, **asked))

    def ask(self, *names, state=None, engine=engines.Local, rule=ties.DEFAULT, **changes):
        """The result."""
        asked = self.prepare(*names, **changes)
        with evaluation.state_of(asked, state) as kept:
            if kept.to_do():
                with engine(asked.jobs) as running:
                    list(evaluation.evaluate(asked, running, kept))
            return json.loads("".join(evaluation.outcome(asked, rule, kept).as_json()))

    def leave(self, *names, state, batches):
        """Run some batches and end."""
        asked = self.prepare(*names)
        with evaluation.state_of(asked, state) as kept, engines.Local(asked.jobs) as running:
            for done in evaluation.evaluate(asked, running, kept):
                if done >= batches:
                    return

    def witness(self):
        return [line.split() for line in (self.folder / "witness").read_text().splitlines()]


def by_hand(setting, count=23):
    """The oracle's probabilities and the labels of the test split."""
    pixels, labels = cifar_batch("test_batch", 23)
    centred = pixels.reshape(-1, 3, 32, 32)[:, :, 4:28, 4:28] - np.array([90, 100, 110])[:, None, None]
    return oracle.forward(setting.network, params(setting.network), centred)["prob"][:count], labels[:count]


def test_accuracy_is_what_the_oracle_gives(setting):
    found = setting.ask(NUMPY)
    probabilities, labels = by_hand(setting)
    ranks = [(row > row[label]).sum() for row, label in zip(probabilities, labels, strict=True)]
    assert found["accuracy"][NUMPY]["top1"]["right"] == sum(rank < 1 for rank in ranks)
    assert found["accuracy"][NUMPY]["top5"]["right"] == sum(rank < 5 for rank in ranks)
    assert found["accuracy"][NUMPY]["top5"]["share"] == sum(rank < 5 for rank in ranks) / 23
    assert found["images_evaluated"] == 23
    assert 0 < sum(rank < 5 for rank in ranks) < 23  # the example can tell


def test_every_image_has_what_each_implementation_says(setting):
    found = setting.ask(NUMPY)
    probabilities, labels = by_hand(setting)
    assert [image["image"] for image in found["images"]] == list(range(23))
    for image, row, label in zip(found["images"], probabilities, labels, strict=True):
        said = image["implementations"][NUMPY]
        order = np.argsort(-row)
        assert said["top5"] == order[:5].tolist()
        assert np.allclose(said["probabilities"], row[order[:5]], rtol=1e-4)
        assert np.isclose(said["margin"], row[order[0]] - row[order[1]], rtol=1e-3, atol=1e-6)
        assert np.isclose(said["margin5"], row[order[4]] - row[order[5]], rtol=1e-3, atol=1e-6)
        assert image["label"] == label


def test_alike_implementations_agree_everywhere(setting):
    found = setting.ask(NUMPY, setting.implementation("other"))
    assert found["agreement"]["top1"] == found["agreement"]["top5"] == 23
    assert found["agreement"]["largest_difference"]["difference"] == 0
    assert found["disagreements"] == []


def test_two_classes_exchanged_show_as_disagreement(setting):
    """On exactly the images on which either class is the first, or one of the two is among the five."""
    found = setting.ask(NUMPY, setting.implementation("swaps", "p[:, [2, 7]] = p[:, [7, 2]]"))
    probabilities, _ = by_hand(setting)
    fives = [set(np.argsort(-row)[:5]) for row in probabilities]
    first = {i for i, row in enumerate(probabilities) if row.argmax() in (2, 7)}
    five = {i for i, top in enumerate(fives) if len(top & {2, 7}) == 1}
    assert {row["image"] for row in found["disagreements"] if not row["top1_agrees"]} == first
    assert {row["image"] for row in found["disagreements"] if not row["top5_agrees"]} == five
    assert found["agreement"]["top1"] == 23 - len(first)
    assert found["agreement"]["top5"] == 23 - len(five)
    assert first
    assert len(first | five) < 23
    largest = found["agreement"]["largest_difference"]
    gaps = np.abs(probabilities[:, 2] - probabilities[:, 7])
    assert largest["image"] == gaps.argmax()
    assert np.isclose(largest["difference"], gaps.max(), rtol=1e-4)


@pytest.mark.parametrize("rule", ties.RULES)
def test_ties_are_counted_by_the_rule(setting, rule):
    """All probabilities equal: chance, nothing, or the classes with the lowest numbers."""
    found = setting.ask(setting.implementation("flat", "p[:] = 0.1"), rule=rule)
    (counts,) = found["accuracy"].values()
    labels = Counter(cifar_batch("test_batch", 23)[1])
    expected = {"fractional": Fraction(23, 2), "against": 0, "index": sum(labels[label] for label in range(5))}[rule]
    assert counts["top5"]["right"] == expected
    assert counts["tied"] == 23
    assert found["ties"]["rule"] == rule
    assert found["ties"]["definition"] == ties.RULES[rule]


def test_each_implementation_has_a_process_of_its_own_which_builds_once_and_ends(setting):
    one, two = setting.implementation("one"), setting.implementation("two")
    setting.ask(one, two)
    noted = setting.witness()
    pids = {name: {pid for who, pid, *_ in noted if who.endswith(name)} for name in ("one", "two")}
    assert all(len(found) == 1 for found in pids.values())
    assert pids["one"] != pids["two"]
    assert sum(what == ["built"] for _, _, *what in noted) == 2
    for pid in pids["one"] | pids["two"]:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_no_more_than_a_batch_is_run_at_once(setting):
    setting.ask(setting.implementation("one"), batch=5, views=10)
    sizes = [int(count) for _, _, what, *rest in setting.witness() if what == "ran" for count in rest]
    assert max(sizes) == 5
    assert sum(sizes) == 23 * 10


def test_a_limit_is_kept(setting):
    found = setting.ask(NUMPY, limit=6)
    assert found["images_evaluated"] == 6
    assert found["images"] == setting.ask(NUMPY)["images"][:6]
    assert setting.ask(NUMPY, limit=1000)["images_evaluated"] == 23


def test_the_two_versions_of_cifar_give_the_same(setting):
    binary = setting.ask(NUMPY, data=Source(str(cifar_binary(setting.folder / "binary"))))
    python = setting.ask(NUMPY)
    for image, same in zip(binary["images"], python["images"], strict=True):
        assert image | {"name": ""} == same | {"name": ""}


# Restarts -----------------------------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_in_the_middle_is_one_line_and_nothing_is_lost(setting):
    line = "import pathlib; second = pathlib.Path(os.environ['WITNESS'] + '.2')\n"
    line += "        if not second.exists() and len(open(os.environ['WITNESS']).readlines()) > 4:\n"
    line += "            second.touch()\n            os.kill(os.getpid(), 9)"
    name, state = setting.implementation("dies", line), setting.folder / "state"
    with pytest.raises(Failed, match=r"dies.py: its process was ended by SIGKILL \(out of memory\?\)"):
        setting.ask(name, state=state)
    batches = [json.loads(row)["start"] for row in state.read_text().splitlines()[1:]]
    assert 0 < len(batches) < 6
    before = len(setting.witness())
    resumed = setting.ask(name, state=state)
    ran = [line for line in setting.witness()[before:] if line[2] == "ran"]
    assert len(ran) == 6 - len(batches)  # only what was not done
    assert json.dumps(resumed) == json.dumps(setting.ask(name))


@pytest.mark.parametrize("batches", [0, 2, 5])
def test_a_run_that_was_left_goes_on_to_the_same_result(setting, batches):
    state, names = setting.folder / "state", (NUMPY, setting.implementation("other", "p[:, :2] = p[:, 1::-1]"))
    setting.leave(*names, state=state, batches=batches)
    assert len(state.read_text().splitlines()) == 1 + batches
    resumed = setting.ask(*names, state=state)
    assert json.dumps(resumed) == json.dumps(setting.ask(*names))
    assert sum(Counter(image["image"] for image in resumed["images"]).values()) == 23


def test_a_finished_state_starts_no_process(setting):
    state, name = setting.folder / "state", setting.implementation("one")
    first = setting.ask(name, state=state)
    before = setting.witness()
    assert setting.ask(name, state=state) == first
    assert setting.witness() == before


@pytest.mark.parametrize(
    "change, key",
    [
        ({"batch": 5}, "batch"),
        ({"views": 10}, "views"),
        ({"limit": 7}, "count"),
        ({"mean": "90,100,111"}, "mean"),
        ({"std": (1.0, 1.0, 2.0)}, "std"),
        ({"mean_rule": "central", "mean": "mean.npy"}, "mean_rule"),
        ({"device": "auto"}, "device"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_defines_a_run_is_in_its_state(setting, change, key, monkeypatch):
    monkeypatch.chdir(setting.folder)
    np.save("mean.npy", np.zeros((3, 32, 32), np.float32))
    state = setting.folder / "state"
    setting.ask(NUMPY, state=state, **{name: value for name, value in change.items() if name == "mean" != key})
    with pytest.raises(Unusable, match=f"it is of another run: {key} is"):
        setting.ask(NUMPY, state=state, **change)


def test_other_weights_data_or_code_are_another_run(setting):
    state, name = setting.folder / "state", setting.implementation("one")
    setting.ask(name, state=state)
    with pytest.raises(Unusable, match="implementations is"):
        setting.ask(name, NUMPY, state=state)
    setting.implementation("one", "pass  # changed")
    with pytest.raises(Unusable, match="implementations is"):
        setting.ask(name, state=state)
    setting.implementation("one")
    np.savez(setting.folder / "w.npz", **params(setting.network, seed=1))
    with pytest.raises(Unusable, match="weights is"):
        setting.ask(name, state=state)
    np.savez(setting.folder / "w.npz", **params(setting.network))
    file = setting.folder / "cifar" / "test_batch"
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(Unusable, match="data is"):
        setting.ask(name, state=state)


def test_ties_may_be_counted_anew_from_the_same_state(setting):
    state = setting.folder / "state"
    first = setting.ask(NUMPY, state=state)
    assert setting.ask(NUMPY, state=state, rule="against")["accuracy"] == first["accuracy"]  # there are none


# What cannot be ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line, kind, words",
    [
        ("raise RuntimeError('no luck')", Failed, r"one.py: activations\(\) raised RuntimeError: no luck"),
        ("p[0, 0] = np.nan", Failed, "not finite"),
        ("os._exit(3)", Failed, "one.py: its process exited with status 3"),
        ("print('a word' * 5, file=sys.stderr, flush=True); os.abort()", Failed, "ended by SIGABRT"),
        ("print('{}'); sys.stdout.flush()", None, ""),
    ],
    ids=["raises", "nan", "exits", "aborts", "prints"],
)
def test_an_implementation_that_misbehaves_is_one_line(setting, line, kind, words):
    name = setting.implementation("one", line)
    if kind is None:
        assert setting.ask(name)["images_evaluated"] == 23
        return
    with pytest.raises(kind, match=words) as error:
        setting.ask(NUMPY, name)
    assert "\n" not in str(error.value)


def test_images_too_small_for_the_network_are_refused(setting):
    setting.network = small(40, 24)
    np.savez(setting.folder / "w.npz", **params(setting.network))
    with pytest.raises(
        Unusable, match=r"found images of 3 x 32 x 32, expected at least 3 x 40 x 24 for small; use a CIFAR"
    ):
        setting.prepare(NUMPY)


def test_another_number_of_classes_is_refused(setting):
    setting.network = small(classes=9)
    np.savez(setting.folder / "w.npz", **params(setting.network))
    with pytest.raises(Unusable, match=r"found 10 classes \(CIFAR-10.*\), expected 9 for small"):
        setting.prepare(NUMPY)
    (setting.folder / "cifar" / "batches.meta").unlink()
    with pytest.raises(Unusable, match=r"has the label 9, expected 0 to 8 for small; labels are counted from 0"):
        setting.prepare(NUMPY)


@pytest.mark.parametrize("height, width, whole", [(32, 32, True), (32, 24, False), (24, 32, False)])
def test_ten_views_that_would_be_two_are_refused(setting, height, width, whole):
    setting.network = small(height, width)
    np.savez(setting.folder / "w.npz", **params(setting.network))
    setting.prepare(NUMPY)
    if not whole:
        setting.prepare(NUMPY, views=10)
        return
    with pytest.raises(Unusable, match=r"found 32 x 32 of 32 x 32, expected a network smaller .*; use --views 1"):
        setting.prepare(NUMPY, views=10)


def test_a_rule_for_a_mean_image_needs_one(setting):
    with pytest.raises(Unusable, match="--mean-rule central: found a mean of three numbers, expected a mean image"):
        setting.prepare(NUMPY, mean_rule="central")
    with pytest.raises(Unusable, match="--mean-rule central: found a mean of three numbers"):
        setting.prepare(NUMPY, mean_rule="central", mean="")


def test_images_that_cannot_be_decoded_are_listed_and_not_counted(setting):
    root = class_folders(setting.folder / "images", 10, 1)
    spoiled = sorted(root.glob("*/*"))[4]
    spoiled.write_bytes(b"")
    found = setting.ask(NUMPY, setting.implementation("other"), data=Source(str(root)))
    assert [image["name"] for image in found["unreadable"]] == [f"{spoiled.parent.name}/{spoiled.name}"]
    assert found["images_evaluated"] == 9
    for file in root.glob("*/*"):
        file.write_bytes(b"")
    with pytest.raises(Unusable, match="none of the 10 images could be decoded"):
        setting.ask(NUMPY, data=Source(str(root)))


# Dask ---------------------------------------------------------------------------------------------------------------


def cluster(workers):
    return lambda jobs: engines.Dask(jobs, workers=workers)


def test_dask_gives_the_same_as_one_process(setting):
    pytest.importorskip("distributed")
    names = (NUMPY, setting.implementation("other", "p[:, :2] = p[:, 1::-1]"))
    local = setting.ask(*names)
    assert json.dumps(setting.ask(*names, engine=cluster(2))) == json.dumps(local)


def test_dask_goes_on_where_the_local_engine_was_left(setting):
    pytest.importorskip("distributed")
    state, name = setting.folder / "state", setting.implementation("one")
    setting.leave(name, state=state, batches=2)
    half = len(setting.witness())
    found = setting.ask(name, state=state, engine=cluster(1))
    assert len(setting.witness()) > half
    assert json.dumps(found) == json.dumps(setting.ask(name))


def test_dasks_workers_import_no_implementation_and_its_processes_end(setting):
    distributed = pytest.importorskip("distributed")
    name = setting.implementation("one")
    with distributed.LocalCluster(1, threads_per_worker=2, dashboard_address="127.0.0.1:0", silence_logs=50) as running:
        setting.ask(name, engine=lambda jobs: engines.Dask(jobs, running.scheduler_address))
        with distributed.Client(running) as client:
            (worker,) = client.run(os.getpid).values()
        pids = {int(pid) for _, pid, *_ in setting.witness()}
        assert worker not in pids
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


def test_what_goes_wrong_on_a_dask_worker_is_one_line(setting):
    pytest.importorskip("distributed")
    with pytest.raises(Failed, match=r"one.py: its process exited with status 3"):
        setting.ask(setting.implementation("one", "os._exit(3)"), engine=cluster(1))


@pytest.mark.parametrize(
    "error, words",
    [
        (ModuleNotFoundError("No module named 'alexnet_parity'"), "is this project installed where it runs"),
        (OSError(12, "Cannot allocate memory"), "OSError: Cannot allocate memory"),
    ],
    ids=["import", "memory"],
)
def test_only_a_missing_module_suggests_to_install(error, words):
    outer = RuntimeError("Error during deserialization")
    outer.__cause__ = error
    for raised in (error, outer):
        assert ("installed" in str(engines.unanswered(raised))) == isinstance(error, ImportError)
    assert words in str(engines.unanswered(error))


def test_dasks_loggers_are_silent_for_the_run_alone():
    for name in ("distributed", "distributed.client", "tornado.application"):
        logging.getLogger(name).setLevel(logging.INFO)
    with engines.silenced():
        assert not logging.getLogger("distributed.client").isEnabledFor(logging.CRITICAL)
        assert not logging.getLogger("distributed.made.later").isEnabledFor(logging.CRITICAL)
        assert not logging.getLogger("tornado.application").isEnabledFor(logging.CRITICAL)
    assert logging.getLogger("distributed.client").level == logging.INFO


def test_no_scheduler_and_no_dask_are_one_line(setting, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(engines, "SECONDS", 0.5)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(Unusable, match=f"no Dask scheduler at {address}"):
            setting.ask(NUMPY, engine=lambda jobs, address=address: engines.Dask(jobs, address))
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(Unusable, match=r"pip install -e '.\[dask\]'"):
        setting.ask(NUMPY, engine=cluster(1))
