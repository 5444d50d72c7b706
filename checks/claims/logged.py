"""Error rates in the authors' run notes, and what differs between two of them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ...reference.original_code.code import OriginalCode
from ...reference.original_code.net import Layer
from ...reference.original_code.notes import Result

TEST_2010, VALIDATION = 150_000, 50_000  # images


def error(original: OriginalCode, notes: str) -> Result:
    """The ten-view result that the paper reports of a net: on ILSVRC-2010's test set, or on 2012's validation set."""
    found = original.notes(notes)
    if notes == "145":  # not labelled; the run was resumed later with a higher rate, which the paper does not use
        return found.runs[0].results[0]
    return found.result(views="multiview")


def points(worse: Result, better: Result) -> tuple[float, float]:
    """By how many percentage points one result is worse than another: (top-1, top-5)."""
    return 100 * (worse.top1 - better.top1), 100 * (worse.top5 - better.top5)


def shown(result: Result) -> str:
    """Both rates as logged."""
    return f"{result.top1:.6f} and {result.top5:.6f}"


def rounds_to(values: tuple[float, float], stated: tuple[float, float]) -> bool:
    """Do both agree with the paper's figures, given to 0.1?"""
    return all(round(value, 1) == figure for value, figure in zip(values, stated, strict=True))


def sigmas(worse: Result, better: Result, images: int) -> tuple[float, float]:
    """Each difference over its standard error, as if the two nets had been tested on images of their own."""
    pairs = ((worse.top1, better.top1), (worse.top5, better.top5))
    a, b = ((p - q) / math.sqrt((p * (1 - p) + q * (1 - q)) / images) for p, q in pairs)
    return a, b


def whole(rate: float, images: int) -> bool:
    """Is a rate, logged to six decimals, a whole number of `images`?"""
    count = rate * images
    return abs(count - round(count)) <= 0.5e-6 * images


def levels(layers: Iterable[Layer]) -> list[str]:
    """Names with the letter of the GPU taken off, in order: conv1a and conv1b are one layer."""
    return list(dict.fromkeys(layer.name[:-1] if layer.name[-1] in "ab" else layer.name for layer in layers))
