"""Settings that an implementation can run under: `torch@compile`, `tf_nn@onednn-off`. Data; no framework is imported.

A setting may change the environment of the process, which frameworks read when they are imported, and it may wrap the
implementation: `impls/settings/FILE.py` has `WRAPPERS = {setting: function of the module, giving one with build()}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Setting:
    """impls: which of ours take it, none for any implementation. file: of the wrapper in this folder, "" if there is none.

    arithmetic: what convolutions and dense layers compute in under it (`reference/precision.py` has the names). permits: a
    library may, and need not: single layers may stay in float32. on_cuda: the arithmetic on a GPU, "" if it is the same.
    """

    name: str
    impls: tuple[str, ...]
    about: str
    file: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    arithmetic: str = "float32"
    cuda: bool = False  # it means something on a GPU only
    shows: Mapping[str, str] = field(default_factory=dict)  # flags of a model under it: that it has taken effect
    permits: bool = False
    on_cuda: str = ""

    def arithmetic_on(self, device: str) -> str:
        """What convolutions and dense layers compute in on "cpu" or "cuda"."""
        return self.on_cuda if device == "cuda" and self.on_cuda else self.arithmetic


TORCH, TENSORFLOW, JAX = ("torch", "keras_torch"), ("tf_nn", "keras", "keras_ops"), ("jax", "keras_jax")
KERAS = ("keras", "keras_ops", "keras_torch", "keras_jax")
AVX2 = "as on a processor without AVX-512"


def told(count: int) -> str:
    return "one thread" if count == 1 else f"{count} threads"


def threads(file: str, *impls: str, most: int = 3) -> tuple[Setting, ...]:
    """One, two and three threads, by wrappers called so."""
    counts = range(1, most + 1)
    return tuple(Setting(f"threads-{n}", impls, told(n), file, shows={"threads": str(n)}) for n in counts)


SETTINGS: tuple[Setting, ...] = (
    Setting("unaligned", (), "weights and inputs handed over 4 bytes beyond a multiple of 64", file="every"),
    Setting("batch-1", (), "each image in a batch of one", file="every"),
    Setting("batch-3", (), "the two images in a batch of three", file="every"),
    Setting("batch-5", (), "the two images in a batch of five", file="every"),
    *threads("torch_conditions", *TORCH),
    *threads("tensorflow_conditions", *TENSORFLOW),
    *threads("engine_conditions", "onnxruntime"),
    *threads("engine_conditions", "openvino", most=2),  # it takes no more than there are cores
    *(
        Setting(f"threads-{n}", JAX, told(n), "jax_conditions", {"PJRT_NPROC": str(n)}, shows={"threads": str(n)})
        for n in (1, 2, 3)
    ),
    Setting("onednn-off", TORCH, "without oneDNN", "torch_conditions", shows={"onednn": "False"}),
    Setting(
        "onednn-off",
        TENSORFLOW,
        "without oneDNN",
        "tensorflow_conditions",
        {"TF_ENABLE_ONEDNN_OPTS": "0"},
        shows={"onednn": "False"},
    ),
    Setting(
        "isa-avx2",
        TORCH,
        AVX2,
        "torch_conditions",
        {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
        shows={"instructions": "AVX2"},
    ),
    Setting(
        "isa-avx2",
        TENSORFLOW,
        AVX2,
        "tensorflow_conditions",
        {"ONEDNN_MAX_CPU_ISA": "AVX2"},
        shows={"onednn_max_isa": "AVX2"},
    ),
    Setting(
        "isa-avx2",
        JAX,
        AVX2,
        "jax_conditions",
        {"XLA_FLAGS": "--xla_cpu_max_isa=AVX2"},
        shows={"xla_cpu_max_isa": "AVX2"},
    ),
    Setting(
        "unaligned-weights",
        ("torch",),
        "its parameters themselves 4 bytes beyond a multiple of 64",
        "torch_conditions",
        shows={"parameters": "4 bytes beyond 64"},
    ),
    Setting("denormals-flushed", TORCH, "denormals taken for zero", "torch_conditions", shows={"denormals": "flushed"}),
    Setting(
        "cudnn-benchmark",
        TORCH,
        "cuDNN tries its algorithms and takes the fastest",
        "torch_conditions",
        cuda=True,
        shows={"cudnn_benchmark": "True"},
    ),
    Setting(
        "cudnn-gradients",
        TORCH,
        "cuDNN for the gradients of convolutions too, as PyTorch has it",
        "torch_conditions",
        cuda=True,
        shows={"cudnn_gradients": "True"},
    ),
    *(
        Setting("deterministic-off", impls, "kernels that may add in any order", file, cuda=True, shows=shows)
        for impls, file, shows in (
            (TORCH, "torch_conditions", {"deterministic": "False"}),
            (TENSORFLOW, "tensorflow_conditions", {"deterministic": "False"}),
        )
    ),
    Setting(
        "deterministic-off",
        JAX,
        "kernels that may add in any order",
        "jax_conditions",
        {"XLA_FLAGS": "--xla_gpu_deterministic_ops=false"},
        cuda=True,
        shows={"xla_gpu_deterministic_ops": "false"},
    ),
    Setting(
        "autotune-on",
        JAX,
        "XLA times the algorithms and takes the fastest",
        "jax_conditions",
        {"XLA_FLAGS": "--xla_gpu_autotune_level=4"},
        cuda=True,
        shows={"xla_gpu_autotune_level": "4"},
    ),
    *(
        Setting("tf32-on", impls, "TF32", file, arithmetic="tf32", cuda=True, shows=shows, permits=True)
        for impls, file, shows in (
            (TORCH, "torch_conditions", {"tf32": "True"}),
            (TENSORFLOW, "tensorflow_conditions", {"tf32": "True"}),
            (JAX, "jax_conditions", {"precision": "tensorfloat32"}),
        )
    ),
    Setting(
        "jit", ("jax",), "jax.jit: a function for all outputs, one for all gradients", "jax", shows={"compiler": "XLA"}
    ),
    Setting(
        "optimised",
        ("onnxruntime",),
        "all graph optimisations, ONNX Runtime's default",
        file="onnxruntime",
        shows={"optimisations": "ORT_ENABLE_ALL"},
    ),
    Setting(
        "default-precision",
        ("openvino",),
        "no INFERENCE_PRECISION_HINT: bfloat16 where the processor multiplies it",
        file="openvino",
        arithmetic="bfloat16",
        permits=True,
    ),
    Setting("autocast-bfloat16", ("torch",), "torch.autocast to bfloat16", "torch_precision", arithmetic="bfloat16"),
    *(
        Setting(name, impls, f"weights and activations in {name}", file, arithmetic=name)
        for impls, file in (
            (("torch",), "torch_precision"),
            (("tf_nn",), "tensorflow_precision"),
            (("jax",), "jax_precision"),
        )
        for name in ("bfloat16", "float16")
    ),
    *(
        Setting(f"mixed-{name}", KERAS, f"Keras' policy mixed_{name}", "keras_precision", arithmetic=name)
        for name in ("bfloat16", "float16")
    ),
    # What a library may do with float32's products where the processor has the instructions. The flag `products` says
    # whether it does here: "rounded", or "exact here", and then they are float32's.
    *(
        Setting(
            f"mkldnn-{name}",
            ("torch",),
            f"oneDNN may round products' operands to {name}",
            "torch_precision",
            arithmetic=name,
            permits=True,
        )
        for name in ("bfloat16", "tf32")
    ),
    Setting(
        "fpmath-bfloat16",
        ("tf_nn",),
        "oneDNN may round products' operands to bfloat16",
        "tensorflow_precision",
        {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"},
        arithmetic="bfloat16",
        permits=True,
    ),
    Setting(
        "matmul-bfloat16",
        ("jax",),
        "XLA may round products' operands to bfloat16, on a GPU to TF32",
        "jax_precision",
        arithmetic="bfloat16",
        permits=True,
        on_cuda="tf32",
    ),
    Setting(
        "compile",
        ("torch",),
        "torch.compile: one function for all outputs, one for the loss",
        file="torch",
        shows={"compiler": "inductor"},
    ),
    Setting(
        "channels-last",
        ("torch",),
        "maps and kernels in memory as N, H, W, C",
        file="torch",
        shows={"memory": "channels last"},
    ),
    *(
        Setting(name, impls, about, file, shows={"compiler": compiler})
        for impls, file in ((("tf_nn",), "tf_nn"), (("keras", "keras_ops"), "keras"))
        for name, about, compiler in (
            ("graph", "tf.function", "Grappler"),
            ("xla", "tf.function(jit_compile=True)", "XLA"),
        )
    ),
)


def by_name() -> dict[str, list[Setting]]:
    """All of them; one name may stand for one of each framework."""
    found: dict[str, list[Setting]] = {}
    for setting in SETTINGS:
        found.setdefault(setting.name, []).append(setting)
    return found


def settings_of(impl: str) -> list[Setting]:
    """Those that an implementation of ours takes."""
    return [setting for setting in SETTINGS if not setting.impls or impl in setting.impls]


def setting_of(impl: str, name: str) -> Setting:
    """The setting called `name` of an implementation; KeyError if it has none of that name."""
    for setting in settings_of(impl):
        if setting.name == name:
            return setting
    raise KeyError(name)
