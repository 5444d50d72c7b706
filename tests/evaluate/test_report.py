"""The Markdown report says what the result says, and no more."""

from __future__ import annotations

import pytest

from alexnet_parity.evaluate import ties
from alexnet_parity.evaluate.result import SHOWN, Outcome
from alexnet_parity.reports import evaluation


def said(first, margin):
    return {"top5": [first, 5, 6, 7, 8], "margin": margin, "margin5": None}


def image(number):
    return {
        "image": number,
        "name": f"val_{number}.png",
        "label": 1,
        "difference": 0.25,
        "implementations": {"torch": said(1, 0.5), "keras": said(2, 1e-8)},
        "top1_agrees": False,
        "top5_agrees": True,
    }


def result(disagreements=2, unreadable=0, impls=("torch", "keras")):
    counts = {"tied": 3, "top1": {"right": 999.5, "share": 0.9995}, "top5": {"right": 1000.0, "share": 1.0}}
    summary = {
        "run": {
            "implementations": dict.fromkeys(impls, "ab" * 32),
            "variant": "paper",
            "network": "cd" * 32,
            "weights": "ef" * 32,
            "data": {
                "format": "CIFAR-10, python version, test split",
                "digest": "01" * 32,
                "images": 1000,
                "classes": [],
            },
            "count": 1000,
            "views": 10,
            "batch": 32,
            "mean": {"given": "1,2,3", "digest": ""},
            "mean_rule": "aligned",
            "std": [1.0, 1.0, 1.0],
            "device": "cpu",
        },
        "ties": {"rule": "against", "definition": ties.RULES["against"]},
        "images_evaluated": 1000,
        "unreadable": [{"name": f"bad_{i}.jpg", "reason": "cut short"} for i in range(unreadable)],
        "accuracy": dict.fromkeys(impls, counts),
        "agreement": {
            "top1": 1000 - disagreements,
            "top5": 1000,
            "images": 1000,
            "largest_difference": {"difference": 0.25, "image": 7, "name": "val_7.png"},
        },
        "flags": {impl: {"torch": "2.13"} for impl in impls},
    }
    return Outcome(summary, tuple(map(image, range(min(disagreements, SHOWN)))), disagreements, tuple)


def test_accuracy_agreement_and_the_rule_of_ties_are_there():
    text = evaluation.document(result())
    assert "99.95 % (999.5 of 1,000)" in text
    assert "agree in top-1 on **99.80 % (998 of 1,000)**" in text
    assert ties.RULES["against"] in text
    assert "mean of the softmax over 10 views" in text
    assert "`efefefefefef`" in text


def test_a_disagreement_is_a_row_with_both_margins():
    (row,) = [line for line in evaluation.document(result(1)).splitlines() if "val_0.png" in line]
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        "val_0.png", "1", "top-1", "0.25", "1, margins 0.5, -", "2, margins 1e-08, -",
    ]  # fmt: skip


def test_only_the_first_disagreements_are_listed():
    text = evaluation.document(result(23))
    assert "val_19.png" in text
    assert "val_20.png" not in text
    assert "... and 3 more" in text


def test_images_that_could_not_be_decoded_are_named():
    text = evaluation.document(result(unreadable=1))
    assert "bad_0.jpg" in text
    assert "1 images could not be decoded" in text
    assert "decoded" not in evaluation.document(result())


def test_one_implementation_has_nothing_to_agree_with():
    text = evaluation.document(result(0, impls=("torch",)))
    assert "Agreement" not in text
    assert "Where they differ" not in text


@pytest.mark.parametrize(
    "part, text",
    [(1000, "100.00 % (1,000 of 1,000)"), (99_999.5, "99.99 % (99,999.5 of 100,000)"), (0, "0.00 % (0 of 9)")],
)
def test_a_hundred_percent_is_all_of_them(part, text):
    whole = int(text.rpartition(" ")[2].rstrip(")").replace(",", ""))
    assert evaluation.share(part, whole) == text
