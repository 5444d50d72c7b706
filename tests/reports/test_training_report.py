"""The report of training, from numbers that are given."""

from __future__ import annotations

import copy

import pytest

from alexnet_parity.reports import training
from alexnet_parity.train.result import Outcome

STEPS = 6
KEPT = [0, 1, 2, 6]


def parity():
    truth = [2.3, 2.2, 2.0, 1.5, 1.0, 0.9]
    names = ["oracle-float64", "oracle-float32", "rounding-1", "rounding-2", "mine", "dir/yours.py", "theirs"]
    shifts = dict(zip(names, (0, 1e-7, 1e-4, 2e-4, 3e-4, 3e-4, 0.5), strict=True))
    losses = {name: [loss + shift * step for step, loss in enumerate(truth)] for name, shift in shifts.items()}
    distance = {name: [shift * step for step in KEPT] for name, shift in shifts.items()}
    error = {"step": STEPS, "images": "test", "wrong": 3, "of": 40}
    return {
        "recipe": {
            "variant": "cifar-18pct", "data": "ab" * 32, "rates": [[0, 0.1], [4, 0.01]], "batch": 8, "seed": 0,
            "dropout": "inverted", "crops": True, "flips": False, "changes": [],
        },
        "recipe_digest": "cd" * 32,
        "data": {"about": "noise", "train": 100, "test": 40},
        "steps": STEPS,
        "start": 0,
        "implementations": ["mine", "dir/yours.py", "theirs"],
        "ended": {"other": ["unsupported", "no step(): it cannot be trained"]},
        "flags": {"mine": {"device": "cpu"}},
        "kept": KEPT,
        "losses": losses,
        "distance": distance,
        "worst": {name: [["conv1.bias", 0.1 * value] for value in distance[name]] for name in names},
        "between": {"mine ~ dir/yours.py": [0, 0, 0, 0], "mine ~ theirs": [0, 0.1, 0.2, 0.3]},
        "parts": {name: None if shift < 1e-4 else 3 for name, shift in shifts.items()},
        "errors": {name: [] if name.startswith("rounding") else [error] for name in names},
        "prediction": {
            "low": [0, 1e-4, 2e-4, 6e-4], "middle": [0, 2e-4, 3e-4, 7e-4], "high": [0, 2e-4, 4e-4, 12e-4],
            "walk": [0, 1e-8, 2e-8, 3e-8], "parts": [3, 4], "interval": [2.0, 9.0], "rate": 0.5,
        },
        "decided": {"0": 0, "1": 2, "2": 0},
    }  # fmt: skip


def experiment(name, arms):
    courses = [
        {
            "arm": arm,
            "rate": 0.1,
            "seed": seed,
            "curve": [[5, 0.6], [10, 0.2 + 0.01 * seed]],
            "test": 0.1,
            "losses": [],
            "end": "",
        }
        for arm in arms
        for seed in range(3)
    ]
    spread = {"mean": 10.0, "std": 1.0}
    return {
        "name": name,
        "by": "mine",
        "asked": {"variant": "v", "data": "noise", "train": 9, "test": 5, "steps": 10, "batch": 2, "seeds": 3},
        "chosen": dict.fromkeys(arms, 0.1),
        "choosing": [{**courses[0], "arm": arm, "end": "nan" if arm == "tanh" else ""} for arm in arms],
        "courses": courses,
        "versions": {},
        "summary": {arm: {"steps_to_25": spread, "test_error": {"mean": 0.1, "std": 0.02}, "seeds": 3} for arm in arms},
    }


def both():
    return {
        "relu-tanh": experiment("relu-tanh", ("ReLU", "tanh")),
        "lrn": experiment("lrn", ("with response normalisation", "without")),
    }


def test_everything_that_was_found_is_said(tmp_path):
    path = tmp_path / "training.md"
    training.write(Outcome(parity(), both()), path)
    text = path.read_text()
    for words in (
        "foretold to do that between step 2 and step 9",
        "`other` took no part: no step(): it cannot be trained.",
        "happened 2 times in the 3 batches",
        "for the first time in step 2",
        "conv1.bias",
        "3 of 40",
        "1.0 times as many",
        "10.0 ± 2.0 % test error",
        "diverges",
        "0.1, 0.01 from step 4",
        "on CIFAR-10",
    ):
        assert words in text, words
    figures = {path.name for path in (tmp_path / "figures").iterdir()}
    assert figures == {f"training-{name}.svg" for name in ("losses", "distances", "relu-tanh", "lrn")}
    assert all(f"figures/{name}" in text for name in figures)


def test_the_same_findings_give_the_same_files(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        training.write(Outcome(parity(), both()), tmp_path / name / "training.md")
    one, two = (
        {p.name: p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()} for name in ("one", "two")
    )
    assert one == two


def test_a_prediction_that_failed_is_told_as_failed():
    found = parity()
    found["prediction"]["interval"] = [5.0, 9.0]
    assert "foretold to do that elsewhere" in training.verdict(found)


@pytest.mark.parametrize(
    "parts, words",
    [
        ([None, None, None], "The losses of 3 draws do not part in these steps. Measured: `mine` not in these steps"),
        ([3, None, 4], "The losses of 3 draws part at step 4, step 5; 1 of them not in these steps. Measured: "),
        ([2], "The losses of 1 draw part at step 3. Measured: "),
    ],
)
def test_where_the_draws_part_is_said_in_few_words(parts, words):
    found = parity()
    found["prediction"] |= {"parts": parts, "interval": None}
    found["parts"]["mine"] = None
    assert words in training.foretold(found, found["prediction"])


def test_one_is_no_plural():
    found = parity() | {"steps": 1, "decided": {"0": 1}}
    found["recipe"]["batch"] = 1
    assert training.trained(found) == "for 1 step of 1 image"
    assert "happened 1 time in the 1 batch that" in training.decided(found)


@pytest.mark.parametrize("without", ["prediction", "implementations", "parts"])
def test_what_is_not_there_is_not_spoken_of(tmp_path, without):
    found = copy.deepcopy(parity())
    found[without] = {"prediction": None, "implementations": [], "parts": dict.fromkeys(found["parts"])}[without]
    training.write(Outcome(found), tmp_path / "training.md")
    assert (tmp_path / "training.md").read_text()
