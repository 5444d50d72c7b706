"""NumPy as an implementation whose convolutions and dense layers compute in a chosen arithmetic, written out step by step.

Independent of the probe: rounding is done here on the bits of float32 numbers or by NumPy's own types, sums are loops over the
taps. Where all weights are zero nothing is added: adding zero changes no number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from alexnet_parity.reference import oracle
from alexnet_parity.reference.spec import AFFINE, Conv, Dense, Layer, Local, Network

Array = np.ndarray
Round = Callable[[Array], Array]

# Rounding, on bits ----------------------------------------------------------------------------------------------------


def float32(values: Array) -> Array:
    return values.astype(np.float32)


def float16(values: Array) -> Array:
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float32)


def to_nearest(dropped: int) -> Round:
    """float32 numbers without their last bits: to nearest, ties to even."""

    def rounded(values: Array) -> Array:
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
        bits += (1 << (dropped - 1)) - 1 + (bits >> dropped & 1)
        return (bits >> dropped << dropped).astype(np.uint32).view(np.float32)

    return rounded


def cut(dropped: int) -> Round:
    """float32 numbers without their last bits: towards zero."""

    def rounded(values: Array) -> Array:
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        return (bits >> dropped << dropped).view(np.float32)

    return rounded


def significant(bits: int) -> Round:
    """So many significant bits, to nearest; any range."""

    def rounded(values: Array) -> Array:
        fraction, exponent = np.frexp(values.astype(np.float64))
        return np.ldexp(np.rint(np.ldexp(fraction, bits)), exponent - bits)

    return rounded


bfloat16, tf32, tf32_truncated, bfloat16_truncated = to_nearest(16), to_nearest(13), cut(13), cut(16)


# Sums -----------------------------------------------------------------------------------------------------------------

Sum = Callable[[Array, Array], Array]  # (..., taps), (..., taps) -> (...), float32 numbers


def one_by_one(rounded: Round) -> Sum:
    """One accumulator: each product rounded, each sum rounded."""

    def total(x: Array, w: Array) -> Array:
        held = rounded(np.zeros(np.broadcast_shapes(x.shape, w.shape)[:-1], np.float32))
        with np.errstate(all="ignore"):
            for tap in range(x.shape[-1]):
                held = rounded(held + rounded(x[..., tap] * w[..., tap]))
        return held

    return total


def narrow_sums(bits: int) -> Sum:
    """One accumulator of so many bits, exact products."""

    def total(x: Array, w: Array) -> Array:
        held = np.zeros(np.broadcast_shapes(x.shape, w.shape)[:-1])
        for tap in range(x.shape[-1]):
            held = significant(bits)(held + x[..., tap].astype(np.float64) * w[..., tap])
        return held

    return total


def tensor_core(extra: int, width: int = 8) -> Sum:
    """Blocks of products added at once to the accumulator: shifted to the largest, cut, and the sum cut to 24 bits."""

    def total(x: Array, w: Array) -> Array:
        products = x.astype(np.float64) * w
        held = np.zeros(products.shape[:-1])
        for start in range(0, products.shape[-1], width):
            block = np.concatenate([held[..., None], products[..., start : start + width]], axis=-1)
            top = np.floor(np.log2(np.maximum(np.abs(block).max(axis=-1), 2.0**-300)))
            place = 2.0 ** (top - 23 - extra)
            whole = np.trunc(block / place[..., None]).sum(axis=-1)  # integers
            over = np.maximum(np.frexp(whole)[1] - 24, 0)
            held = np.trunc(whole / 2.0**over) * 2.0**over * place
        return held

    return total


def in_float64(x: Array, w: Array) -> Array:
    return (x.astype(np.float64) * w).sum(axis=-1).astype(np.float32)


def fused(x: Array, w: Array) -> Array:
    """fma(x, w, held), each correctly rounded: the error of the addition decides where float64 falls on a float32's border."""
    held = np.zeros(np.broadcast_shapes(x.shape, w.shape)[:-1], np.float32)
    for tap in range(x.shape[-1]):
        product = x[..., tap].astype(np.float64) * w[..., tap]  # exact
        held = once_rounded(product, held.astype(np.float64))
    return held


def once_rounded(a: Array, b: Array) -> Array:
    """a + b as float32, rounded once; where rounding through float64 may go wrong, by exact fractions."""
    total = a + b
    found = total.astype(np.float32)
    doubtful = np.flatnonzero(
        total.view(np.int64).reshape(-1) & 0x1FFFFFFF == 0x10000000
    )  # half-way between float32 numbers
    flat, one, other = (
        found.reshape(-1),
        np.broadcast_to(a, total.shape).reshape(-1),
        np.broadcast_to(b, total.shape).reshape(-1),
    )
    for place in doubtful:
        flat[place] = nearest_float32(Fraction(float(one[place])) + Fraction(float(other[place])))
    return flat.reshape(found.shape)


def nearest_float32(value: Fraction) -> np.float32:
    near = np.float32(float(value))
    around = [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]
    return min(around, key=lambda n: (abs(Fraction(float(n)) - value), int(n.view(np.uint32)) & 1))


def in_blocks(count: int) -> Sum:
    """So many accumulators in turn, added up at the end."""

    def total(x: Array, w: Array) -> Array:
        serial = one_by_one(float32)
        parts = [serial(x[..., start::count], w[..., start::count]) for start in range(count)]
        ones = np.ones(len(parts), np.float32)
        return serial(np.stack(parts, axis=-1), ones)

    return total


def in_pieces(narrow: Round, count: int) -> Sum:
    """Inputs as sums of narrow numbers, the largest products first, in one float32 accumulator."""

    def pieces(values: Array) -> list[Array]:
        found = []
        for _ in range(count):
            found.append(narrow(values))
            values = values - found[-1]
        return found

    def total(x: Array, w: Array) -> Array:
        xs, ws = pieces(x), pieces(w)
        pairs = [(i, j) for i in range(count) for j in range(count) if i + j < count]
        serial = one_by_one(float32)
        parts = [serial(xs[i], ws[j]) for i, j in sorted(pairs, key=sum)]
        return serial(np.stack(parts, axis=-1), np.ones(len(parts), np.float32))

    return total


# The implementation ---------------------------------------------------------------------------------------------------


SERIAL = one_by_one(float32)


@dataclass(frozen=True)
class Module:
    """activations, weights, result: how they are rounded. total: how products are summed. backwards: the last tap first."""

    activations: Round = float32
    weights: Round = float32
    total: Sum = SERIAL
    result: Round = float32
    backwards: bool = False

    def build(self, network: Network, params: Mapping[str, Array]) -> Model:
        return Model(self, network, dict(params))


@dataclass
class Model:
    module: Module
    network: Network
    held: dict[str, Array]

    def params(self) -> dict[str, Array]:
        return self.held

    def activations(self, x: Array) -> Any:
        for layer in self.network.layers:
            x = self.affine(layer, x) if isinstance(layer, AFFINE) else oracle.apply(layer, self.held, x)
            yield layer.name, x

    def affine(self, layer: Layer, x: Array) -> Array:
        weight, bias = self.held[f"{layer.name}.weight"], self.held[f"{layer.name}.bias"]
        assert not bias.any(), "the probe's biases are zero"
        x, weight = self.module.activations(x), self.module.weights(weight)
        if isinstance(layer, Dense):
            parts = zip(np.split(x, layer.groups, axis=1), np.split(weight, layer.groups), strict=True)
            return np.concatenate([self.sums(rows, units) for rows, units in parts], axis=1)
        assert isinstance(layer, Conv | Local)
        windows = oracle.windows_of(x, layer)  # (N, C, H', W', K, K)
        n, _, h, w, _, _ = windows.shape
        if isinstance(layer, Local):
            outputs = np.empty((n, layer.channels, h, w), np.float32)
            for row, column in np.ndindex(h, w):
                patches = windows[:, :, row, column].reshape(n, -1)
                outputs[:, :, row, column] = self.sums(patches, weight[:, row, column].reshape(layer.channels, -1))
            return outputs
        outputs = []
        for maps, kernels in zip(np.split(windows, layer.groups, axis=1), np.split(weight, layer.groups), strict=True):
            patches = maps.transpose(0, 2, 3, 1, 4, 5).reshape(n * h * w, -1)
            sums = self.sums(patches, kernels.reshape(len(kernels), -1))
            outputs.append(sums.reshape(n, h, w, -1).transpose(0, 3, 1, 2))
        return np.concatenate(outputs, axis=1)

    def sums(self, patches: Array, kernels: Array) -> Array:  # (M, taps), (F, taps) -> (M, F)
        found = np.empty((len(patches), len(kernels)), np.float32)
        for row, kernel in enumerate(kernels):
            taps: Sequence[int] = np.flatnonzero(kernel)[:: -1 if self.module.backwards else 1]
            found[:, row] = self.module.result(self.module.total(patches[:, taps], kernel[taps]))
        return found


# A transform of tiles -------------------------------------------------------------------------------------------------

# F(4x4, 3x3) of Lavin & Gray, arXiv:1509.09308, section 4.3: six inputs give four outputs, in each direction.
FROM_INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float32,
)
FROM_KERNEL = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    np.float32,
)
TO_OUTPUT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], np.float32)


@dataclass(frozen=True)
class Winograd(Module):
    """3 x 3 convolutions with stride 1 by Winograd's transform, in float32; all else one product after the other."""

    def build(self, network: Network, params: Mapping[str, Array]) -> Model:
        return WinogradModel(self, network, dict(params))


class WinogradModel(Model):
    def affine(self, layer: Layer, x: Array) -> Array:
        if not (isinstance(layer, Conv) and layer.kernel == 3 and layer.stride == 1):
            return super().affine(layer, x)
        weight = self.held[f"{layer.name}.weight"]
        parts = zip(np.split(x, layer.groups, axis=1), np.split(weight, layer.groups), strict=True)
        return np.concatenate([winograd(maps, kernels, layer) for maps, kernels in parts], axis=1)


def winograd(x: Array, weight: Array, layer: Conv) -> Array:
    """(N, C, H, W), (O, C, 3, 3) -> (N, O, H', W'), float32 throughout."""
    n, _, h, w = x.shape
    before, after = layer.padding
    rows, columns = h + before + after - 2, w + before + after - 2
    down, across = -(-rows // 4), -(-columns // 4)
    padded = np.pad(
        x, ((0, 0), (0, 0), (before, 4 * down + 2 - h - before), (before, 4 * across + 2 - w - before))
    ).astype(np.float32)
    kernels = FROM_KERNEL @ weight @ FROM_KERNEL.T  # (O, C, 6, 6)
    found = np.zeros((n, len(weight), 4 * down, 4 * across), np.float32)
    for i, j in np.ndindex(down, across):
        tile = FROM_INPUT @ padded[:, :, 4 * i : 4 * i + 6, 4 * j : 4 * j + 6] @ FROM_INPUT.T  # (N, C, 6, 6)
        products = np.einsum("ncij,ocij->noij", tile, kernels)
        found[:, :, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4] = TO_OUTPUT @ products @ TO_OUTPUT.T
    return found[:, :, :rows, :columns]
