"""Caffe's binary files, read with protobuf: weights (.caffemodel) and mean images (.binaryproto).

The messages are those of BVLC/caffe, src/caffe/proto/caffe.proto, cut down to the fields that hold learned numbers.
Both layouts of a network are known: `layer` (100), and `layers` (2) as Caffe wrote it until 2014 ("V1").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..reference.spec import Shape
from .errors import Unusable, reason

Array = np.ndarray

LARGEST = 2**31 - 1  # bytes: protobuf's own limit

# message: field, number, type (one of ours, or protobuf's), repeated
MESSAGES = {
    "BlobShape": [("dim", 1, "int64", True)],
    "BlobProto": [
        ("num", 1, "int32", False),
        ("channels", 2, "int32", False),
        ("height", 3, "int32", False),
        ("width", 4, "int32", False),
        ("data", 5, "float", True),
        ("shape", 7, "BlobShape", False),
        ("double_data", 8, "double", True),
    ],
    "LayerParameter": [("name", 1, "string", False), ("blobs", 7, "BlobProto", True)],
    "V1LayerParameter": [("name", 4, "string", False), ("blobs", 6, "BlobProto", True)],
    "NetParameter": [
        ("name", 1, "string", False),
        ("layers", 2, "V1LayerParameter", True),
        ("layer", 100, "LayerParameter", True),
    ],
}


def needs(package: str, path: Path) -> Unusable:
    return Unusable(f"{path}: reading it needs {package}, not installed here: pip install -e '.[evaluate]'")


@cache
def message(name: str) -> Any:
    """The class of one of MESSAGES, in a pool of our own: a real caffe_pb2 beside it is not disturbed."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="caffe-weights.proto", package="caffe", syntax="proto2")
    for title, fields in MESSAGES.items():
        described = file.message_type.add(name=title)
        for label, number, kind, repeated in fields:
            made = described.field.add(name=label, number=number)
            made.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            if kind in MESSAGES:
                made.type, made.type_name = field.TYPE_MESSAGE, f".caffe.{kind}"
            else:
                made.type = getattr(field, f"TYPE_{kind.upper()}")
                if repeated:
                    made.options.packed = True  # read either way; written as Caffe writes
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}"))


def parse(path: Path, name: str) -> Any:
    """The message that a file holds; raises Unusable if it holds none, or protobuf is missing."""
    try:
        from google.protobuf.message import DecodeError
    except ImportError:
        raise needs("protobuf", path) from None
    try:
        if path.stat().st_size > LARGEST:
            raise Unusable(f"{path}: found {path.stat().st_size:,} bytes, expected at most {LARGEST:,}")
        content = path.read_bytes()
    except OSError as error:
        raise Unusable(f"cannot read {path}: {reason(error)}") from None
    try:
        return message(name).FromString(content)
    except DecodeError:
        hint = "; text (.prototxt) holds no weights" if content[:200].isascii() else "; is it cut short?"
        raise Unusable(f"{path}: not a whole binary file of Caffe's{hint}") from None


@dataclass(frozen=True)
class Blob:
    """A BlobProto whose count has been checked. `legacy`: its shape is the old num, channels, height, width."""

    shape: Shape
    legacy: bool
    proto: Any

    def values(self) -> Any:
        return self.proto.data or self.proto.double_data

    def array(self) -> Array:
        values = self.values()
        return np.array(values, np.float32).reshape(self.shape)

    def fits(self, found: Shape, expected: Shape) -> bool:
        """Are the shapes the same? Leading ones of the old four dimensions do not count: a bias was 1, 1, 1, N."""
        return found == expected or (self.legacy and without_ones(found) == without_ones(expected))


def without_ones(shape: Shape) -> Shape:
    first = next((place for place, size in enumerate(shape) if size != 1), len(shape))
    return shape[first:]


def blob(path: Path, owner: str, proto: Any) -> Blob:
    """The blob with its shape; raises Unusable where the numbers are more or fewer than the shape says."""
    legacy = not proto.HasField("shape")
    shape = (proto.num, proto.channels, proto.height, proto.width) if legacy else tuple(proto.shape.dim)
    made = Blob(shape, legacy, proto)
    if min(shape, default=1) < 0 or math.prod(shape) != len(made.values()):
        said = " x ".join(map(str, shape)) or "a single number"
        raise Unusable(f"{path}: {owner} says {said}, but holds {len(made.values()):,} numbers; is the file damaged?")
    return made


def read_layers(path: Path) -> dict[str, list[Blob]]:
    """The blobs of every layer that has some, by the layer's name."""
    net = parse(path, "NetParameter")
    layers: dict[str, list[Blob]] = {}
    for layer in (*net.layer, *net.layers):
        if not layer.blobs:
            continue
        if layer.name in layers:
            raise Unusable(f"{path}: two layers with weights are called {layer.name!r}")
        layers[layer.name] = [blob(path, f"layer {layer.name!r}", proto) for proto in layer.blobs]
    if not layers:
        raise Unusable(
            f"{path}: no layer in it has weights; is it a .caffemodel? (one from before 2014: use Caffe's own "
            "upgrade_net_proto_binary on it first)"
        )
    return layers


def read_mean(path: Path) -> Array:
    """A mean image (3, H, W), float32, turned from Caffe's blue, green, red into red, green, blue."""
    image = blob(path, "the mean", parse(path, "BlobProto"))
    shape = without_ones(image.shape)
    if len(shape) != 3 or shape[0] != 3:
        raise Unusable(f"{path}: found {' x '.join(map(str, image.shape))}, expected a mean image, 1 x 3 x H x W")
    return image.array().reshape(shape)[::-1].copy()
