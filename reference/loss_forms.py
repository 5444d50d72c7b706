"""The paper's objective on hard cases, the forms of it that frameworks give, and the mistakes that are made with it.

Everything here is float64: (logits (N, classes), labels (N,)) -> (loss (1,), gradient (N, classes)).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from . import draws
from .loss import cross_entropy, cross_entropy_gradient, log_softmax

Array = np.ndarray
Both = tuple[Array, Array]  # loss (1,), gradient (N, classes)


# Cases --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Logits (N, classes) float32 and right labels (N,) int64."""

    name: str
    logits: Array
    labels: Array


def cases(seed: int, classes: int) -> Iterator[Case]:
    """Ordinary logits, in batches of 7 and 1; equal ones; the right label improbable (below 1e-30), or out of a float's reach;
    and logits of 1e4, whose exponentials overflow. Those are multiples of 256, so that no probability is subnormal: whether such
    a one is kept or flushed to zero is the machine's choice.
    """
    for name, images in (("ordinary", 7), ("one image", 1)):
        yield Case(
            name, draws.normal(seed, f"loss/{name}", (images, classes), 3.0), labels(seed, name, images, classes)
        )
    large = 256 * np.rint(draws.normal(seed, "loss/large", (7, classes), 1e4) / 256)
    yield Case("large", large.astype(np.float32), labels(seed, "large", 7, classes))
    yield Case("equal", np.full((7, classes), 2.5, np.float32), labels(seed, "equal", 7, classes))
    for name, below in (("improbable", 75.0), ("vanishing", 120.0)):
        logits, right = draws.normal(seed, f"loss/{name}", (7, classes), 1.0), labels(seed, name, 7, classes)
        logits[np.arange(7), right] = -below
        yield Case(name, logits, right)


def labels(seed: int, name: str, images: int, classes: int) -> Array:
    return draws.integers(seed, f"loss/{name}/labels", (images,), np.arange(classes)).astype(np.int64)


# The paper's, and what else there is ---------------------------------------------------------------------------------


def paper(logits: Array, labels: Array) -> Both:
    return cross_entropy(logits, labels), cross_entropy_gradient(logits, labels)


def one_hot(labels: Array, classes: int) -> Array:
    return np.eye(classes)[labels]


def smoothed(logits: Array, labels: Array, smoothing: float) -> Both:
    """Label smoothing: the right label is believed 1 - smoothing + smoothing / classes, every other smoothing / classes."""
    n, classes = logits.shape
    target = (1 - smoothing) * one_hot(labels, classes) + smoothing / classes
    logarithms = log_softmax(logits)
    return -(target * logarithms).sum(axis=1).mean(keepdims=True), (np.exp(logarithms) - target) / n


def softmax_twice(logits: Array, labels: Array) -> Both:
    """Probabilities taken for logits: the loss of their softmax."""
    p = np.exp(log_softmax(logits))
    value, upstream = paper(p, labels)
    return value, through_softmax(p, upstream)


def through_softmax(p: Array, upstream: Array) -> Array:
    """The gradient at the logits from that at the probabilities: p_j (g_j - sum of p_k g_k)."""
    return p * (upstream - (p * upstream).sum(axis=1, keepdims=True))


EPSILON = 1e-7  # Keras' backend.epsilon(), keras/src/backend/config.py line 10


def limits(epsilon: float) -> tuple[float, float]:
    """Between which probabilities are clipped, as float32 numbers: 1 - 1e-7 becomes 1 - 2^-23."""
    return float(np.float32(epsilon)), float(np.float32(1 - epsilon))


def clipped(logits: Array, labels: Array, epsilon: float = EPSILON) -> Both:
    """-log of the right label's probability, clipped; where it is clipped nothing is learned."""
    p = np.exp(log_softmax(logits))
    low, high = limits(epsilon)
    right = np.arange(len(labels)), labels
    kept = np.clip(p, low, high)[right]
    upstream = np.zeros_like(p)
    upstream[right] = np.where((p[right] >= low) & (p[right] <= high), -1 / kept, 0) / len(labels)
    return -np.log(kept).mean(keepdims=True), through_softmax(p, upstream)


def clipped_and_rescaled(logits: Array, labels: Array, epsilon: float = EPSILON) -> Both:
    """Every probability clipped, its logarithm taken for a logit, and the cross-entropy of those."""
    p = np.exp(log_softmax(logits))
    low, high = limits(epsilon)
    kept = np.clip(p, low, high)
    value, of_logarithms = paper(np.log(kept), labels)
    upstream = np.where((p >= low) & (p <= high), of_logarithms / kept, 0)
    return value, through_softmax(p, upstream)


SMALLEST = 2.0**-126  # the smallest normal float32 number


def log_of_softmax(logits: Array, labels: Array) -> Both:
    """As the paper's, but infinite, and its gradient not a number, once the right label's probability is below float32's."""
    value, gradient = paper(logits, labels)
    lost = np.exp(log_softmax(logits))[np.arange(len(labels)), labels] < SMALLEST
    gradient[lost] = np.nan
    return np.array([np.inf]) if lost.any() else value, gradient


def logs_of_softmax(logits: Array, labels: Array) -> Both:
    """The same where all logarithms are taken before the right one is picked: any class that vanishes makes 0 / 0."""
    value, gradient = log_of_softmax(logits, labels)
    gradient[(np.exp(log_softmax(logits)) < SMALLEST).any(axis=1)] = np.nan
    return value, gradient


@dataclass(frozen=True)
class Departure:
    """A form that is not the paper's everywhere: what it computes, and why."""

    loss: Callable[[Array, Array], Both]
    why: str
    source: str


DEPARTURES = {
    "clipped": Departure(
        clipped,
        "probabilities are clipped to 1e-7 .. 1 - 1e-7 before the logarithm: an image whose right label is less probable costs "
        "16.1 at most and teaches nothing, its gradient is 0",
        "keras 3.15.1, keras/src/backend/tensorflow/nn.py lines 1366-1377; keras/src/backend/torch/nn.py lines 868-871 and "
        "913-917; keras/src/backend/jax/nn.py lines 982-985 and 1009-1012",
    ),
    "clipped-and-rescaled": Departure(
        clipped_and_rescaled,
        "every probability is clipped to 1e-7 .. 1 - 1e-7 before the logarithm, and the logarithms are taken for logits: an "
        "image whose right label is less probable costs 16.1 at most, and the right label's own logit is not raised",
        "keras 3.15.1, keras/src/backend/tensorflow/nn.py lines 1432-1441",
    ),
    "log-of-softmax": Departure(
        log_of_softmax,
        "the probability is rounded to 0 before its logarithm is taken: the loss is infinite and the gradient no number",
        "float32 ends at 1.2e-38, or 1.4e-45 with subnormal numbers",
    ),
    "logs-of-softmax": Departure(
        logs_of_softmax,
        "probabilities are rounded to 0 before their logarithms are taken: the loss is infinite where the right label's is, and "
        "the gradient no number where any is (0 from nll_loss, times 1 / 0)",
        "float32 ends at 1.2e-38, or 1.4e-45 with subnormal numbers",
    ),
}


# Mistakes -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mistake:
    """`says` ends "agrees if ..."; `scale`: how much larger its rounding errors are than those of the paper's form."""

    id: str
    says: str
    loss: Callable[[Array, Array], Both]
    scale: Callable[[int], float] = lambda images: 1.0


def summed(logits: Array, labels: Array) -> Both:
    value, gradient = paper(logits, labels)
    return value * len(labels), gradient * len(labels)


def only_gradient(change: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Both]:
    def loss(logits: Array, labels: Array) -> Both:
        value, gradient = paper(logits, labels)
        return value, change(gradient, labels)

    return loss


def relabelled(by: int) -> Callable[[Array, Array], Both]:
    return lambda logits, labels: paper(logits, (labels + by) % logits.shape[1])


def divided(by: float) -> Callable[[Array, Array], Both]:
    def loss(logits: Array, labels: Array) -> Both:
        value, gradient = paper(logits, labels)
        return value / by, gradient / by

    return loss


def over_classes(logits: Array, labels: Array) -> Both:
    value, gradient = paper(logits, labels)
    return value / logits.shape[1], gradient / logits.shape[1]


def clipping(epsilon: float) -> Mistake:
    return Mistake(
        f"loss-clipped-{epsilon:.0e}",
        f"the probability is clipped at {epsilon:.0e} before its logarithm is taken",
        lambda logits, labels: clipped(logits, labels, epsilon),
        lambda images: 4.0,
    )


MISTAKES = (
    Mistake("loss-summed", "loss and gradient are summed over the batch", summed, float),
    Mistake(
        "loss-gradient-summed",
        "the gradient is summed over the batch, the loss averaged",
        only_gradient(lambda gradient, labels: gradient * len(labels)),
        float,
    ),
    Mistake("loss-over-classes", "the mean is over images and classes", over_classes),
    Mistake("loss-softmax-twice", "the softmax is taken twice", softmax_twice, lambda images: 4.0),
    Mistake("loss-labels-one-too-high", "labels are one too high", relabelled(1)),
    Mistake("loss-labels-one-too-low", "labels are one too low", relabelled(-1)),
    Mistake("loss-log10", "the logarithm is to the base 10", divided(np.log(10))),
    Mistake("loss-log2", "the logarithm is to the base 2", divided(np.log(2)), lambda images: 1.5),
    Mistake("loss-gradient-negative", "the gradient has the wrong sign", only_gradient(lambda gradient, _: -gradient)),
    Mistake(
        "loss-gradient-without-labels",
        "the gradient is the softmax alone, without the labels",
        lambda logits, labels: (cross_entropy(logits, labels), np.exp(log_softmax(logits)) / len(labels)),
    ),
    *(clipping(epsilon) for epsilon in (1e-7, 1e-8, 1e-6, 1e-10, 1e-12)),
    Mistake(
        "loss-clipped-and-rescaled",
        "every probability is clipped at 1e-7 and its logarithm taken for a logit",
        clipped_and_rescaled,
        lambda images: 4.0,
    ),
)


def smoothing_of(loss: float, logits: Array, labels: Array) -> float | None:
    """The label smoothing that would give this loss, to three digits; None where none between 0 and 1 would."""
    logarithms = log_softmax(logits)
    right = -logarithms[np.arange(len(labels)), labels].mean()
    found = (loss - right) / (-logarithms.mean() - right)
    return round(found, 3) if 0 < found < 1 else None
