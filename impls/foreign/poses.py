"""A network with mistakes in it, written in any framework and ready to be audited; frameworks are imported when asked for."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...reference.spec import Network
from .graph import Array, Subject

Tricks = Mapping[str, Sequence[str]]
Params = Mapping[str, Array]

PACKAGES: dict[str, tuple[str, ...]] = {
    "torch": ("torch",),
    "keras": ("keras", "tensorflow"),
    "tf": ("tensorflow",),
    "onnx": ("onnx",),
    "jax": ("jax",),
}
FRAMEWORKS = tuple(PACKAGES)


def missing(framework: str) -> list[str]:
    """Packages that it needs and that are not installed here."""
    return [package for package in PACKAGES[framework] if importlib.util.find_spec(package) is None]


def runnable() -> list[str]:
    """Those whose packages are installed; nothing is imported."""
    return [framework for framework in FRAMEWORKS if not missing(framework)]


def posed(framework: str, network: Network, tricks: Tricks, params: Params) -> Subject:
    """The network as a model of the framework; KeyError for an unknown one.

    Raises Unsupported where the framework cannot express a layer or a trick, ImportError where it is not installed.
    """
    return POSERS[framework](network, tricks, params)


def in_torch(network: Network, tricks: Tricks, params: Params) -> Any:
    from . import torch_models, torch_poses

    return torch_models.subject(torch_poses.pose(network, tricks, params), network.input_shape)


def in_keras(network: Network, tricks: Tricks, params: Params) -> Any:
    from . import keras_poses, tf_models

    return tf_models.subject(keras_poses.pose(network, tricks, params), network.input_shape)


def in_tf(network: Network, tricks: Tricks, params: Params) -> Any:
    """A graph as of TensorFlow 1."""
    from . import tf_frozen, tf_poses

    return tf_frozen.frozen_graph(*tf_poses.pose(network, tricks, params))


def in_onnx(network: Network, tricks: Tricks, params: Params) -> Any:
    from . import onnx_models, onnx_poses

    return onnx_models.subject(onnx_poses.pose(network, tricks, params))


def in_jax(network: Network, tricks: Tricks, params: Params) -> Any:
    from . import jax_models, jax_poses

    return jax_models.subject(jax_poses.pose(network, tricks, params))


POSERS: dict[str, Callable[[Network, Tricks, Params], Subject]] = {
    "torch": in_torch,
    "keras": in_keras,
    "tf": in_tf,
    "onnx": in_onnx,
    "jax": in_jax,
}
