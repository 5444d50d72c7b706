"""What a model did with a batch, operation by operation, in words that belong to no framework.

Each framework has a file beside this one that turns its models into a `Subject`. What an operation says of itself (its kind
and attributes) is a hint about what to compare it with; what it took and gave is the evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

Array = np.ndarray
Shape = tuple[int, ...]

KINDS = (
    *("conv", "dense", "activation", "lrn", "batch_norm", "dropout", "softmax", "log_softmax"),
    *("max_pool", "avg_pool", "adaptive_max_pool", "adaptive_avg_pool"),
    *("reshape", "transpose", "pad", "concat", "split", "slice", "flip", "cast", "identity"),
    *("add", "sub", "mul", "div", "pow", "sqrt", "square", "sum", "mean", "other"),
)


@dataclass(frozen=True)
class Operation:
    """One call, as the framework's user would see it.

    name: unique in its graph, the user's own where there is one: "features.0", "classifier.2/relu", "conv1/BiasAdd".
    kind: one of KINDS; "other" where nothing fits. `activation` says which in attributes["function"].
    call: the call in the framework's own words, with the arguments that matter: "nn.MaxPool2d(kernel_size=3, stride=2)".
    inputs: tensors that came, in order, those of parameters included ("param:NAME" for the parameter itself).
    roles: position in `inputs` of "x", "weight", "bias", "mean", "variance", where the operation has such.
    outputs: tensors that it gave.
    attributes, all sizes as (height, width) and resolved to numbers:
        conv       stride, padding ((above, below), (left, right)), dilation, groups, layout, weight_layout ("OIHW", "HWIO")
        dense      weight_layout ("OI" or "IO")
        *_pool     kernel, stride, padding (as conv), ceil, count_include_pad, layout; adaptive: size, layout
        lrn        before, after (maps on each side), k, alpha (what multiplies the plain sum of squares), beta, layout
        activation function ("relu", "tanh", "leaky_relu", ...), slope
        dropout    rate, training
        softmax    axis;  transpose  perm;  concat, split  axis;  flip  axes;  batch_norm  eps, layout
    `layout` ("NCHW" or "NHWC") only where the operation itself says it.
    """

    name: str
    kind: str
    call: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    roles: Mapping[str, int] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.name}: found kind {self.kind!r}, expected one of {', '.join(KINDS)}")


@dataclass(frozen=True)
class Graph:
    """One forward pass.

    tensors: a copy of every floating-point (or integer, boolean) tensor as it was when the operation that gave it had run,
    in the framework's own layout and dtype (bfloat16 as float32, then named in `dtypes`). Parameters themselves,
    "param:NAME", are not repeated here.
    layout: what maps (four axes) are unless an operation says otherwise, "NCHW" or "NHWC".
    outputs: the tensors that the model returned, in order, lists and dictionaries taken apart.
    called: names of the modules or layers that ran, `idle`: of those that exist and did not.
    """

    operations: Sequence[Operation]
    tensors: Mapping[str, Array]
    input: str
    outputs: tuple[str, ...]
    layout: str
    dtypes: Mapping[str, str] = field(default_factory=dict)
    idle: tuple[str, ...] = ()


class Subject(Protocol):
    """A model under audit. Parameters are in the framework's own layout and names here."""

    @property
    def framework(self) -> str:
        """ "torch 2.13.0", "keras 3.15.1 on tensorflow 2.21.0"."""
        ...

    @property
    def parameters(self) -> Mapping[str, Shape]:
        """Everything that is learned or kept, by the framework's name."""
        ...

    @property
    def frozen(self) -> Sequence[str]:
        """Those of them that are not learned: running means and variances."""
        ...

    @property
    def input_shape(self) -> Shape | None:
        """(C, H, W) where the model fixes it, zeros for free ones; None where it says nothing."""
        ...

    @property
    def batch(self) -> int | None:
        """The batch size, where the model fixes it."""
        ...

    @property
    def trains(self) -> bool:
        """Can it be run in training mode?"""
        ...

    def value(self, name: str) -> Array:
        """A parameter as the model holds it now: a copy."""
        ...

    def load(self, values: Mapping[str, Array]) -> None:
        """Put these in the places of parameters; raises ValueError for an unknown name or another shape."""
        ...

    def record(self, x: Array, training: bool = False) -> Graph:
        """Run on a float32 batch x (N, C, H, W), in inference or in training mode. Whatever the model raises comes through.

        The model is left as it was: mode, hooks and running statistics.
        """
        ...


class Refused(Exception):
    """A target that cannot be audited; the message is one line and says what to do."""


def unlike(name: str, found: Shape, expected: Shape) -> ValueError:
    return ValueError(f"{name}: found values of shape {tuple(found)}, expected {tuple(expected)}")


def numbered(name: str, taken: Mapping[str, Any] | set[str]) -> str:
    """The name, with a number behind it where it is taken: "relu", "relu_2", "relu_3"."""
    if name not in taken:
        return name
    count = 2
    while f"{name}_{count}" in taken:
        count += 1
    return f"{name}_{count}"
