"""AlexNet in OpenVINO: the ONNX model that `impls/formats/onnx.py` writes from the spec, compiled for the CPU, in float32.

Float32 has to be asked for: where the processor multiplies bfloat16 numbers, OpenVINO does so by default
(INFERENCE_PRECISION_HINT). It infers only: there is no way back. Its import would tell its makers: `impls/__init__.py`
keeps it from that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import openvino as ov
from openvino.properties import hint

from alexnet_parity.impls.formats import openvino as formats  # noqa: F401 - what it offers
from alexnet_parity.impls.formats.onnx import export
from alexnet_parity.impls.interface import Unavailable
from alexnet_parity.reference.spec import Network

requires = ("openvino", "onnx")

PRECISIONS = {"float32": ov.Type.f32, "bfloat16": ov.Type.bf16}


def configuration(precision: str, threads: int) -> dict[str, object]:
    """precision: "float32", "bfloat16", or "" for OpenVINO's own choice. threads: 0 for its own choice."""
    asked: dict[str, object] = {} if not precision else {hint.inference_precision(): PRECISIONS[precision]}
    return asked | ({"INFERENCE_NUM_THREADS": threads} if threads else {})


class Model:
    """precision: what to multiply in, "" for OpenVINO's own choice; threads: 0 for its own choice.

    Its optimisations cannot be switched off; every layer's output being asked for keeps most operations from being fused.
    """

    def __init__(
        self,
        network: Network,
        params: Mapping[str, np.ndarray],
        device: str,
        precision: str = "float32",
        threads: int = 0,
    ) -> None:
        if device == "cuda":
            raise Unavailable("OpenVINO knows no CUDA device; run with --device cpu")
        self.layers, self.weights = network.names(), list(network.param_shapes())
        self.core = ov.Core()
        self.model = partial(export, network, params)
        self.compile = partial(self.core.compile_model, device_name="CPU", config=configuration(precision, threads))
        self.read = self.core.read_model(self.model().SerializeToString())
        self.compiled = self.compile(self.read)
        self.request = self.compiled.create_infer_request()

    def activations(self, x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """By number: a dropout layer, which it takes out of the graph, and the layer before share one output's names."""
        self.request.infer([x])
        for number, name in enumerate(self.layers):
            yield name, self.request.get_output_tensor(number).data.copy()

    def output(self, x: np.ndarray) -> np.ndarray:
        """The last layer's output, of a model that is asked for nothing else."""
        model = self.model()
        del model.graph.output[:-1]
        return self.compile(self.core.read_model(model.SerializeToString()))([x])[0].copy()

    def params(self) -> dict[str, np.ndarray]:
        """Out of the model as OpenVINO read it; what it compiled does not tell its weights."""
        constants = {op.get_friendly_name(): op for op in self.read.get_ops() if op.get_type_name() == "Constant"}
        return {name: constants[name].data.copy() for name in self.weights}

    def flags(self) -> dict[str, str]:
        asked = self.compiled.get_property(hint.inference_precision())
        return {
            "device": "cpu",
            "threads": str(self.compiled.get_property("INFERENCE_NUM_THREADS")),
            "tf32": "False",
            "deterministic": "requested",  # OpenVINO has no way to ask
            "compiler": "OpenVINO",
            "precision": next((name for name, kind in PRECISIONS.items() if kind == asked), str(asked)),
            "denormals_flushed": str(self.compiled.get_property("CPU_DENORMALS_OPTIMIZATION")),
        }


def build(network: Network, params: Mapping[str, np.ndarray], device: str = "cpu") -> Model:
    return Model(network, params, device)
