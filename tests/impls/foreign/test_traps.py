"""The catalogue on trial in each framework: every mistake that it can express is detected, located and named.

To stay within about two minutes of one core for each framework: every entry in PyTorch (and in NumPy: test_audit_traps.py), a
seeded half in TensorFlow, a quarter in Keras, which traces each model anew, and in ONNX and JAX; of 200 pairs every fourth in
PyTorch and every twentieth elsewhere. Where it is not dropout that is mistaken, fewer images than usual go through in training
mode. `alexnet-parity traps --pairs 200 --clean 200` runs all of it.
"""

from __future__ import annotations

import random
from functools import partial

import pytest

from alexnet_parity.checks import traps
from alexnet_parity.checks.audit import run, trial
from alexnet_parity.impls.foreign import poses

OF_IMPL = {"torch": "torch", "tf_nn": "tf", "keras": "keras", "keras_ops": "keras"}  # what --impl names
ENTRIES = [trap.id for trap in traps.TRAPS]
SHUFFLED = random.Random(2012).sample(ENTRIES, len(ENTRIES))
SHARE = {"torch": 1, "tf": 2, "keras": 4, "onnx": 4, "jax": 4}  # one entry in so many
PAIRS, PIECES = 200, 2
EVERY = {"torch": 4, "keras": 20, "tf": 20, "onnx": 20, "jax": 20}  # so-manieth pair
SEEDS = {"torch": 2}  # of networks without a mistake; one elsewhere
VARIANTS = ("paper-thin", "original-2012-thin", "caffenet-thin", "cifar-11pct-thin")
FEW = 4  # images in training mode, where nothing has to be counted


def frameworks(config):
    """Those that --impl names, or all; of ONNX and JAX, which no implementation is written in, what is installed."""
    named = {OF_IMPL[name] for name in config.getoption("impl") if name in OF_IMPL}
    return [name for name in poses.runnable() if not named or name in named or name not in OF_IMPL.values()]


def pytest_generate_tests(metafunc):
    chosen = frameworks(metafunc.config)
    if "trap" in metafunc.fixturenames:
        tried = [(name, trap) for name in chosen for trap in SHUFFLED[:: SHARE[name]]]
        metafunc.parametrize(("framework", "trap"), tried)
    elif "piece" in metafunc.fixturenames:
        metafunc.parametrize(("framework", "piece"), [(name, piece) for name in chosen for piece in range(PIECES)])
    elif "framework" in metafunc.fixturenames:
        metafunc.parametrize("framework", chosen)


def pose_of(framework):
    return partial(poses.posed, framework)


def about_dropout(case):
    return any(trial.family_of(trap) == trial.family_of("dropout-40") for trap in case.ids)


def judged(case, framework, monkeypatch):
    monkeypatch.setattr(run, "MANY", run.MANY if about_dropout(case) else FEW)
    try:
        return trial.judge(case, framework, pose_of(framework))
    finally:
        monkeypatch.undo()


def test_each_mistake_is_detected_located_and_named(framework, trap, monkeypatch):
    outcome = judged(trial.case_of(trap), framework, monkeypatch)
    if not outcome.posed:
        pytest.skip(outcome.reason)
    assert outcome.good, outcome


def test_nine_pairs_in_ten_are_named(framework, piece, monkeypatch):
    cases = trial.pairs(PAIRS)[:: EVERY[framework]][piece::PIECES]
    outcomes = [judged(case, framework, monkeypatch) for case in cases]
    posed = [one for one in outcomes if one.posed]
    unnamed = [(one.trap, one.layer, one.said) for one in posed if not one.named]
    assert len(posed) >= 0.6 * len(outcomes)
    assert len(unnamed) <= max(1, 0.1 * len(posed)), unnamed


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_is_reported_where_nothing_is_wrong(framework, variant):
    found = [trial.alarm(framework, pose_of(framework), variant, seed) for seed in range(SEEDS.get(framework, 1))]
    assert not any(found), found


def test_finding_out_what_can_run_here_imports_nothing(monkeypatch):
    monkeypatch.setattr(poses, "PACKAGES", {"torch": ("no_such_package_anywhere",), "onnx": ("json",)})
    monkeypatch.setattr(poses, "FRAMEWORKS", ("torch", "onnx"))
    assert poses.runnable() == ["onnx"]
    assert poses.missing("torch") == ["no_such_package_anywhere"]


def test_frameworks_without_a_training_mode_are_not_asked_about_it():
    framework = next((name for name in ("onnx", "jax") if not poses.missing(name)), "")
    if not framework:
        pytest.skip("neither onnx nor jax is installed")
    outcome = trial.judge(trial.case_of("dropout-40"), framework, pose_of(framework))
    assert not outcome.posed
    assert "training" in outcome.reason
