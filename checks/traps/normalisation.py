"""Response normalisation: its constants, its window, its place, and what is put in its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...reference import oracle
from ...reference.mistaken import ChannelNorm, WindowLrn
from ...reference.spec import Conv, Layer, Lrn, Network, Pool, Relu, SpatialLrn
from .. import bounds
from .chain import another, behind, following, moved_ahead, of_stage, preceding, relu_of, stage, where, words
from .trap import Trap, nothing, removed, value

LRN = (Lrn, SpatialLrn)
NORMS = (*LRN, ChannelNorm)


def across_maps(layer: SpatialLrn) -> Layer:
    return Lrn(layer.name, layer.n, layer.k, layer.alpha, layer.beta, source=layer.source)


def within_maps(layer: Lrn) -> Layer:
    return SpatialLrn(layer.name, layer.n, layer.k, layer.alpha, layer.beta, source=layer.source)


def windowed(first: int | None = None, last: int | None = None, **changes: Any) -> Callable[[Lrn], Layer | None]:
    """Another window: `first` maps before and `last` after (n // 2 where not given). Only where the window crosses towers:
    inside them it would be two mistakes."""

    def edit(layer: Lrn) -> Layer | None:
        if layer.towers > 1:
            return None
        half = layer.n // 2
        constants = {"k": layer.k, "alpha": layer.alpha, "beta": layer.beta}
        sides = (half if first is None else first, half if last is None else last)
        return WindowLrn(layer.name, *sides, **{**constants, **changes}, source=layer.source)

    return edit


def shifted(maps: int) -> Callable[[Lrn], Layer | None]:
    """The window moved along the maps, as wide as it is."""
    return lambda layer: windowed(layer.n // 2 - maps, layer.n // 2 + maps)(layer) if layer.n // 2 >= 1 else None


def mean_at_the_ends(layer: Lrn) -> Layer | None:
    return windowed(mean=True, alpha=layer.alpha * (2 * (layer.n // 2) + 1))(layer)


# Its place ------------------------------------------------------------------------------------------------------------


def after_pool(network: Network, name: str) -> Network | None:
    pool = following(network, name)
    return network.move(name, after=pool.name) if isinstance(pool, Pool) else None


def before_pool(network: Network, name: str) -> Network | None:
    pool = preceding(network, name)
    return moved_ahead(network, name, pool.name) if isinstance(pool, Pool) else None


def before_relu(network: Network, name: str) -> Network | None:
    relu = preceding(network, name)
    return moved_ahead(network, name, relu.name) if isinstance(relu, Relu) else None


def relu_first(network: Network, name: str) -> Network | None:
    """The stage's ReLU, where it comes later, put before the normalisation."""
    relu, names = relu_of(network, name), network.names()
    if relu is None or names.index(relu.name) < names.index(name):
        return None
    return moved_ahead(network, relu.name, name)


def repeated(network: Network, name: str) -> Network | None:
    if isinstance(following(network, name), NORMS):
        return None
    return behind(network, name, another(network[name], "again"))


def not_normalised(network: Network, name: str) -> bool:
    """Is the stage a convolution's, without any normalisation?"""
    return of_stage(Conv, network, name) and not any(isinstance(layer, NORMS) for layer in stage(network, name))


def one_more(network: Network, name: str) -> Network:
    """Behind a ReLU: the network's own first normalisation once more, the paper's where it has none."""
    pattern = next((layer for layer in network.layers if isinstance(layer, Lrn)), Lrn("norm"))
    return behind(network, name, replace(pattern, name=f"{name}_norm", source=""))


def batch_norm(layer: Layer) -> Layer:
    return ChannelNorm(layer.name, source=layer.source)


# Words ----------------------------------------------------------------------------------------------------------------


def constant(what: str, torch: str, tf: str) -> dict[str, str]:
    """`what` is wrong, where the argument is called `torch` and `tf`; Keras has no such layer."""
    return words(
        f"nn.LocalResponseNorm's {torch}; expected: {{expected}}",
        f"Keras 3 has no such layer: {what} in a layer of one's own (tf.nn.local_response_normalization: {tf}); "
        f"expected: {{expected}}",
        f"tf.nn.local_response_normalization's {tf}; expected: {{expected}}",
    )


def maps_of(n: int, says: str = "") -> Trap:
    torch, tf = f"size is {n}", f"depth_radius is {n // 2}, a window of {n}"
    return Trap(
        f"lrn-n-{n}",
        says or f"the window has {n} maps",
        (Lrn,),
        value("n", n),
        words=constant(f"the window has {n} maps", torch, tf),
    )


MISSING = words(
    "no nn.LocalResponseNorm stands here (torchvision's alexnet has none): add nn.LocalResponseNorm(5, alpha=5e-4, k=2)",
    "Keras 3 has no such layer, and copies leave it out: wrap tf.nn.local_response_normalization in a layer",
    "add tf.nn.local_response_normalization(x, depth_radius=2, bias=2, alpha=1e-4, beta=0.75)",
)

CONSTANTS: tuple[Trap, ...] = (
    Trap(
        "lrn-alpha-over-n",
        "alpha is divided by n",
        LRN,
        value("alpha", lambda a: a.alpha / a.n),
        words=words(
            "nn.LocalResponseNorm divides alpha by size: alpha=1e-4 with size=5 acts as 2e-5; pass alpha=5e-4 for 1e-4",
            "alpha is divided by n (or tf.reduce_mean stands for a sum) in a layer of one's own: multiply the sum by alpha",
            "tf.nn.local_response_normalization does not divide alpha by the window: alpha=1e-4 / 5 is five times too small",
            onnx="LRN divides alpha by size: alpha=1e-4 with size=5 acts as 2e-5; write 5e-4 for 1e-4",
            jax="the mean of the window is taken (lax.reduce_window and a division): take its sum",
        ),
    ),
    Trap(
        "lrn-alpha-times-n",
        "alpha is multiplied by n",
        LRN,
        value("alpha", lambda a: a.alpha * a.n),
        words=words(
            "alpha is not divided by n: nn.LocalResponseNorm divides alpha by size, a sum of one's own does not",
            "tf.nn.local_response_normalization does not divide alpha by the window: pass Caffe's alpha=1e-4 as 2e-5",
            "tf.nn.local_response_normalization does not divide alpha by the window: pass Caffe's alpha=1e-4 as 2e-5",
            onnx="LRN divides alpha by size: alpha is size times too large; expected: {expected}",
        ),
    ),
    Trap(
        "lrn-alpha-times-n2",
        "alpha is not divided by n x n",
        (SpatialLrn,),
        value("alpha", lambda a: a.alpha * a.n**2),
        words=words(
            "F.avg_pool2d divides the sum by n x n; a convolution with ones does not: divide alpha by n x n",
            "AveragePooling2D divides the sum by n x n; a convolution with ones does not: divide alpha by n x n",
            "tf.nn.avg_pool2d divides the sum by n x n; a convolution with ones does not: divide alpha by n x n",
        ),
    ),
    Trap(
        "lrn-alpha-10e-4",
        "alpha is 1e-3 (read as 10e-4)",
        (Lrn,),
        value("alpha", lambda a: 1e-3 if a.alpha == 1e-4 else a.alpha),
        words=constant("alpha is 10e-4 = 1e-3", "alpha acts as 1e-3 (10e-4 is 1e-3)", "alpha is 1e-3 (10e-4 is 1e-3)"),
    ),
    Trap(
        "lrn-alpha-1e-5",
        "alpha is 1e-5",
        (Lrn,),
        value("alpha", 1e-5),
        words=constant("alpha is 1e-5", "alpha acts as 1e-5 (it is divided by size)", "alpha is 1e-5"),
    ),
    Trap(
        "lrn-alpha-1",
        "alpha is 1, TensorFlow's default",
        (Lrn,),
        value("alpha", 1.0),
        words=constant("alpha is 1", "alpha acts as 1 (it is divided by size)", "default is alpha=1"),
    ),
    Trap(
        "lrn-alpha-over-maps-there",
        "alpha multiplies the mean over the maps that are there, not the sum",
        (Lrn,),
        windowed(mean=True),
        words=words(
            "F.avg_pool3d(..., count_include_pad=False) takes the mean of the maps that are there: take the sum",
            "a mean over the maps that are there in a layer of one's own (tf.nn.avg_pool with 'SAME'): take the sum",
            "tf.nn.avg_pool with 'SAME' divides by the maps that are there: multiply the sum by alpha instead",
        ),
    ),
    Trap(
        "lrn-mean-at-the-ends",
        "the sum is divided by the maps that are there (fewer at both ends) and multiplied by n",
        (Lrn,),
        mean_at_the_ends,
        words=words(
            "F.avg_pool3d(..., count_include_pad=False) divides by fewer maps at both ends: count_include_pad=True",
            "the mean in a layer of one's own divides by fewer maps at both ends: divide by n everywhere",
            "tf.nn.avg_pool with 'SAME' divides by fewer maps at both ends: divide by n everywhere",
        ),
    ),
    Trap("lrn-k-0", "k is 0", LRN, value("k", 0.0), words=constant("k is 0", "k is 0", "bias is 0")),
    Trap(
        "lrn-k-1",
        "k is 1, the default of most frameworks",
        LRN,
        value("k", 1.0),
        words=constant("k is 1", "default is k=1: pass k=2 for the paper's", "default is bias=1: pass bias=2"),
    ),
    Trap(
        "lrn-k-2",
        "k is 2, as in the paper",
        LRN,
        value("k", 2.0),
        words=constant("k is 2", "k is 2", "bias is 2"),
    ),
    Trap(
        "lrn-beta-half",
        "beta is 0.5, TensorFlow's default",
        (Lrn,),
        value("beta", 0.5),
        words=constant("beta is 0.5", "beta is 0.5 (its default is 0.75)", "default is beta=0.5: pass beta=0.75"),
    ),
    Trap(
        "lrn-beta-1",
        "beta is 1",
        (Lrn,),
        value("beta", 1.0),
        words=constant("beta is 1 (the power is left out)", "beta is 1", "beta is 1"),
    ),
    Trap(
        "lrn-absolute",
        "the sum is of absolute values, not of squares",
        (Lrn,),
        windowed(plain=True),
        words=words(
            "x.abs() is summed, not x.pow(2), or F.local_response_norm's square is left out of a copy: square x first",
            "ops.abs(x) is summed in a layer of one's own: ops.square(x)",
            "tf.abs(x) is summed in a formula of one's own: tf.square(x)",
        ),
    ),
    Trap(
        "lrn-inverted",
        "it is multiplied by the power, not divided by it",
        (Lrn,),
        windowed(inverted=True),
        words=words(
            "x * (k + alpha * sum).pow(beta): divide, or take .pow(-beta)",
            "x * ops.power(k + alpha * sum, beta): divide, or take the power of -beta",
            "x * tf.pow(k + alpha * sum, beta): divide, or take the power of -beta",
        ),
    ),
)

WINDOWS: tuple[Trap, ...] = (
    Trap(
        "lrn-radius-n",
        "the window has n maps on each side (n given as a radius)",
        (Lrn,),
        value("n", lambda a: 2 * a.n + 1),
        words=words(
            "nn.LocalResponseNorm's size is the whole window, 2 n + 1 here: pass size=5 for five maps",
            "tf.nn.local_response_normalization takes a radius: depth_radius=5 is a window of 11; pass 2 for five maps",
            "tf.nn.local_response_normalization takes a radius: depth_radius=5 (its default) is a window of 11; pass 2",
            onnx="LRN's size is the whole window, 2 n + 1 here: write 5 for five maps",
            jax="the window reaches n maps to each side: reduce over n // 2 on each",
        ),
    ),
    maps_of(3),
    Trap(
        "lrn-n-4",
        "the window has 4 maps, two before and one after",
        (Lrn,),
        windowed(2, 1),
        words=words(
            "nn.LocalResponseNorm(size=4) has two maps before and one after: pass size=5",
            "a window of 4 maps in a layer of one's own: two before and two after make 5",
            "tf.nn.local_response_normalization's windows are odd: a sum of one's own has 4 maps; depth_radius=2 has 5",
            onnx="a window of 4 maps, two before and one after (LRN's own is the other way round): size=5",
        ),
    ),
    Trap(
        "lrn-n-4-late",
        "the window has 4 maps, one before and two after",
        (Lrn,),
        windowed(1, 2),
        words=words(
            "F.pad of the squares by (1, 2) makes a window of 4 maps: (2, 2) makes 5, as nn.LocalResponseNorm(size=5) does",
            "a window of 4 maps in a layer of one's own: two before and two after make 5",
            "tf.nn.local_response_normalization's windows are odd: a sum of one's own has 4 maps; depth_radius=2 has 5",
            onnx="LRN with size=4 has one map before and two after: size=5",
        ),
    ),
    maps_of(5, "the window has 5 maps, as in the paper"),
    maps_of(7),
    maps_of(9),
    Trap(
        "lrn-window-early",
        "the window lies one map too early (i - 3 .. i + 1 for five maps)",
        (Lrn,),
        shifted(-1),
        words=words(
            "F.pad(squares, ...) pads one map too many before and one too few after: size // 2 on each side",
            "ops.pad of the squares pads one map too many before and one too few after: n // 2 on each side",
            "tf.pad of the squares pads one map too many before and one too few after: n // 2 on each side",
        ),
    ),
    Trap(
        "lrn-window-late",
        "the window lies one map too late (i - 1 .. i + 3 for five maps)",
        (Lrn,),
        shifted(1),
        words=words(
            "F.pad(squares, ...) pads one map too few before and one too many after: size // 2 on each side",
            "ops.pad of the squares pads one map too few before and one too many after: n // 2 on each side",
            "tf.pad of the squares pads one map too few before and one too many after: n // 2 on each side",
        ),
    ),
    Trap(
        "lrn-across-maps",
        "the window goes across maps, not over pixels",
        (SpatialLrn,),
        across_maps,
        words=words(
            "nn.LocalResponseNorm goes across maps: within maps, sum squares with F.avg_pool2d(x * x, n, 1, n // 2) * n * n",
            "the sum goes over the last axis (the channels): within maps it goes over rows and columns",
            "tf.nn.local_response_normalization goes across maps: within maps, sum squares with a depthwise convolution of ones",
        ),
    ),
    Trap(
        "lrn-within-maps",
        "the window goes over pixels, not across maps",
        (Lrn,),
        within_maps,
        words=words(
            "F.avg_pool2d, or a convolution with ones, sums over pixels: nn.LocalResponseNorm sums across maps",
            "AveragePooling2D of the squares sums over pixels: the sum goes over the channels' axis",
            "tf.nn.avg_pool2d of the squares sums over pixels: tf.nn.local_response_normalization sums over channels (NHWC)",
        ),
    ),
    Trap(
        "lrn-per-tower",
        "the window stops at the border between the towers",
        (Lrn,),
        value("towers", 2),
        words=words(
            "each half of the maps is normalised alone, before torch.cat: normalise what it gives",
            "each half of the maps is normalised alone, before Concatenate: normalise what it gives",
            "each half of the maps is normalised alone, before tf.concat: normalise what it gives",
        ),
    ),
    Trap(
        "lrn-across-towers",
        "the window crosses the border between the towers",
        (Lrn,),
        value("towers", 1),
        words=words(
            "nn.LocalResponseNorm knows no towers: torch.chunk(x, 2, dim=1), normalise each half and torch.cat them",
            "the window knows no towers: split the channels in two, normalise each half and Concatenate them",
            "tf.nn.local_response_normalization knows no towers: tf.split, normalise each half and tf.concat them",
        ),
    ),
    Trap(
        "lrn-running-sum",
        "the sum of squares is carried along from map to map, which cancels (Caffe's loop)",
        (Lrn,),
        tolerance=bounds.running_sum_tolerance,
        convention="Caffe",
        words=words(
            "torch.cumsum of the squares and a difference cancel in float32: add the window's squares (F.avg_pool3d)",
            "ops.cumsum of the squares and a difference cancel in float32: add the window's squares",
            "tf.cumsum of the squares and a difference cancel in float32: add the window's squares",
        ),
    ),
)

PLACES: tuple[Trap, ...] = (
    Trap("lrn-missing", "the normalisation is left out", LRN, nothing, network=removed, words=MISSING),
    Trap(
        "lrn-repeated",
        "the normalisation is applied twice",
        LRN,
        network=repeated,
        words=words(
            "the same nn.LocalResponseNorm is called twice in forward(): once will do",
            "the normalisation layer is called twice: once will do",
            "tf.nn.local_response_normalization is called twice: once will do",
        ),
    ),
    Trap(
        "lrn-extra",
        "there is a normalisation that should not be",
        (Relu,),
        network=where(not_normalised, one_more),
        words=words(
            "an nn.LocalResponseNorm follows {layer}: only the first two stages of the paper's network have one",
            "a normalisation follows {layer}: only the first two stages of the paper's network have one",
            "tf.nn.local_response_normalization follows {layer}: only the first two stages of the paper's network have one",
        ),
    ),
    Trap(
        "relu-first",
        "the ReLU comes before the normalisation, as in the paper",
        LRN,
        inputs=oracle.relu,
        network=relu_first,
        words=words(
            "F.relu comes before nn.LocalResponseNorm, as in the paper; expected: {expected}",
            "activation='relu' in the convolution comes before the normalisation, as in the paper; expected: {expected}",
            "tf.nn.relu comes before tf.nn.local_response_normalization, as in the paper; expected: {expected}",
        ),
    ),
    Trap(
        "lrn-before-relu",
        "the normalisation comes before the ReLU",
        LRN,
        network=before_relu,
        words=words(
            "nn.LocalResponseNorm comes before nn.ReLU in nn.Sequential: exchange them",
            "activation='relu' belongs to the convolution, or a ReLU before the normalisation: exchange them",
            "tf.nn.local_response_normalization is given what comes before tf.nn.relu: exchange them",
        ),
    ),
    Trap(
        "lrn-after-pool",
        "the normalisation comes after the pooling",
        LRN,
        network=after_pool,
        words=words(
            "nn.MaxPool2d comes before nn.LocalResponseNorm, as in CaffeNet: exchange them",
            "MaxPooling2D comes before the normalisation, as in CaffeNet: exchange them",
            "tf.nn.max_pool2d comes before tf.nn.local_response_normalization, as in CaffeNet: exchange them",
        ),
    ),
    Trap(
        "lrn-before-pool",
        "the normalisation comes before the pooling",
        LRN,
        network=before_pool,
        words=words(
            "nn.LocalResponseNorm comes before nn.MaxPool2d, as in the paper; expected: {expected}",
            "the normalisation comes before MaxPooling2D, as in the paper; expected: {expected}",
            "tf.nn.local_response_normalization comes before tf.nn.max_pool2d, as in the paper; expected: {expected}",
        ),
    ),
    Trap(
        "batch-norm-instead",
        "batch normalisation stands in the place of response normalisation",
        LRN,
        batch_norm,
        words=words(
            "nn.BatchNorm2d stands where nn.LocalResponseNorm should: the paper's is across maps and learns nothing",
            "BatchNormalization stands where response normalisation should: wrap tf.nn.local_response_normalization",
            "tf.nn.batch_normalization stands where tf.nn.local_response_normalization should",
            onnx="BatchNormalization stands where LRN should",
        ),
    ),
    Trap(
        "batch-norm-extra",
        "batch normalisation follows the convolution",
        (Conv,),
        network=where(not_normalised, lambda network, name: behind(network, name, ChannelNorm(f"{name}_norm"))),
        words=words(
            "an nn.BatchNorm2d follows {layer}: the paper's network (2012) has none",
            "a BatchNormalization follows {layer}: the paper's network (2012) has none",
            "tf.nn.batch_normalization follows {layer}: the paper's network (2012) has none",
        ),
    ),
)

TRAPS = (*CONSTANTS, *WINDOWS, *PLACES)
