"""What each output of a layer was the sum of: the numbers and weights of up to three taps, and what came out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...reference import oracle
from ...reference.probe import groups_of
from ...reference.spec import Conv, Dense, Layer, Local

Array = np.ndarray


@dataclass(frozen=True)
class Terms:
    """x and weight (answers, 3), zeros where there are fewer taps; got (answers,). place: image, filter, position."""

    x: Array
    weight: Array
    got: Array
    place: tuple[Array, Array, Array]

    def __len__(self) -> int:
        return len(self.got)

    def only(self, which: Array) -> Terms:
        """Those answers that are chosen, by a mask or by numbers."""
        image, row, position = (part[which] for part in self.place)
        return Terms(self.x[which], self.weight[which], self.got[which], (image, row, position))

    @cached_property
    def alone(self) -> Terms:
        """Those of one product, which no order of sums touches, with that product only: x and weight (answers, 1)."""
        there = (self.x != 0) & (self.weight != 0) | ~np.isfinite(self.x)  # infinity times zero is a term
        single = np.count_nonzero(there, axis=1) == 1
        one, at = self.only(single), there[single].argmax(axis=1)[:, None]
        return Terms(
            np.take_along_axis(one.x, at, axis=1), np.take_along_axis(one.weight, at, axis=1), one.got, one.place
        )


@dataclass(frozen=True)
class Filters:
    """The rows of a weight with as many taps. taps: which of the row's inputs, weight: their values, both (rows, taps)."""

    rows: Array
    taps: Array
    weight: Array


def filters(weight: Array, inputs: int) -> tuple[Filters, Filters]:
    """Rows with one to three taps, padded to three, and rows with more, all of the same number."""
    flat = weight.reshape(-1, inputs)
    rows, taps = np.nonzero(flat)
    counts = np.bincount(rows, minlength=len(flat))
    starts = np.concatenate([[0], np.cumsum(counts)])
    few = np.flatnonzero((counts > 0) & (counts <= 3))
    at = np.zeros((len(few), 3), np.int64)
    values = np.zeros((len(few), 3), np.float32)
    for place in range(3):
        there = counts[few] > place
        at[there, place] = taps[starts[few[there]] + place]
        values[there, place] = flat[few[there], at[there, place]]
    many = np.flatnonzero(counts > 3)
    most = counts[many].max(initial=0)
    many = many[counts[many] == most]
    of_many = taps[starts[many][:, None] + np.arange(most)]
    return Filters(few, at, values), Filters(many, of_many, np.take_along_axis(flat[many], of_many, axis=1))


def read(layer: Layer, chosen: Filters, x: Array, image: int) -> Array:
    """What the taps of some filters read in one image, at each position: (rows, taps, positions), zeros in the padding."""
    per_group = filters_of(layer, x.shape[1:]) // groups_of(layer)
    if isinstance(layer, Dense):
        group = chosen.rows // per_group
        return x[image, group[:, None] * (x.shape[1] // layer.groups) + chosen.taps][..., None]
    assert isinstance(layer, Conv | Local)
    windows = oracle.windows_of(x[image : image + 1], layer)[0]  # (C, H', W', K, K)
    k = layer.kernel
    channel, row, column = chosen.taps // k**2, chosen.taps // k % k, chosen.taps % k
    if isinstance(layer, Local):
        h, w = windows.shape[1:3]
        down, across = (chosen.rows // w % h)[:, None], (chosen.rows % w)[:, None]
        return windows[channel, down, across, row, column][..., None]
    channel = channel + (chosen.rows // per_group)[:, None] * (x.shape[1] // layer.groups)
    return windows[channel, :, :, row, column].reshape(*channel.shape, -1)


def filters_of(layer: Layer, before: tuple[int, ...]) -> int:
    """How many rows its weight has: outputs, each with kernels of its own."""
    output = layer.output(before)
    return int(np.prod(output)) if isinstance(layer, Local) else output[0]


def answers(layer: Layer, chosen: Filters, got: Array, image: int) -> Array:
    """What came out of some filters in one image: (rows, positions)."""
    if isinstance(layer, Conv):
        return got[image, chosen.rows].reshape(len(chosen.rows), -1)
    return got[image].reshape(-1)[chosen.rows][:, None]


def terms(layer: Layer, params: Mapping[str, Array], x: Array, got: Array) -> Terms:
    """Every answer of a filter with one to three taps; x (N, ...) and got (N, ...) float32."""
    few, _ = filters(params[f"{layer.name}.weight"], layer.reduction(x.shape[1:]))
    parts = [of_dense(layer, few, x, got)] if isinstance(layer, Dense) else list(each_image(layer, few, x, got))
    xs, weights, found, images, rows, positions = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Terms(xs, weights, found, (images, rows, positions))


def of_dense(layer: Dense, few: Filters, x: Array, got: Array) -> tuple[Array, ...]:
    """All images of a dense layer, which may be many, at once."""
    per_group = layer.units // layer.groups
    taps = (few.rows // per_group)[:, None] * (x.shape[1] // layer.groups) + few.taps
    images, rows = np.indices((len(x), len(few.rows))).reshape(2, -1)
    none = np.zeros(len(images), np.int64)
    values = x[:, taps].reshape(-1, 3)
    return values, few.weight[rows], got[:, few.rows].reshape(-1), images, few.rows[rows], none


def each_image(layer: Layer, few: Filters, x: Array, got: Array) -> Iterator[tuple[Array, ...]]:
    for image in range(len(x)):
        values = read(layer, few, x, image).transpose(0, 2, 1)  # (rows, positions, 3)
        rows, positions, _ = values.shape
        numbers = np.indices((rows, positions)).reshape(2, -1)
        yield (
            values.reshape(-1, 3),
            np.repeat(few.weight, positions, axis=0),
            answers(layer, few, got, image).reshape(-1),
            np.full(rows * positions, image),
            few.rows[numbers[0]],
            numbers[1],
        )
