"""Audits of published AlexNets, each held against what its source says.

Nothing is published about a package on the word of an audit alone: what it found has to be, no less and no more, what a
reading of the source by hand says, and the source has to be the one that was read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ...impls.foreign.graph import Refused
from ...impls.foreign.published import Published
from . import process
from .result import ANOTHER, Audit

Run = Callable[[process.Job], Audit]
Watch = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What came of one subject: an audit, a refusal in one line, or nothing because it is `absent` (the reason).

    altered: its files that are not what was read.
    """

    subject: Published
    audit: Audit | None = None
    refused: str = ""
    absent: str = ""
    altered: tuple[str, ...] = ()
    disagreements: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "disagreements", () if self.absent else tuple(differences(self)))

    @property
    def agrees(self) -> bool:
        """Is it what the reading says? Only then may it be published."""
        return not self.absent and not self.disagreements


def differences(outcome: Outcome) -> Iterator[str]:
    """Where an outcome and the reading by hand part, a line each."""
    subject, audit = outcome.subject, outcome.audit
    yield from (f"{path} is not the file that was read" for path in outcome.altered)
    if subject.refused:
        if subject.refused not in outcome.refused:
            yield f"found {outcome.refused or 'an audit'!r}, expected a refusal that names {subject.refused!r}"
        return
    if audit is None:
        yield f"it could not be audited: {outcome.refused}"
        return
    if audit.verdict == ANOTHER:
        said = next(iter(audit.notes), ANOTHER)
        if not subject.another or subject.another not in said:
            yield said
        return
    if subject.another:
        yield f"found {audit.verdict!r} beside {audit.nearest_variant}, expected no AlexNet: {subject.another!r}"
        return
    if audit.nearest_variant != subject.nearest:
        yield f"nearest variant: found {audit.nearest_variant}, the source says {subject.nearest}"
    found, expected = told(audit), subject.expected()
    yield from (f"found and not in the source: {in_words(one)}" for one in sorted(found - expected))
    yield from (f"in the source and not found: {in_words(one)}" for one in sorted(expected - found))


def told(audit: Audit) -> frozenset[tuple[str, str, str]]:
    """(layer, trap, kind) of every deviation."""
    return frozenset((one.layer, one.trap, one.kind) for one in audit.deviations)


def in_words(one: tuple[str, str, str]) -> str:
    layer, trap, kind = one
    return f"{trap or 'something without a name'} at {layer} ({kind})"


def audited(subjects: Sequence[Published], run: Run = process.run, watch: Watch = lambda _: None) -> Iterator[Outcome]:
    """Every subject, each in a process of its own, one after another; those that are not installed as well."""
    for subject in subjects:
        absent = subject.absent()
        watch(f"{subject.name}: {absent or 'auditing'}")
        yield Outcome(subject, absent=absent) if absent else outcome(subject, run)


def outcome(subject: Published, run: Run = process.run) -> Outcome:
    """One installed subject. Its audit carries the target as it is written down, not where it lies on this machine."""
    altered = tuple(subject.altered())
    job = process.Job(subject.address(), input_shape=subject.input_shape)
    with environment(subject.environment):
        try:
            audit = run(job)
        except Refused as refusal:
            return Outcome(subject, refused=without_place(str(refusal), subject), altered=altered)
    return Outcome(subject, dataclasses.replace(audit, target=subject.target), altered=altered)


def without_place(text: str, subject: Published) -> str:
    """A line that names a file by its place in the package."""
    if not subject.in_a_file():
        return text
    root = str(subject.located(""))
    return text.replace(f"{root}{os.sep}", "").replace(root, "")


@contextlib.contextmanager
def environment(variables: Sequence[tuple[str, str]]) -> Iterator[None]:
    """Variables for the processes started meanwhile: some packages need Keras 2, which our own code does not."""
    before = {name: os.environ.get(name) for name, _ in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
