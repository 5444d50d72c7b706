"""The catalogue on trial in each framework: every mistake that it can express is detected, located and named."""

from __future__ import annotations

from functools import partial

import pytest

from alexnet_parity.checks import traps
from alexnet_parity.checks.audit import trial
from alexnet_parity.impls.foreign import poses

ENTRIES = [trap.id for trap in traps.TRAPS]
PAIRS, PIECES = 200, 8
PAIRS_OF = {"torch": 1, "keras": 8, "tf": 8, "onnx": 8, "jax": 8}  # every so-manieth pair is posed


def pose_of(framework):
    if absent := poses.missing(framework):
        pytest.skip(f"{' and '.join(absent)} not installed")
    return partial(poses.posed, framework)


@pytest.mark.parametrize("trap", ENTRIES)
@pytest.mark.parametrize("framework", poses.FRAMEWORKS)
def test_each_mistake_is_detected_located_and_named(framework, trap):
    outcome = trial.judge(trial.case_of(trap), framework, pose_of(framework))
    if not outcome.posed:
        pytest.skip(outcome.reason)
    assert outcome.good, outcome


@pytest.mark.parametrize(
    ("framework", "piece"),
    [(name, piece) for name in poses.FRAMEWORKS for piece in range(PIECES if PAIRS_OF[name] == 1 else 1)],
)
def test_nine_pairs_in_ten_are_named(framework, piece):
    pose = pose_of(framework)
    outcomes = [trial.judge(case, framework, pose) for case in trial.pairs(PAIRS)[piece::PIECES]]
    posed = [one for one in outcomes if one.posed]
    unnamed = [(one.trap, one.layer, one.said) for one in posed if not one.named]
    assert len(posed) >= 0.8 * len(outcomes)
    assert len(unnamed) <= 0.1 * len(posed), unnamed


@pytest.mark.parametrize("framework", poses.FRAMEWORKS)
@pytest.mark.parametrize("variant", ["paper-thin", "original-2012-thin", "caffenet-thin", "cifar-11pct-thin"])
def test_nothing_is_reported_where_nothing_is_wrong(framework, variant):
    found = [trial.alarm(framework, pose_of(framework), variant, seed) for seed in range(2)]
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
