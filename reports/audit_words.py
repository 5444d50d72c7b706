"""An audit in words: the same for the terminal, the report and its picture. Loads nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

from ..checks.audit.result import (
    ANOTHER,
    CONVENTION,
    CONVENTIONAL,
    DEVIATES,
    DEVIATION,
    EQUAL,
    UNCLEAR,
    UNEXPLAINED,
    Audit,
    Deviation,
)

KINDS = {DEVIATION: "deviations", CONVENTION: "conventions", UNEXPLAINED: "unexplained"}  # and what several are called
MANY = 4  # places; of more, only the layers are named
ORDER = (UNEXPLAINED, DEVIATION, CONVENTION)


@dataclass(frozen=True)
class Told:
    """One deviation that is found at several layers, told once. `each`: as they were found, in the model's order."""

    each: tuple[Deviation, ...]

    @property
    def one(self) -> Deviation:
        return self.each[0]

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.layer for one in self.each))

    @property
    def where(self) -> str:
        """ "norm1 (features.2), norm2": the paper's names, and the model's own where they are others."""
        if len(self.each) > MANY:
            return ", ".join(self.layers)
        names = []
        for one in self.each:
            own = "" if one.at in ("", one.layer) else one.at
            names.append(f"{one.layer} ({own})" if one.layer and own else one.layer or own or "the whole network")
        return ", ".join(dict.fromkeys(names))

    @property
    def found(self) -> list[str]:
        """What was found: one phrase, or one for each place where they differ."""
        return self.phrases([one.found for one in self.each])

    @property
    def expected(self) -> list[str]:
        return self.phrases([one.expected for one in self.each])

    def phrases(self, said: Sequence[str]) -> list[str]:
        if len(set(said)) == 1:
            return [said[0]]
        return [f"{one.layer or one.at}: {text}" for one, text in zip(self.each, said, strict=True)]

    @property
    def effects(self) -> str:
        """Each layer's effect; one for all where they agree."""
        said = {one.layer: one.effect for one in self.each if one.effect}
        if len(set(said.values())) <= 1:
            return next(iter(said.values()), "")
        return "; ".join(f"at {layer}: {effect}" for layer, effect in said.items())


def told_once(deviations: Iterable[Deviation]) -> list[Told]:
    """Deviations joined that have the same trap, kind, found and expected, or of one trap the same effect and cause.

    What is unexplained comes first, conventions last.
    """
    told = joined([(one,) for one in deviations], lambda one: (one.kind, one.trap, one.found, one.expected))
    told = joined(told, lambda one: (one.kind, one.trap, one.effect, one.cause) if one.trap else (id(one),))
    return sorted(map(Told, told), key=lambda t: ORDER.index(t.one.kind) if t.one.kind in ORDER else len(ORDER))


def joined(
    groups: Iterable[tuple[Deviation, ...]], key: Callable[[Deviation], Hashable]
) -> list[tuple[Deviation, ...]]:
    """Groups whose first members have the same key, put together."""
    found: dict[Hashable, list[Deviation]] = {}
    for group in groups:
        found.setdefault(key(group[0]), []).extend(group)
    return [tuple(group) for group in found.values()]


def few(phrases: Sequence[str], most: int = 3) -> str:
    """The first of many phrases."""
    more = f"; and {len(phrases) - most} more" if len(phrases) > most else ""
    return "; ".join(phrases[:most]) + more


def causes(told: Told) -> list[str]:
    """The causes of the joined ones; those that differ in the name of their layer alone become one."""
    everywhere = ", ".join(told.layers)
    joint = {renamed(one.cause, one.layer, everywhere) for one in told.each}
    return list(joint) if len(joint) == 1 else list(dict.fromkeys(one.cause for one in told.each if one.cause))


def renamed(text: str, old: str, new: str) -> str:
    return re.sub(rf"(?<![\w.]){re.escape(old)}(?![\w])", lambda _: new, text) if old else text


def counts(audit: Audit) -> dict[str, int]:
    """How many of each kind are told."""
    told = told_once(audit.deviations)
    return {kind: sum(one.one.kind == kind for one in told) for kind in KINDS}


def counted(audit: Audit) -> str:
    """ "1 deviation, 0 conventions, 2 unexplained"."""
    many = counts(audit)
    words = [f"{n} {kind if n == 1 else KINDS[kind]}" for kind, n in many.items()]
    return ", ".join(words)


def verdict_line(audit: Audit) -> str:
    """The last line on the terminal, and the only one for what is no AlexNet."""
    if audit.verdict == ANOTHER:
        why = next(iter(audit.notes), "its layers do not line up with those of any variant")
        return f"{ANOTHER.upper()}: {line(audit.target)}: {line(why).removeprefix(ANOTHER + ': ')}"
    return f"{audit.verdict.upper()}: nearest variant {audit.nearest_variant}; {counted(audit)}"


def sentence(audit: Audit) -> str:
    """The verdict for a reader who knows nothing else."""
    name = audit.nearest_variant
    return {
        EQUAL: f"It computes what the variant {name} computes: nothing differs.",
        CONVENTIONAL: f"It computes what the variant {name} computes; where it is not as printed, that is no mistake.",
        DEVIATES: f"It is nearest to the variant {name} and departs from it.",
        UNCLEAR: f"It is nearest to the variant {name}; not everything in which it departs from it could be explained.",
        ANOTHER: "It is no AlexNet.",
    }.get(audit.verdict, audit.verdict)


def line(text: object) -> str:
    """Text from a stranger's model as one line that cannot command a terminal."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else "?" for c in str(text)).split())


def shortened(text: str, most: int) -> str:
    """A long name by its two ends; the end tells more."""
    if len(text) <= most:
        return text
    head = (most - 1) // 3
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def percent(share: float) -> str:
    """A share of a bound, two significant digits."""
    if not share < float("inf"):
        return "?"
    return "0" if share == 0 else f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:,.0f} %"


def shape_in_words(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
