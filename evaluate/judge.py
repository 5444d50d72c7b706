"""From the implementations' answers on a batch to one record: what each says of every image, and how far they part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from . import ties
from .dataset import Dataset
from .errors import Unusable
from .process import Answer

Array = np.ndarray

TOP = 5


def record(start: int, stop: int, answers: Mapping[str, Answer], data: Dataset) -> dict[str, Any]:
    """One line of the state file, from the answers by implementation."""
    batches = [answer.batch for answer in answers.values()]
    first = batches[0]
    for batch in batches[1:]:
        if not np.array_equal(batch.images, first.images):
            raise Unusable(f"images {start} to {stop - 1} were not the same for all implementations; did files change?")
    every = np.stack([batch.probabilities for batch in batches])  # (implementations, n, classes)
    images = []
    for row, image in enumerate(first.images):
        label = int(first.labels[row])
        images.append(
            {
                "image": int(image),
                "name": data.name(int(image)),
                "label": label,
                "difference": float(np.ptp(every[:, row], axis=0).max()),
                "implementations": {
                    impl: said(answer.batch.probabilities[row], label) for impl, answer in answers.items()
                },
            }
        )
    unreadable = [{"image": i, "name": data.name(i), "reason": why} for i, why in first.unreadable]
    flags = {impl: answer.flags for impl, answer in answers.items()}
    return {"start": start, "stop": stop, "images": images, "unreadable": unreadable, "flags": flags}


def said(probabilities: Array, label: int) -> dict[str, Any]:
    """What one implementation says of one image.

    margin: between the first and the second class; margin5: between the fifth and the sixth (null with five or fewer).
    """
    order = ties.order(probabilities)
    sorted_ = probabilities[order]
    place = ties.place(probabilities, label)
    return {
        "top5": order[:TOP].tolist(),
        "probabilities": sorted_[:TOP].tolist(),
        "margin": float(sorted_[0] - sorted_[1]) if len(order) > 1 else None,
        "margin5": float(sorted_[TOP - 1] - sorted_[TOP]) if len(order) > TOP else None,
        "above": place.above,
        "tied": place.tied,
        "before": place.before,
    }
