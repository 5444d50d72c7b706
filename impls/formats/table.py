"""The file formats that weights are saved in and converted between. Data; no framework is imported.

`impls/formats/FILE.py` has `FORMATS = {name: Codec}`. An implementation that offers formats has such a module as `formats`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ...reference.spec import nearest


@dataclass(frozen=True)
class Format:
    """ending: of its files, "" for a folder. file: in this folder. impls: of ours, the first that can run writes and reads it.

    by_ending: is it what a file that ends so is taken for? requires: packages beside those of the implementation.
    checksum: has it one, so that a single flipped bit of a number is seen? (PyTorch writes one that `torch.load` ignores.)
    """

    name: str
    ending: str
    file: str
    about: str
    impls: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    by_ending: bool = True
    also: tuple[str, ...] = ()  # other endings of its files
    checksum: bool = False


KERAS = ("keras", "keras_torch", "keras_jax")

FORMATS: tuple[Format, ...] = (
    Format("npz", ".npz", "shared", "the shared layout in NumPy's own format", checksum=True),
    Format("safetensors", ".safetensors", "shared", "the shared layout", requires=("safetensors",)),
    Format("torch", ".pt", "torch", "PyTorch, a state_dict", ("torch",), also=(".pth",), checksum=True),
    Format("torch-export", ".pt2", "torch", "PyTorch, an exported program", ("torch",), checksum=True),
    Format("torch-safetensors", ".safetensors", "torch", "safetensors.torch", ("torch",), ("safetensors",), False),
    Format("keras", ".keras", "keras", "Keras, the model", KERAS, ("h5py",), checksum=True),
    Format("keras-weights", ".weights.h5", "keras", "Keras, its weights", KERAS, ("h5py",), also=(".h5",)),
    Format("savedmodel", "", "tf_nn", "TensorFlow, a SavedModel (a folder)", ("tf_nn",), checksum=True),
    Format("tf-checkpoint", ".index", "tf_nn", "TensorFlow, a tf.train.Checkpoint", ("tf_nn",), checksum=True),
    Format("onnx", ".onnx", "onnxruntime", "ONNX, the model", ("onnxruntime",), ("onnx",)),
    Format("openvino", ".xml", "openvino", "OpenVINO, an .xml and a .bin file", ("openvino",)),
    Format("jax-npz", ".npz", "jax", "jax.numpy.savez", ("jax",), by_ending=False, checksum=True),
    Format("jax-safetensors", ".safetensors", "jax", "safetensors.flax", ("jax",), ("safetensors",), False),
)

BY_NAME = {format.name: format for format in FORMATS}


def called(name: str) -> Format:
    """The format of this name; KeyError with the nearest right name."""
    if name not in BY_NAME:
        names = list(BY_NAME)
        raise KeyError(f"unknown format {name!r}{nearest(name, names)} There are: {', '.join(names)}")
    return BY_NAME[name]


def of_file(path: Path) -> Format | None:
    """What a file is by its name, a folder of no such name by being one; None if its ending says nothing."""
    for format in FORMATS:
        if format.by_ending and any(path.name.endswith(end) for end in (format.ending, *format.also) if end):
            return format
    return BY_NAME["savedmodel"] if path.is_dir() else None


def misfit(format: Format, path: Path) -> str:
    """Why no file of this format can be there, told before its framework is started ("" if one can)."""
    if not path.exists() or path.is_dir() == (not format.ending):
        return ""
    if not format.ending:
        return f"{path} is a file, expected the folder of a {format.name}"
    return f"{path} is a folder, expected a file of {format.name}; if it is a SavedModel, give --from savedmodel"


def endings(formats: Iterable[Format] = FORMATS) -> str:
    """The endings that are known, for messages."""
    return ", ".join(format.ending for format in formats if format.by_ending and format.ending)
