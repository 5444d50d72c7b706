"""Whoever writes and reads files of some formats: in this process, or in one of its own, where a framework is at work."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...impls import find
from ...impls.foreign import weights
from ...impls.foreign.graph import Refused
from ...impls.formats import table
from ...impls.formats.codec import Codec, Params
from ...reference.spec import Network


class Broken(Exception):
    """A process that crashed, or code that raised, while writing or reading; one line."""


class Scribe(Protocol):
    def write(self, format: str, network: Network, params: Mapping[str, np.ndarray], path: Path) -> None:
        """A file of this format, or a folder; raises Unsupported for a network that it cannot hold."""
        ...

    def read(self, format: str, network: Network, path: Path) -> Params:
        """The parameters in a file; raises Refused for one that is damaged or another thing."""
        ...


@dataclass(frozen=True)
class Here:
    """In this process. impl: one of ours, "" for the shared layout; file: in impls/formats/."""

    impl: str
    file: str

    @cached_property
    def codecs(self) -> Mapping[str, Codec]:
        found: Mapping[str, Codec] = importlib.import_module(f"alexnet_parity.impls.formats.{self.file}").FORMATS
        return found

    @cached_property
    def module(self) -> Any:
        """What builds the models that are saved."""
        if self.impl:
            return find.load(find.find(self.impl))
        return importlib.import_module(f"alexnet_parity.impls.formats.{self.file}")

    def write(self, format: str, network: Network, params: Mapping[str, np.ndarray], path: Path) -> None:
        model = self.module.build(network, dict(params))
        self.codecs[format].save(model, network, path)

    def read(self, format: str, network: Network, path: Path) -> Params:
        check_file(format, path)
        self.module  # noqa: B018 - chooses the backend of Keras before anything imports it
        return dict(self.codecs[format].read(path, network))


def check_file(format: str, path: Path) -> None:
    """Refused, before a framework is started for it, where no file of this format can be there or none can be opened."""
    known = table.BY_NAME.get(format)
    if known and (reason := table.misfit(known, path)):
        raise Refused(reason)
    if path.exists() and not path.is_dir():
        weights.check_readable(path)


def able(format: table.Format) -> tuple[str, str]:
    """(the implementation that can write and read a format here, why none can): one of them is "".

    For the shared layout there is no implementation, and both are "" where it can be written.
    """
    absent = [package for package in format.requires if importlib.util.find_spec(package) is None]
    if absent:
        return "", f"needs {' and '.join(absent)}, not installed here"
    if not format.impls:
        return "", ""
    for impl in format.impls:
        if not find.missing(impl):
            return impl, ""
    first = format.impls[0]
    lacking = " and ".join(find.missing(first))
    return "", f"needs {lacking}, not installed here: pip install -e '.[{find.extra(first)}]'"
