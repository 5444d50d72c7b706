"""Keras on its backends: one in a process, and nothing of the others."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from alexnet_parity.impls import find, keras_backends
from alexnet_parity.impls.interface import Unavailable, Unsupported
from alexnet_parity.reference import stimuli, variants

BACKEND = {"keras": "tensorflow", "keras_ops": "tensorflow", "keras_torch": "torch", "keras_jax": "jax"}


@pytest.fixture
def backend(impl, module):
    if impl not in BACKEND:
        pytest.skip("not Keras")
    return BACKEND[impl]


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1000:]
    return done.stdout


def built(module, stimulus):
    return module.build(stimulus.network, dict(stimulus.params))


def test_it_runs_on_its_own_backend_whatever_the_environment_says(impl, backend):
    other = "jax" if backend == "torch" else "torch"
    code = f"""
import os
os.environ["KERAS_BACKEND"] = "{other}"
from alexnet_parity.impls import find
find.load(find.find("{impl}"))
import keras
print(keras.backend.backend())
"""
    assert python(code).split()[-1] == backend


def test_nothing_of_another_backend_is_imported(impl, backend):
    """Keras itself imports JAX wherever it is installed (keras/src/callbacks/orbax_checkpoint.py, line 19)."""
    code = f"""
import sys
from alexnet_parity.impls import find
from alexnet_parity.reference import stimuli, variants
module = find.load(find.find("{impl}"))
given = stimuli.stimulus(variants.variant("cifar-18pct-thin"), "large", 0)
model = module.build(given.network, dict(given.params))
model.activations(given.x)
model.backward(given.x, labels=given.labels)
module.augmentation.ten_patches(given.x[0], 5)
print("MODULES", *(name for name in ("tensorflow", "torch") if name in sys.modules))
"""
    loaded = python(code).partition("MODULES")[2].split()
    assert loaded == ([] if backend == "jax" else [backend])


def test_another_backend_that_keras_runs_on_already_is_one_line(impl, backend, monkeypatch):
    found = {"tensorflow": "jax"}.get(backend, "tensorflow")
    monkeypatch.setattr(keras_backends, "running", lambda: found)
    with pytest.raises(Unavailable, match=f"Keras runs on {found} in this process, expected {backend}") as raised:
        keras_backends.choose(backend)
    assert len(str(raised.value).splitlines()) == 1
    monkeypatch.delitem(sys.modules, f"alexnet_parity.impls.{impl}")
    if backend == "tensorflow":  # keras.py is what the others take the network from, and imports anywhere
        return
    with pytest.raises(Unavailable, match="a process of its own"):
        find.load(find.find(impl))


def test_a_model_for_another_backend_is_refused(impl, backend, module, monkeypatch):
    if backend != "tensorflow":
        pytest.skip("refused when it is imported")
    monkeypatch.setattr(keras_backends, "running", lambda: "jax")
    given = stimuli.stimulus(variants.variant("paper-thin"), "exact", 0)
    with pytest.raises(Unavailable, match="Keras runs on jax"):
        built(module, given)


def test_a_backend_that_has_no_file_is_named(monkeypatch):
    monkeypatch.setattr(keras_backends, "running", lambda: "openvino")
    with pytest.raises(Unsupported, match="Keras on openvino; there are: tensorflow, torch, jax"):
        keras_backends.current()


def test_what_is_read_back_is_no_view(backend, module):
    given = stimuli.stimulus(variants.variant("cifar-18pct-thin"), "large", 0)
    model = built(module, given)
    held = model.params()
    assert all(value.flags.owndata and value.flags.writeable for value in held.values())
    for value in held.values():
        value[...] = 7
    assert all(np.array_equal(value, given.params[name]) for name, value in model.params().items())


def test_layer_by_layer_is_what_the_whole_gives(backend, module):
    """JAX takes its gradients so: borders, turns and dropout belong to the layer behind them."""
    given = stimuli.stimulus(variants.variant("original-2012-thin"), "exact", 0)
    model = built(module, given)
    from keras import ops

    y = given.x.transpose(0, 2, 3, 1)
    whole = {name: ops.convert_to_numpy(output) for name, output in model(y).items()}
    for layer in given.network.layers:
        y = model.apply(layer.name, y)
        assert np.array_equal(ops.convert_to_numpy(y), whole[layer.name]), layer.name


def test_grouped_convolutions_are_compiled_once_for_a_shape(impl, module, backend):
    """Model after model, by TensorFlow; single operations give the same bits as Keras' own layer."""
    if backend != "tensorflow":
        pytest.skip("TensorFlow's alone")
    from keras import layers, ops

    from alexnet_parity.impls.keras import Conv2D
    from alexnet_parity.impls.keras_backends import tensorflow

    x = np.random.default_rng(0).standard_normal((2, 7, 9, 6)).astype(np.float32)
    outputs = []
    tensorflow.compiled_convolution.cache_clear()
    for kind in (Conv2D, Conv2D, layers.Conv2D):
        layer = kind(10, 3, (2, 1), groups=2)
        layer.build(x.shape)
        rng = np.random.default_rng(1)
        layer.set_weights([rng.standard_normal(w.shape).astype(np.float32) for w in layer.weights])
        outputs.append(ops.convert_to_numpy(layer(x)))
    assert tensorflow.compiled_convolution.cache_info().currsize == 1
    assert np.array_equal(outputs[0], outputs[1])
    assert np.array_equal(outputs[0], outputs[2])


def test_installing_it_is_said_with_its_own_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else SimpleNamespace())
    with pytest.raises(find.Unknown, match=r"keras_torch needs torch.*\[keras_torch\]"):
        find.find("keras_torch")
