"""AlexNet in ONNX Runtime: the model that `impls/formats/onnx.py` writes from the spec, graph optimisations off.

What runs is then what the file says, node by node. ONNX Runtime infers only: there is no way back.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from alexnet_parity.impls.formats import onnxruntime as formats  # noqa: F401 - what it offers
from alexnet_parity.impls.formats.onnx import IMAGES, export
from alexnet_parity.impls.interface import Unavailable
from alexnet_parity.reference.spec import Network

requires = ("onnx", "onnxruntime")

ON_GPU = ("CUDAExecutionProvider", {"use_tf32": "0"})  # on by default
ON_CPU: tuple[str, dict[str, str]] = ("CPUExecutionProvider", {})
ERRORS = 3  # what it logs; below come warnings about the weights that are outputs


def select(device: str) -> list[tuple[str, dict[str, str]]]:
    """The execution providers to run on, TF32 off."""
    there = ON_GPU[0] in ort.get_available_providers()
    if device == "cuda" and not there:
        raise Unavailable("ONNX Runtime sees no CUDA device here; run with --device cpu, or install onnxruntime-gpu")
    return [ON_GPU, ON_CPU] if there and device in ("auto", "cuda") else [ON_CPU]


def session(model: onnx.ModelProto, device: str, optimised: bool, threads: int) -> ort.InferenceSession:
    """threads: of one operation; 0 for as many as there are cores."""
    options = ort.SessionOptions()
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    options.use_deterministic_compute = True
    options.log_severity_level = ERRORS
    return ort.InferenceSession(model.SerializeToString(), options, providers=select(device))


class Model:
    """optimised: with all of ONNX Runtime's graph optimisations, as it runs by default.

    Since every layer's output is asked for, convolutions are not fused with what follows them even then.
    """

    def __init__(
        self,
        network: Network,
        params: Mapping[str, np.ndarray],
        device: str,
        optimised: bool = False,
        threads: int = 0,
    ) -> None:
        self.layers, self.weights = network.names(), list(network.param_shapes())
        self.optimised = optimised
        self.model = partial(export, network, params)
        self.session_of = partial(session, device=device, optimised=optimised, threads=threads)
        model = self.model()
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self.weights)  # so that it tells them
        self.session = self.session_of(model)

    def activations(self, x: np.ndarray) -> dict[str, np.ndarray]:
        return self.run(self.layers, x)

    def output(self, x: np.ndarray) -> np.ndarray:
        """The last layer's output, of a session that is asked for nothing else."""
        model = self.model()
        del model.graph.output[:-1]
        return self.session_of(model).run(None, {IMAGES: x})[0]

    def params(self) -> dict[str, np.ndarray]:
        """Out of the session: an initializer is given as an output where it is asked for."""
        shape = [1, *self.session.get_inputs()[0].shape[1:]]
        return self.run(self.weights, np.zeros(shape, np.float32))

    def run(self, names: list[str], x: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(names, self.session.run(names, {IMAGES: x}), strict=True))

    def flags(self) -> dict[str, str]:
        options: Any = self.session.get_session_options()
        provider = self.session.get_providers()[0]
        return {
            "device": "cuda" if provider == ON_GPU[0] else "cpu",
            "threads": str(options.intra_op_num_threads or "all"),
            "tf32": "False",
            "deterministic": str(options.use_deterministic_compute),
            "optimisations": options.graph_optimization_level.name,
            **({"compiler": "ONNX Runtime"} if self.optimised else {}),
        }


def build(network: Network, params: Mapping[str, np.ndarray], device: str = "cpu") -> Model:
    return Model(network, params, device)
