"""Pooling: its windows, its edges, what it takes of them, and its place."""

from __future__ import annotations

from dataclasses import replace

from ...reference.mistaken import AdaptivePool, PaddedMean
from ...reference.spec import Conv, Layer, Network, Pool, Relu
from .chain import behind, first_pool, following, last_pool, of_stage, site_of, stage, where, words
from .geometry import padded_same
from .trap import Trap, nothing, removed, value

SIDE = 6  # torchvision's adaptive pooling


def padded_mean(layer: Pool) -> Layer:
    """The mean with zeros around the maps, which count."""
    return PaddedMean(layer.name, layer.kernel, layer.stride, layer.kernel // 2, source=layer.source)


def not_pooled(network: Network, name: str) -> bool:
    """Is it the ReLU between two convolutions, with no pooling?"""
    plain = not any(isinstance(layer, Pool) for layer in stage(network, name))
    return (
        of_stage(Conv, network, name) and plain and isinstance(following(network, stage(network, name)[-1].name), Conv)
    )


def pooled(network: Network, name: str) -> Network:
    pattern = first_pool(network)
    return behind(network, name, Pool(f"{name}_pool", pattern.kernel, pattern.stride))


def adapted(network: Network, name: str) -> Network | None:
    shape = network[name].output(site_of(network, name).inputs)
    if not last_pool(network, name) or shape[1:] == (SIDE, SIDE):
        return None  # at 6 x 6 it is the identity
    return behind(network, name, AdaptivePool(f"{name}_adaptive", SIDE))


def whole(network: Network, name: str) -> Network:
    return network.swap(name, AdaptivePool(name, 1, source=network[name].source))


TRAPS: tuple[Trap, ...] = (
    Trap(
        "pool-ceil",
        "the pooling rounds its output size up",
        (Pool,),
        value("ceil", True),
        convention="Caffe",
        words=words(
            "nn.MaxPool2d(..., ceil_mode=True) rounds up, as Caffe does: leave ceil_mode at False",
            "MaxPooling2D(padding='same') at an even size gives one more output: use padding='valid'",
            "padding='SAME' at an even size gives one more output: use 'VALID'",
            onnx="ceil_mode=1 rounds up, as Caffe does: leave it at 0",
        ),
    ),
    Trap(
        "pool-floor",
        "the pooling rounds its output size down",
        (Pool,),
        value("ceil", False),
        words=words(
            "nn.MaxPool2d rounds down by default: pass ceil_mode=True, as Caffe and the authors' code do",
            "MaxPooling2D(padding='valid') rounds down: pad the right and bottom, with -inf for a maximum, to round up",
            "padding='VALID' rounds down: pad the right and bottom, with -inf for a maximum, to round up",
            onnx="ceil_mode is 0 by default, which rounds down: set it to 1",
        ),
    ),
    Trap(
        "pool-same",
        "the pooling has TensorFlow's SAME padding",
        (Pool,),
        network=padded_same,
        words=words(
            "nn.MaxPool2d(3, 2, padding=1), at odd sizes the same as TensorFlow's SAME: leave padding at 0",
            "MaxPooling2D(padding='same') gives ceil(size / stride) outputs: use padding='valid'",
            "padding='SAME' gives ceil(size / stride) outputs: use 'VALID'",
            onnx="auto_pad=SAME_UPPER, or pads of 1: no padding is expected",
            jax="padding='SAME' in lax.reduce_window gives ceil(size / stride) outputs: use 'VALID'",
        ),
    ),
    Trap(
        "pool-pad-1",
        "the pooling is padded by a pixel on every side",
        (Pool,),
        value("padding", (1, 1)),
        words=words(
            "nn.MaxPool2d(..., padding=1): leave padding at 0",
            "ZeroPadding2D(1), or a pad with -inf, before MaxPooling2D: leave it out",
            "a tf.pad by 1 before tf.nn.max_pool2d: leave it out",
        ),
    ),
    Trap(
        "pool-padding-missing",
        "the pooling has no padding",
        (Pool,),
        value("padding", (0, 0)),
        words=words(
            "nn.MaxPool2d pads nothing by default: F.pad the right and bottom with -inf; expected: {expected}",
            "MaxPooling2D(padding='valid') pads nothing: pad the bottom and right; expected: {expected}",
            "padding='VALID' pads nothing: pad the bottom and right; expected: {expected}",
            onnx="pads is 0 by default; expected: {expected}",
        ),
    ),
    Trap(
        "pool-padding-left",
        "the pooling's padding lies at the left and top, not at the right and bottom",
        (Pool,),
        value("padding", lambda p: p.padding[::-1]),
        words=words(
            "F.pad takes (left, right, top, bottom): the padding belongs at the right and the bottom",
            "the pad takes ((top, bottom), (left, right)): the padding belongs at the bottom and the right",
            "tf.pad takes (before, after) of each axis: the padding belongs after",
            onnx="pads lists all beginnings before all ends (auto_pad=SAME_LOWER pads the beginning): pad the ends",
        ),
    ),
    Trap(
        "pool-2x2",
        "the pooling windows are 2 x 2",
        (Pool,),
        value("kernel", 2),
        words=words(
            "nn.MaxPool2d(2) is 2 x 2 with stride 2, without overlap: nn.MaxPool2d(3, 2)",
            "MaxPooling2D's default is pool_size=(2, 2), without overlap: MaxPooling2D(3, 2)",
            "tf.nn.max_pool2d's ksize is 2, without overlap: ksize=3, strides=2",
        ),
    ),
    Trap(
        "pool-3x3-stride-3",
        "the pooling windows are 3 x 3 with stride 3",
        (Pool,),
        lambda p: replace(p, kernel=3, stride=3),
        words=words(
            "nn.MaxPool2d(3): its stride defaults to the window's size; pass stride=2",
            "MaxPooling2D(3): strides defaults to pool_size; pass strides=2",
            "tf.nn.max_pool2d's strides is 3, as large as the window: strides=2",
        ),
    ),
    Trap(
        "pool-stride-1",
        "the pooling has stride 1",
        (Pool,),
        value("stride", 1),
        words=words(
            "nn.MaxPool2d(..., stride=1); expected: {expected}",
            "MaxPooling2D(..., strides=1); expected: {expected}",
            "tf.nn.max_pool2d(..., strides=1); expected: {expected}",
            onnx="MaxPool's strides default to 1: give them; expected: {expected}",
        ),
    ),
    Trap(
        "pool-average",
        "the mean is taken, not the maximum",
        (Pool,),
        value("average", True),
        words=words(
            "nn.AvgPool2d stands here: nn.MaxPool2d",
            "AveragePooling2D stands here: MaxPooling2D",
            "tf.nn.avg_pool2d stands here: tf.nn.max_pool2d",
        ),
    ),
    Trap(
        "pool-average-padded",
        "the mean is taken over windows with zeros around the maps, which count",
        (Pool,),
        padded_mean,
        words=words(
            "nn.AvgPool2d(..., padding=1) counts the zeros (count_include_pad=True by default); expected: {expected}",
            "ZeroPadding2D before AveragePooling2D counts the zeros ('same' would not); expected: {expected}",
            "a tf.pad before tf.nn.avg_pool2d counts the zeros ('SAME' would not); expected: {expected}",
            onnx="AveragePool with pads and count_include_pad=1; expected: {expected}",
        ),
    ),
    Trap(
        "pool-max",
        "the maximum is taken, not the mean",
        (Pool,),
        value("average", False),
        words=words(
            "nn.MaxPool2d stands here: nn.AvgPool2d",
            "MaxPooling2D stands here: AveragePooling2D",
            "tf.nn.max_pool2d stands here: tf.nn.avg_pool2d",
        ),
    ),
    Trap(
        "pool-missing",
        "the pooling is left out",
        (Pool,),
        nothing,
        network=removed,
        words=words(
            "no nn.MaxPool2d stands here; expected: {expected}",
            "no MaxPooling2D stands here; expected: {expected}",
            "no tf.nn.max_pool2d stands here; expected: {expected}",
        ),
    ),
    Trap(
        "pool-extra",
        "there is a pooling that should not be",
        (Relu,),
        network=where(not_pooled, pooled),
        words=words(
            "an nn.MaxPool2d follows {layer}: leave it out",
            "a MaxPooling2D follows {layer}: leave it out",
            "tf.nn.max_pool2d follows {layer}: leave it out",
        ),
    ),
    Trap(
        "pool-adaptive",
        f"the maps are averaged to {SIDE} x {SIDE} whatever their size (adaptive pooling)",
        (Pool,),
        network=adapted,
        words=words(
            "nn.AdaptiveAvgPool2d((6, 6)), as in torchvision, is the identity only at 6 x 6, and repeats pixels below it",
            "AdaptiveAveragePooling2D((6, 6)) is the identity only at 6 x 6, and repeats pixels below it",
            "maps averaged to 6 x 6 (tf.image.resize, or means of slices): the identity only at 6 x 6",
        ),
    ),
    Trap(
        "pool-global",
        "each map's mean is taken in the place of the last pooling",
        (Pool,),
        network=where(last_pool, whole),
        words=words(
            "nn.AdaptiveAvgPool2d(1) stands here: nn.MaxPool2d(3, 2)",
            "GlobalAveragePooling2D stands here: MaxPooling2D(3, 2) and Flatten",
            "tf.reduce_mean over rows and columns stands here: tf.nn.max_pool2d and a reshape",
            onnx="GlobalAveragePool stands here: MaxPool and Flatten",
        ),
    ),
)
