"""Verdicts on Section 3 and Figures 1 and 2: importing this binds them all."""

from __future__ import annotations

from . import architecture, cifar_norm, figure_2, gpu, logged, lrn, pool, positions, relu
from .verdict import Facts, Outcome, Verdict, decides

__all__ = ["architecture", "cifar_norm", "figure_2", "gpu", "lrn", "pool", "positions", "relu"]


@decides("arch-order-of-importance")
def order_of_importance(facts: Facts) -> Outcome:
    pairs = {
        "two GPUs": ("145-half", "145-2010"),
        "normalisation": ("148", "145"),
        "overlapping pools": ("147", "145"),
    }
    gains = {
        name: logged.points(*(logged.error(facts.original, notes) for notes in pair))[0] for name, pair in pairs.items()
    }
    listed = ", ".join(f"{name} {gain:.2f}" for name, gain in gains.items())
    evidence = (
        f"Logged top-1 gains in points, in the paper's order: {listed}. What ReLU gains, speed, can't be compared."
    )
    ordered = list(gains.values()) == sorted(gains.values(), reverse=True)
    return Outcome(Verdict.UNDERSPECIFIED if ordered else Verdict.CONTRADICTED, evidence)
