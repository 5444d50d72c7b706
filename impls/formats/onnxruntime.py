"""ONNX files, as `impls/formats/onnx.py` writes them from the spec, run by ONNX Runtime as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

from alexnet_parity.impls.describe import one_line
from alexnet_parity.impls.foreign import onnx_models
from alexnet_parity.impls.foreign.graph import Refused
from alexnet_parity.impls.formats import onnx as written
from alexnet_parity.impls.formats.codec import Codec, Params, empty
from alexnet_parity.reference.spec import Network


def save(model: Any, network: Network, path: Path) -> None:
    written.save(network, model.params(), path)


def load(module: Any, network: Network, path: Path) -> Any:
    """A session of the file's own graph with the implementation's options; it is asked for the weights besides."""
    model = empty(module, network)
    graph = onnx_models.opened(path)
    graph.graph.output.extend(onnx.ValueInfoProto(name=name) for name in model.weights)
    told = model.session.get_session_options(), model.session.get_providers()
    model.session = ort.InferenceSession(graph.SerializeToString(), told[0], providers=told[1])
    return model


def read(path: Path, network: Network) -> Params:
    """The initializers that are called as parameters are; nothing is run."""
    found: Params = {}
    for tensor in onnx_models.opened(path).graph.initializer:
        if tensor.name.endswith(written.PARAMETERS):
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                raise Refused(f"{path}: {tensor.name} lies in another file; save the model with its weights in it")
            found[tensor.name] = array(path, tensor)
    return found


def array(path: Path, tensor: onnx.TensorProto) -> np.ndarray:
    try:
        return numpy_helper.to_array(tensor).copy()
    except (ValueError, TypeError, KeyError) as error:
        raise Refused(f"{path}: {tensor.name} cannot be read ({one_line(error)}); save the model again") from None


FORMATS = {"onnx": Codec(save, load, read)}
