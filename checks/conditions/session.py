"""Implementations under conditions, each in a process of its own, judged against their plain runs as they come in."""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...impls.find import Target
from ...reference import stimuli, variants
from ..finding import Finding, Status
from ..recording import AGAIN, BATCH, GRADIENTS, GRADIENTS_AGAIN, Feed, Recording
from ..truth import Truth
from ..verify import Truths, Unavailable
from . import condition as conditions
from . import judge, pool
from .baseline import Baseline
from .condition import CUDA, PLAIN, Condition

FORWARD, BACK = (BATCH, AGAIN), (GRADIENTS, GRADIENTS_AGAIN)


@dataclass
class Session:
    """targets without a setting; `chosen` has the conditions of each by its name, the plain one first.

    flags, by name of the implementation under its condition, and digests are filled as recordings come in.
    """

    targets: Sequence[Target]
    chosen: Mapping[str, Sequence[Condition]]
    variant: str = "paper-thin"
    stimuli: Sequence[str] = ("large", "exact", "gradient-exact", "probe")
    seed: int = 0
    device: str = "cpu"
    timeout: float = 600.0
    at_once: int = field(default_factory=lambda: os.cpu_count() or 1)

    def __post_init__(self) -> None:
        network = variants.variant(self.variant)
        known = stimuli.names(network)
        self.stimuli = [name for asked in self.stimuli for name in known if name.partition(".")[0] == asked]
        self.truths = Truths({self.variant: network}, self.seed)
        self.flags: dict[str, dict[str, str]] = {}
        self.bases: dict[tuple[str, str], Baseline] = {}  # by its name and the stimulus
        self.early: dict[tuple[str, str], list[Recording]] = defaultdict(
            list
        )  # what came before what it is compared with
        self.no_gpu: dict[str, str] = {}  # why, by implementation
        self.asked = {
            conditions.under(target, condition).name: (target, condition)
            for target in self.targets
            for condition in self.chosen[target.name]
        }
        self.done = 0

    @property
    def steps(self) -> int:
        """How many recordings there will be at most: what progress is counted in."""
        return sum(len(job.feeds) for job in self.jobs())

    def jobs(self) -> list[pool.Job]:
        """A process for each condition but a second run, which the plain one makes."""
        return [
            pool.Job(conditions.under(target, condition), self.feeds(condition), self.device_of(condition))
            for target, condition in self.asked.values()
            if condition.name != AGAIN
        ]

    def feeds(self, condition: Condition) -> list[Feed]:
        """Exact arithmetic is not asked of fewer bits, nor the probe where nothing but order or place differs.

        A mode of fewer bits is probed layer by layer: one that lies behind others is fed what they have rounded.
        """
        whole = condition.probed and not condition.reduced
        exact = not condition.reduced
        asked = {"large": True, "exact": exact, "gradient-exact": exact and condition.backward, judge.PROBE: whole}
        names = [name for name in self.stimuli if asked.get(name, condition.reduced)]
        return [Feed(self.variant, name, runs_of(name, condition), read_back=False) for name in names]

    def device_of(self, condition: Condition) -> str:
        return CUDA if condition.cuda or condition.name == CUDA else self.device

    def findings(self) -> Iterator[Finding]:
        """Every finding as soon as it is known; raises Unavailable if a plain run cannot be made at all."""
        on_gpu = [job for job in self.jobs() if self.asked[job.target.name][1].cuda]
        anywhere = [job for job in self.jobs() if job not in on_gpu]
        yield from self.judged(anywhere)
        able = [job for job in on_gpu if self.asked[job.target.name][0].name not in self.no_gpu]
        yield from self.judged(able)
        for job in on_gpu:
            target, condition = self.asked[job.target.name]
            if target.name in self.no_gpu:
                yield self.unsupported(target, condition, self.no_gpu[target.name])
        yield from self.left_over()

    def left_over(self) -> Iterator[Finding]:
        """What was never compared, because what it is compared with did not come."""
        for (name, stimulus), those in self.early.items():
            for recording in those:
                found = Finding(Status.ERROR, expected=f"a run of {name} to compare with", got="none")
                yield self.filled(found, *self.asked[recording.impl], stimulus)

    def judged(self, jobs: Sequence[pool.Job]) -> Iterator[Finding]:
        with contextlib.closing(pool.recordings(jobs, self.seed, self.timeout, self.at_once)) as incoming:
            for recording in incoming:
                self.done += 1
                yield from self.of_recording(recording)

    def of_recording(self, recording: Recording) -> Iterator[Finding]:
        """What it settles: its own condition, a second run of it, and what was waiting for it."""
        target, condition = self.asked[recording.impl]
        self.flags[recording.impl] = recording.flags
        if recording.unavailable or recording.unsupported:
            yield from self.cannot(recording, target, condition)
            return
        key = self.compared_with(target, condition), recording.stimulus
        if recording.stimulus.startswith(judge.PROBE):  # compared with nothing but what the condition declares
            itself = Baseline(target.name, recording, self.truth(recording))
            yield from self.compared(recording, target, condition, itself)
            return
        if condition.name == PLAIN:
            self.bases[key] = Baseline(target.name, recording, self.truth(recording), device=self.device)
        elif key not in self.bases:
            self.early[key].append(recording)
            return
        yield from self.compared(recording, target, condition, self.bases[key])
        if condition.name in (PLAIN, CUDA):
            yield from self.settled(recording, target)

    def settled(self, recording: Recording, target: Target) -> Iterator[Finding]:
        """What others are compared with is there."""
        key = recording.impl, recording.stimulus
        on_gpu = Baseline(target.name, recording, self.truth(recording), device=CUDA)  # unless it is the plain run
        base = self.bases.setdefault(key, on_gpu)
        again = next((c for c in self.chosen[target.name] if c.name == AGAIN), None)
        if again and recording.impl == target.name:
            yield from self.compared(recording, target, again, base)
        for other in self.early.pop(key, []):
            yield from self.of_recording(other)

    def truth(self, recording: Recording) -> Truth:
        return self.truths.of(self.variant, recording.stimulus)

    def compared_with(self, target: Target, condition: Condition) -> str:
        """The name of the run that a condition is compared with: the plain one, for what a GPU alone has the one there."""
        on_gpu = condition.cuda and self.device != CUDA
        return f"{target.name}@{CUDA}" if on_gpu else target.name

    def compared(self, recording: Recording, target: Target, condition: Condition, base: Baseline) -> Iterator[Finding]:
        found = judge.findings(recording, base, condition)
        if recording.stimulus == self.stimuli[0] and (effect := judge.taken_effect(recording.flags, condition)):
            found = itertools.chain([effect], found)
        for finding in found:
            yield self.filled(finding, target, condition, recording.stimulus)

    def cannot(self, recording: Recording, target: Target, condition: Condition) -> Iterator[Finding]:
        """No device, no such framework, or a network that it cannot express: said once."""
        reason = recording.unavailable or recording.unsupported
        if recording.unavailable and condition.name == PLAIN:
            raise Unavailable(f"{recording.impl}: {reason}")
        if recording.unavailable and condition.name == CUDA:
            self.no_gpu[target.name] = reason
        for other in self.early.pop((recording.impl, recording.stimulus), []):
            yield from self.cannot(replace(other, unsupported=reason), *self.asked[other.impl])
        if recording.stimulus == self.stimuli[0]:
            yield self.unsupported(target, condition, reason)

    def unsupported(self, target: Target, condition: Condition, reason: str) -> Finding:
        got = f"not run here: {reason.partition(';')[0]}"
        found = Finding(Status.UNSUPPORTED, expected="a recording", got=got)
        return self.filled(found, target, condition, self.stimuli[0])

    def filled(self, finding: Finding, target: Target, condition: Condition, stimulus: str) -> Finding:
        named = "" if condition.name == PLAIN else f" --condition {condition.name}"
        rest = f"--variant {self.variant} --seed {self.seed} --device {self.device}"
        return finding.filled(
            check=f"condition-{stimulus}",
            impl=target.name if condition.name == PLAIN else f"{target.name}@{condition.name}",
            variant=self.variant,
            stimulus=stimulus,
            seed=self.seed,
            device=self.device_of(condition),
            replay=f"alexnet-parity conditions --impl {shlex.quote(target.name)}{named} {rest}",
        )


def runs_of(stimulus: str, condition: Condition) -> tuple[str, ...]:
    """What is done with the model: forward twice, and back twice on real numbers, once in exact arithmetic."""
    back = {"large": BACK, "gradient-exact": (GRADIENTS,)}.get(stimulus, ())
    forward = () if stimulus == "gradient-exact" else FORWARD
    return (*forward, *(back if condition.backward else ()))
