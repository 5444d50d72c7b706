"""Weights and biases: the right ones, used in another way."""

from __future__ import annotations

import numpy as np

from ...reference.spec import AFFINE, Conv, Local, Network
from .chain import words
from .dense import transposed
from .trap import Array, Site, Trap, Weights, kernels

COLOURS = 3


def without_bias(_: Site, weight: Array, bias: Array) -> Weights | None:
    return (weight, np.zeros_like(bias)) if bias.any() else None


def with_twice_the_bias(_: Site, weight: Array, bias: Array) -> Weights | None:
    return (weight, 2 * bias) if bias.any() else None


def shared(weight: Array) -> Array:
    """A locally connected layer's kernels (O, H', W', C, K, K), those of the first position at all of them."""
    return np.broadcast_to(weight[:, :1, :1], weight.shape)


def as_convolution(network: Network, name: str) -> Network:
    layer = network[name]
    assert isinstance(layer, Local)
    first = (layer.init_std, layer.init_bias, layer.init_bias_std)
    conv = Conv(name, layer.channels, layer.kernel, layer.stride, layer.padding, 1, False, *first)
    return network.swap(name, conv)


def reversed_colours(weight: Array) -> Array:
    return weight[:, ::-1] if weight.shape[1] == COLOURS else weight


TRAPS: tuple[Trap, ...] = (
    Trap(
        "kernels-shared",
        "one kernel is shared by all positions",
        (Local,),
        weights=kernels(shared),
        network=as_convolution,
        words=words(
            "nn.Conv2d shares its kernels: F.unfold and one product for each position don't",
            "Conv2D shares its kernels, and Keras 3 has no LocallyConnected2D: keep kernels for each position's patch",
            "tf.nn.conv2d shares its kernels: tf.image.extract_patches and tf.einsum with kernels for each position don't",
        ),
    ),
    Trap(
        "kernels-flipped",
        "the kernels are flipped (a true convolution)",
        (Conv, Local),
        weights=kernels(lambda w: w[..., ::-1, ::-1]),
        trick="flip",
        words=words(
            "nn.Conv2d does not flip its kernels: flip weights of a true convolution once, not at run time",
            "Conv2D does not flip its kernels: flip weights of a true convolution once, not at run time",
            "tf.nn.conv2d does not flip its filters (tf.nn.conv2d_transpose does): flip weights of a true convolution once",
            jax="lax.conv_general_dilated does not flip; jax.scipy.signal.convolve does",
        ),
    ),
    Trap(
        "kernels-transposed",
        "the kernels' rows and columns are exchanged",
        (Conv, Local),
        weights=kernels(transposed),
        trick="transpose",
        words=words(
            "weights were permuted to (O, I, W, H): from (H, W, I, O) it is permute(3, 2, 0, 1)",
            "weights were transposed to (W, H, I, O): from (O, I, H, W) it is transpose(2, 3, 1, 0)",
            "filters were transposed to (W, H, I, O): from (O, I, H, W) it is tf.transpose(w, [2, 3, 1, 0])",
        ),
    ),
    Trap(
        "bgr",
        "the input channels are read in reverse order (BGR)",
        (Conv,),
        weights=kernels(reversed_colours),
        trick="bgr",
        words=words(
            "{layer}'s kernels read BGR (OpenCV's, Caffe's order): weight[:, [2, 1, 0]] reads RGB",
            "{layer}'s kernels read BGR (OpenCV's, Caffe's order): kernel[:, :, ::-1] reads RGB",
            "{layer}'s filters read BGR (OpenCV's, Caffe's order): tf.reverse(filters, axis=[2]) reads RGB",
        ),
    ),
    Trap(
        "bias-missing",
        "the bias is left out",
        AFFINE,
        weights=without_bias,
        trick="no-bias",
        words=words(
            "bias=False at {layer}: leave bias at True",
            "use_bias=False at {layer}: leave use_bias at True",
            "tf.nn.bias_add is missing behind {layer}",
            onnx="{layer} has no third input (B): give it the bias",
        ),
    ),
    Trap(
        "bias-doubled",
        "the bias is added twice",
        AFFINE,
        weights=with_twice_the_bias,
        trick="double-bias",
        words=words(
            "the bias is added by {layer} and once more by hand: F.conv2d(x, w, b) adds it already",
            "{layer} adds its bias (use_bias=True), and a bias of one's own adds it again: one will do",
            "tf.nn.bias_add and a sum add the bias both: one will do",
        ),
    ),
)
