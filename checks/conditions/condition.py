"""Conditions that an implementation is recorded under: the plain run's own, and its settings (`impls/settings/table.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...impls.find import Target
from ...impls.settings import table
from ...impls.settings.table import Setting
from ...reference.spec import nearest

PLAIN, AGAIN, PROCESS, CUDA = "plain", "again", "process", "cuda"


@dataclass(frozen=True)
class Condition:
    """keeps: the plain run's bits are required of it. repeats: its own bits are, when run twice in one process.

    arithmetic: what convolutions and dense layers compute in; permits: they may, and may stay in float32. cuda: it means
    something on a GPU only. shows: what the model's flags() must say under it; a condition without effect would show
    nothing. probed: is its arithmetic asked for? backward: are gradients? transforms: may these come from transforms, in which
    not even integers are exact?
    """

    name: str
    about: str
    keeps: bool = False
    repeats: bool = True
    arithmetic: str = "float32"
    permits: bool = False
    cuda: bool = False
    shows: Mapping[str, str] = field(default_factory=dict)
    setting: bool = False
    probed: bool = False
    backward: bool = False
    transforms: bool = False

    @property
    def reduced(self) -> bool:
        """Does it compute in less than float32, on purpose?"""
        return self.arithmetic != "float32"


OWN = (
    Condition(PLAIN, "the implementation as it is: what all others are compared with", probed=True, backward=True),
    Condition(AGAIN, "the same model, run a second time", keeps=True, backward=True),
    Condition(PROCESS, "another process", keeps=True, backward=True),
    Condition(CUDA, "the same implementation on a GPU", probed=True, backward=True),
)
KEEP = ("unaligned", "unaligned-weights")  # settings that change no order of summation
REPEATS_NOT = ("deterministic-off",)
TRANSFORMS = ("cudnn-gradients", "autotune-on")  # what `gradients_of` in impls/torch.py and impls/jax.py keep out
FORWARD_ONLY = "batch-"  # the gradient of a batch's mean loss is another in another batch


def of_setting(setting: Setting, device: str = "cpu") -> Condition:
    """device: of the plain run; what means something on a GPU only runs there in any case."""
    arithmetic = setting.arithmetic_on(CUDA if setting.cuda else device)
    return Condition(
        setting.name,
        setting.about,
        keeps=setting.name in KEEP,
        repeats=setting.name not in REPEATS_NOT,
        arithmetic=arithmetic,
        permits=setting.permits,
        cuda=setting.cuda,
        shows=setting.shows,
        setting=True,
        probed=bool(setting.impls) and not setting.name.startswith(("threads-", *KEEP)),
        backward=arithmetic == "float32" and not setting.name.startswith(FORWARD_ONLY),
        transforms=setting.name in TRANSFORMS,
    )


def conditions_of(impl: str, device: str) -> list[Condition]:
    """All that an implementation can be asked for, the plain run first. CUDA only where it has settings for a GPU."""
    settings = [of_setting(setting, device) for setting in table.settings_of(impl)]
    on_gpu = device != CUDA and any(condition.cuda for condition in settings)
    return [*(c for c in OWN if c.name != CUDA or on_gpu), *settings]


def select(impls: Iterable[str], device: str, wanted: Iterable[str]) -> dict[str, list[Condition]]:
    """Each implementation's conditions, those named or all, and what they are compared with. KeyError for an unknown name."""
    all_of = {impl: conditions_of(impl, device) for impl in impls}
    known = list(dict.fromkeys(condition.name for conditions in all_of.values() for condition in conditions))
    wanted = list(wanted)
    for name in wanted:
        if name not in known:
            raise KeyError(f"unknown condition {name!r}{nearest(name, known)} There are: {', '.join(known)}")
    return {
        impl: [c for c in conditions if not wanted or c.name in {PLAIN, *needed(wanted, conditions, device)}]
        for impl, conditions in all_of.items()
    }


def needed(wanted: Sequence[str], conditions: Iterable[Condition], device: str) -> list[str]:
    """Those named, and the GPU's own run, with which one that means something there only is compared."""
    on_gpu = device != CUDA and any(c.cuda and c.name in wanted for c in conditions)
    return [*wanted, CUDA] if on_gpu else list(wanted)


def under(target: Target, condition: Condition) -> Target:
    """The implementation under a condition, named IMPL@CONDITION; the plain run under its own name."""
    if condition.name == PLAIN:
        return target
    return replace(target, name=f"{target.name}@{condition.name}", setting=condition.name if condition.setting else "")
