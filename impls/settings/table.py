"""Settings that an implementation can run under: `torch@compile`, `tf_nn@onednn-off`. Data; no framework is imported.

A setting may change the environment of the process, which frameworks read when they are imported, and it may wrap the
implementation: `impls/settings/FILE.py` has `WRAPPERS = {setting: function of the module, giving one with build()}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Setting:
    """impls: which of ours take it, none for any implementation. file: of the wrapper in this folder, "" if there is none.

    arithmetic: what convolutions and dense layers compute in under it (`reference/precision.py` has the names).
    """

    name: str
    impls: tuple[str, ...]
    about: str
    file: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    arithmetic: str = "float32"
    cuda: bool = False  # it means something on a GPU only


SETTINGS: tuple[Setting, ...] = (
    Setting("unaligned", (), "inputs that begin 4 bytes beyond a multiple of 64", file="every"),
    Setting("threads-1", ("torch",), "one thread", file="torch"),
    Setting("compile", ("torch",), "torch.compile, the inductor backend", file="torch"),
)


def settings_of(impl: str) -> list[Setting]:
    """Those that an implementation of ours takes."""
    return [setting for setting in SETTINGS if not setting.impls or impl in setting.impls]


def setting_of(impl: str, name: str) -> Setting:
    """The setting called `name` of an implementation; KeyError if it has none of that name."""
    for setting in settings_of(impl):
        if setting.name == name:
            return setting
    raise KeyError(name)
