"""All checks over all implementations and variants: the one loop behind the command line, pytest and the reports."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ..impls.find import Target
from ..reference import stimuli, variants
from ..reference.spec import Network
from . import known, runner
from .catalogue import CHECKS, Check, Feed, Scope, feeds, judge
from .finding import Finding, Status
from .recording import Recording
from .truth import Truth


class Unavailable(Exception):
    """A framework or device that was asked for is missing."""


class Truths:
    """The oracle's side of the last few stimuli. Weights are 244 MB each, so older ones are made again if needed."""

    KEPT = 3

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
    """One verification: what is asked, and what has been learned so far besides the findings."""

    targets: Sequence[Target]
    variants: Sequence[str] = ("paper",)
    checks: Sequence[Check] = CHECKS
    seed: int = 0
    device: str = "cpu"
    timeout: float = 600.0
    flags: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.networks = {name: variants.variant(name) for name in self.variants}
        self.truths = Truths(self.networks, self.seed)
        self.feeds = feeds(self.checks, self.networks)
        self.arrived: dict[tuple[str, str], list[Recording]] = {}

    @property
    def steps(self) -> int:
        """How many recordings there will be: what progress is counted in."""
        return len(self.targets) * len(self.feeds)

    def findings(self) -> Iterator[Finding]:
        """Every finding, as soon as it is known; raises Unavailable if a device or framework turns out missing."""
        yield from known.applied(self.raw())

    def raw(self) -> Iterator[Finding]:
        incoming = runner.recordings(self.targets, self.feeds, self.seed, self.device, self.timeout)
        for variant in self.networks:  # while the frameworks are being imported
            yield from self.of_oracle(variant)
        for recording in incoming:
            if recording.unavailable:
                raise Unavailable(f"{recording.impl}: {recording.unavailable}")
            self.flags[recording.impl] = recording.flags
            yield from self.of_recording(recording)

    def of_oracle(self, variant: str) -> Iterator[Finding]:
        for check in self.checks:
            if check.scope is Scope.ORACLE:
                for name in check.stimuli(self.networks[variant]):
                    found = judge(check, self.truths.of(variant, name))
                    yield from self.filled(found, check, "oracle", variant, name)

    def of_recording(self, recording: Recording) -> Iterator[Finding]:
        """What a recording settles: its own checks, and those that were waiting for it."""
        variant, name = recording.variant, recording.stimulus
        same = self.arrived.setdefault((variant, name), [])
        same.append(recording)
        for check in self.checks:
            if name not in check.stimuli(self.networks[variant]):
                continue
            match check.scope:
                case Scope.ONE:
                    yield from self.one(check, recording)
                case Scope.BOTH:
                    yield from self.both(check, recording)
                case Scope.ALL if len(same) == len(self.targets):
                    yield from self.all(check, variant, name, same)

    def one(self, check: Check, recording: Recording) -> Iterator[Finding]:
        if recording.unsupported:
            found: Iterable[Finding] = [Finding(Status.UNSUPPORTED, got=recording.unsupported)]
        else:
            found = judge(check, recording, self.truths.of(recording.variant, recording.stimulus))
        yield from self.filled(found, check, recording.impl, recording.variant, recording.stimulus)

    def both(self, check: Check, recording: Recording) -> Iterator[Finding]:
        """Two stimuli of one implementation, once the second is there."""
        names = check.stimuli(self.networks[recording.variant])
        mine = [r for n in names for r in self.arrived.get((recording.variant, n), []) if r.impl == recording.impl]
        if len(mine) < len(names):
            return
        reasons = [r.unsupported for r in mine if r.unsupported]
        if reasons:
            found: Iterable[Finding] = [Finding(Status.UNSUPPORTED, got=reasons[0])]
        else:
            found = judge(check, mine, self.truths.of(recording.variant, names[0]))
        yield from self.filled(found, check, recording.impl, recording.variant, " = ".join(names))

    def all(self, check: Check, variant: str, name: str, same: list[Recording]) -> Iterator[Finding]:
        able = sorted((r for r in same if not r.unsupported and r.run()), key=lambda r: r.impl)
        if len(able) > 1:
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
                device=self.device,
                replay=self.replay(check, who, variant),
            )

    def replay(self, check: Check, impl: str, variant: str) -> str:
        names = [] if impl == "oracle" else impl.split(" ~ ")
        impls = "".join(f" --impl {name}" for name in names)
        rest = f"--variant {variant} --check {check.name} --seed {self.seed} --device {self.device}"
        return f"alexnet-parity verify{impls} {rest}"
