"""The outcome of many images: what it says, byte for byte, and that it holds but a few of them."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from alexnet_parity.evaluate.result import SHOWN, result

IMPLS = ("torch", "keras")
RUN = {"implementations": dict.fromkeys(IMPLS, "x"), "variant": "paper"}


def said(first):
    five = {"top5": [first, 5, 6, 7, 8], "probabilities": [0.1] * 5, "margin": 0.5, "margin5": None}
    return five | {"above": 0, "tied": 0, "before": 0}


def image(number, parted):
    """An image with a name that JSON has to escape."""
    answers = {impl: said(3 + parted * place) for place, impl in enumerate(IMPLS)}
    name = f'a "name"\nof two lines, \u2028 \udce9 {number}'
    return {"image": number, "name": name, "label": 3, "difference": 1e-9 * number, "implementations": answers}


def batches(count, every=2, size=7):
    """`count` images of which one in `every` is disagreed on; a generator, as the state file's is."""

    def made():
        for start in range(0, count, size):
            images = [image(n, parted=bool(every) and n % every == 0) for n in range(start, min(start + size, count))]
            lost = [] if start else [{"image": start, "name": "x.png", "reason": "cut short"}]
            yield {"images": images, "unreadable": lost, "flags": {impl: {"version": "1"} for impl in IMPLS}}

    return made


@pytest.mark.parametrize("count, every", [(100, 2), (30, 1), (3, 2), (5, 0), (1, 1)])
def test_the_json_is_what_it_would_be_if_it_were_written_at_once(count, every):
    outcome = result(RUN, "index", batches(count, every))
    images = [image for batch in batches(count, every)() for image in batch["images"]]
    parted = [
        row | {"top1_agrees": False, "top5_agrees": False} for row in images if every and row["image"] % every == 0
    ]
    whole = outcome.summary | {"disagreements": parted, "images": images}
    assert "".join(outcome.as_json()) == json.dumps(whole, indent=1) + "\n"
    assert outcome.parted == len(parted)
    assert list(outcome.shown) == parted[:SHOWN]


def test_ten_times_the_images_take_no_more_memory():
    def peak(count):
        tracemalloc.start()
        pieces = result(RUN, "index", batches(count, every=1)).as_json()
        length = sum(map(len, pieces))
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest, length

    peak(SHOWN)  # what is imported or cached once
    (few, _), (many, length) = peak(100), peak(1000)
    assert many < few + length / 20
