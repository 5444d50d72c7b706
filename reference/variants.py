"""The networks that an implementation can be verified against, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fnmatch import fnmatchcase

from .cifar_nets import cifar_11pct, cifar_13pct, cifar_18pct, cifar_brukman, cifar_brukman_pylearn2
from .descendants import caffe, caffenet, cuda_convnet2, one_weird_trick, onnx_zoo
from .original_2012 import no_communication, no_lrn, non_overlapping, one_tower, original, six_conv
from .paper import paper, paper_224, single_tower
from .spec import Conv, Dense, Local, Network, nearest

# Few maps, a different number in every layer, an input that is not square and fc7 that is not square: a transposition
# or a loop over the wrong axis cannot hide. The sizes leave the same rests as the full ones: conv1's last window at 100 is
# cut as at 224, and the 24 rows after it tell pools that round up from those that round down.
THIN_WIDTHS = {
    "conv1": 16,
    "conv2": 20,
    "conv3": 28,
    "conv4": 24,
    "conv5": 12,
    "conv6": 18,
    "local3": 14,
    "local4": 9,
    "fc6": 37,
    "fc7": 29,
    "fc8": 11,
    "fc10": 10,
}
THIN_SIZES = {227: (103, 131), 224: (100, 128), 32: (20, 27), 24: (20, 27)}  # full size: (rows, columns)


def thin(network: Network) -> Network:
    """A quick network of the same geometry: kernels, strides, padding, groups and LRN kept, widths and input reduced."""
    for layer in network.layers:
        if isinstance(layer, Conv | Local | Dense):
            groups = 1 if isinstance(layer, Local) else layer.groups
            width = -(-THIN_WIDTHS[layer.name] // groups) * groups
            network = network.edit(layer.name, **{"units" if isinstance(layer, Dense) else "channels": width})
    network = dataclasses.replace(network, input_shape=(3, *THIN_SIZES[network.input_shape[1]]))
    return network.renamed(f"{network.name}-thin", f"{network.name} with few maps on a small image, for quick checks")


_FULL: dict[str, Callable[[], Network]] = {
    "paper": paper,
    "paper-224": paper_224,
    "single-tower": single_tower,
    "original-2012": original,
    "original-one-tower": one_tower,
    "original-no-lrn": no_lrn,
    "original-non-overlapping": non_overlapping,
    "original-no-communication": no_communication,
    "original-six-conv": six_conv,
    "caffe": caffe,
    "caffenet": caffenet,
    "one-weird-trick": one_weird_trick,
    "cuda-convnet2-1gpu": cuda_convnet2,
    "onnx-zoo": onnx_zoo,
    "cifar-18pct": cifar_18pct,
    "cifar-13pct": cifar_13pct,
    "cifar-11pct": cifar_11pct,
    "cifar-brukman": cifar_brukman,
    "cifar-brukman-pylearn2": cifar_brukman_pylearn2,
}


def names() -> list[str]:
    """Every variant's name: the full ones first, then their thin counterparts."""
    return [*_FULL, *(f"{name}-thin" for name in _FULL)]


def unknown(name: str) -> str:
    return f"unknown variant {name!r}{nearest(name, names())} Known: {', '.join(_FULL)}; each also as NAME-thin"


def matching(pattern: str) -> list[str]:
    """The variants that a name or a shell-style pattern means; a thin one only where the pattern says so.

    Raises KeyError, with the nearest right name, where it means none.
    """
    found = [name for name in names() if fnmatchcase(name, pattern)]
    if not pattern.endswith("thin"):
        found = [name for name in found if not name.endswith("-thin")]
    if not found:
        raise KeyError(unknown(pattern))
    return found


def variant(name: str) -> Network:
    """The network called `name`; an unknown name raises KeyError and says the nearest right one."""
    if name in _FULL:
        return _FULL[name]()
    if name.endswith("-thin") and name.removesuffix("-thin") in _FULL:
        return thin(_FULL[name.removesuffix("-thin")]())
    raise KeyError(unknown(name))
