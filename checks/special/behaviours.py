"""What frameworks do otherwise with special values: data, with a reason and a source each.

Strict: what is said of an implementation of ours is asked of it, on an x86-64 processor and outside of settings that the row
does not name; one that no longer deviates fails. `sometimes` says on what it depends where it is not always met. A module of
somebody else's on the same framework is allowed the same, and held to nothing.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ...reference.special_values import Case
from .whose import concerns


@dataclass(frozen=True)
class Who:
    """Whose arithmetic (`whose.py`), under which setting ("" for none), on what device, in small letters."""

    name: str
    setting: str = ""
    device: str = "cpu"

    @property
    def full(self) -> str:
        return f"{self.name}@{self.setting}" if self.setting else self.name

    @property
    def on_cpu(self) -> bool:
        return not any(word in self.device for word in ("cuda", "gpu"))


@dataclass(frozen=True)
class Behaviour:
    """impls: names of ours, also NAME@SETTING; "*" for any implementation. cases: patterns of THEME/KIND/CASE.

    answer: what is given there, by its name in `reference/special_answers.py`.
    """

    impls: tuple[str, ...]
    cases: tuple[str, ...]
    answer: str
    reason: str
    link: str
    sometimes: str = ""

    def concerns(self, who: Who, kind: str, case: Case) -> bool:
        told = any(impl == who.full if "@" in impl else concerns(impl, who.name) for impl in self.impls)
        return told and any(fnmatchcase(f"{case.theme}/{kind}/{case.name}", pattern) for pattern in self.cases)

    def strict(self, who: Who) -> bool:
        here = who.on_cpu and platform.machine().lower() in ("x86_64", "amd64")
        return here and not self.sometimes and who.full in self.impls


TENSORFLOW = ("tf_nn", "keras", "keras_ops")
JAX = ("jax", "keras_jax")
KERAS = ("keras", "keras_ops", "keras_torch", "keras_jax")
XLA = ("tf_nn@xla", "keras@xla", "keras_ops@xla")

BEHAVIOURS: tuple[Behaviour, ...] = (
    Behaviour(
        (*TENSORFLOW, *JAX),
        ("denormals/*",),
        "flushed",
        "the threads that compute take denormals for zero and write zeros for them",
        "TensorFlow and XLA: xla/tsl/platform/threadpool.cc, EigenEnvironment::CreateThread, and tsl/platform/denormal.h, "
        "ScopedFlushDenormal",
        "what only moves or compares bits keeps them, and so may what another library's threads compute",
    ),
    Behaviour(
        ("torch@denormals-flushed", "keras_torch@denormals-flushed"),
        ("denormals/*",),
        "flushed",
        "torch.set_flush_denormal(True)",
        "https://docs.pytorch.org/docs/stable/generated/torch.set_flush_denormal.html",
        "what only moves or compares bits keeps them",
    ),
    Behaviour(
        ("tf_nn", "keras"),
        (
            "nan/lrn/*",
            "infinity/lrn/*",
            "overflow/lrn/the square overflows",
            "overflow/lrn/the largest number",
        ),
        "all-maps",
        "the sums over maps are the squares of all maps times a matrix of ones and zeros, and 0 times inf is NaN: one map that "
        "overflows takes all maps of that pixel with it, not its n // 2 neighbours on each side",
        "TensorFlow: tensorflow/core/kernels/lrn_op.cc, LaunchLRN<CPUDevice>: in_shaped.square().contract(multiplier, dims)",
    ),
    Behaviour(
        (*TENSORFLOW, "onnxruntime", "openvino"),
        ("nan/max-pool/*", "infinity/max-pool/nothing but -inf", "nan/padded-pool/*", "infinity/padded-pool/*"),
        "from-lowest",
        "the maximum begins with the lowest finite number and takes what is greater: NaN and -inf are not, so that a window of "
        "nothing else gives -3.4e38 (ONNX Runtime at strides above 2 only: at the paper's it begins with the first number)",
        "TensorFlow: core/kernels/pooling_ops_common.h, MaxPoolingOp::SpatialMaxPool; oneDNN: "
        "src/cpu/x64/jit_uni_pool_kernel.cpp, max_step_fwd; ONNX Runtime: core/mlas/lib/pooling.cpp, MLAS_MAXIMUM_POOLING in "
        "MlasPool2DKernel",
    ),
    Behaviour(
        JAX,
        ("nan/max-pool/*", "nan/padded-pool/*"),
        "without-nan",
        "from 4,096 inputs on, and where windows do not overlap, as the paper's do, XLA gives a reduce-window to YNNPACK, whose "
        "maximum of NaN and a number is the number; XLA's own keeps NaN "
        "(XLA_FLAGS=--xla_cpu_experimental_ynn_fusion_type= leaves YNNPACK out)",
        "XLA: xla/backends/cpu/ynn_support.cc, IsInstructionPreferredByYnn and IsReduceLikeOpSupportedByYnn; the compiled "
        "module has a ynn_fusion (jaxlib 0.10.2)",
        "the size, and whether there is a border",
    ),
    Behaviour(
        XLA,
        ("nan/max-pool/*", "nan/padded-pool/*"),
        "without-nan",
        "XLA's default on a CPU is the faster maximum, of NaN and a number the number, which JAX turns off and TensorFlow does "
        "not (XLA_FLAGS=--xla_cpu_enable_fast_min_max=false keeps NaN)",
        "XLA: xla/debug_options_flags.cc, set_xla_cpu_enable_fast_min_max(true)",
        "the flags of XLA",
    ),
    Behaviour(
        (*TENSORFLOW, "openvino"),
        ("nan/softmax/one NaN", "infinity/softmax/one inf"),
        "nan-alone",
        "oneDNN's exponential takes NaN for its largest argument (vminps keeps its second operand) and gives inf for it: "
        "inf / inf is NaN there, and the others divided by inf are 0",
        "oneDNN: src/cpu/x64/injectors/jit_uni_eltwise_injector.cpp, exp_compute_vector_fwd",
        "without oneDNN all are NaN",
    ),
    Behaviour(
        ("openvino",),
        ("denormals/softmax/a probability that is denormal",),
        "flushed",
        "oneDNN's exponential gives 0 below the logarithm of the smallest normal number",
        "oneDNN: src/cpu/x64/injectors/jit_uni_eltwise_injector.cpp, exp_compute_vector_fwd",
        "the processor's kernel",
    ),
    Behaviour(
        KERAS,
        ("infinity/local/*inf among the inputs", "infinity/local/inf - inf"),
        "patches",
        "keras.ops.image.extract_patches cuts patches out by a convolution with ones and zeros: 0 times inf is NaN all over "
        "the patch",
        "keras/src/ops/image.py, _extract_patches_2d: backend.numpy.eye, backend.nn.conv (Keras 3.15.1, lines 794 to 802)",
    ),
    Behaviour(
        ("tf_nn@xla",),
        ("infinity/local/*inf among the inputs", "infinity/local/inf - inf"),
        "patches",
        "tf.image.extract_patches is a convolution with ones and zeros under XLA, and cuts out otherwise",
        "TensorFlow: tensorflow/compiler/tf2xla/kernels/extract_image_patches_op.cc",
    ),
    Behaviour(
        ("onnxruntime@optimised",),
        ("infinity/conv/an infinite weight*",),
        "inside",
        "with all optimisations, convolutions run on blocks of maps and leave out the taps beyond the border",
        "ONNX Runtime: core/optimizer/nchwc_transformer.cc and core/mlas/lib/snchwc.cpp",
        "the processor's kernel",
    ),
    Behaviour(
        ("torch", "tf_nn", "openvino", "keras@graph", "keras_ops@graph"),
        ("infinity/conv/an infinite weight*",),
        "inside",
        "oneDNN's direct convolution leaves out the taps beyond the border, and so does not multiply inf by the zeros there; "
        "Keras pads in a layer of its own, which only a graph joins to the convolution",
        "oneDNN: src/cpu/x64/jit_avx512_common_conv_kernel.cpp, compute_loop_fma: the columns from get_ow_start to get_ow_end",
        "an algorithm that copies the zeros, such as a matrix product of patches, gives NaN",
    ),
    Behaviour(
        ("openvino",),
        ("nan/relu/NaN",),
        "zero-for-nan",
        "the maximum of x and 0 by vmaxps, which gives its second operand, 0, where one is NaN",
        "oneDNN: src/cpu/x64/injectors/jit_uni_eltwise_injector.cpp, relu_zero_ns_compute_vector_fwd",
    ),
    Behaviour(
        ("openvino",),
        ("denormals/*/denormal weights",),
        "flushed",
        "denormal constants are set to zero when the model is compiled; inputs are not",
        "OpenVINO: src/plugins/intel_cpu/src/nodes/input.cpp, Input::cloneBlobIfRequired: needFlushDenormalsToZero",
    ),
    Behaviour(
        ("openvino",),
        ("overflow/lrn/*",),
        "by-roots",
        "oneDNN takes d to the power 3/4 as sqrt(sqrt(d) d), whose product overflows from d = 5e25 on; its kernels for many maps "
        "in whole vectors as two roots of d d d, which overflows from 7e12 on",
        "oneDNN: src/cpu/ref_lrn.cpp, fast_negative_powf; src/cpu/x64/lrn/jit_uni_lrn_kernel.cpp, ysum2",
        "the processor's kernel",
    ),
    Behaviour(
        ("onnxruntime",),
        (
            "nan/lrn/*",
            "infinity/lrn/*",
            "overflow/lrn/the square overflows",
            "overflow/lrn/the largest number",
        ),
        "running-sum",
        "the sum is carried from map to map, the next square added and the last taken away: inf - inf is NaN, and NaN stays",
        "ONNX Runtime: core/providers/cpu/nn/lrn.cc, the loop that adds the head and subtracts the tail",
    ),
    Behaviour(
        ("onnxruntime",),
        ("overflow/lrn/the sum of squares overflows",),
        "scaled-squares",
        "each square is multiplied by alpha before it is added: the sum of the products does not overflow",
        "ONNX Runtime: core/providers/cpu/nn/lrn.cc, math::Axpy of alpha_over_size",
    ),
    Behaviour(
        ("onnxruntime",),
        ("denormals/tanh/denormal",),
        "ratio",
        "a ratio of polynomials: x is multiplied by 0.0049 first, which leaves a denormal few digits, then divided by 0.0049",
        "ONNX Runtime: core/mlas/lib/tanh.cpp, MlasTanhConstants.alpha_1, 4.89352455891786e-03",
        "the processor's kernel",
    ),
    Behaviour(
        ("*",),
        ("overflow/*",),
        "exact",
        "its range on the way is wider than float32's",
        "IEEE 754-2019, 10.3: an expression may be evaluated in a wider format than its operands'",
        "the widths of accumulators and of fused kernels",
    ),
    Behaviour(
        ("*",),
        ("overflow/conv/products*", "overflow/local/products*", "overflow/dense/products*"),
        "fused",
        "fused multiply-adds: the second product is added to the first one's infinity before it can overflow itself",
        "IEEE 754-2019, 5.4.1: fusedMultiplyAdd rounds once",
        "the processor and the matrix library",
    ),
)


def of(who: Who, kind: str, case: Case) -> list[Behaviour]:
    """What is on record for this implementation and case; the strict alone where there are any."""
    found = [row for row in BEHAVIOURS if row.concerns(who, kind, case)]
    return [row for row in found if row.strict(who)] or found
