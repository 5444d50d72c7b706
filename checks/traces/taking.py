"""Taking a trace: an implementation run in its own process, on what the checks will ask of the trace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...impls.find import Target
from ...reference import stimuli, variants
from .. import provenance, runner
from ..catalogue import CHECKS, feeds
from ..recording import AGAIN, BATCH, UNRECORDED, Feed, Recording
from . import trace
from .pass_names import PASSES
from .trace import Trace

KEPT = (BATCH, AGAIN, UNRECORDED)  # runs; the first image alone would be a third copy, and gradients many


class Unavailable(Exception):
    """A framework or device that was asked for is missing."""


def chosen(variant: str, passes: Iterable[str]) -> list[Feed]:
    """What an implementation is fed for these passes: of the runs that checks ask for, those that a trace keeps."""
    passes = tuple(passes)
    every = feeds(CHECKS, {variant: variants.variant(variant)})
    asked = [feed for feed in every if feed.stimulus.partition(".")[0] in passes]
    return [replace(feed, runs=runs) for feed in asked if (runs := kept(feed))]


def kept(feed: Feed) -> tuple[str, ...]:
    """The runs that are kept of a feed: all of a single layer's, whose outputs are small."""
    return tuple(run for run in feed.runs if run in KEPT or feed.stimulus.partition(".")[0] in ("probe", "special"))


@dataclass
class Taking:
    """One implementation on one variant. `done` counts the recordings that are in."""

    target: Target
    variant: str = "paper"
    passes: tuple[str, ...] = PASSES
    seed: int = 0
    device: str = "cpu"
    timeout: float = 600.0
    feeds: list[Feed] = field(init=False)

    def __post_init__(self) -> None:
        self.feeds = chosen(self.variant, self.passes)

    def recordings(self) -> Iterator[Recording]:
        """As they come in; raises Unavailable if the framework or the device is missing."""
        with runner.Workers([self.target], self.feeds, self.seed, self.device, self.timeout) as incoming:
            for recording in incoming:
                if recording.unavailable:
                    raise Unavailable(f"{recording.impl}: {recording.unavailable}")
                yield recording

    def trace(self, recordings: Iterable[Recording]) -> Trace:
        """The recordings as a trace."""
        network = variants.variant(self.variant)
        held = {recording.stimulus: recording for recording in recordings if not recording.skipped}
        flags = {name: text for recording in held.values() for name, text in recording.flags.items()}
        digests = {name: trace.digests_of(stimuli.stimulus(network, name, self.seed)) for name in held}
        return Trace(
            Path(self.target.name).name,  # of a file of theirs only what it is called
            ran_on(flags.get("device", "")) if self.device == "auto" else self.device,
            self.variant,
            self.seed,
            trace.spec_of(network),
            digests,
            {**provenance.machine(), "sources": provenance.sources()},
            flags,
            held,
        )


def ran_on(said: str) -> str:
    """cuda or cpu, from a model's own word for its device: "cuda NVIDIA H100", "/GPU:0"."""
    return "cuda" if any(word in said.lower() for word in ("cuda", "gpu")) else "cpu"
