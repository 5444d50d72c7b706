"""Dropout: its rate, its place, and what training and inference multiply by. Most of it shows in training only."""

from __future__ import annotations

from collections.abc import Callable

from ...reference.mistaken import RandomDropout
from ...reference.spec import Conv, Dense, Dropout, Flatten, Layer, Network, Pool, Relu
from .chain import after, before, behind, following, last_dense, of_stage, preceding, where, words
from .trap import Trap, removed, value

PERCENT = (10, 20, 25, 30, 40, 60, 70, 75, 80, 90)


def at_rate(percent: int) -> Trap:
    rate = percent / 100
    return Trap(
        f"dropout-{percent}",
        f"dropout's rate is {rate}",
        (Dropout,),
        value("rate", rate),
        words=words(
            f"nn.Dropout(p={rate}) drops this share; expected: {{expected}}",
            f"Dropout(rate={rate}) drops this share; expected: {{expected}}",
            f"tf.nn.dropout(rate={rate}) drops this share (keep_prob of TensorFlow 1 kept it); expected: {{expected}}",
        ),
    )


def random(**how: bool) -> Callable[[Dropout], Layer]:
    return lambda layer: RandomDropout(layer.name, layer.rate, source=layer.source, **how)


def halved(layer: Dropout, scaled: bool) -> Layer:
    """Inference multiplies by what training keeps; `scaled`: training divides by it as well."""
    return RandomDropout(layer.name, layer.rate, factor=1 - layer.rate, scaled=scaled, source=layer.source)


def drops(network: Network) -> list[str]:
    return [layer.name for layer in network.layers if isinstance(layer, Dropout)]


def moved_before_dense(network: Network, name: str) -> Network | None:
    """Each dropout behind a dense layer's ReLU put before that dense layer. Told once, at the first."""
    if drops(network)[0] != name or not isinstance(preceding(network, name), Relu):
        return None
    for each in drops(network):
        dense = next((layer for layer in before(network, each) if isinstance(layer, Dense)), None)
        if dense is None:
            return None
        dropout = network[each]
        network = network.swap(each).swap(dense.name, dropout, dense)
    return network


def moved_after_dense(network: Network, name: str) -> Network | None:
    """Each dropout before a hidden dense layer put behind that layer's ReLU. Told once, at the first."""
    if drops(network)[0] != name or not isinstance(preceding(network, name), Flatten):
        return None
    for each in drops(network):
        relu = next((layer for layer in after(network, each) if isinstance(layer, Relu)), None)
        if relu is None or not isinstance(following(network, each), Dense):
            return None
        network = network.move(each, after=relu.name)
    return network


def one_more(network: Network, name: str) -> Network:
    return behind(network, name, Dropout(f"{name}_drop"))


def whole_maps(network: Network, name: str) -> Network:
    return behind(network, name, RandomDropout(f"{name}_drop", maps=True))


def not_flattened_next(network: Network, name: str) -> bool:
    """Behind the last maps it would be a dropout before the first dense layer."""
    return isinstance(network[name], Pool) and not isinstance(following(network, name), Flatten | Dropout)


def behind_a_conv(network: Network, name: str) -> bool:
    return of_stage(Conv, network, name) and not isinstance(following(network, name), Flatten | Dropout)


def not_dropped_yet(network: Network, name: str) -> bool:
    return not isinstance(following(network, name), Dropout)


TRAPS: tuple[Trap, ...] = (
    Trap(
        "dropout-missing",
        "dropout is left out",
        (Dropout,),
        network=removed,
        words=words(
            "no nn.Dropout here, or F.dropout(training=False) even in training: add nn.Dropout(0.5)",
            "no Dropout here, or called with training=False even in fit(): add Dropout(0.5)",
            "no tf.nn.dropout in the training graph: add tf.nn.dropout(x, rate=0.5)",
            jax="no dropout in the training function, or no key given to it: drop with a key of its own",
        ),
    ),
    *(at_rate(percent) for percent in PERCENT),
    Trap(
        "dropout-before-dense",
        "dropout comes before the hidden dense layers, not behind their ReLUs",
        (Dropout,),
        network=moved_before_dense,
        words=words(
            "nn.Dropout stands before each nn.Linear, as in torchvision's alexnet: put it behind the nn.ReLU",
            "Dropout stands before each hidden Dense: put it behind",
            "tf.nn.dropout is applied to what each hidden layer reads: apply it to what it gives",
        ),
    ),
    Trap(
        "dropout-after-dense",
        "dropout comes behind the hidden dense layers' ReLUs, not before them, as in the paper",
        (Dropout,),
        network=moved_after_dense,
        words=words(
            "nn.Dropout stands behind each nn.ReLU, as in the paper; expected: {expected}",
            "Dropout stands behind each hidden Dense, as in the paper; expected: {expected}",
            "tf.nn.dropout is applied to what each hidden layer gives, as in the paper; expected: {expected}",
        ),
    ),
    Trap(
        "dropout-always-on",
        "dropout is on at inference too",
        (Dropout,),
        random(always=True),
        words=words(
            "F.dropout without training=self.training is always on (training=True is its default): pass it, or use nn.Dropout",
            "Dropout called with training=True is always on: leave training to Keras, or pass it through call()",
            "tf.nn.dropout is always on: leave it out of the inference graph, or use a rate that is 0 there",
            onnx="Dropout with training_mode true, or a model exported in training mode: export it after eval()",
            jax="the function drops whenever it is given a key: a flag has to switch it off at inference",
        ),
    ),
    Trap(
        "dropout-scaled-at-test",
        "training does not divide by the share kept; inference multiplies by it",
        (Dropout,),
        lambda layer: halved(layer, scaled=False),
        convention="the paper's own",
        words=words(
            "a mask of one's own without division, and x * 0.5 at eval(): the paper's way; nn.Dropout divides in training",
            "a mask of one's own without division, and x * 0.5 at inference: the paper's way; Dropout divides in training",
            "a mask of one's own without division, and x * 0.5 at inference: the paper's way; tf.nn.dropout divides",
        ),
    ),
    Trap(
        "dropout-scaled-twice",
        "training divides by the share kept and inference multiplies by it as well",
        (Dropout,),
        lambda layer: halved(layer, scaled=True),
        words=words(
            "nn.Dropout divides by 1 - p in training already: leave the x * 0.5 at eval() out",
            "Dropout divides by 1 - rate in training already: leave the x * 0.5 at inference out",
            "tf.nn.dropout divides by 1 - rate already: leave the x * 0.5 at inference out",
        ),
    ),
    Trap(
        "dropout-unscaled",
        "neither training divides by the share kept nor does inference multiply by it",
        (Dropout,),
        random(scaled=False),
        words=words(
            "x * mask without / (1 - p), and nothing at eval(): use nn.Dropout, which divides in training",
            "x * mask without / (1 - rate), and nothing at inference: use Dropout, which divides in training",
            "x * mask without / (1 - rate), and nothing at inference: use tf.nn.dropout, which divides",
            jax="jnp.where(mask, x, 0) without / (1 - rate): divide",
        ),
    ),
    Trap(
        "dropout-extra",
        "there is a dropout before the first dense layer",
        (Flatten,),
        network=where(not_dropped_yet, one_more),
        words=words(
            "an nn.Dropout stands before the first nn.Linear: leave it out",
            "a Dropout stands before the first Dense: leave it out",
            "tf.nn.dropout is applied to the flattened maps: leave it out",
        ),
    ),
    Trap(
        "dropout-after-pool",
        "there is a dropout behind the pooling",
        (Pool,),
        network=where(not_flattened_next, one_more),
        words=words(
            "an nn.Dropout follows nn.MaxPool2d: the paper has it in the first two dense layers only",
            "a Dropout follows MaxPooling2D: the paper has it in the first two dense layers only",
            "tf.nn.dropout follows tf.nn.max_pool2d: the paper has it in the first two dense layers only",
        ),
    ),
    Trap(
        "dropout-after-conv",
        "there is a dropout behind the convolution's ReLU",
        (Relu,),
        network=where(behind_a_conv, one_more),
        words=words(
            "an nn.Dropout follows a convolution: the paper has it in the first two dense layers only",
            "a Dropout follows a Conv2D: the paper has it in the first two dense layers only",
            "tf.nn.dropout follows a convolution: the paper has it in the first two dense layers only",
        ),
    ),
    Trap(
        "dropout-whole-maps",
        "whole maps are dropped behind the pooling",
        (Pool,),
        network=whole_maps,
        words=words(
            "nn.Dropout2d drops whole maps: nn.Dropout, and only in the dense layers",
            "SpatialDropout2D drops whole maps: Dropout, and only in the dense layers",
            "tf.nn.dropout(noise_shape=[n, 1, 1, c]) drops whole maps: leave noise_shape at None, and only in the dense layers",
        ),
    ),
    Trap(
        "dropout-on-output",
        "there is a dropout on the logits",
        (Dense,),
        network=where(last_dense, one_more),
        words=words(
            "an nn.Dropout follows the last nn.Linear: leave it out",
            "a Dropout follows the last Dense: leave it out",
            "tf.nn.dropout is applied to the logits: leave it out",
        ),
    ),
)
