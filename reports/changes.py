"""Two runs side by side: which findings changed, which measurements drifted and by how much, and what differs around them."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..checks.finding import Finding, Status
from ..checks.traces.replay import called
from ..checks.traces.trace import Trace
from .findings_file import Findings

SCHEMA = "alexnet-parity/changes/1"
RANK = {
    Status.PASS: 0,
    Status.KNOWN: 1,
    Status.UNSUPPORTED: 2,
    Status.BLIND: 3,
    Status.FAIL: 3,
    Status.ERROR: 3,
}  # to a higher rank is worse: what held and deviates, is no longer asked, or fails
SHARE = "share of the bound"
COUNTED = (
    SHARE,
    "ulps",
)  # their drift is a difference; that of any other measurement is relative to the larger of the two
MEMORY = "peak_memory_mb"  # is never the same twice
Key = tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """A finding with another status, or in one of the runs only ("" for its status in the other)."""

    impl: str
    variant: str
    check: str
    stimulus: str
    layer: str
    before: str
    after: str
    got: str
    worse: bool

    @property
    def where(self) -> str:
        return " ".join(part for part in (self.impl, self.variant, self.check, self.stimulus, self.layer) if part)


@dataclass(frozen=True)
class Drift:
    """A measurement of a finding in both runs. amount: how far it went, as COUNTED says; never negative."""

    impl: str
    variant: str
    check: str
    stimulus: str
    layer: str
    what: str
    before: float
    after: float
    amount: float

    @property
    def where(self) -> str:
        return " ".join(part for part in (self.impl, self.variant, self.check, self.stimulus, self.layer) if part)


@dataclass(frozen=True)
class Changes:
    """From one run to another. around: what differs in the environment, with both sides. alike: findings that are the same."""

    changes: tuple[Change, ...]
    drifts: tuple[Drift, ...]
    around: tuple[tuple[str, str, str], ...]
    alike: int

    def worse(self) -> list[Change]:
        return [change for change in self.changes if change.worse]

    def as_json(self) -> str:
        document = {
            "schema": SCHEMA,
            "worse": len(self.worse()),
            "alike": self.alike,
            "changes": [asdict(change) for change in self.changes],
            "drifts": [asdict(drift) for drift in self.drifts],
            "environment": [dict(zip(("what", "before", "after"), row, strict=True)) for row in self.around],
        }
        return json.dumps(document, indent=1, allow_nan=False) + "\n"


def between(a: Findings, b: Findings) -> Changes:
    """What is different in b; worse changes first, drifts by their amount, largest first."""
    one, other = paired(a, b)
    both = [(one[key], other[key]) for key in one if key in other]
    gone = [change(one[key], None) for key in one if key not in other]
    new = [change(None, other[key]) for key in other if key not in one]
    turned = [change(x, y) for x, y in both if x.status != y.status]
    drifts = [drift for x, y in both for drift in drifted(x, y)]
    alike = sum(x.status == y.status and not any(drifted(x, y)) for x, y in both)
    return Changes(
        tuple(sorted([*turned, *gone, *new], key=lambda c: not c.worse)),
        tuple(sorted(drifts, key=lambda d: (d.what != SHARE, d.what, -d.amount))),
        tuple(around(a.environment, b.environment)),
        alike,
    )


# Which finding is which ----------------------------------------------------------------------------------------------


def paired(a: Findings, b: Findings) -> tuple[dict[Key, Finding], dict[Key, Finding]]:
    """The findings of each run by who, where and what, so that the same question has the same key in both.

    Recorded or live, on whatever device, an implementation is the same one, unless a run has it twice: then the label and
    the device tell.
    """
    labels: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for found in (a, b):
        seen: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for finding in found.findings:
            seen[called(finding.impl)].add((finding.impl, finding.device))
        for name, pairs in seen.items():
            labels[name] |= pairs if len(pairs) > 1 else set()
    twice = frozenset(name for name, pairs in labels.items() if pairs)
    return keyed(a, twice), keyed(b, twice)


def keyed(found: Findings, twice: frozenset[str]) -> dict[Key, Finding]:
    """By key; what is asked several times of one layer is told apart by its order."""
    count: Counter[Key] = Counter()
    keys: dict[Key, Finding] = {}
    for finding in found.findings:
        name = called(finding.impl)
        who = (finding.impl, finding.device) if name in twice else (name, "")
        key = (*who, finding.variant, finding.check, finding.stimulus, finding.layer)
        count[key] += 1
        keys[(*key, str(count[key]))] = finding
    return keys


def place(finding: Finding) -> dict[str, str]:
    return {name: getattr(finding, name) for name in ("impl", "variant", "check", "stimulus", "layer")}


# What changed ---------------------------------------------------------------------------------------------------------


def change(before: Finding | None, after: Finding | None) -> Change:
    """Worse: a higher rank, a good answer that nobody asks for any more, a new finding that is not good."""
    here = after or before
    assert here is not None
    if before is None or after is None:
        worse = not here.good() if before is None else here.status in (Status.PASS, Status.KNOWN)
    else:
        worse = RANK[after.status] > RANK[before.status]
    statuses = ("" if finding is None else finding.status.value for finding in (before, after))
    return Change(**place(here), **dict(zip(("before", "after"), statuses, strict=True)), got=here.got, worse=worse)


def drifted(before: Finding, after: Finding) -> Iterator[Drift]:
    """Every measurement that both have and that is another number now."""
    numbers, others = measured(before), measured(after)
    for what, value in numbers.items():
        if what in others and others[what] != value:
            yield Drift(
                **place(after), what=what, before=value, after=others[what], amount=amount(what, value, others[what])
            )


def measured(finding: Finding) -> dict[str, float]:
    share = finding.error_over_bound
    found = {**({} if share is None else {SHARE: share}), **finding.numbers}
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def amount(what: str, before: float, after: float) -> float:
    distance = abs(after - before)
    return distance if what in COUNTED else distance / max(abs(before), abs(after))


# What is around them --------------------------------------------------------------------------------------------------


def around(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What differs in the environment: (what, before, after), "" where one does not say; digests of what both were fed."""
    alone = one_sided(a, b)
    yield from unequal(said(a, alone), said(b, alone))
    one = run_by(a)
    yield from ((impl, "run", "not run") if impl in one else (impl, "not run", "run") for impl in alone)
    both = [name for name in a["digests"] if name in b["digests"]]
    for stimulus in both:
        pairs = unequal(a["digests"][stimulus], b["digests"][stimulus])
        yield from ((f"{what} of {stimulus}", before, after) for what, before, after in pairs)


def unequal(one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for what in [*one, *(name for name in other if name not in one)]:
        pair = one.get(what, ""), other.get(what, "")
        if pair[0] != pair[1]:
            yield (what, *pair)


def run_by(environment: Mapping[str, Any]) -> list[str]:
    """The implementations that a findings file is about."""
    return list(dict.fromkeys(called(impl) for run in environment["runs"] for impl in run["implementations"]))


def one_sided(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Those that one of them has not run at all: it has nothing to say of their versions and devices."""
    one, other = run_by(a), run_by(b)
    return [impl for impl in dict.fromkeys([*one, *other]) if impl not in one or impl not in other]


def said(environment: Mapping[str, Any], but_for: Sequence[str] = ()) -> dict[str, str]:
    """All that a findings file says of its making, flat, but for these implementations; of several runs, each value once."""
    found: dict[str, list[str]] = defaultdict(list)
    for run in environment["runs"]:
        for what in ("device", "seed", "python", "system", "processor", "sources"):
            found[what].append(str(run[what]))
        for impl, flags in run["implementations"].items():
            for flag, text in flags.items():
                if flag != MEMORY and called(impl) not in but_for:
                    found[f"{called(impl)}: {flag}"].append(text)
    return {what: " and ".join(dict.fromkeys(texts)) for what, texts in found.items()}


def said_of_trace(held: Trace) -> dict[str, str]:
    """The same of a trace."""
    own = {"implementation": held.impl, "device": held.device, "variant": held.variant, "seed": str(held.seed)}
    flags = {name: text for name, text in held.flags.items() if name not in (MEMORY, *own)}
    digests = {f"{what} of {name}": digest for name, given in held.digests.items() for what, digest in given.items()}
    return {**own, **held.environment, **flags, **digests}


# In words -------------------------------------------------------------------------------------------------------------


def lines(found: Changes, most: int = 20) -> Iterator[str]:
    """For a terminal: the worse, the other changes, the largest drifts, the environment, the verdict."""
    worse, rest = found.worse(), [c for c in found.changes if not c.worse]
    for head, those in (("Worse", worse), ("Changed", rest)):
        if those:
            yield f"{head} ({len(those)}):"
            yield from limited(list(folded(those)), most)
    for what, drifts in by_measurement(found.drifts).items():
        yield f"Drifted, {what} ({len(drifts)}):"
        yield from limited([f"{shown(drift):<36} {drift.where}" for drift in drifts], most if what in COUNTED else 3)
    yield from words(found.around, most)
    yield verdict(found)


def words(rows: Sequence[tuple[str, str, str]], most: int = 20) -> Iterator[str]:
    """What differs in the environment."""
    if rows:
        yield f"Different around them ({len(rows)}):"
        yield from limited([f"{what}: {short(a)} -> {short(b)}" for what, a, b in rows], most)


def verdict(found: Changes) -> str:
    count = len(found.worse())
    word = f"{count} worse" if count else "nothing is worse"
    return f"{word}; {len(found.changes) - count} changed otherwise, {len(found.drifts)} drifted, {found.alike} alike"


def folded(changes: Iterable[Change]) -> Iterator[str]:
    """A line each; findings of one implementation, variant and check that came or went share one."""
    groups: dict[tuple[str, ...], list[Change]] = defaultdict(list)
    for c in changes:
        alone = () if not (c.before and c.after) else (c.stimulus, c.layer, str(len(groups)))
        groups[c.impl, c.variant, c.check, c.before, c.after, *alone].append(c)
    for those in groups.values():
        first = those[0]
        where = first.where if len(those) == 1 else f"{first.impl} {first.variant} {first.check}: {len(those)} findings"
        yield f"{first.before or 'not asked'} -> {first.after or 'not asked'}: {where}: {first.got}"


def by_measurement(drifts: Iterable[Drift]) -> dict[str, list[Drift]]:
    groups: dict[str, list[Drift]] = defaultdict(list)
    for drift in drifts:
        groups[drift.what].append(drift)
    return groups


def shown(drift: Drift) -> str:
    """Before, after and how far: 12.6 % -> 13.1 % (+0.5 %)."""
    sign = "+" if drift.after > drift.before else "-"
    if drift.what == SHARE:
        return f"{drift.before:.3%} -> {drift.after:.3%} ({sign}{drift.amount:.3%})"
    if drift.what in COUNTED:
        return f"{drift.before:g} -> {drift.after:g} ({sign}{drift.amount:g})"
    return f"{drift.before:.6g} -> {drift.after:.6g} ({sign}{drift.amount:.2%})"


def short(text: str) -> str:
    """A digest by its beginning; what is not said, in words."""
    is_digest = len(text) == 64 and set(text) <= set("0123456789abcdef")
    return text[:12] if is_digest else text or "not said"


def limited(rows: Sequence[str], most: int) -> Iterator[str]:
    yield from (f"  {row}" for row in rows[:most])
    if len(rows) > most:
        yield f"  ... and {len(rows) - most} more (--json FILE has them all)"


def document(found: Changes, a: str, b: str) -> str:
    """As Markdown, everything in tables."""
    from .markdown import folded as table  # pandas, only where a report is wanted

    parts = [f"# From {a} to {b}", f"**{verdict(found)[0].upper()}{verdict(found)[1:]}.**"]
    if found.changes:
        rows = [(c.where, c.before or "not asked", c.after or "not asked", c.got) for c in found.changes]
        parts += ["## What changed, the worse first", table(rows, ("finding", "before", "after", "got"))]
    for what, drifts in by_measurement(found.drifts).items():
        parts += [f"## What drifted: {what}", table([(d.where, shown(d)) for d in drifts], ("finding", "drift"))]
    if found.around:
        texts = [(what, short(before), short(after)) for what, before, after in found.around]
        parts += ["## What is different around them", table(texts, ("what", "before", "after"))]
    return "\n\n".join(parts) + "\n"
