"""Reduced precision, of one layer or of its weights only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...reference.spec import AFFINE
from .chain import words
from .trap import Array, Trap, kernels


def mantissa(bits: int) -> Callable[[Array], Array]:
    """Round to `bits` explicit bits of mantissa, to nearest even: TF32 has 10, bfloat16 has 7."""

    def rounded(values: Array) -> Array:
        exact = values.astype(np.float32)
        drop = 23 - bits
        bits_of = exact.view(np.uint32)
        nearest = (bits_of + np.uint32((1 << (drop - 1)) - 1) + ((bits_of >> drop) & 1)) >> drop << drop
        return nearest.astype(np.uint32).view(np.float32).astype(values.dtype)

    return rounded


def half(values: Array) -> Array:
    with np.errstate(over="ignore"):  # beyond 65504 float16 is infinite
        return values.astype(np.float16).astype(values.dtype)


# A layer that runs in such a format gives numbers of it: how they are rounded, and the largest relative error of that.
FORMATS: dict[str, tuple[Callable[[Array], Array], float]] = {
    "float16": (half, 2.0**-11),
    "bfloat16": (mantissa(7), 2.0**-8),
}

TRAPS: tuple[Trap, ...] = (
    Trap(
        "tf32",
        "it is computed in TF32",
        AFFINE,
        weights=kernels(mantissa(10)),
        inputs=mantissa(10),
        trick="tf32",
        words=words(
            "torch allows TF32 in cuDNN's convolutions by default: torch.backends.cudnn.conv.fp32_precision = 'ieee', "
            "and torch.backends.cuda.matmul.fp32_precision for products",
            "TensorFlow allows TF32 on a GPU by default: tf.config.experimental.enable_tensor_float_32_execution(False)",
            "TensorFlow allows TF32 on a GPU by default: tf.config.experimental.enable_tensor_float_32_execution(False)",
            jax="jax_default_matmul_precision is lower than float32 by default on GPU and TPU: set it to 'float32'",
        ),
    ),
    Trap(
        "float16",
        "it runs in float16",
        AFFINE,
        weights=kernels(half),
        inputs=half,
        trick="float16",
        words=words(
            "{layer}.half(), or torch.autocast(dtype=torch.float16), around this layer: keep it in float32",
            "dtype='mixed_float16' or 'float16' at {layer}: dtype='float32'",
            "tf.cast(x, tf.float16) before {layer}: keep it in float32",
            onnx="Cast to FLOAT16 before {layer}: keep it in FLOAT",
            jax="x.astype(jnp.float16) before {layer}: keep it in float32",
        ),
    ),
    Trap(
        "bfloat16",
        "it runs in bfloat16",
        AFFINE,
        weights=kernels(mantissa(7)),
        inputs=mantissa(7),
        trick="bfloat16",
        words=words(
            "{layer}.bfloat16(), or torch.autocast (bfloat16 is its default on a CPU), around this layer: keep it in float32",
            "dtype='mixed_bfloat16' or 'bfloat16' at {layer}: dtype='float32'",
            "tf.cast(x, tf.bfloat16) before {layer}: keep it in float32",
            jax="x.astype(jnp.bfloat16) before {layer}, or a TPU's default precision: keep it in float32",
        ),
    ),
    Trap(
        "weights-tf32",
        "the weights are rounded to TF32",
        AFFINE,
        weights=kernels(mantissa(10)),
        trick="weights-tf32",
        words=words(
            "{layer}'s weight was rounded to ten bits of mantissa: keep the float32 numbers",
            "{layer}'s kernel was rounded to ten bits of mantissa: keep the float32 numbers",
            "{layer}'s filters were rounded to ten bits of mantissa: keep the float32 numbers",
        ),
    ),
    Trap(
        "weights-float16",
        "the weights are held in float16",
        AFFINE,
        weights=kernels(half),
        trick="weights-float16",
        words=words(
            "{layer}'s weight was saved or held as torch.float16: .float() does not bring the bits back, save float32",
            "{layer}'s kernel was saved or held as float16: a cast does not bring the bits back, save float32",
            "{layer}'s filters were saved or held as tf.float16: a cast does not bring the bits back, save float32",
            onnx="{layer}'s initializer is FLOAT16: store FLOAT",
        ),
    ),
    Trap(
        "weights-bfloat16",
        "the weights are held in bfloat16",
        AFFINE,
        weights=kernels(mantissa(7)),
        trick="weights-bfloat16",
        words=words(
            "{layer}'s weight was saved or held as torch.bfloat16: .float() does not bring the bits back, save float32",
            "{layer}'s kernel was saved or held as bfloat16: a cast does not bring the bits back, save float32",
            "{layer}'s filters were saved or held as tf.bfloat16: a cast does not bring the bits back, save float32",
        ),
    ),
)
