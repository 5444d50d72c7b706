"""Steps that are less than a layer: they are merged into the layers beside them, or dropped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...reference.mistaken import Border, Computed
from ...reference.spec import Layer, Shape
from ..traps import half, mantissa

Array = np.ndarray


@dataclass(frozen=True)
class Same(Layer):
    """Nothing happens to the numbers, whatever happens to their shape. `hint`: what the model calls it."""

    hint: str = ""


@dataclass(frozen=True)
class Bias(Layer):
    """A number is added to each channel: a bias that its layer did not add itself."""


@dataclass(frozen=True)
class Padded(Layer):
    """`value` around the maps, `border` ((above, below), (left, right)) wide."""

    border: Border = ((0, 0), (0, 0))
    value: float = 0.0


@dataclass(frozen=True)
class Rounded(Computed):
    """Numbers rounded to a narrower type."""

    to: str = "float16"

    def compute(self, params: object, x: Array) -> Array:
        return ROUND[self.to](x)

    def rounding(self, params: object, x: Array, y: Array) -> Array:
        return np.zeros_like(y)

    def output(self, shape: Shape) -> Shape:
        return shape


ROUND = {"float16": half, "bfloat16": mantissa(7), "tf32": mantissa(10)}


@dataclass(frozen=True)
class Dropped(Layer):
    """Random zeros; what is kept is multiplied by `scale`. `share`: of numbers lost. maps: whole maps at a time."""

    scale: float = 1.0
    share: float = 0.5
    maps: bool = False


@dataclass(frozen=True)
class Unexplained(Layer):
    """No reading explains what it gave. `says`: what it is called, and the pattern of its output."""

    says: str = ""
