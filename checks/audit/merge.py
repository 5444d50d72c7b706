"""From readings of steps to layers: paddings, biases and roundings join the layers that they belong to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ...reference.mistaken import (
    ORDERS,
    AdaptivePool,
    Affine,
    Border,
    BorderedConv,
    BorderedPool,
    ChannelNorm,
    Dilated,
    MapMean,
    PaddedMean,
    Reordered,
)
from ...reference.spec import AFFINE, Conv, Dense, Dropout, Flatten, Layer, Pool, Shape, borders
from .atoms import Bias, Dropped, Padded, Rounded, Same, Unexplained
from .plain import FEW, tidy
from .reading import Reading
from .tape import Tape

Array = np.ndarray
FLAT = ("hwc", "cwh", "whc", "hcw")  # orders of a flattening that are not the paper's


@dataclass
class Merger:
    """Takes readings in order; `layers` is what they come to."""

    tape: Tape
    layers: list[Reading] = field(default_factory=list)
    held: Reading | None = None  # a padding or rounding that waits for its layer
    flat: bool = False  # a convolution over all that is left was taken as the flattening it is
    rows_first: Shape | None = None  # maps (C, H, W) that a channels-last framework flattened in its own order

    def take(self, reading: Reading) -> None:
        layer = reading.layer
        if isinstance(layer, Same):
            self.same(reading)
        elif isinstance(layer, Padded | Rounded):
            self.let_go()
            self.held = reading
        elif isinstance(layer, Bias):
            self.bias(reading)
        else:
            self.layer(reading)

    def end(self) -> list[Reading]:
        self.let_go()
        return self.layers

    def let_go(self) -> None:
        """A padding or rounding that belongs to no layer stands for itself."""
        if self.held is not None:
            held, self.held = self.held, None
            layer = held.layer
            says = f"zeros around the maps: {layer.border}" if isinstance(layer, Padded) else ""
            self.layers.append(held if not says else replace(held, layer=Unexplained(layer.name, says=says)))

    def same(self, reading: Reading) -> None:
        assert isinstance(reading.layer, Same)
        kind, _, rate = reading.layer.hint.partition(":")
        if kind == "dropout":
            self.layers.append(self.flattened(replace(reading, layer=Dropout(reading.layer.name, float(rate)))))

    def bias(self, reading: Reading) -> None:
        """An addition behind a layer is its bias, or its bias once more."""
        self.let_go()
        last = self.layers[-1] if self.layers else None
        (vector,) = reading.params.values()
        if last is not None and isinstance(last.layer, ChannelNorm):  # its shift, written as a step of its own
            shift = f"{last.layer.name}.bias"
            self.layers[-1] = replace(last, y=reading.y, params={**last.params, shift: last.params[shift] + vector})
            return
        if reading.x.ndim == 4 and reading.x.shape[1] <= FEW and not any(r.params for r in self.layers):  # of an image
            shifts = tuple(tidy(float(v)) for v in vector)
            self.layer(replace(reading, layer=Affine(reading.layer.name, (1.0,) * len(shifts), shifts), params={}))
            return
        if last is None or not isinstance(last.layer, AFFINE):
            self.layers.append(replace(reading, layer=Unexplained(reading.layer.name, says="a vector is added")))
            return
        name, y = f"{last.layer.name}.bias", self.flattened(reading).y
        made = (t for op in reading.segment.operations for t in op.inputs if t not in self.tape.fed)
        origin = next((name for t in made for name in sorted(self.tape.origins(t))), "")
        if not last.origin.get("bias"):
            merged = replace(last, y=y, params={**last.params, name: vector}, origin={**last.origin, "bias": origin})
        else:
            total = last.params[name] + vector
            merged = replace(last, y=y, params={**last.params, name: total}, quirks=(*last.quirks, "bias-doubled"))
        self.layers[-1] = merged

    def layer(self, reading: Reading) -> None:
        if self.held is not None:
            reading = self.joined(reading)
        last = self.layers[-1] if self.layers else None
        if last is not None and isinstance(last.layer, MapMean) and reading.x.ndim == 4:
            self.layers[-1] = replace(last, layer=AdaptivePool(last.layer.name, 1, True), y=reading.x)
        if isinstance(reading.layer, Conv) and over_everything(reading):
            reading = self.as_dense(reading)
        reading = self.flattened(reading)
        if isinstance(reading.layer, Flatten) and self.flat:
            return
        for both in (self.one_affine, self.one_flattening):
            if (one := both(reading)) is not None:
                self.layers[-1] = one
                return
        if (drop := self.one_dropout(reading)) is not None:
            self.layers[-1] = drop
            return
        if isinstance(reading.layer, Reordered) and reading.layer.order == "hwc" and self.natural(reading):
            self.rows_first = reading.x.shape[1:]
            y = reading.x.reshape(len(reading.x), -1)
            reading = replace(reading, layer=Flatten(reading.layer.name), y=y)
        elif self.rows_first and isinstance(reading.layer, Dense):
            reading = self.in_order(reading)
        self.layers.append(reading)

    def one_affine(self, reading: Reading) -> Reading | None:
        """An image that is scaled and shifted in two steps, before anything else."""
        last = self.layers[-1] if len(self.layers) == 1 else None
        if last is None or not isinstance(last.layer, Affine) or not isinstance(reading.layer, Affine):
            return None
        a, b, c, d = (
            np.array(v) for v in (last.layer.scale, last.layer.shift, reading.layer.scale, reading.layer.shift)
        )
        scale, shift = np.broadcast_arrays(a * c, b * c + d)
        layer = Affine(last.layer.name, tuple(map(float, scale)), tuple(map(float, shift)))
        return replace(reading, layer=layer, x=last.x)

    def one_flattening(self, reading: Reading) -> Reading | None:
        """Maps turned and then flattened: flattened in another order."""
        last = self.layers[-1] if self.layers else None
        if last is None or not isinstance(last.layer, Reordered) or not isinstance(reading.layer, Flatten | Reordered):
            return None
        if reading.y.ndim != 2:
            return None
        orders = (order for order in FLAT if np.array_equal(ORDERS[order](last.x), reading.y))
        order = next(orders, "") if last.x.ndim == 4 else ""
        return replace(reading, layer=Reordered(last.layer.name, order), x=last.x) if order else None

    def one_dropout(self, reading: Reading) -> Reading | None:
        """Dropout written as two steps, the factor and the zeros in either order; None where it is not that."""
        last = self.layers[-1] if self.layers else None
        if last is None:
            return None
        for drop, factor in ((reading, last), (last, reading)):
            if isinstance(drop.layer, Dropped) and drop.layer.scale == 1 and is_factor(factor.layer):
                assert isinstance(factor.layer, Affine)
                layer = replace(drop.layer, scale=factor.layer.scale[0])
                return replace(drop, layer=layer, x=last.x, y=reading.y)
        return None

    def natural(self, reading: Reading) -> bool:
        """Channels are last in memory, so that flattening in that order is the framework's own way."""
        tape, segment = self.tape, reading.segment
        turned = any(op.kind == "transpose" for op in segment.operations)
        return tape.layouts.get(segment.x) == "NHWC" and tape.graph.layout == "NHWC" and not turned

    def in_order(self, reading: Reading) -> Reading:
        """The first dense layer after it, its inputs counted in the order channel, row, column."""
        assert self.rows_first is not None
        c, h, w = self.rows_first
        self.rows_first = None
        name = f"{reading.layer.name}.weight"
        weight = reading.params.get(name)
        if weight is None or weight.shape[1] != c * h * w:
            return reading
        order = np.arange(c * h * w).reshape(h, w, c).transpose(2, 0, 1).ravel()
        return replace(reading, x=reading.x[:, order], params={**reading.params, name: weight[:, order]})

    def flattened(self, reading: Reading) -> Reading:
        """Behind a convolution that was a flattening, maps of one pixel are vectors."""
        if not self.flat or reading.y.ndim != 4:
            return reading
        return replace(reading, x=reading.x.reshape(len(reading.x), -1), y=reading.y.reshape(len(reading.y), -1))

    def as_dense(self, reading: Reading) -> Reading:
        """A convolution whose one window is the whole map: a flattening and a dense layer."""
        layer = reading.layer
        assert isinstance(layer, Conv)
        x, y = reading.x.reshape(len(reading.x), -1), reading.y.reshape(len(reading.y), -1)
        if not self.flat:
            flatten = Flatten(f"{layer.name}/flatten")
            self.layers.append(Reading(flatten, reading.segment, reading.x, x))
            self.flat = True
        name = f"{layer.name}.weight"
        params = {**reading.params, name: reading.params[name].reshape(layer.channels, -1)}
        return replace(reading, layer=Dense(layer.name, layer.channels, layer.groups), x=x, y=y, params=params)

    def joined(self, reading: Reading) -> Reading:
        """The layer with the padding or rounding before it."""
        held, self.held = self.held, None
        assert held is not None
        if isinstance(held.layer, Padded) and (layer := with_padding(reading.layer, held)):
            return replace(reading, layer=layer, x=held.x)
        if isinstance(held.layer, Rounded) and isinstance(reading.layer, AFFINE):
            return replace(reading, x=held.x, quirks=rounded(held.layer.to, reading.quirks))
        self.held = held
        self.let_go()
        return reading


def is_factor(layer: Layer) -> bool:
    return isinstance(layer, Affine) and len(layer.scale) == 1 and layer.shift == (0.0,)


TEN_BITS = ("tf32", "float16")  # the same rounding; what is float16 gives float16


def rounded(to: str, quirks: tuple[str, ...]) -> tuple[str, ...]:
    """A layer whose input and weight are rounded alike is computed in that precision."""
    same = TEN_BITS if to in TEN_BITS else (to,)
    rest = tuple(quirk for quirk in quirks if quirk.removeprefix("weights-") not in same)
    narrow = next((quirk for quirk in quirks if quirk in same), "tf32" if to in TEN_BITS else to)
    return (narrow, *rest) if rest != quirks else (f"input-{to}", *quirks)


def over_everything(reading: Reading) -> bool:
    layer = reading.layer
    assert isinstance(layer, Conv)
    whole = reading.x.shape[2:] == (layer.reach, layer.reach) == (layer.kernel,) * 2 and reading.y.shape[2:] == (1, 1)
    return whole and not np.any(borders(layer, reading.x.shape[1:]))


def with_padding(layer: Layer, held: Reading) -> Layer | None:
    """The layer that does the padding itself; None where no layer does just that."""
    padded = held.layer
    assert isinstance(padded, Padded)
    if not isinstance(layer, Conv | Pool):
        return None
    shape = (held.x.shape[1], *(n + sum(b) for n, b in zip(held.x.shape[2:], padded.border, strict=True)))
    own = borders(layer, shape)
    total: Border = tuple(
        tuple(a + b for a, b in zip(p, q, strict=True)) for p, q in zip(padded.border, own, strict=True)
    )  # type: ignore[assignment]
    if isinstance(layer, Conv):
        return padded_conv(layer, total) if padded.value == 0 else None
    if not layer.average and (padded.value == -np.inf or (padded.value == 0 and held.x.min() >= 0)):
        return padded_pool(layer, total)
    rows, columns = padded.border
    if layer.average and padded.value == 0 and len({*rows, *columns}) == 1 and own == ((0, 0), (0, 0)):
        return PaddedMean(layer.name, layer.kernel, layer.stride, rows[0])
    return None


def padded_conv(layer: Conv, border: Border) -> Conv:
    dilation = layer.dilation if isinstance(layer, Dilated) else 1
    geometry = (layer.name, layer.channels, layer.kernel, layer.stride)
    if border[0] != border[1]:
        return BorderedConv(*geometry, groups=layer.groups, dilation=dilation, border=border)
    if dilation > 1:
        return Dilated(*geometry, border[0], layer.groups, dilation=dilation)
    return Conv(*geometry, border[0], layer.groups)


def padded_pool(layer: Pool, border: Border) -> Pool:
    if border[0] != border[1]:
        return BorderedPool(layer.name, layer.kernel, layer.stride, border=border)
    return Pool(layer.name, layer.kernel, layer.stride, padding=border[0])


def merged(readings: list[Reading], tape: Tape) -> list[Reading]:
    """The layers that the readings come to, in order."""
    merger = Merger(tape)
    for reading in readings:
        merger.take(reading)
    return merger.end()
