"""Why a condition moves bits: data, each row with where it is written down. What has no row is reported as not explained."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

TORCH, TENSORFLOW, JAX = ("torch", "keras_torch"), ("tf_nn", "keras", "keras_ops"), ("jax", "keras_jax")
AFFINE = ("conv", "local", "dense")


@dataclass(frozen=True)
class Reason:
    """For whom (implementations without their setting), under which conditions (shell patterns), at which kinds of layer.

    A row speaks of the layers that may move by themselves; those after them move because they are fed other bits. device: of
    the run, "" for any. back: of the layer's gradients, not of its output; None of both.
    """

    impls: tuple[str, ...]
    conditions: tuple[str, ...]
    kinds: tuple[str, ...]
    why: str
    link: str
    device: str = "cpu"
    back: bool | None = False

    def concerns(self, impl: str, condition: str, kind: str, device: str = "cpu", back: bool | None = False) -> bool:
        under = any(fnmatchcase(condition, pattern) for pattern in self.conditions)
        there = kind in self.kinds and self.back in (None, back) and self.device in ("", device)
        return impl in self.impls and under and there


GITHUB = "https://github.com"
EIGEN = (
    "https://gitlab.com/libeigen/eigen/-/blob/master/unsupported/Eigen/CXX11/src/Tensor/TensorContractionThreadPool.h"
)
ONEDNN = "https://uxlfoundation.github.io/oneDNN/dev_guide_cpu_dispatcher_control.html"

MKL = "https://www.intel.com/content/www/us/en/docs/onemkl/developer-guide-linux/2024-0/reproducibility-conditions.html"
YNN = f"{GITHUB}/openxla/xla/blob/main/xla/backends/cpu/ynn_support.cc"

SEEN = "as ONEDNN_VERBOSE=1 shows"

REASONS: tuple[Reason, ...] = (
    Reason(
        TENSORFLOW,
        ("batch-*", "threads-*"),
        ("lrn",),
        "Eigen takes powers of whole vectors, and the last few numbers of a batch, or of a thread's share of it, one at a time "
        "by another pow: EvalRange::run",
        "https://gitlab.com/libeigen/eigen/-/blob/master/unsupported/Eigen/CXX11/src/Tensor/TensorExecutor.h",
    ),
    Reason(
        TORCH,
        ("batch-*", "threads-*"),
        ("lrn",),
        "PyTorch takes powers of whole vectors, and the last few numbers of a batch, or of a thread's share of it, one at a time "
        "by another pow: vectorized_loop",
        f"{GITHUB}/pytorch/pytorch/blob/main/aten/src/ATen/native/cpu/Loops.h",
    ),
    Reason(
        TORCH,
        ("batch-1",),
        ("conv",),
        "a 3 x 3 convolution without groups of one image of 20,480 numbers or fewer is not given to oneDNN, in a batch it is: "
        "ConvParams::use_mkldnn",
        f"{GITHUB}/pytorch/pytorch/blob/main/aten/src/ATen/native/Convolution.cpp",
    ),
    Reason(
        TORCH,
        ("batch-*",),
        AFFINE,
        "PyTorch promises no equal bits for an image alone and in a batch: its libraries choose their kernels by the shapes",
        "https://docs.pytorch.org/docs/stable/notes/numerical_accuracy.html#batched-computations-or-slice-computations",
        device="",
    ),
    Reason(
        TORCH,
        ("onednn-off",),
        ("conv",),
        "without oneDNN a convolution is an unfolded matrix product by BLAS, which sums in another order: ConvBackend::Slow2d",
        f"{GITHUB}/pytorch/pytorch/blob/main/aten/src/ATen/native/Convolution.cpp",
    ),
    Reason(
        TORCH,
        ("channels-last",),
        ("conv",),
        f"oneDNN has other kernels for N, H, W, C, {SEEN}: brg_conv_fwd for jit, jit for gemm",
        "https://uxlfoundation.github.io/oneDNN/dev_guide_convolution.html",
    ),
    Reason(
        TORCH,
        ("compile",),
        ("conv",),
        f"inductor lays maps out as N, H, W, C, for which oneDNN has other kernels, {SEEN}: brg_conv_fwd for jit, jit for gemm; "
        "GraphLowering.decide_layout_opt",
        f"{GITHUB}/pytorch/pytorch/blob/main/torch/_inductor/graph.py",
    ),
    Reason(
        TENSORFLOW,
        ("xla",),
        ("conv",),
        f"compiled by XLA, convolutions are not oneDNN's but Eigen's contractions, their sums in parts, {SEEN}",
        f"{GITHUB}/openxla/xla/blob/main/xla/backends/cpu/runtime/convolution_lib.cc",
    ),
    Reason(
        TORCH,
        ("isa-avx2",),
        ("conv",),
        f"oneDNN generates its kernels for the instructions that it finds, {SEEN}: jit:avx2 for jit:avx512_core",
        ONEDNN,
    ),
    Reason(
        TORCH,
        ("threads-*",),
        ("dense",),
        "oneMKL promises the same bits for one number of threads only",
        MKL,
        back=None,
    ),
    Reason(
        TORCH,
        ("threads-*",),
        ("conv",),
        "oneDNN sums a kernel's gradient over the images of each thread, then over the threads: reduce_diff_weights",
        f"{GITHUB}/uxlfoundation/oneDNN/blob/main/src/cpu/x64/jit_avx512_common_convolution.cpp",
        back=True,
    ),
    Reason(
        TENSORFLOW,
        ("threads-*",),
        ("conv",),
        "a kernel's gradient is a sum over all pixels, cut by the number of threads: in Keras without groups by oneDNN's "
        "reduce_diff_weights, else by Eigen's contraction: shardByInnerDim",
        EIGEN,
        back=True,
    ),
    Reason(
        TENSORFLOW,
        ("graph",),
        ("pool",),
        f"in a graph the gradient of max-pooling is oneDNN's, {SEEN}, else TensorFlow's own: they add what overlapping windows "
        "send in another order: MklLayoutRewritePass",
        f"{GITHUB}/tensorflow/tensorflow/blob/master/tensorflow/core/common_runtime/mkl_layout_pass.cc",
        back=True,
    ),
    Reason(
        TORCH,
        ("isa-avx2",),
        ("softmax",),
        "PyTorch's own kernels are compiled for each set of instructions, the loss' among them: vectors of 8 numbers, not 16",
        f"{GITHUB}/pytorch/pytorch/blob/main/aten/src/ATen/native/cpu/README.md",
        back=True,
    ),
    Reason(
        TORCH,
        ("isa-avx2",),
        ("softmax",),
        "PyTorch's own kernels are compiled for each set of instructions: vectors of 8 numbers instead of 16",
        f"{GITHUB}/pytorch/pytorch/blob/main/aten/src/ATen/native/cpu/README.md",
    ),
    Reason(
        TENSORFLOW,
        ("isa-avx2",),
        ("conv", "dense", "lrn"),
        f"oneDNN generates its kernels for the instructions that it finds, also for LRN's sums, which TensorFlow takes as "
        f"a product with a band of ones ({SEEN})",
        ONEDNN,
    ),
    Reason(
        TENSORFLOW,
        ("onednn-off",),
        ("conv",),
        f"Eigen's contraction in place of oneDNN's brg_conv_fwd, its sums in parts: conv1's 363 products as 184 + 179, {SEEN}; "
        "TensorFlow says when it starts that numbers may differ so",
        f"{GITHUB}/tensorflow/tensorflow/blob/master/tensorflow/core/util/port.cc",
    ),
    Reason(
        TENSORFLOW,
        ("batch-*",),
        ("conv",),
        "a grouped convolution of Keras is Eigen's contraction, which cuts its sums by the sizes of the matrices: conv5's 108 "
        f"products as 96 + 12 in a batch of five, whole in one of two, {SEEN}",
        EIGEN,
    ),
    Reason(
        TENSORFLOW,
        ("batch-1",),
        ("dense",),
        f"oneDNN's matrix product is asked for one row in place of two, {SEEN}, and sums it in another order",
        "https://uxlfoundation.github.io/oneDNN/dev_guide_verbose.html",
    ),
    Reason(
        JAX,
        ("threads-*",),
        AFFINE,
        "XLA's libraries cut a product's sums by the number of threads: YNNPACK, which it gives convolutions and products to, "
        "and Eigen, which is left without it, and moves as well: shardByInnerDim, numThreadsInnerDim",
        EIGEN,
        back=None,
    ),
    Reason(
        JAX,
        ("batch-1",),
        ("dense", "local"),
        "a product of one row XLA multiplies in a loop of its own, one of more it gives to YNNPACK: IsDotSupportedByYnn",
        YNN,
    ),
    Reason(
        JAX,
        ("batch-*",),
        ("conv",),
        "XLA gives convolutions to YNNPACK, which sums one image otherwise than two: without it (XLA_FLAGS="
        "--xla_cpu_experimental_ynn_fusion_type=) conv3 keeps its bits alone: IsConvolutionOpSupportedByYnn",
        YNN,
    ),
    Reason(
        ("jax",),
        ("jit",),
        ("lrn",),
        "seen as one function, x / d^0.75 becomes x * d^-0.75 (in the compiled HLO): AlgebraicSimplifierVisitor::HandleDivide",
        f"{GITHUB}/openxla/xla/blob/main/xla/hlo/transforms/simplifiers/algebraic_simplifier.cc",
        device="",
    ),
    Reason(
        ("onnxruntime",),
        ("batch-*", "threads-*"),
        ("lrn",),
        "ONNX Runtime takes LRN's powers of pieces of the whole batch, one a thread, and the last few numbers of a piece by the "
        "scalar pow instead of Eigen's vectors: where pieces end depends on batch and threads: functors::Powx",
        f"{GITHUB}/microsoft/onnxruntime/blob/main/onnxruntime/core/providers/cpu/nn/lrn.cc",
    ),
    Reason(
        ("onnxruntime",),
        ("optimised",),
        ("conv",),
        "convolutions in blocks of channels (NCHWc) sum in another order",
        "https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html#layout-optimizations",
    ),
    Reason(
        TORCH,
        ("channels-last", "compile"),
        ("conv",),
        "cuDNN has other kernels for maps laid out as N, H, W, C, as inductor does too",
        "https://docs.nvidia.com/deeplearning/performance/dl-performance-convolutional/index.html",
        device="cuda",
    ),
    Reason(
        JAX,
        ("autotune-on", "deterministic-off"),
        AFFINE,
        "XLA times cuDNN's and cuBLAS' algorithms and takes the fastest; where it need not be deterministic, of all",
        f"{GITHUB}/jax-ml/jax/pull/4824",
        device="cuda",
    ),
)


def of(impl: str, condition: str, kind: str, device: str = "cpu", back: bool = False) -> Reason | None:
    return next((reason for reason in REASONS if reason.concerns(impl, condition, kind, device, back)), None)


def why(impl: str, condition: str, kind: str, device: str = "cpu", back: bool = False) -> str:
    """In a line, with the link; "" if it is not known."""
    found = of(impl, condition, kind, device, back)
    return f"{found.why} ({found.link})" if found else ""
