"""What an implementation did with a stimulus: every array it gave, its weights read back, and how it failed.

`running.py` runs the implementation and says what happens as it happens; `Recording` gathers that up. Between the two there
may be a pipe to another process (`worker.py`, `runner.py`) or nothing at all (tests).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

Array = np.ndarray

# What is done with an implementation (`passes.py`): the whole batch, the same again, the first image alone; a forward and
# backward pass, whose activations are recorded as the run TRAINING, its gradients as GRADIENTS.
BATCH, AGAIN, FIRST, GRADIENTS = "batch", "again", "first", "gradients"
TRAINING = "training"
GRADIENTS_AGAIN = "gradients-again"  # a second backward pass, its gradients alone
UNRECORDED = "unrecorded"  # the last layer's output, asked for alone


@dataclass(frozen=True)
class Feed:
    """One stimulus of one variant, what is done with the built model, and whether its weights are read back.

    A fallback is only for modules fixed to one network, which cannot be fed what the others are.
    """

    variant: str
    stimulus: str
    runs: tuple[str, ...] = (BATCH,)
    read_back: bool = True
    fallback: bool = False


@dataclass(frozen=True)
class Event:
    """kind: activation, param, same-param, params-read, flag, error, refused, absent, skipped, unsupported, unavailable or done.

    refused: this pass cannot be asked of it; absent: it is about something that this implementation does not have;
    unsupported: nothing can be asked, with this stimulus.
    """

    kind: str
    run: str = ""
    name: str = ""
    text: str = ""
    array: Array | None = None


class Absent(Exception):
    """Raised by a pass about something that this implementation has not, and need not have: nothing to find."""


@dataclass
class Recording:
    """One stimulus through one implementation. `runs` maps run to {layer: array}.

    `errors` maps a run to how it crashed, `refused` to why it cannot be asked for.
    """

    impl: str
    variant: str
    stimulus: str
    runs: dict[str, dict[str, Array]] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    errors: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    params: dict[str, Array | None] = field(default_factory=dict)  # None: equal to what was given, bit for bit
    params_read: bool = False
    skipped: bool = False
    unsupported: str = ""
    unavailable: str = ""
    flags: dict[str, str] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        match event.kind:
            case "activation":
                self.runs.setdefault(event.run, {})[event.name] = event.array  # type: ignore[assignment]
            case "param" | "same-param":
                self.params[event.name] = event.array
            case "params-read":
                self.params_read = True
            case "flag":
                self.flags[event.name] = event.text
            case "error":
                self.errors[event.run] = event.text
            case "refused":
                self.refused[event.run] = event.text
            case "absent":
                self.absent.add(event.run)
            case "skipped":
                self.skipped = True
            case "unsupported":
                self.unsupported = event.text
            case "unavailable":
                self.unavailable = event.text

    def concerns(self, runs: Iterable[str]) -> bool:
        """Is there anything to find in these passes?"""
        return not (self.skipped or self.absent.intersection(runs))

    def unsupported_for(self, runs: Iterable[str]) -> str:
        """Why these passes cannot be asked for ("" if all can)."""
        return self.unsupported or next((self.refused[run] for run in runs if run in self.refused), "")

    def run(self, run: str = BATCH) -> dict[str, Array]:
        return self.runs.get(run, {})

    def why_missing(self, run: str = BATCH) -> str:
        """Why a layer is not there: the crash if there was one, else nothing."""
        return self.errors.get(run) or self.errors.get("build", "")


def in_both(
    one: Mapping[str, Array], other: Mapping[str, Array], layers: Iterable[str]
) -> Iterator[tuple[str, Array, Array]]:
    """(layer, its output here, its output there) for each of `layers` that both runs recorded."""
    for name in layers:
        if name in one and name in other:
            yield name, one[name], other[name]
