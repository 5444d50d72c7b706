"""Conditions in each framework: they reach it, they take effect, and bits stay or stay within the bounds."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_parity.checks.conditions import condition, outcome
from alexnet_parity.checks.conditions.session import Session
from alexnet_parity.checks.finding import Status
from alexnet_parity.checks.recording import AGAIN, BATCH, Feed
from alexnet_parity.checks.running import record
from alexnet_parity.impls import find
from alexnet_parity.impls.settings import every
from alexnet_parity.reference import stimuli, variants

VARIANT = "paper-thin"


def recorded(module, name, *runs):
    stimulus = stimuli.stimulus(variants.variant(VARIANT), name, 0)
    found = record(module, stimulus, Feed(VARIANT, name, runs or (BATCH,), read_back=False))
    assert not found.errors
    return found


@pytest.fixture(scope="module")
def exact(module):
    return recorded(module, "exact", BATCH, AGAIN)


@pytest.mark.parametrize("name", list(every.WRAPPERS))
def test_exact_arithmetic_gives_the_same_bits_in_any_batch_and_anywhere_in_memory(module, exact, name):
    other, plain = recorded(every.WRAPPERS[name](module), "exact").run(), exact.run()
    assert other.keys() == plain.keys()
    differ = [layer for layer in plain if layer != "prob" and not np.array_equal(plain[layer], other[layer])]
    assert differ == []  # a softmax has no exact arithmetic


def test_the_same_model_gives_the_same_bits_again(exact):
    assert all(np.array_equal(value, exact.run(AGAIN)[name]) for name, value in exact.run().items())


FEW = ("threads-1", "onednn-off", condition.CUDA, "tf32-on")


def test_conditions_take_effect_in_a_process_of_their_own_and_stay_inside_the_bounds(impl):
    if impl.startswith("keras_"):
        pytest.skip("as keras, torch and jax, by the same wrappers")
    target = find.find(impl)
    known = [c.name for c in condition.conditions_of(impl, "cpu")]
    chosen = condition.select([impl], "cpu", [name for name in FEW if name in known])
    found = list(Session([target], chosen, VARIANT, stimuli=("large",), at_once=2).findings())
    assert [finding.line() for finding in found if not finding.good()] == []
    shown = {f.impl for f in found if f.expected.startswith("flags that show it") and f.status is Status.PASS}
    assert shown == {f"{impl}@{c.name}" for c in chosen[impl] if c.shows and not c.cuda}
    if condition.CUDA in known:
        gpu = outcome.of([f for f in found if f.impl == f"{impl}@{condition.CUDA}"])
        assert gpu.asked or "not run here" in gpu.reason
        assert any(f.impl == f"{impl}@tf32-on" for f in found)


def test_torch_is_given_what_lies_off_the_boundary_and_computes_on_it(impl, module):
    """What TensorFlow, Keras and JAX are given they copy; torch.from_numpy shares the memory, wherever it begins."""
    if impl != "torch":
        pytest.skip("PyTorch alone computes on the caller's memory")
    from alexnet_parity.impls.settings.torch_conditions import move_parameters

    network = variants.variant(VARIANT)
    stimulus = stimuli.stimulus(network, "exact", 0)
    model = every.unaligned(module).build(network, dict(stimulus.params))
    seen = []
    model.net.conv1.register_forward_pre_hook(lambda layer, given: seen.append(given[0].data_ptr() % 64))
    next(iter(model.activations(stimulus.x)))
    assert seen == [4]
    assert model.net.fc6.weight.data_ptr() % 64 == 0  # load_state_dict copies
    move_parameters(model)
    assert {parameter.data_ptr() % 64 for parameter in model.net.parameters()} == {4}
    assert np.array_equal(model.params()["fc6.weight"], stimulus.params["fc6.weight"])


def test_tensorflow_copies_what_it_is_given(impl):
    if impl != "tf_nn":
        pytest.skip("about TensorFlow")
    import tensorflow as tf

    x = every.off_boundary(np.ones((2, 3, 5, 7), np.float32))
    held = tf.constant(x).numpy()
    assert not np.shares_memory(held, x)
    assert held.ctypes.data % 16 == 0  # what any allocator gives; x begins 4 bytes beyond
