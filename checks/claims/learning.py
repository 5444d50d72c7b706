"""Sections 4 and 5. Their checks lie in `augmentation.py`, `dropout.py` and `sgd.py`; importing this binds them all."""

from __future__ import annotations

import math

from ...reference.spec import Dense
from . import augmentation, dropout, sgd
from .verdict import Facts, Outcome, decides, holds_if

__all__ = ["augmentation", "bits_per_label", "dropout", "sgd"]


@decides("over-10-bits")
def bits_per_label(facts: Facts) -> Outcome:
    classes = [layer.units for layer in facts.paper.layers if isinstance(layer, Dense)][-1]
    bits = math.log2(classes)
    return holds_if(round(bits) == 10, f"log2({classes}) = {bits:.3f} bits.")
