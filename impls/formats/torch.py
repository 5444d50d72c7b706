"""What PyTorch saves: a state_dict (.pt), the same as safetensors, an exported program (.pt2)."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from alexnet_parity.impls.describe import one_line
from alexnet_parity.impls.foreign import torch_files
from alexnet_parity.impls.foreign import weights as files
from alexnet_parity.impls.foreign.graph import Refused
from alexnet_parity.impls.formats.codec import Codec, Params, empty
from alexnet_parity.reference.spec import Network

# state_dict -----------------------------------------------------------------------------------------------------------


def save_state(model: Any, network: Network, path: Path) -> None:
    torch.save(model.net.state_dict(), path)


def load_state(module: Any, network: Network, path: Path) -> Any:
    model = empty(module, network)
    model.net.load_state_dict(torch.load(path, map_location=model.device, weights_only=True))
    return model


def read_state(path: Path, network: Network) -> Params:
    check_sums(path)
    return {name: stored(value) for name, value in torch_files.tensors(path).items() if value.is_floating_point()}


def check_sums(path: Path) -> None:
    """Refuses a file whose numbers are not those of its checksums, which torch.load does not look at."""
    if not zipfile.is_zipfile(path):  # torch's format until 1.6, which has none
        return
    try:
        with zipfile.ZipFile(path) as archive:
            torch_files.check_stored(archive, str(path))
            damaged = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError) as error:
        raise Refused(f"{path}: no whole .pt file ({one_line(error)}); is it cut short?") from None
    if damaged:
        raise Refused(f"{path}: {damaged} has another checksum than the file says; is it damaged? save it again")


def stored(value: Tensor) -> np.ndarray:
    """In its own precision, but for bfloat16, which NumPy has not: each of its numbers is one of float32's."""
    value = value.detach()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy().copy()


# safetensors ----------------------------------------------------------------------------------------------------------


def save_safetensors(model: Any, network: Network, path: Path) -> None:
    """Contiguous: the package refuses kernels that lie channels last in memory (safetensors/torch.py, _flatten_as_ptr)."""
    from safetensors.torch import save_file

    save_file({name: value.contiguous() for name, value in model.net.state_dict().items()}, path)


def load_safetensors(module: Any, network: Network, path: Path) -> Any:
    from safetensors.torch import load_file

    model = empty(module, network)
    model.net.load_state_dict(load_file(path, device=str(model.device)))
    return model


def read_safetensors(path: Path, network: Network) -> Params:
    files.safetensors(path)  # refuses what is damaged, in one line
    from safetensors.torch import load_file

    return {name: stored(value) for name, value in load_file(path).items()}


# torch.export ---------------------------------------------------------------------------------------------------------


class EveryOutput(nn.Module):
    """The network with every layer's output, by name."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # (N, C, H, W)
        outputs = {}
        for name, layer in self.net.named_children():
            x = outputs[name] = layer(x)
        return outputs


class Program:
    """An exported program that has been loaded."""

    def __init__(self, exported: Any) -> None:
        self.module = exported.module()
        self.state: Mapping[str, Tensor] = exported.state_dict

    def activations(self, x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        for name, y in self.module(torch.from_numpy(x)).items():
            yield name, y.detach().cpu().numpy()

    def params(self) -> Params:
        return {name.removeprefix("net."): stored(value) for name, value in self.state.items()}


def save_program(model: Any, network: Network, path: Path) -> None:
    example = torch.zeros(2, *network.input_shape, device=model.device)
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(EveryOutput(model.net), (example,), dynamic_shapes={"x": batch})
    torch.export.save(program, path)


def load_program(module: Any, network: Network, path: Path) -> Program:
    return Program(torch.export.load(path))  # of our own making: it unpickles, which `read` never does


@torch.inference_mode()
def operation_by_operation(model: Any, x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """A program runs so, whatever is compiled in the model that it was exported from."""
    for name, y in EveryOutput(model.net)(torch.from_numpy(x).to(model.device)).items():
        yield name, y.cpu().numpy()


def read_program(path: Path, network: Network) -> Params:
    parameters = torch_files.program(path).parameters
    return {name.removeprefix("net."): stored(value) for name, value in parameters.items()}


FORMATS = {
    "torch": Codec(save_state, load_state, read_state),
    "torch-safetensors": Codec(save_safetensors, load_safetensors, read_safetensors),
    "torch-export": Codec(save_program, load_program, read_program, operation_by_operation),
}
