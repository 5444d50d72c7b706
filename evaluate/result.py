"""What a whole evaluation comes to: accuracy of each implementation, and where they agree."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from .errors import Unusable
from .judge import TOP
from .ties import RULES, Place

SCHEMA = "alexnet-parity/evaluation/1"
SHOWN = 20  # images of a kind that are held for a report; the JSON has them all

Row = dict[str, Any]
Batches = Callable[[], Iterable[Row]]  # the finished batches in order of their images, from the first at each call


@dataclass
class Tally:
    """Counts, as batches come in."""

    impls: tuple[str, ...]
    rule: str
    images: int = 0
    credit: dict[tuple[str, int], Fraction] = field(default_factory=dict)
    tied: dict[str, int] = field(default_factory=dict)
    same: dict[str, int] = field(default_factory=lambda: {"top1": 0, "top5": 0})
    largest: dict[str, Any] = field(default_factory=dict)
    parted: int = 0
    shown: list[Row] = field(default_factory=list)
    flags: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    def take(self, image: Row) -> None:
        self.images += 1
        said = image["implementations"]
        for impl in self.impls:
            place = Place(said[impl]["above"], said[impl]["tied"], said[impl]["before"])
            self.tied[impl] = self.tied.get(impl, 0) + (place.tied > 0)
            for k in (1, TOP):
                self.credit[impl, k] = self.credit.get((impl, k), Fraction(0)) + place.credit(k, self.rule)
        if not self.largest or image["difference"] > self.largest["difference"]:
            self.largest = {key: image[key] for key in ("difference", "image", "name")}
        judged = compared(image)
        for top in self.same:
            self.same[top] += judged[f"{top}_agrees"]
        if parts(judged):
            self.parted += 1
            if len(self.shown) < SHOWN:
                self.shown.append(judged)

    def take_flags(self, flags: dict[str, dict[str, str]]) -> None:
        for impl, said in flags.items():
            for name, text in said.items():
                self.flags.setdefault(impl, {}).setdefault(name, set()).add(text)


def compared(image: Row) -> Row:
    """The image with whether all implementations have the same first class, and the same five."""
    fives = [said["top5"] for said in image["implementations"].values()]
    same1, same5 = len({five[0] for five in fives}) == 1, len(set(map(frozenset, fives))) == 1
    return image | {"top1_agrees": same1, "top5_agrees": same5}


def parts(judged: Row) -> bool:
    return not (judged["top1_agrees"] and judged["top5_agrees"])


@dataclass(frozen=True)
class Outcome:
    """What an evaluation comes to, without the list of its images: that one is read from the batches when it is written.

    summary: the JSON but for its lists `disagreements` and `images`. shown: the first SHOWN of the `parted` images
    on which implementations part.
    """

    summary: Row
    shown: tuple[Row, ...]
    parted: int
    batches: Batches

    def as_json(self) -> Iterator[str]:
        """The whole outcome in pieces, as `json.dumps(..., indent=1)` would write it and a line's end."""
        yield as_json(self.summary).removesuffix("\n}")
        yield from listed("disagreements", filter(parts, map(compared, self.images())))
        yield from listed("images", self.images())
        yield "\n}\n"

    def images(self) -> Iterator[Row]:
        for batch in self.batches():
            yield from batch["images"]


def as_json(value: Row) -> str:
    return json.dumps(value, indent=1, allow_nan=False)


def listed(name: str, rows: Iterable[Row]) -> Iterator[str]:
    """One more entry of an object that is one level deep: a list, row by row."""
    yield f',\n "{name}": ['
    before, end = "\n  ", "]"
    for row in rows:
        yield before + as_json(row).replace("\n", "\n  ")  # a line's end within a string is escaped
        before, end = ",\n  ", "\n ]"
    yield end


def result(run: Row, rule: str, batches: Batches) -> Outcome:
    """The outcome, the same for the same batches however they were made; raises Unusable without images."""
    tally = Tally(tuple(run["implementations"]), rule)
    unreadable: list[Row] = []
    for batch in batches():
        tally.take_flags(batch["flags"])
        unreadable += batch["unreadable"]
        for image in batch["images"]:
            tally.take(image)
    if not tally.images:
        example = f" ({unreadable[0]['name']}: {unreadable[0]['reason']})" if unreadable else ""
        raise Unusable(f"none of the {len(unreadable):,} images could be decoded{example}")
    summary = {
        "schema": SCHEMA,
        "run": run,
        "ties": {"rule": rule, "definition": RULES[rule]},
        "images_evaluated": tally.images,
        "unreadable": unreadable,
        "accuracy": {impl: accuracy(tally, impl) for impl in tally.impls},
        "agreement": {
            "top1": tally.same["top1"],
            "top5": tally.same["top5"],
            "images": tally.images,
            "largest_difference": tally.largest,
        },
        "flags": {
            impl: {name: " / ".join(sorted(texts)) for name, texts in sorted(said.items())}
            for impl, said in sorted(tally.flags.items())
        },
    }
    return Outcome(summary, tuple(tally.shown), tally.parted, batches)


def accuracy(tally: Tally, impl: str) -> dict[str, Any]:
    """Right images (with shares of ties, if the rule gives them), their share, and how many labels were in a tie."""
    found: dict[str, Any] = {"tied": tally.tied[impl]}
    for k in (1, TOP):
        right = tally.credit[impl, k]
        found[f"top{k}"] = {"right": float(right), "share": float(right / tally.images)}
    return found
