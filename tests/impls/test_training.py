"""Training in each framework: the checks of its steps, planted faults, checkpoints that any other reads, resumed runs."""

from __future__ import annotations

import numpy as np
import numpy_trainable
import pytest
from harness import bad, verified
from step_faults import FAULTS, MASKED, PLAIN, check_caught
from training_data import recipe, request, same_bits, samples, trained

from alexnet_parity.impls import find
from alexnet_parity.reference import stimuli
from alexnet_parity.train import checkpoint, comparison, learner
from alexnet_parity.train.checkpoint import State
from alexnet_parity.train.data import Batches
from alexnet_parity.train.learner import Learner, Plan
from alexnet_parity.train.run import ORACLE, SINGLE, Run

pytestmark = [pytest.mark.once, pytest.mark.offers("step")]

CHECKS = ("train-steps", "train-checkpoint")
HERE = ("velocity-lost-between-steps", "masks-a-step-late", "velocities-told-and-not-used")


@pytest.mark.parametrize(("variant", "seed"), [(MASKED, 0), (PLAIN, 0), (PLAIN, 1)])
def test_nothing_is_found_where_nothing_is_wrong(module, variant, seed):
    found = verified(module, variant, CHECKS, seed)
    assert not bad(found), [finding.line() for finding in bad(found)]


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.id in HERE], ids=lambda fault: fault.id)
def test_fault_is_caught_and_named(module, fault):
    check_caught(module, fault)


def made(module, given, asked, steps, state=None):
    """The state after so many steps in this process, from `state` or from the paper's initialisation."""
    if state is None:
        params = stimuli.paper_init(asked.network(), 0)
        state = State(0, params, {name: np.zeros_like(value) for name, value in params.items()})
    plan = Plan("subject", asked, steps, None, (), None)
    model = module.build(asked.network(), {name: value.copy() for name, value in state.params.items()})
    learner.restore(model, state)
    run = Learner(plan, state, Batches(given, asked), model)
    assert len(list(run.learn())) == steps - state.step
    return run.state(steps)


@pytest.mark.parametrize("variant", [MASKED, PLAIN])
def test_a_checkpoint_is_read_by_others_and_continues_with_the_same_numbers(module, variant, tmp_path):
    """Written by this framework, read by NumPy, and back: the same bits; continued in both, the same numbers but for rounding."""
    pytest.importorskip("safetensors")
    given = samples(variant)
    asked = recipe(given, variant, rates=((0, 1e-5),))
    ours = made(module, given, asked, 2)
    path = tmp_path / "ours.safetensors"
    checkpoint.write(path, ours, asked)
    read = checkpoint.read(path, asked)
    assert same_bits(read.params, ours.params)
    assert same_bits(read.velocities, ours.velocities)
    here, there = (made(one, given, asked, 4, read) for one in (module, numpy_trainable))
    assert comparison.relative(here.params, there.params) < 1e-5
    np.testing.assert_allclose(here.losses[-2:], there.losses[-2:], rtol=1e-5)
    checkpoint.write(path, there, asked)  # and back again
    back = module.build(asked.network(), checkpoint.read(path, asked).params)
    learner.restore(back, checkpoint.read(path, asked))
    assert same_bits({n: np.asarray(v) for n, v in dict(back.params()).items()}, there.params)
    assert same_bits({n: np.asarray(v) for n, v in dict(back.velocities()).items()}, there.velocities)


def test_a_run_that_is_cut_in_two_gives_the_same_bits(module):
    given = samples()
    asked = recipe(given)
    whole = made(module, given, asked, 5)
    resumed = made(module, given, asked, 5, made(module, given, asked, 2))
    assert same_bits(resumed.params, whole.params)
    assert same_bits(resumed.velocities, whole.velocities)
    assert resumed.losses.tobytes() == whole.losses.tobytes()


def test_side_by_side_in_processes_and_resumed(impl, tmp_path):
    """As a user runs it: near the oracle, and the same bits after a break."""
    pytest.importorskip("safetensors")
    given = samples()
    asked = recipe(given)
    whole = of_impl(impl, given, asked, tmp_path / "whole", 5)
    assert comparison.relative(final(whole, impl).params, final(whole, ORACLE).params) < 1e-3
    np.testing.assert_allclose(final(whole, impl).losses, final(whole, SINGLE).losses, rtol=1e-4)
    of_impl(impl, given, asked, tmp_path / "cut", 2)
    resumed = of_impl(impl, given, asked, tmp_path / "cut", 5)
    assert same_bits(final(resumed, impl).params, final(whole, impl).params)
    assert same_bits(final(resumed, impl).velocities, final(whole, impl).velocities)
    assert final(resumed, impl).losses.tobytes() == final(whole, impl).losses.tobytes()


def of_impl(impl, given, asked, folder, steps) -> Run:
    wanted = request(given, asked, steps=steps, resume=True)
    wanted = type(wanted)(**{**vars(wanted), "targets": (find.find(impl),)})
    return trained(wanted, folder, folder.with_suffix(".images"))


def final(run: Run, name: str) -> State:
    return run.read(name, run.request.steps)
