"""Sections 6.1 and 7: what the network learned, and what is said of depth, size and pre-training."""

from __future__ import annotations

import numpy as np

from ...reference import draws
from ...reference.claims import published_results
from . import logged
from .verdict import Facts, Outcome, Verdict, decides, holds_if

# Section 6.1 -------------------------------------------------------------------------------------------------------------


@decides("qual-fig3-96-kernels")
def first_kernels(facts: Facts) -> Outcome:
    layers = [layer for layer in facts.original.net("145").of_type("conv") if layer.name.startswith("conv1")]
    shapes = {(layer.gpu, layer.filters, layer.filterSize[0], layer.channels[0]) for layer in layers}
    says = "; ".join(f"GPU {gpu}: {n} of {k} x {k} x {c}" for gpu, n, k, c in sorted(shapes, key=str))
    return holds_if(shapes == {(0, 48, 11, 3), (1, 48, 11, 3)}, f"{says}.")


@decides("qual-colour-specialisation", "qual-fig4-top5", "qual-pixel-l2")
def needs_weights(facts: Facts) -> Outcome:
    published_weights = facts.original.fact("weights-published")
    says = "has some" if published_weights else "has none"
    return Outcome(Verdict.NOT_CHECKABLE, f"It takes the trained weights; the museum's release {says}.")


@decides("qual-fig4-distance")
def retrieval(facts: Facts) -> Outcome:
    """The code sums squared differences: the same order of neighbours as the Euclidean distance."""
    query = draws.normal(2012, "retrieval/query", (4096,), 1.0).astype(np.float64)
    images = draws.normal(2012, "retrieval/images", (200, 4096), 1.0).astype(np.float64)
    features = np.maximum(images, 0) * np.linspace(0.9, 1.1, 200)[:, None]  # (images, features), as after a ReLU
    difference = features - np.maximum(query, 0)
    euclidean = np.linalg.norm(difference, axis=1)
    code = facts.original.fact("similarity")
    measure = (difference**2).sum(axis=1) if "squared Euclidean" in code else np.abs(difference).sum(axis=1)
    same = int((np.argsort(measure) == np.argsort(euclidean)).sum())
    says = f"The code takes the {code}: {same} of {len(images)} random neighbours rank as by the Euclidean distance."
    return holds_if(same == len(images) and "4096" in code, says)


# Section 7 ---------------------------------------------------------------------------------------------------------------


@decides("disc-middle-layer-2pct")
def middle_layer(facts: Facts) -> Outcome:
    nets = [name for name in facts.original.notes_by_name if name != "145-2010"]
    levels = {name: len(logged.levels(facts.original.net(name).of_type("conv"))) for name in nets}
    said = ", ".join(f"{name} ({count})" for name, count in levels.items())
    says = (
        f"None of the {len(levels)} logged nets at hand lacks a convolution: {said}"
        if min(levels.values()) >= 5
        else f"Convolutions: {said}"
    )
    return Outcome(Verdict.NOT_CHECKABLE, f"{says}.")


@decides("disc-no-unsupervised")
def no_pretraining(facts: Facts) -> Outcome:
    """Weights taken from another net stand in the configuration as initWFunc."""

    def taken(name: str) -> int:
        return sum("initWFunc" in layer.other for layer in facts.original.net(name).learned())

    layers = len(facts.original.net("145").learned())
    says = f"{taken('145')} of the {layers} learned layers of 145 take weights from elsewhere (in 146 after Fall 2011: "
    return holds_if(taken("145") == 0, f"{says}{taken('146-2012-2011')}).")


@decides("disc-larger-longer-better")
def larger_and_longer(facts: Facts) -> Outcome:
    """A trend: one gain each way bears it out, and single trials that failed leave it open."""
    runs = facts.original.notes("145").runs
    first, resumed = runs[0], runs[-1]
    longer = 100 * (first.results[0].top1 - resumed.results[-1].top1)
    half, whole = (logged.error(facts.original, name) for name in ("145-half", "145-2010"))
    larger, _ = logged.points(half, whole)
    worse = [f"{net.net} ({net.how}): {net.remark}" for net in published_results.LARGER if not net.better]
    says = (
        f"Longer: 145 resumed to epoch {resumed.stopped():g}, rate and colour noise raised again, is {longer:.2f} points better. "
        f"Larger: two GPUs against one, {larger:.2f} points better"
    )
    says += f"; but {'; '.join(worse)}." if worse else "."
    if min(longer, larger) <= 0:
        return Outcome(Verdict.CONTRADICTED, says)
    return Outcome(Verdict.UNDERSPECIFIED if worse else Verdict.HOLDS, says)
