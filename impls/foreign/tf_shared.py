"""What all adapters of TensorFlow share: where the batch's channels lie, which tensors came out, parameters by name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from .graph import Array, Refused, Shape, numbered, unlike
from .tf_graph import as_array


def layout_for(shape: Sequence[int | None] | None, channels: int, fallback: str = "NHWC") -> str:
    """Which axis of a model's input (N, ., ., .) has the channels: the one of the batch's number, in doubt the fallback."""
    if shape is None or len(shape) != 4:
        return fallback
    fits = [layout for layout, axis in (("NHWC", 3), ("NCHW", 1)) if shape[axis] == channels]
    return fits[0] if len(fits) == 1 else fallback


def images(shape: Sequence[int | None] | None, fallback: str = "NHWC") -> tuple[Shape | None, int | None]:
    """((C, H, W), batch) of a model's input shape; zeros and None for what is free."""
    if shape is None or len(shape) != 4:
        return None, None
    channels_last = fallback == "NHWC" if (shape[1] in (1, 3)) == (shape[3] in (1, 3)) else shape[3] in (1, 3)
    batch, *axes = shape
    channels, height, width = (axes[2], axes[0], axes[1]) if channels_last else axes
    return (channels or 0, height or 0, width or 0), batch


def check_rank(shape: Sequence[int | None] | None, x: Array) -> None:
    """Raises Refused where the model takes no maps."""
    if shape is not None and len(shape) != x.ndim:
        raise Refused(f"found a model whose input is {tuple(shape)}, expected a batch of images with {x.ndim} axes")


def arranged(x: Array, layout: str) -> Array:
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if layout == "NHWC" and x.ndim == 4 else x


def flattened(outputs: Any) -> list[Any]:
    """The tensors in a model's output, in order: lists and dictionaries taken apart, anything else left out."""
    if isinstance(outputs, Mapping):
        return [tensor for value in outputs.values() for tensor in flattened(value)]
    if isinstance(outputs, list | tuple):
        return [tensor for value in outputs for tensor in flattened(value)]
    return [tf.convert_to_tensor(outputs)] if tf.is_tensor(outputs) or isinstance(outputs, np.ndarray) else []


class Parameters:
    """Parameters by name, each with a way to read it and to write it."""

    def __init__(self) -> None:
        self.shapes: dict[str, Shape] = {}
        self.read: dict[str, Callable[[], Any]] = {}
        self.write: dict[str, Callable[[Array], Any]] = {}
        self.frozen: list[str] = []

    def add(
        self, name: str, shape: Shape, read: Callable[[], Any], write: Callable[[Array], Any], learned: bool = True
    ) -> str:
        name = numbered(name, self.shapes)
        self.shapes[name], self.read[name], self.write[name] = tuple(shape), read, write
        if not learned:
            self.frozen.append(name)
        return name

    def value(self, name: str) -> Array:
        return np.array(as_array(self.read[name]())[0])

    def load(self, values: Mapping[str, Array]) -> None:
        for name, value in values.items():
            if name not in self.shapes:
                known = ", ".join(list(self.shapes)[:4])
                raise ValueError(f"{name}: found no such parameter, expected one of {known} ...")
            if tuple(value.shape) != self.shapes[name]:
                raise unlike(name, value.shape, self.shapes[name])
        for name, value in values.items():
            self.write[name](value)

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Running statistics are put back afterwards."""
        before = {name: self.value(name) for name in self.frozen}
        try:
            yield
        finally:
            self.load(before)
