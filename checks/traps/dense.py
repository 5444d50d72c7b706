"""Dense layers: how maps are flattened, how many there are, and convolutions in their place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...reference.mistaken import AdaptivePool, Reordered
from ...reference.spec import Conv, Dense, Dropout, Flatten, Network, Relu
from .chain import Edit, after, before, denses, hidden_dense, words
from .trap import Array, Site, Trap, Weights, kernels

AXES = {"hwc": (1, 2, 0), "whc": (2, 1, 0), "cwh": (0, 2, 1), "hcw": (1, 0, 2)}


def read_in(order: str) -> Callable[[Site, Array, Array], Weights | None]:
    """The weight's columns meant for (C, H, W) met by inputs in another order."""

    def edit(site: Site, weight: Array, bias: Array) -> Weights | None:
        if len(site.maps) != 3 or np.prod(site.maps) != weight.shape[1]:
            return None
        axes = AXES[order]
        read = weight.reshape(-1, *(site.maps[axis] for axis in axes))  # (O, and the maps' axes in that order)
        back = [0, *(1 + axes.index(axis) for axis in range(3))]
        met = np.ascontiguousarray(read.transpose(back)).reshape(weight.shape)  # (O, C H W)
        return None if np.array_equal(met, weight) else (met, bias)

    return edit


def flattening(network: Network, name: str) -> Flatten | None:
    """The flattening that a dense layer reads, directly or through dropout."""
    for layer in before(network, name):
        if isinstance(layer, Flatten):
            return layer
        if not isinstance(layer, Dropout):
            return None
    return None


def flattened_in(order: str) -> Edit:
    def edit(network: Network, name: str) -> Network | None:
        flatten = flattening(network, name)
        return network.swap(flatten.name, Reordered(flatten.name, order=order)) if flatten else None

    return edit


def transposed(weight: Array) -> Array:
    """The matrix read the wrong way round: W^T, or its numbers poured into W's shape where it is not square."""
    return weight.T.reshape(weight.shape) if weight.ndim == 2 else weight.swapaxes(-2, -1)


def last_hidden(network: Network, name: str) -> bool:
    return [layer.name for layer in denses(network)[-2:-1]] == [name]


def one_more(network: Network, name: str) -> Network | None:
    """Before the layer that gives the classes, another hidden one as wide as the last."""
    if not last_hidden(network, name):
        return None
    hidden, classes = denses(network)[-2:]
    more = Dense(f"{name}_more", hidden.units, init_std=hidden.init_std, init_bias=hidden.init_bias)
    return network.swap(classes.name, more, Relu(f"{name}_more_relu"), classes)


def one_less(network: Network, name: str) -> Network | None:
    """The last hidden layer left out, with the ReLU and the dropout that follow it."""
    if not last_hidden(network, name):
        return None
    network_after = network.swap(name)
    for layer in after(network, name):
        if isinstance(layer, Dense):
            break
        network_after = network_after.swap(layer.name)
    return network_after


def convolved(kernel: int) -> Edit:
    """A convolution in the place of the first hidden dense layer, the flattening behind its ReLU and dropout."""

    def edit(network: Network, name: str) -> Network | None:
        flatten = flattening(network, name)
        if flatten is None or not hidden_dense(network, name):
            return None
        layer = network[name]
        assert isinstance(layer, Dense)
        conv = Conv(name, layer.units, kernel, groups=layer.groups, init_std=layer.init_std, init_bias=layer.init_bias)
        following = next(each for each in after(network, name) if isinstance(each, Dense))
        return network.swap(flatten.name).swap(name, conv).swap(following.name, flatten, following)

    return edit


def averaged(network: Network, name: str) -> Network:
    return network.swap(name, AdaptivePool(f"{name}_mean", 1), network[name])


def flattened(order: str, axes: str, torch: str, keras: str, tf: str) -> Trap:
    return Trap(
        f"flattened-{order}",
        f"the maps are flattened in the order {axes}",
        (Dense,),
        weights=read_in(order),
        network=flattened_in(order),
        words=words(torch, keras, tf),
    )


TRAPS: tuple[Trap, ...] = (
    Trap(
        "dense-transposed",
        "the weight matrix is transposed",
        (Dense,),
        weights=kernels(transposed),
        trick="transpose",
        words=words(
            "nn.Linear's weight is (out, in) and multiplied as x @ W.T: pass W itself to F.linear",
            "Dense's kernel is (in, out): transpose a weight that comes as (out, in), don't reshape it",
            "tf.matmul(x, W) wants W as (in, out): transpose a weight that comes as (out, in), don't reshape it",
            onnx="Gemm's transB and the initializer's layout don't agree: (out, in) needs transB=1",
        ),
    ),
    flattened(
        "hwc",
        "row, column, channel",
        "x.permute(0, 2, 3, 1) comes before the flattening: torch.flatten(x, 1) of (N, C, H, W)",
        "Flatten of channels-last maps: Permute((3, 1, 2)) first, or permute {layer}'s rows once",
        "tf.reshape of channels-last maps: tf.transpose(x, [0, 3, 1, 2]) first, or permute {layer}'s rows once",
    ),
    flattened(
        "whc",
        "column, row, channel",
        "x.permute(0, 3, 2, 1), or x.T of one image, comes before the flattening: torch.flatten(x, 1) of (N, C, H, W)",
        "Permute((2, 1, 3)) of channels-last maps before Flatten: Permute((3, 1, 2))",
        "tf.transpose(x, [0, 2, 1, 3]) of channels-last maps before tf.reshape: [0, 3, 1, 2]",
    ),
    flattened(
        "cwh",
        "channel, column, row",
        "x.transpose(2, 3) comes before the flattening, or width and height are exchanged: torch.flatten(x, 1)",
        "Permute((3, 2, 1)) before Flatten: Permute((3, 1, 2))",
        "tf.transpose(x, [0, 3, 2, 1]) before tf.reshape: [0, 3, 1, 2]",
    ),
    flattened(
        "hcw",
        "row, channel, column",
        "x.transpose(1, 2) comes before the flattening: torch.flatten(x, 1) of (N, C, H, W)",
        "Permute((1, 3, 2)) before Flatten: Permute((3, 1, 2))",
        "tf.transpose(x, [0, 1, 3, 2]) before tf.reshape: [0, 3, 1, 2]",
    ),
    Trap(
        "dense-extra",
        "there is one more hidden dense layer",
        (Dense,),
        network=one_more,
        words=words(
            "one nn.Linear more than expected behind {layer}: the paper has three in all",
            "one Dense more than expected behind {layer}: the paper has three in all",
            "one tf.matmul more than expected behind {layer}: the paper has three in all",
        ),
    ),
    Trap(
        "dense-missing",
        "there is one hidden dense layer less",
        (Dense,),
        network=one_less,
        words=words(
            "one nn.Linear less than expected: the paper has three in all",
            "one Dense less than expected: the paper has three in all",
            "one tf.matmul less than expected: the paper has three in all",
        ),
    ),
    Trap(
        "fc6-1x1",
        "the first dense layer is a 1 x 1 convolution",
        (Dense,),
        network=convolved(1),
        words=words(
            "nn.Conv2d(256, 4096, 1) sees one pixel: nn.Linear of the flattened maps, or kernel_size=6, sees them all",
            "Conv2D(4096, 1), or Dense before Flatten, sees one pixel: Flatten first, or Conv2D(4096, 6, padding='valid')",
            "1 x 1 filters see one pixel: reshape and tf.matmul, or 6 x 6 filters with 'VALID', see them all",
        ),
    ),
    Trap(
        "fc6-5x5",
        "the first dense layer is a 5 x 5 convolution",
        (Dense,),
        network=convolved(5),
        words=words(
            "nn.Conv2d(256, 4096, 5) sees all of 5 x 5 maps but not of 6 x 6: kernel_size=6, or nn.Linear",
            "Conv2D(4096, 5) sees all of 5 x 5 maps but not of 6 x 6: kernel_size=6, or Flatten and Dense",
            "5 x 5 filters (TF-Slim's alexnet_v2) see all of 5 x 5 maps but not of 6 x 6: 6 x 6 filters with 'VALID'",
        ),
    ),
    Trap(
        "global-average-instead-of-flatten",
        "only each map's mean goes to the first dense layer",
        (Flatten,),
        network=averaged,
        words=words(
            "nn.AdaptiveAvgPool2d(1), or x.mean((2, 3)), comes before the dense layers: torch.flatten(x, 1)",
            "GlobalAveragePooling2D comes before the dense layers: Flatten",
            "tf.reduce_mean over rows and columns comes before the dense layers: tf.reshape",
            onnx="GlobalAveragePool comes before Flatten: leave it out",
        ),
    ),
)
