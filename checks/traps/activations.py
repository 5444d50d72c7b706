"""ReLUs that are missing, too many, or in another place, and functions that are none."""

from __future__ import annotations

from ...reference.mistaken import Activation
from ...reference.spec import Dense, Lrn, Network, Pool, Relu, SpatialLrn
from .chain import after, behind, following, last_dense, stage, where, words
from .trap import Trap, nothing, removed


def later(network: Network, name: str) -> tuple[object, ...]:
    """What follows a layer within its stage."""
    return tuple(layer for layer in after(network, name) if layer in stage(network, name))


def behind_the_norm(network: Network, name: str) -> Network | None:
    """Pooling and normalisation both first. Without the pooling between it is `lrn-before-relu`."""
    rest = later(network, name)
    if len(rest) < 2 or not isinstance(rest[0], Pool) or not isinstance(rest[1], Lrn | SpatialLrn):
        return None
    return network.move(name, after=rest[1].name)


def behind_the_mean(network: Network, name: str) -> Network | None:
    """Behind a mean; a maximum does not care which comes first."""
    pool = following(network, name)
    return network.move(name, after=pool.name) if isinstance(pool, Pool) and pool.average else None


def instead(
    id_: str, what: str, function: str, torch: str, keras: str, tf: str, slope: float = 0.0, jax: str = ""
) -> Trap:
    return Trap(
        id_,
        f"the activation is {what}, not ReLU",
        (Relu,),
        lambda relu: Activation(relu.name, function, slope, source=relu.source),
        words=words(
            f"{torch} stands at {{layer}}: nn.ReLU()",
            f"{keras} stands at {{layer}}: activation='relu'",
            f"{tf} stands at {{layer}}: tf.nn.relu",
            **({"jax": f"{jax} stands at {{layer}}: jax.nn.relu"} if jax else {}),
        ),
    )


def leaky(digits: str, slope: float, torch: str = "", keras: str = "", tf: str = "") -> Trap:
    return instead(
        f"leaky-relu-{digits}",
        f"a leaky ReLU of slope {slope}",
        "leaky_relu",
        f"nn.LeakyReLU({slope}{torch})",
        f"LeakyReLU(negative_slope={slope}{keras})",
        f"tf.nn.leaky_relu(alpha={slope}{tf})",
        slope,
    )


TRAPS: tuple[Trap, ...] = (
    Trap(
        "relu-missing",
        "the ReLU is left out",
        (Relu,),
        nothing,
        network=removed,
        words=words(
            "nn.Conv2d and nn.Linear have no activation: add nn.ReLU() behind them",
            "Conv2D and Dense have activation=None by default: pass activation='relu'",
            "tf.nn.conv2d and tf.matmul have no activation: add tf.nn.relu",
        ),
    ),
    Trap(
        "relu-extra",
        "there is a ReLU on the logits",
        (Dense,),
        network=where(last_dense, lambda network, name: behind(network, name, Relu(f"{name}_relu"))),
        words=words(
            "an nn.ReLU follows the last nn.Linear: leave it out",
            "activation='relu' in the last Dense: leave it out",
            "tf.nn.relu follows the last tf.matmul: leave it out",
        ),
    ),
    Trap(
        "relu-after-norm",
        "the ReLU comes after pooling and normalisation",
        (Relu,),
        network=behind_the_norm,
        words=words(
            "nn.ReLU comes after nn.LocalResponseNorm: put it behind the convolution",
            "the ReLU comes after the normalisation: activation='relu' in the convolution",
            "tf.nn.relu comes after tf.nn.local_response_normalization: put it behind the convolution",
        ),
    ),
    Trap(
        "relu-after-pool",
        "the ReLU comes after the mean of the pooling",
        (Relu,),
        network=behind_the_mean,
        words=words(
            "nn.ReLU comes after nn.AvgPool2d: with a mean, unlike a maximum, the order matters",
            "the ReLU comes after AveragePooling2D: with a mean, unlike a maximum, the order matters",
            "tf.nn.relu comes after tf.nn.avg_pool2d: with a mean, unlike a maximum, the order matters",
        ),
    ),
    instead("tanh", "tanh", "tanh", "nn.Tanh()", "activation='tanh'", "tf.nn.tanh"),
    instead("sigmoid", "the logistic sigmoid", "sigmoid", "nn.Sigmoid()", "activation='sigmoid'", "tf.nn.sigmoid"),
    leaky("001", 0.01, torch=", its default"),
    leaky("01", 0.1),
    leaky("02", 0.2, tf=", its default"),
    leaky("03", 0.3, keras=", its default"),
    instead("elu", "ELU", "elu", "nn.ELU()", "activation='elu'", "tf.nn.elu", 1.0),
    instead("selu", "SELU", "selu", "nn.SELU()", "activation='selu'", "tf.nn.selu"),
    instead("gelu", "GELU", "gelu", "nn.GELU()", "activation='gelu'", "tf.nn.gelu"),
    instead(
        "gelu-tanh",
        "GELU by its approximation with tanh",
        "gelu_tanh",
        "nn.GELU(approximate='tanh')",
        "keras.activations.gelu(approximate=True)",
        "tf.nn.gelu(approximate=True)",
        jax="jax.nn.gelu (approximate=True is its default)",
    ),
    instead("softplus", "softplus", "softplus", "nn.Softplus()", "activation='softplus'", "tf.nn.softplus"),
    instead("softsign", "softsign", "softsign", "nn.Softsign()", "activation='softsign'", "tf.nn.softsign"),
    instead("relu6", "ReLU6 (cut at 6)", "relu6", "nn.ReLU6()", "activation='relu6'", "tf.nn.relu6"),
    instead("silu", "SiLU (swish)", "silu", "nn.SiLU()", "activation='silu'", "tf.nn.silu"),
    instead("abs", "the absolute value", "abs", "torch.abs", "keras.ops.abs", "tf.abs"),
)
