"""Small files in the formats that `evaluate` reads, and a small network to evaluate them with."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from alexnet_parity.evaluate import caffe
from alexnet_parity.reference import draws
from alexnet_parity.reference.spec import Conv, Dense, Flatten, Network, Pool, Relu, Softmax

NUMPY = str(Path(__file__).with_name("numpy_alexnet.py"))
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def small(height: int = 24, width: int = 24, classes: int = 10) -> Network:
    """A network quick enough for thousands of images; every axis of every weight has another size."""
    layers = (
        Conv("conv1", 4, 5, stride=2),
        Relu("relu1"),
        Pool("pool1", 3, 2),
        Flatten("flatten"),
        Dense("fc2", 7),
        Relu("relu2"),
        Dense("fc3", classes),
        Softmax("prob"),
    )
    return Network("small", (3, height, width), layers)


def params(network: Network, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights that give images different classes with different confidence."""
    found = {}
    for name, shape in network.param_shapes().items():
        std = 0.1 if name.endswith("bias") else 1 / np.sqrt(np.prod(shape[1:]))
        found[name] = draws.normal(seed, name, shape, float(std))
    found["conv1.weight"] = found["conv1.weight"] * np.float32(0.05)  # pixels are up to 255
    return found


# CIFAR-10 -----------------------------------------------------------------------------------------------------------


def cifar_batch(name: str, count: int) -> tuple[np.ndarray, list[int]]:
    """(count, 3072) uint8 and labels, other ones for every file."""
    pixels = draws.words(0, f"cifar/{name}", count * 3072).astype(np.uint8).reshape(count, 3072)
    return pixels, [int(word) % 10 for word in draws.words(0, f"labels/{name}", count)]


SIZES = {
    "data_batch_1": 5,
    "data_batch_2": 3,
    "data_batch_3": 4,
    "data_batch_4": 2,
    "data_batch_5": 6,
    "test_batch": 23,
}


def cifar_python(folder: Path) -> Path:
    """The python version, spelled by opcode as Python 2 and NumPy 1 wrote it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in SIZES.items():
        pixels, labels = cifar_batch(name, count)
        (folder / name).write_bytes(python2_pickle({b"batch_label": name.encode(), b"labels": labels, b"data": pixels}))
    meta = {b"num_cases_per_batch": 10000, b"label_names": [name.encode() for name in CLASSES], b"num_vis": 3072}
    (folder / "batches.meta").write_bytes(python2_pickle(meta))
    return folder


def cifar_binary(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in SIZES.items():
        pixels, labels = cifar_batch(name, count)
        records = np.concatenate([np.array(labels, np.uint8)[:, None], pixels], axis=1)
        (folder / f"{name}.bin").write_bytes(records.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(CLASSES) + "\n\n")
    return folder


def python2_pickle(value: object) -> bytes:
    return b"\x80\x02" + opcodes(value) + b"."


def opcodes(value: object) -> bytes:
    match value:
        case bytes():
            return b"T" + struct.pack("<i", len(value)) + value
        case int():
            return b"J" + struct.pack("<i", value)
        case list():
            return b"](" + b"".join(map(opcodes, value)) + b"e"
        case dict():
            return b"}(" + b"".join(opcodes(key) + opcodes(item) for key, item in value.items()) + b"u"
        case np.ndarray():
            dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
            shape = b"(" + b"".join(map(opcodes, value.shape)) + b"t"
            start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
            return start + b"(K\x01" + shape + dtype + b"I00\n" + opcodes(value.tobytes()) + b"tb"
    raise TypeError(type(value))


class Runs:
    """A pickled call: writes a file when it is loaded by anything that trusts it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def dangerous_pickle(witness: Path) -> bytes:
    return pickle.dumps({b"data": Runs(witness), b"labels": []}, protocol=2)


# Photographs --------------------------------------------------------------------------------------------------------


def picture(name: str, width: int, height: int) -> Image.Image:
    """A smooth picture, another for every name (noise would be all alike when it is made small)."""
    values = draws.words(0, f"picture/{name}", 48).astype(np.uint8).reshape(4, 4, 3)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)


def class_folders(root: Path, classes: int = 11, each: int = 2) -> Path:
    """One folder for each class, PNG and JPEG, wide and high."""
    for label in range(classes):
        folder = root / f"n{label:08d}"
        folder.mkdir(parents=True)
        for number in range(each):
            name, size = f"{folder.name}_{number}", ((300, 270), (258, 400))[number % 2]
            picture(name, *size).save(folder / f"{name}.{('JPEG', 'png')[number % 2]}")
    return root


def flat_folder(root: Path, count: int = 5) -> Path:
    root.mkdir(parents=True)
    for number in range(count):
        picture(f"flat{number}", 280 + number, 300).save(root / f"val_{number:03d}.png")
    return root


# Caffe --------------------------------------------------------------------------------------------------------------


def caffemodel(weights: dict[str, np.ndarray], v1: bool = False) -> bytes:
    """Weights as given here (kernels in R, G, B) in Caffe's file: B, G, R; with `v1` its layers and shapes until 2014."""
    net = caffe.message("NetParameter")(name="net")
    layers = net.layers if v1 else net.layer
    layers.add(name="data")  # a layer without weights
    first = True
    for name in dict.fromkeys(key.partition(".")[0] for key in weights):
        layer = layers.add(name=name)
        for kind in ("weight", "bias"):
            value = weights[f"{name}.{kind}"]
            fill(layer.blobs.add(), value[:, ::-1] if first and kind == "weight" else value, legacy=v1)
        first = False
    return net.SerializeToString()


def fill(blob, value: np.ndarray, legacy: bool) -> None:
    if legacy:
        shape = (1,) * (4 - value.ndim) + value.shape
        blob.num, blob.channels, blob.height, blob.width = shape
    else:
        blob.shape.dim.extend(value.shape)
    blob.data.extend(np.ascontiguousarray(value).ravel().tolist())


def binaryproto(mean: np.ndarray) -> bytes:
    """A mean image (3, H, W) in R, G, B as Caffe has it."""
    blob = caffe.message("BlobProto")()
    fill(blob, mean[::-1], legacy=True)
    return blob.SerializeToString()
