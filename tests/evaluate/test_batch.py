"""One batch through one implementation, in this process: what is fed, what is taken, what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from data_files import NUMPY, cifar_batch, cifar_python, class_folders, params, small

from alexnet_parity.evaluate import batch
from alexnet_parity.evaluate.batch import Job, evaluate_batch
from alexnet_parity.evaluate.dataset import Source
from alexnet_parity.evaluate.errors import Failed, Unusable
from alexnet_parity.impls import find
from alexnet_parity.reference import draws, oracle, preprocessing


@pytest.fixture
def job(tmp_path):
    """make(implementation's path or source, **changes of the job) on the CIFAR-10 test split."""
    cifar_python(tmp_path / "cifar")

    def make(source=NUMPY, network=None, given=None, **changes):
        network = network or small()
        given = given or params(network)
        np.savez(tmp_path / "w.npz", **given)
        file = source
        if "\n" in source:
            file = str(tmp_path / "mine.py")
            (tmp_path / "mine.py").write_text(source)
        first = Job(
            find.find(file), network, str(tmp_path / "w.npz"), draws.digest(given), Source(str(tmp_path / "cifar"))
        )
        return dataclasses.replace(first, **changes)

    batch.loaded.cache_clear()
    yield make
    batch.loaded.cache_clear()


def images(*numbers):
    pixels, _ = cifar_batch("test_batch", 23)
    return pixels[list(numbers)].reshape(-1, 3, 32, 32).astype(np.float32)


def test_one_view_is_the_centre_less_the_mean(job):
    network = small()
    found = evaluate_batch(job(mean="1,2,3", std=(2.0, 4.0, 8.0)), 3, 6)
    centre = images(3, 4, 5)[:, :, 4:28, 4:28]
    x = (centre - np.float32([1, 2, 3])[:, None, None]) / np.float32([2, 4, 8])[:, None, None]
    expected = oracle.forward(network, params(network), x.astype(np.float32), np.float32)["prob"]
    assert np.array_equal(found.probabilities, expected.astype(np.float64))
    assert found.labels.tolist() == cifar_batch("test_batch", 23)[1][3:6]
    assert found.images.tolist() == [3, 4, 5]
    assert len(np.unique(found.probabilities.argmax(axis=1))) > 1  # the network tells images apart


def test_ten_views_are_averaged_after_the_softmax(job):
    network = small()
    found = evaluate_batch(job(views=10, mean="100,100,100"), 0, 4)
    for row, image in enumerate(images(0, 1, 2, 3)):
        views = preprocessing.ten_views(image - 100, 24)
        each = oracle.forward(network, params(network), views, np.float64)["prob"]
        assert np.allclose(found.probabilities[row], each.mean(axis=0), rtol=1e-4)
        logits = oracle.forward(network, params(network), views, np.float64)["fc3"]
        assert not np.allclose(found.probabilities[row], oracle.softmax(logits.mean(axis=0)[None])[0], rtol=1e-4)


@pytest.mark.parametrize("rule", ["aligned", "central"])
def test_a_mean_image_is_subtracted_by_the_rule(job, tmp_path, rule):
    network, image = small(), draws.normal(0, "mean", (3, 32, 32), 50.0)
    np.save(tmp_path / "mean.npy", image)
    found = evaluate_batch(job(views=10, mean=str(tmp_path / "mean.npy"), mean_rule=rule), 0, 1)
    views = preprocessing.subtract_mean(preprocessing.ten_views(images(0)[0], 24), image, rule)
    expected = oracle.forward(network, params(network), views, np.float64)["prob"].mean(axis=0)
    assert np.allclose(found.probabilities[0], expected, rtol=1e-4)
    wrong = {"aligned": "central", "central": "aligned"}[rule]
    views = preprocessing.subtract_mean(preprocessing.ten_views(images(0)[0], 24), image, wrong)
    other = oracle.forward(network, params(network), views, np.float64)["prob"].mean(axis=0)
    assert not np.allclose(found.probabilities[0], other, rtol=1e-4)


def test_a_network_without_softmax_gets_one(job):
    network = small().swap("prob")
    found = evaluate_batch(job(network=network), 0, 2)
    expected = oracle.forward(small(), params(network), images(0, 1)[:, :, 4:28, 4:28])["prob"]
    assert np.allclose(found.probabilities, expected, rtol=1e-4)


def test_images_that_cannot_be_decoded_are_left_out_and_told(job, tmp_path):
    root = class_folders(tmp_path / "images", 10, 1)
    spoiled = sorted(root.glob("*/*"))[4]
    spoiled.write_bytes(spoiled.read_bytes()[:200])
    found = evaluate_batch(job(data=Source(str(root))), 3, 6)
    assert found.images.tolist() == found.labels.tolist() == [3, 5]
    assert [image for image, _ in found.unreadable] == [4]
    nothing = evaluate_batch(job(data=Source(str(root))), 4, 5)
    assert nothing.probabilities.shape == (0, 10)


def test_pairs_are_as_good_as_a_mapping(job):
    pairs = f"""
import sys
sys.path.insert(0, {str(NUMPY.rpartition("/")[0])!r})
import numpy_alexnet
class Model(numpy_alexnet.Model):
    def activations(self, x):
        yield from super().activations(x).items()
build = Model
"""
    assert np.array_equal(evaluate_batch(job(pairs), 0, 5).probabilities, evaluate_batch(job(), 0, 5).probabilities)


MODEL = """
import numpy as np
class Model:
    def __init__(self, network, params):
        pass
    def params(self):
        return {}
    def activations(self, x):
        p = np.full((len(x), 10), 0.1, np.float32)
        %s
build = Model
"""


@pytest.mark.parametrize(
    "line, words",
    [
        ("p[1, 2] = np.nan; return {'prob': p}", "1 of 50 numbers of 'prob' are not finite"),
        ("return {'prob': p * 2}", "gives no probabilities: they sum to 2"),
        ("p[0, :2] = -0.1, 0.3; return {'prob': p}", "the least is -0.1"),
        ("return {'prob': p[:, :9]}", r"is \(5, 9\), expected \(5, 10\)"),
        ("return {'prob': p[:-1]}", r"is \(4, 10\), expected \(5, 10\)"),
        ("return {'fc3': p}", "its activation 'prob' is none"),
        ("return {'prob': p.tolist()}", "expected a numpy.ndarray"),
        ("return 5", "TypeError"),
        ("raise RuntimeError('no luck')", r"activations\(\) raised RuntimeError: no luck at mine.py"),
    ],
    ids=range(9),
)
def test_what_is_no_answer_is_refused_in_one_line(job, line, words):
    with pytest.raises(Failed, match=words) as error:
        evaluate_batch(job(MODEL % line), 0, 5)
    assert "mine.py" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "source, kind, words",
    [
        ("import no_such_package\n", Unusable, "no_such_package"),
        ("from json import no_such_name\n", Failed, "its import failed"),
        ("1 / 0\n", Failed, "its import raised ZeroDivisionError"),
        ("x = 1\n", Unusable, r"found no build\(\) in mine\.py, expected one: write build\(network, params\)"),
        ("def build(network, params):\n    raise ValueError('odd')\n", Failed, r"build\(\) raised ValueError: odd"),
        (
            "from alexnet_parity.impls.interface import Unsupported\n"
            "def build(network, params):\n    raise Unsupported('not this')\n",
            Unusable,
            "not this",
        ),
        ("variant = 'paper'\ndef build(network, params):\n    pass\n", Unusable, "fixed to the network 'paper'"),
    ],
    ids=range(7),
)
def test_an_implementation_that_cannot_be_built_is_one_line(job, source, kind, words):
    with pytest.raises(kind, match=words):
        evaluate_batch(job(source), 0, 1)


def test_a_device_that_build_does_not_take_is_one_line(job):
    with pytest.raises(Unusable, match="takes no device"):
        evaluate_batch(job(device="cuda"), 0, 1)


def test_weights_that_changed_since_are_refused(job):
    with pytest.raises(Unusable, match="it has changed"):
        evaluate_batch(job(weights_digest="0" * 64), 0, 1)


def test_the_model_is_built_once(job):
    asked = job()
    evaluate_batch(asked, 0, 2)
    evaluate_batch(asked, 2, 4)
    assert batch.loaded.cache_info().misses == 1


def test_batches_do_not_change_the_answer(job):
    asked = job()
    whole = evaluate_batch(asked, 0, 23).probabilities
    parts = [evaluate_batch(asked, start, min(start + 5, 23)).probabilities for start in range(0, 23, 5)]
    assert np.allclose(np.concatenate(parts), whole, rtol=1e-5)
