"""What the parameters begin with. `Initial.std` is before any cutting: a law cut at two of it spreads 0.88 of it."""

from __future__ import annotations

import math
from collections.abc import Callable

from ...reference.spec import AFFINE, Conv, Dense
from .chain import words
from .trap import Initial, Site, Trap

KEPT = 0.87962566103423978  # what cutting at two standard deviations leaves of one; Keras divides by it
CLOSE = 1e-3


def fan_in(site: Site) -> int:
    """Inputs of one output."""
    return site.layer.reduction(site.inputs)


def fan_out(site: Site) -> int:
    """As torch and Keras count: the outputs, times the kernel's pixels."""
    layer = site.layer
    return layer.channels * layer.kernel**2 if isinstance(layer, Conv) else layer.units  # type: ignore[attr-defined]


def weights_with(law: str, std: Callable[[Site], float]) -> Callable[[Site], Initial | None]:
    """Does not apply where the spec has this spread itself."""

    def begin(site: Site) -> Initial | None:
        spread = std(site)
        specified = site.layer.init_std  # type: ignore[attr-defined]
        same = law != "truncated" and math.isclose(spread, specified, rel_tol=CLOSE)
        return None if same else Initial("weight", law, spread)

    return begin


def constantly(std: float) -> Callable[[Site], float]:
    return lambda _: std


def biases_at(mean: float, applies: Callable[[float], bool]) -> Callable[[Site], Initial | None]:
    """A constant, where the spec's own constant calls for it."""

    def begin(site: Site) -> Initial | None:
        layer = site.layer
        constant = not layer.init_bias_std  # type: ignore[attr-defined]
        fits = applies(layer.init_bias) and layer.init_bias != mean  # type: ignore[attr-defined]
        return Initial("bias", "constant", 0.0, mean) if fits or not constant else None

    return begin


def biases_with(law: str, std: Callable[[Site], float]) -> Callable[[Site], Initial | None]:
    def begin(site: Site) -> Initial | None:
        spread = std(site)
        same = math.isclose(spread, site.layer.init_bias_std, rel_tol=CLOSE)  # type: ignore[attr-defined]
        return None if same else Initial("bias", law, spread)

    return begin


def torch_std(site: Site) -> float:
    """Uniform within +-1 / sqrt(fan in)."""
    return 1 / math.sqrt(3 * fan_in(site))


def glorot_std(site: Site) -> float:
    return math.sqrt(2 / (fan_in(site) + fan_out(site)))


def he_std(site: Site) -> float:
    return math.sqrt(2 / fan_in(site))


def he_std_of_outputs(site: Site) -> float:
    return math.sqrt(2 / fan_out(site))


def lecun_std(site: Site) -> float:
    return math.sqrt(1 / fan_in(site))


def cut(std: Callable[[Site], float]) -> Callable[[Site], float]:
    """The std before cutting that leaves `std` after it."""
    return lambda site: std(site) / KEPT


NORMAL = words(
    "nn.init.normal_(weight, std=0.01) is the paper's",
    "kernel_initializer=RandomNormal(stddev=0.01) is the paper's",
    "tf.random.normal(shape, stddev=0.01) is the paper's",
)
BIASES = words(
    "nn.init.constant_(bias, 1) in conv2, conv4, conv5, fc6 and fc7, 0 elsewhere, is the paper's",
    "bias_initializer='ones' in conv2, conv4, conv5, fc6 and fc7, 'zeros' elsewhere, is the paper's",
    "tf.ones in conv2, conv4, conv5, fc6 and fc7, tf.zeros elsewhere, is the paper's",
)


def caused(by: dict[str, str], remedy: dict[str, str]) -> dict[str, str]:
    return {framework: f"{cause}; {remedy.get(framework, 'expected: {expected}')}" for framework, cause in by.items()}


def spread_of(id_: str, std: float, torch: str, keras: str, tf: str, convention: str = "") -> Trap:
    return Trap(
        f"init-std-{id_}",
        f"the weights begin with N(0, {std})",
        AFFINE,
        initial=weights_with("normal", constantly(std)),
        convention=convention,
        words=caused(words(torch, keras, tf), NORMAL),
    )


def law_of(id_: str, says: str, law: str, std: Callable[[Site], float], by: dict[str, str]) -> Trap:
    return Trap(
        f"init-{id_}",
        f"the weights begin {says}",
        (Conv, Dense),
        initial=weights_with(law, std),
        words=caused(by, NORMAL),
    )


SPREADS: tuple[Trap, ...] = (
    spread_of(
        "0005",
        0.005,
        "nn.init.normal_(weight, std=0.005), Caffe's for fc6 and fc7",
        "RandomNormal(stddev=0.005), Caffe's for fc6 and fc7",
        "tf.random.normal(stddev=0.005), Caffe's for fc6 and fc7",
    ),
    spread_of("001", 0.01, "nn.init.normal_(std=0.01)", "RandomNormal(stddev=0.01)", "tf.random.normal(stddev=0.01)"),
    spread_of(
        "003",
        0.03,
        "nn.init.normal_(std=0.03), the authors' code's for conv3 to conv5",
        "RandomNormal(stddev=0.03), the authors' code's for conv3 to conv5",
        "tf.random.normal(stddev=0.03), the authors' code's for conv3 to conv5",
        convention="the authors' code",
    ),
    spread_of(
        "005",
        0.05,
        "nn.init.normal_(std=0.05)",
        "RandomNormal's default is stddev=0.05",
        "keras.initializers.RandomNormal's default is stddev=0.05",
    ),
    spread_of("01", 0.1, "nn.init.normal_(std=0.1)", "RandomNormal(stddev=0.1)", "tf.random.normal(stddev=0.1)"),
    spread_of(
        "1",
        1.0,
        "torch.randn, and nn.init.normal_ by default, have std 1",
        "RandomNormal(stddev=1.0), or keras.random.normal by default",
        "tf.random.normal's default is stddev=1",
    ),
)

LAWS_OF_WEIGHTS: tuple[Trap, ...] = (
    law_of(
        "truncated",
        "with N(0, 0.01) cut at two standard deviations",
        "truncated",
        constantly(0.01),
        words(
            "nn.init.trunc_normal_(std=0.01, a=-0.02, b=0.02) cuts the tails",
            "TruncatedNormal(stddev=0.01) cuts the tails",
            "tf.random.truncated_normal(stddev=0.01), common in TensorFlow 1, cuts the tails",
        ),
    ),
    law_of(
        "truncated-01",
        "with N(0, 0.1) cut at two standard deviations",
        "truncated",
        constantly(0.1),
        words(
            "nn.init.trunc_normal_(std=0.1, a=-0.2, b=0.2)",
            "TruncatedNormal(stddev=0.1)",
            "tf.random.truncated_normal(stddev=1e-1), as in TensorFlow's own alexnet benchmark",
        ),
    ),
    law_of(
        "torch-uniform",
        "uniform within +-1 / sqrt(fan in), PyTorch's default",
        "uniform",
        torch_std,
        words(
            "nn.Conv2d and nn.Linear begin with kaiming_uniform_(a=sqrt(5)), which is +-1 / sqrt(fan in)",
            "VarianceScaling(1 / 3, 'fan_in', 'uniform') is PyTorch's default",
            "keras.initializers.VarianceScaling(1 / 3, 'fan_in', 'uniform') is PyTorch's default",
        ),
    ),
    law_of(
        "glorot-uniform",
        "uniform with Glorot's spread, sqrt(2 / (fan in + fan out)), Keras' default",
        "uniform",
        glorot_std,
        words(
            "nn.init.xavier_uniform_",
            "Conv2D's and Dense's kernel_initializer is 'glorot_uniform' by default",
            "glorot_uniform is the default of tf.compat.v1.get_variable and of Keras",
        ),
    ),
    law_of(
        "glorot-normal",
        "normal with Glorot's spread, cut at two standard deviations",
        "truncated",
        cut(glorot_std),
        words(
            "nn.init.trunc_normal_ with Glorot's spread, as Keras' glorot_normal",
            "kernel_initializer='glorot_normal', which cuts the tails",
            "keras.initializers.GlorotNormal, which cuts the tails",
            jax="jax.nn.initializers.glorot_normal, which cuts the tails",
        ),
    ),
    law_of(
        "xavier-normal",
        "normal with Glorot's spread, not cut",
        "normal",
        glorot_std,
        words(
            "nn.init.xavier_normal_",
            "VarianceScaling(1, 'fan_avg', 'untruncated_normal')",
            "tf.random.normal(stddev=sqrt(2 / (fan_in + fan_out)))",
        ),
    ),
    law_of(
        "xavier-caffe",
        "uniform within +-sqrt(3 / fan in), Caffe's xavier",
        "uniform",
        lecun_std,
        words(
            "nn.init.kaiming_uniform_(nonlinearity='linear') is Caffe's xavier filler",
            "kernel_initializer='lecun_uniform' is Caffe's xavier filler",
            "keras.initializers.LecunUniform is Caffe's xavier filler",
        ),
    ),
    law_of(
        "he-normal",
        "normal with He's spread, sqrt(2 / fan in), not cut",
        "normal",
        he_std,
        words(
            "nn.init.kaiming_normal_",
            "VarianceScaling(2, 'fan_in', 'untruncated_normal')",
            "tf.random.normal(stddev=sqrt(2 / fan_in))",
        ),
    ),
    law_of(
        "he-normal-truncated",
        "normal with He's spread, sqrt(2 / fan in), cut at two standard deviations",
        "truncated",
        cut(he_std),
        words(
            "nn.init.trunc_normal_ with He's spread, as Keras' he_normal",
            "kernel_initializer='he_normal', which cuts the tails",
            "keras.initializers.HeNormal, which cuts the tails",
            jax="jax.nn.initializers.he_normal, which cuts the tails",
        ),
    ),
    law_of(
        "he-normal-fan-out",
        "normal with He's spread of the outputs, sqrt(2 / fan out)",
        "normal",
        he_std_of_outputs,
        words(
            "nn.init.kaiming_normal_(mode='fan_out', nonlinearity='relu')",
            "VarianceScaling(2, 'fan_out', 'untruncated_normal')",
            "tf.random.normal(stddev=sqrt(2 / fan_out))",
        ),
    ),
    law_of(
        "he-uniform",
        "uniform with He's spread, sqrt(2 / fan in)",
        "uniform",
        he_std,
        words(
            "nn.init.kaiming_uniform_ with its own default a=0 (nn.Conv2d passes sqrt(5))",
            "kernel_initializer='he_uniform'",
            "keras.initializers.HeUniform",
        ),
    ),
    law_of(
        "lecun-normal",
        "normal with LeCun's spread, 1 / sqrt(fan in), cut at two standard deviations",
        "truncated",
        cut(lecun_std),
        words(
            "nn.init.trunc_normal_ with LeCun's spread, as Keras' lecun_normal",
            "kernel_initializer='lecun_normal', which cuts the tails",
            "keras.initializers.LecunNormal, which cuts the tails",
            jax="lecun_normal is the default of Flax's Conv and Dense",
        ),
    ),
)

OF_BIASES: tuple[Trap, ...] = (
    Trap(
        "init-zero-bias",
        "the biases begin with 0",
        AFFINE,
        initial=biases_at(0.0, lambda bias: bias != 0),
        words=caused(
            words(
                "nn.init.zeros_(bias), or constant_(bias, 0)",
                "bias_initializer is 'zeros' by default",
                "tf.zeros for the biases",
            ),
            BIASES,
        ),
    ),
    Trap(
        "init-bias-one",
        "the biases begin with 1 where 0 is expected",
        AFFINE,
        initial=biases_at(1.0, lambda bias: bias == 0),
        words=caused(
            words("nn.init.ones_(bias)", "bias_initializer='ones'", "tf.ones for the biases"),
            BIASES,
        ),
    ),
    Trap(
        "init-bias-01",
        "the biases begin with 0.1",
        AFFINE,
        initial=biases_at(0.1, lambda bias: bias != 0),
        convention="Caffe",
        words=caused(
            words(
                "nn.init.constant_(bias, 0.1), Caffe's",
                "bias_initializer=Constant(0.1), Caffe's",
                "tf.constant(0.1, shape=...), Caffe's",
            ),
            BIASES,
        ),
    ),
    Trap(
        "init-bias-uniform",
        "the biases begin uniform within +-1 / sqrt(fan in), PyTorch's default",
        AFFINE,
        initial=biases_with("uniform", torch_std),
        words=caused(
            words(
                "nn.Conv2d and nn.Linear draw biases within +-1 / sqrt(fan in)",
                "a RandomUniform within PyTorch's +-1 / sqrt(fan in) is the bias_initializer",
                "tf.random.uniform within PyTorch's +-1 / sqrt(fan in) gives the biases",
            ),
            BIASES,
        ),
    ),
    Trap(
        "init-bias-normal",
        "the biases begin with N(0, 1)",
        AFFINE,
        initial=biases_with("normal", constantly(1.0)),
        words=caused(
            words(
                "torch.randn gives the biases",
                "RandomNormal(stddev=1.0) is the bias_initializer",
                "tf.random.normal([n]), by default of std 1, gives the biases",
            ),
            BIASES,
        ),
    ),
)

TRAPS = (*SPREADS, *LAWS_OF_WEIGHTS, *OF_BIASES)
