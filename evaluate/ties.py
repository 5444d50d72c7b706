"""When is an image right in top-k? The three answers that are given where classes are equally probable.

Say a label has `above` classes that are strictly more probable, `tied` others that are exactly as probable, and among
those `before` with a lower index. Without ties all rules are: right if above < k. With ties they differ, and they can
be told apart: a network whose softmax saturates, or one that is all zeros, has ties throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

Array = np.ndarray

RULES = {
    "fractional": "labels tied for the last places share them: an image counts (k - above) / (tied + 1), at most 1, as "
    "in the authors' code (computerhistory/AlexNet-Source-Code, src/layer_kernels.cu:108-117)",
    "against": "ties count against: an image is right if above + tied < k, as Caffe's accuracy layer counts",
    "index": "of equals the lower index comes first: an image is right if above + before < k, as after a stable sort "
    "(torch.topk promises no order among equals)",
}
DEFAULT = "fractional"


@dataclass(frozen=True)
class Place:
    """Where a label stands among the classes: how many are above, tied with it, and tied with a lower index."""

    above: int
    tied: int
    before: int

    def credit(self, k: int, rule: str) -> Fraction:
        """What the image counts in top-k, 0 to 1."""
        if rule == "fractional":
            return min(Fraction(1), max(Fraction(0), Fraction(k - self.above, self.tied + 1)))
        worse = self.above + (self.tied if rule == "against" else self.before)
        return Fraction(int(worse < k))


def place(probabilities: Array, label: int) -> Place:
    """The label's place for the probabilities (classes,) of one image."""
    own = probabilities[label]
    tied = probabilities == own
    return Place(int((probabilities > own).sum()), int(tied.sum()) - 1, int(tied[:label].sum()))


def order(probabilities: Array) -> Array:
    """The classes from the most to the least probable, of equals the lower index first: (classes,)."""
    return np.argsort(-probabilities, kind="stable")
