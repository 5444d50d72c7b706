"""What TensorFlow saves of a tf.Module: a SavedModel, a folder with the program and its variables, and a tf.train.Checkpoint.

A checkpoint is two files, NAME.index and NAME.data-00000-of-00001; it is named by the first, as its users name it by NAME.
Variables are read out of either without running anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_parity.impls import tf_nn as own
from alexnet_parity.impls.describe import one_line
from alexnet_parity.impls.foreign.graph import Refused
from alexnet_parity.impls.formats.codec import Codec, Params, empty
from alexnet_parity.reference.spec import Network

BEFORE, AFTER = (
    "weights/",
    "/.ATTRIBUTES/VARIABLE_VALUE",
)  # tf.Module's keys of what its `weights` holds; a dot is written twice
VARIABLES = Path("variables", "variables")


# Both -----------------------------------------------------------------------------------------------------------------


def variables(prefix: Path) -> Params:
    """The variables of an AlexNet in a checkpoint, by our names and in our layout."""
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        keys = [key for key in reader.get_variable_to_shape_map() if key.startswith(BEFORE) and key.endswith(AFTER)]
        found = {key: reader.get_tensor(key) for key in keys}
    except (tf.errors.OpError, ValueError, RuntimeError, TypeError, LookupError) as error:
        raise Refused(f"{prefix}: TensorFlow cannot read its variables ({one_line(error)}); save it again") from None
    if not found:
        raise Refused(
            f"{prefix}: found no variables {BEFORE}NAME, expected those of a tf.Module with `weights` by name"
        )
    named = {key.removeprefix(BEFORE).removesuffix(AFTER).replace("..", "."): value for key, value in found.items()}
    return {name: np.array(own.from_tf(value), order="C") for name, value in named.items()}


# SavedModel -----------------------------------------------------------------------------------------------------------


def every_output(net: Any, network: Network) -> Any:
    """The network as one function of a batch: every layer's output by name."""
    channels, height, width = network.input_shape
    batch = tf.TensorSpec([None, height, width, channels], tf.float32, name="x")
    return tf.function(lambda x: dict(net(x)), input_signature=[batch])


class Restored:
    """A SavedModel that has been loaded."""

    def __init__(self, restored: Any) -> None:
        self.restored = restored
        self.serve = restored.signatures["serving_default"]

    def activations(self, x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        for name, y in self.serve(tf.constant(own.to_nhwc(x))).items():
            yield name, own.from_nhwc(y.numpy())

    def params(self) -> Params:
        return {name: own.from_tf(value.numpy()) for name, value in self.restored.weights.items()}


def save_model(model: Any, network: Network, path: Path) -> None:
    serve = every_output(model.net, network)
    tf.saved_model.save(model.net, str(path), signatures={"serving_default": serve})


def load_model(module: Any, network: Network, path: Path) -> Restored:
    return Restored(tf.saved_model.load(str(path)))


def read_model(path: Path, network: Network) -> Params:
    if not (path / "saved_model.pb").is_file():
        raise Refused(f"{path}: found no saved_model.pb in it, expected the folder of a SavedModel")
    return variables(path / VARIABLES)


def as_a_function(model: Any, x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """A SavedModel runs as a graph, which may round otherwise than single operations: so does what it is compared with."""
    channels, height, width = x.shape[1:]
    network = Network("saved", (channels, height, width), ())
    for name, y in every_output(model.net, network)(tf.constant(own.to_nhwc(x))).items():
        yield name, own.from_nhwc(y.numpy())


# Checkpoint -----------------------------------------------------------------------------------------------------------


def save_checkpoint(model: Any, network: Network, path: Path) -> None:
    tf.train.Checkpoint(model.net).write(str(path.with_suffix("")))


def load_checkpoint(module: Any, network: Network, path: Path) -> Any:
    model = empty(module, network)
    tf.train.Checkpoint(model.net).read(str(path.with_suffix(""))).assert_consumed()
    return model


def read_checkpoint(path: Path, network: Network) -> Params:
    return variables(path.with_suffix(""))


FORMATS = {
    "savedmodel": Codec(save_model, load_model, read_model, as_a_function),
    "tf-checkpoint": Codec(save_checkpoint, load_checkpoint, read_checkpoint),
}
