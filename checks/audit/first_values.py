"""What a model's parameters begin with, beside what the paper says they do (Section 5)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ...reference.spec import AFFINE, Layer, Network
from ..traps import Site, sites
from ..traps.catalogue import TRAPS
from ..traps.initial import KEPT
from ..traps.trap import Initial

Array = np.ndarray

SURE = 6.0  # standard deviations: one false alarm in 5e8 for one statistic
KURTOSIS = {"normal": 3.0, "truncated": 2.37, "uniform": 1.8}
WIDEST = {
    "uniform": math.sqrt(3),
    "truncated": 2 / KEPT,
}  # the largest distance from the mean, in standard deviations
FEW = 1000  # numbers below which the shape of a law is not judged: its fourth moment strays too far
SAMPLE = 100_003  # a prime number of them is looked at, evenly spread, where there are more


def expected_laws(layer: Layer, role: str) -> tuple[Initial, ...]:
    """The law that the spec gives; a layer whose biases are drawn begins as torch's do, and theirs is uniform."""
    law = expected_law(layer, role)
    spread = isinstance(layer, AFFINE) and layer.init_bias_std
    return (replace(law, law="uniform"), law) if spread else (law,)


def expected_law(layer: Layer, role: str) -> Initial:
    assert isinstance(layer, AFFINE)
    if role == "weight":
        return Initial(role, "normal", layer.init_std)
    law = "normal" if layer.init_bias_std else "constant"
    return Initial(role, law, layer.init_bias_std, layer.init_bias)


def follows(values: Array, law: Initial) -> bool:
    """Could these numbers have been drawn by this law? Each statistic at a false-alarm rate of 2e-9."""
    numbers = sample(values)
    if law.law == "constant" or law.std == 0:
        return bool(np.allclose(numbers, law.mean, rtol=1e-5, atol=1e-9))
    if not np.ptp(numbers):
        return False
    n, mean, std, spread = numbers.size, numbers.mean(), numbers.std(), spread_of(law)
    if abs(mean - law.mean) > SURE * spread / math.sqrt(n):
        return False
    kurtosis = KURTOSIS[law.law]
    if abs(std - spread) > SURE * spread * math.sqrt((kurtosis - 1) / (4 * n)) + 1e-3 * spread:
        return False
    widest = WIDEST.get(law.law)
    if widest is not None and np.abs(numbers - law.mean).max() > widest * spread * 1.01:
        return False
    return n < FEW or abs(kurtosis_of(numbers) - kurtosis) <= SURE * math.sqrt(24 / n) * (kurtosis / 3) ** 2 + 0.05


def spread_of(law: Initial) -> float:
    """The standard deviation of what is drawn: `Initial.std` is before any cutting."""
    return law.std * KEPT if law.law == "truncated" else law.std


def misfit(values: Array, law: Initial) -> float:
    """How far the spread, and the shape, are from the law's: the nearest of several that fit is named."""
    if law.law == "constant":
        return 0.0
    numbers = sample(values)
    off = numbers.std() / spread_of(law) - 1
    kurtosis = KURTOSIS[law.law]
    return off**2 / ((kurtosis - 1) / 4) + (kurtosis_of(numbers) - kurtosis) ** 2 / (24 * (kurtosis / 3) ** 4)


def sample(values: Array) -> Array:
    """Up to SAMPLE of the numbers, evenly spread, float64."""
    numbers = values.reshape(-1)
    if numbers.size > SAMPLE:
        numbers = numbers[np.linspace(0, numbers.size - 1, SAMPLE).astype(np.int64)]
    return numbers.astype(np.float64)


def kurtosis_of(numbers: Array) -> float:
    squares = np.square(numbers - numbers.mean())
    return float(np.mean(np.square(squares)) / np.mean(squares) ** 2)


def described(values: Array) -> str:
    """ "all 0", "uniform, std 0.0289" or "normal, mean 0, std 0.01"."""
    numbers = sample(values)
    if not np.ptp(numbers):
        return f"all {numbers[0]:.4g}"
    shape = min(KURTOSIS, key=lambda law: abs(KURTOSIS[law] - kurtosis_of(numbers)))
    edges = f" within +-{np.abs(numbers - numbers.mean()).max():.3g}" if shape == "uniform" else ""
    return f"{shape}{edges}, mean {numbers.mean():.2g}, std {numbers.std():.3g}"


def in_words(law: Initial) -> str:
    if law.std == 0 or law.law == "constant":
        return f"all {law.mean:.4g}"
    return f"{law.law}, mean {law.mean:.4g}, std {law.std:.3g}"


def laws(site: Site, role: str) -> Iterator[tuple[str, Initial]]:
    """(trap, law) of every entry about first values that applies at a layer."""
    for trap in TRAPS:
        if trap.initial and isinstance(site.layer, trap.kinds):
            law = trap.initial(site)
            if law is not None and law.role == role:
                yield trap.id, law


def unlike_the_paper(network: Network, layer: str, role: str, values: Array) -> tuple[str, ...] | None:
    """None where the values follow the layer's law; else the entries whose laws they do follow (none, one or several)."""
    site = next(site for site in sites(network) if site.layer.name == layer)
    if any(follows(values, law) for law in expected_laws(site.layer, role)):
        return None
    fitting = [(misfit(values, law), trap) for trap, law in laws(site, role) if follows(values, law)]
    return tuple(trap for _, trap in sorted(fitting))
