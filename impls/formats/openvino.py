"""OpenVINO's own files: NAME.xml with the graph and NAME.bin with the numbers.

`openvino.save_model` halves the weights unless it is told not to: `compress_to_fp16=True` is its default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from alexnet_parity.impls.describe import one_line
from alexnet_parity.impls.foreign.graph import Refused
from alexnet_parity.impls.formats.codec import Codec, Params, empty
from alexnet_parity.reference.spec import Network

PROPERTIES = ("INFERENCE_PRECISION_HINT", "INFERENCE_NUM_THREADS")
PARAMETERS = (".weight", ".bias")


def save(model: Any, network: Network, path: Path) -> None:
    ov.save_model(model.read, path, compress_to_fp16=False)


def load(module: Any, network: Network, path: Path) -> Any:
    """Compiled from the file with the implementation's own properties."""
    model = empty(module, network)
    model.read = ov.Core().read_model(path)
    told = {name: model.compiled.get_property(name) for name in PROPERTIES}
    model.compiled = ov.Core().compile_model(model.read, "CPU", told)
    model.request = model.compiled.create_infer_request()
    return model


def read(path: Path, network: Network) -> Params:
    """The constants that are called as parameters are; nothing is compiled or run."""
    if not path.with_suffix(".bin").is_file():
        raise Refused(f"{path}: found no {path.with_suffix('.bin').name} beside it, which has its numbers")
    try:
        constants = [op for op in ov.Core().read_model(path).get_ops() if op.get_type_name() == "Constant"]
        named = {op.get_friendly_name(): op for op in constants}
        return {name: np.array(op.data) for name, op in named.items() if name.endswith(PARAMETERS)}
    except (RuntimeError, ValueError, TypeError) as error:
        raise Refused(f"{path}: OpenVINO cannot read it ({one_line(error)}); save it again") from None


FORMATS = {"openvino": Codec(save, load, read)}
