"""Who reads what: towers that are missing, too many, exchanged or interleaved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...reference.mistaken import Reordered
from ...reference.spec import Conv, Dense, Layer, Network
from .chain import before, denses, following, words
from .trap import Array, Site, Trap, Weights, value


def towers_swapped(site: Site, weight: Array, bias: Array) -> Weights | None:
    assert isinstance(site.layer, Conv | Dense)
    return (np.roll(weight, len(weight) // 2, axis=0), bias) if site.layer.groups == 2 else None


def reading_both_towers(site: Site, weight: Array, bias: Array) -> Weights | None:
    assert isinstance(site.layer, Conv | Dense)
    times = (1, site.layer.groups, *(1 for _ in weight.shape[2:]))
    return (np.tile(weight, times), bias) if site.layer.groups > 1 else None


def split_in(groups: int, layer: Conv | Dense) -> Layer | None:
    """Read in `groups` parts where the spec has fewer."""
    return replace(layer, groups=groups) if layer.groups < groups else None


def in_two(network: Network, name: str) -> Network | None:
    layer = network[name]
    assert isinstance(layer, Conv | Dense)
    if denses(network)[-1:] == [layer]:
        return None  # the classes: nobody splits them
    edited = split_in(2, layer)
    return None if edited is None else network.swap(name, edited)


def never_meeting(network: Network, name: str) -> Network | None:
    """The layer that should read both towers, between two that read one, and the hidden dense layers in two parts as well."""
    affine = [layer for layer in network.layers if isinstance(layer, Conv | Dense)]
    here = [layer.name for layer in affine].index(name)
    around = affine[max(0, here - 1) : here + 2]
    if len(around) < 3 or not isinstance(around[2], Conv) or [layer.groups for layer in around] != [2, 1, 2]:
        return None
    apart = [layer.name for layer in affine[here:-1] if layer.groups == 1]
    for each in apart:
        network = network.edit(each, groups=2)
    return network if len(apart) > 1 else None


def fed(order: str, network: Network, name: str) -> Network | None:
    """The maps in another order before a layer that reads them in two parts."""
    layer = network[name]
    if getattr(layer, "groups", 1) == 1 or isinstance(next(iter(before(network, name)), None), Reordered):
        return None
    return network.swap(name, Reordered(f"{name}_input", order=order), layer) if following(network, name) else None


TRAPS: tuple[Trap, ...] = (
    Trap(
        "groups-ignored",
        "every filter reads both towers",
        (Conv, Dense),
        value("groups", 1),
        reading_both_towers,
        words=words(
            "nn.Conv2d's default is groups=1: pass groups=2 at {layer}",
            "Conv2D's default is groups=1: pass groups=2 at {layer}",
            "tf.nn.conv2d reads in groups only if the filters' third axis is a part of the channels: give {layer} half of them",
            onnx="Conv's group attribute is 1 by default: set it to 2 at {layer}",
            jax="lax.conv_general_dilated's feature_group_count is 1 by default: pass 2 at {layer}",
        ),
    ),
    Trap(
        "grouped",
        "each half of the filters reads only its own half of the inputs",
        (Conv, Dense),
        network=in_two,
        words=words(
            "groups=2 at {layer}, which reads both towers: leave groups at 1 there",
            "groups=2 at {layer}, or a Concatenate that is missing before it: leave groups at 1 there",
            "the filters of {layer} hold half of the channels, or a tf.concat is missing before it: give them all",
        ),
    ),
    Trap(
        "groups-4",
        "the filters read in four groups",
        (Conv,),
        lambda c: split_in(4, c),
        words=words(
            "groups=4 at {layer}; expected: {expected}",
            "groups=4 at {layer}; expected: {expected}",
            "the filters of {layer} hold a quarter of the channels; expected: {expected}",
        ),
    ),
    Trap(
        "towers-never-meet",
        "the towers stay apart from this layer on, up to the classes",
        (Conv,),
        network=never_meeting,
        words=words(
            "two branches run side by side to the end: torch.cat their maps before {layer}, and before the dense layers",
            "two branches run side by side to the end: Concatenate their maps before {layer}, and before the dense layers",
            "two branches run side by side to the end: tf.concat their maps before {layer}, and before the dense layers",
        ),
    ),
    Trap(
        "towers-swapped",
        "each tower has the other tower's kernels",
        (Conv, Dense),
        weights=towers_swapped,
        trick="swap-halves",
        words=words(
            "the halves of {layer}'s weight are concatenated in the wrong order, their biases in the right one",
            "the halves of {layer}'s kernel (its last axis) are concatenated in the wrong order, their biases in the right one",
            "tf.split and tf.concat of {layer}'s filters (their last axis) are in different orders",
        ),
    ),
    Trap(
        "towers-interleaved",
        "the maps of the two towers are interleaved before the layer",
        (Conv, Dense),
        network=lambda network, name: fed("interleaved", network, name),
        words=words(
            "a channel shuffle (reshape and transpose), or stacking on dim=2, before {layer}: use torch.cat(..., dim=1)",
            "tf.stack and a reshape interleave the towers before {layer}: use Concatenate(axis=-1)",
            "tf.stack and a reshape interleave the towers before {layer}: use tf.concat(..., axis=-1)",
        ),
    ),
    Trap(
        "halves-exchanged",
        "the two towers' maps are exchanged before the layer",
        (Conv, Dense),
        network=lambda network, name: fed("halves", network, name),
        words=words(
            "torch.cat joins the towers in the wrong order before {layer}: exchange its two parts",
            "Concatenate joins the towers in the wrong order before {layer}: exchange its two parts",
            "tf.concat joins the towers in the wrong order before {layer}: exchange its two parts",
        ),
    ),
)
