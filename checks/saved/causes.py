"""What may have become of a parameter on its way through a file, tried one by one: a cause explains every bit or none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...reference.spec import Conv, Dense, Flatten, Layer, Network, Shape
from .. import compare

Array = np.ndarray


@dataclass(frozen=True)
class Place:
    """A parameter's layer, its input's shape, and the shape of the maps where they were flattened into that input."""

    layer: Layer
    before: Shape
    maps: Shape = ()


def places(network: Network) -> dict[str, Place]:
    """By the layer's name."""
    found: dict[str, Place] = {}
    maps: Shape = ()
    for layer, before, after in network.walk():
        found[layer.name] = Place(layer, before, maps)
        if isinstance(layer, Flatten):
            maps = before
        elif len(after) != 1 or isinstance(layer, Dense):
            maps = ()
    return found


def transposed(place: Place, value: Array) -> Array:
    return value.T if value.ndim == 2 else value


def rows_for_columns(place: Place, value: Array) -> Array:
    return value.swapaxes(-1, -2) if value.ndim >= 4 else value


def flipped(place: Place, value: Array) -> Array:
    return value[..., ::-1, ::-1] if value.ndim >= 4 else value


def groups_swapped(place: Place, value: Array) -> Array:
    groups = place.layer.groups if isinstance(place.layer, Conv | Dense) else 1
    return np.concatenate(np.split(value, groups)[::-1])


def row_column_channel(place: Place, value: Array) -> Array:
    """The inputs of the first dense layer as channels-last frameworks flatten them."""
    if value.ndim != 2 or len(place.maps) != 3 or value.shape[1] != np.prod(place.maps):
        return value
    return value.reshape(-1, *place.maps).transpose(0, 2, 3, 1).reshape(value.shape)


def channel_row_column(place: Place, value: Array) -> Array:
    """The same permutation the other way round."""
    if value.ndim != 2 or len(place.maps) != 3 or value.shape[1] != np.prod(place.maps):
        return value
    channels, height, width = place.maps
    return value.reshape(-1, height, width, channels).transpose(0, 3, 1, 2).reshape(value.shape)


def in_float16(place: Place, value: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        return value.astype(np.float16).astype(np.float32)


def in_bfloat16(place: Place, value: Array) -> Array:
    """To the nearest, ties to even; NaNs are not followed."""
    bits = np.ascontiguousarray(value).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return rounded.astype(np.uint32).view(np.float32)


def zeros_unsigned(place: Place, value: Array) -> Array:
    return np.where(value == 0, np.float32(0), value)


def denormals_flushed(place: Place, value: Array) -> Array:
    small = np.abs(value) < np.finfo(np.float32).tiny
    return np.where(small, np.copysign(np.float32(0), value), value)


def nans_quiet(place: Place, value: Array) -> Array:
    bits = np.ascontiguousarray(value).view(np.uint32)
    return np.where(np.isnan(value), bits | np.uint32(0x00400000), bits).view(np.float32)


def not_loaded(place: Place, value: Array) -> Array:
    return np.full_like(value, 77)


CAUSES: dict[str, Callable[[Place, Array], Array]] = {
    "the matrix is transposed": transposed,
    "each kernel's rows stand for its columns": rows_for_columns,
    "each kernel is turned by 180 degrees": flipped,
    "the groups are swapped": groups_swapped,
    "its inputs are in the order row, column, channel": row_column_channel,
    "its inputs were taken to be in the order row, column, channel": channel_row_column,
    "it was stored as float16": in_float16,
    "it was stored as bfloat16": in_bfloat16,
    "-0 became 0": zeros_unsigned,
    "denormal numbers became 0": denormals_flushed,
    "signalling NaNs became quiet ones": nans_quiet,
    "nothing was loaded": not_loaded,
}


def cause(place: Place, got: Array, want: Array) -> str:
    """ "agrees if ..." for the one change that explains every bit; "" if none does, or several do."""
    if compare.unlike(got, want.shape):
        return ""
    changed = {words: change(place, want) for words, change in CAUSES.items()}
    found = [words for words, value in changed.items() if compare.patterns(got, value).ok]
    return f"agrees if {found[0]}" if len(found) == 1 else ""
