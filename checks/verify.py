"""All checks over all implementations and variants: the one loop behind the command line, pytest and the reports."""

from __future__ import annotations

import shlex
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ..impls.find import Target
from ..reference import stimuli, variants
from ..reference.spec import Network
from . import known, runner
from .catalogue import CHECKS, Check, Scope, feeds, judge
from .finding import Finding, Status
from .recording import Recording
from .traces import replay
from .traces.container import BadTrace
from .traces.trace import Trace
from .truth import Truth


class Unavailable(Exception):
    """A framework or device that was asked for is missing, or a trace is not of what is verified."""


class Truths:
    """The oracle's side of the last few stimuli: a full set of weights is 244 MB, so older ones go."""

    KEPT = 4

    def __init__(self, networks: dict[str, Network], seed: int) -> None:
        self.networks, self.seed = networks, seed
        self.digests: dict[str, dict[str, str]] = {}
        self.kept: OrderedDict[tuple[str, str], Truth] = OrderedDict()

    def of(self, variant: str, stimulus: str) -> Truth:
        key = variant, stimulus
        if key not in self.kept:
            self.kept[key] = Truth(stimuli.stimulus(self.networks[variant], stimulus, self.seed))
            self.digests.setdefault(f"{variant}/{stimulus}", self.kept[key].stimulus.digests)
            if len(self.kept) > self.KEPT:
                self.kept.popitem(last=False)
        self.kept.move_to_end(key)
        return self.kept[key]


@dataclass
class Session:
    """One verification: what is asked, and what has been learned so far besides the findings.

    `traces` are by the name of their target; those of targets that are still files are opened here, which raises Unavailable
    for one that cannot be used.
    """

    targets: Sequence[Target]
    variants: Sequence[str] = ("paper",)
    checks: Sequence[Check] = CHECKS
    seed: int = 0
    device: str = "cpu"
    timeout: float = 600.0
    flags: dict[str, dict[str, str]] = field(default_factory=dict)
    traces: dict[str, Trace] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.traces:
            self.open_traces()
        self.networks = {name: variants.variant(name) for name in self.variants}
        self.truths = Truths(self.networks, self.seed)
        self.feeds = feeds(self.checks, self.networks)
        self.kept: dict[tuple[str, str, str], Recording] = {}
        self.done = 0

    def open_traces(self) -> None:
        try:
            self.targets, self.traces = replay.opened(self.targets)
        except BadTrace as error:
            raise Unavailable(str(error)) from None

    @property
    def steps(self) -> int:
        """How many recordings there will be: what progress is counted in."""
        return len(self.targets) * len(self.feeds)

    def findings(self) -> Iterator[Finding]:
        """Every finding, as soon as it is known; raises Unavailable if a device or framework turns out missing."""
        yield from known.applied(self.run())

    def in_order(self, findings: Iterable[Finding]) -> list[Finding]:
        """Sorted by variant, check and implementation: the same run gives the same file."""
        checks = {check.name: place for place, check in enumerate(CHECKS)}
        names = {name: place for place, name in enumerate(self.networks)}
        return sorted(findings, key=lambda f: (names.get(f.variant, -1), checks.get(f.check, -1), f.impl))

    def run(self) -> Iterator[Finding]:
        with runner.Workers(self.targets, self.feeds, self.seed, self.device, self.timeout, self.traces) as incoming:
            yield from self.judged(incoming)

    def judged(self, incoming: Iterable[Recording]) -> Iterator[Finding]:
        """The findings of all checks on recordings, wherever they come from."""
        for variant in self.networks:  # while the frameworks are being imported
            yield from self.of_oracle(variant)
        for same in self.grouped(incoming):
            for recording in same:
                yield from self.of_recording(recording)
            yield from self.of_all(same)

    def grouped(self, incoming: Iterable[Recording]) -> Iterator[list[Recording]]:
        """The recordings of one stimulus by all implementations, in order of the feeds: the oracle runs once for all."""
        waiting: dict[tuple[str, str], list[Recording]] = {}
        for recording in incoming:
            if recording.unavailable:
                raise Unavailable(f"{recording.impl}: {recording.unavailable}")
            self.check_trace(recording)
            self.done += 1
            self.flags[recording.impl] = recording.flags
            same = waiting.setdefault((recording.variant, recording.stimulus), [])
            same.append(recording)
            if len(same) == len(self.targets):
                yield waiting.pop((recording.variant, recording.stimulus))

    def check_trace(self, recording: Recording) -> None:
        """Raise Unavailable where a trace was fed anything but what is judged here."""
        held = self.traces.get(recording.impl)
        if held is not None and recording.stimulus in held.recordings and recording.variant == held.variant:
            try:
                held.check_stimulus(self.truths.of(recording.variant, recording.stimulus).stimulus)
            except BadTrace as error:
                raise Unavailable(str(error)) from None

    def of_oracle(self, variant: str) -> Iterator[Finding]:
        for check in self.checks:
            if check.scope is Scope.ORACLE:
                for name in check.stimuli(self.networks[variant]):
                    found = judge(check, self.truths.of(variant, name))
                    yield from self.filled(found, check, "oracle", variant, name)

    def of_recording(self, recording: Recording) -> Iterator[Finding]:
        """What a recording settles: its own checks, and those that were waiting for it."""
        network = self.networks[recording.variant]
        for check in self.checks:
            if recording.stimulus in (names := check.stimuli(network)):
                if check.scope is Scope.ONE:
                    yield from self.one(check, recording)
                elif check.scope is Scope.BOTH:
                    yield from self.both(check, recording, names)

    def one(self, check: Check, recording: Recording) -> Iterator[Finding]:
        if not recording.concerns(check.runs):
            return
        if reason := recording.unsupported_for(check.runs):
            found: Iterable[Finding] = [Finding(Status.UNSUPPORTED, got=reason)]
        else:
            found = judge(check, recording, self.truths.of(recording.variant, recording.stimulus))
        yield from self.filled(found, check, recording.impl, recording.variant, recording.stimulus)

    def both(self, check: Check, recording: Recording, names: list[str]) -> Iterator[Finding]:
        """Two stimuli of one implementation: the first is kept until the second is there."""
        key = recording.impl, recording.variant, check.name
        if recording.stimulus == names[0]:
            self.kept[key] = recording
            return
        pair = [self.kept.pop(key), recording]
        reasons = [r.unsupported for r in pair if r.unsupported]
        if reasons:
            found: Iterable[Finding] = [Finding(Status.UNSUPPORTED, got=reasons[0])]
        else:
            found = judge(check, pair, self.truths.of(recording.variant, names[0]))
        yield from self.filled(found, check, recording.impl, recording.variant, " = ".join(names))

    def of_all(self, same: list[Recording]) -> Iterator[Finding]:
        """What the implementations' recordings of one stimulus settle together."""
        variant, name = same[0].variant, same[0].stimulus
        for check in self.checks:
            able = sorted(
                (r for r in same if r.concerns(check.runs) and not r.unsupported_for(check.runs)), key=lambda r: r.impl
            )
            if check.scope is Scope.ALL and name in check.stimuli(self.networks[variant]) and len(able) > 1:
                found = judge(check, able, self.truths.of(variant, name))
                yield from self.filled(found, check, " ~ ".join(r.impl for r in able), variant, name)

    def filled(
        self, found: Iterable[Finding], check: Check, impl: str, variant: str, stimulus: str
    ) -> Iterator[Finding]:
        for finding in found:
            who = finding.impl or impl
            yield finding.filled(
                check=check.name,
                impl=who,
                variant=variant,
                stimulus=stimulus,
                seed=self.seed,
                device=self.device_of(who),
                replay=self.replay(check, who, variant),
            )

    def device_of(self, impl: str) -> str:
        """Where the implementations of a finding ran: cpu, or cpu ~ cuda."""
        ran = [self.traces[name].device if name in self.traces else self.device for name in impl.split(" ~ ")]
        return "" if impl == "oracle" else " ~ ".join(dict.fromkeys(ran))

    def replay(self, check: Check, impl: str, variant: str) -> str:
        named = {name: str(held.path) for name, held in self.traces.items()}
        names = [named.get(name, name) for name in impl.split(" ~ ")]
        impls = "".join(f" --impl {shlex.quote(name)}" for name in names if name != "oracle")
        rest = f"--variant {variant} --check {check.name} --seed {self.seed} --device {self.device}"
        return f"alexnet-parity verify{impls} {rest}"
