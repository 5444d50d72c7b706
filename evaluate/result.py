"""What a whole evaluation comes to: accuracy of each implementation, and where they agree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from .errors import Unusable
from .judge import TOP
from .ties import RULES, Place

SCHEMA = "alexnet-parity/evaluation/1"


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
    disagreements: list[dict[str, Any]] = field(default_factory=list)
    flags: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    def take(self, image: dict[str, Any]) -> None:
        self.images += 1
        said = image["implementations"]
        for impl in self.impls:
            place = Place(said[impl]["above"], said[impl]["tied"], said[impl]["before"])
            self.tied[impl] = self.tied.get(impl, 0) + (place.tied > 0)
            for k in (1, TOP):
                self.credit[impl, k] = self.credit.get((impl, k), Fraction(0)) + place.credit(k, self.rule)
        if not self.largest or image["difference"] > self.largest["difference"]:
            self.largest = {key: image[key] for key in ("difference", "image", "name")}
        top1 = len({said[impl]["top5"][0] for impl in self.impls}) == 1
        top5 = len({frozenset(said[impl]["top5"]) for impl in self.impls}) == 1
        self.same["top1"] += top1
        self.same["top5"] += top5
        if not (top1 and top5):
            self.disagreements.append(image | {"top1_agrees": top1, "top5_agrees": top5})

    def take_flags(self, flags: dict[str, dict[str, str]]) -> None:
        for impl, said in flags.items():
            for name, text in said.items():
                self.flags.setdefault(impl, {}).setdefault(name, set()).add(text)


def result(run: dict[str, Any], rule: str, batches: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The outcome as plain data, the same for the same batches however they were made; raises Unusable without images."""
    tally = Tally(tuple(run["implementations"]), rule)
    unreadable: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    for batch in batches:
        tally.take_flags(batch["flags"])
        unreadable += batch["unreadable"]
        images += batch["images"]
        for image in batch["images"]:
            tally.take(image)
    if not tally.images:
        example = f" ({unreadable[0]['name']}: {unreadable[0]['reason']})" if unreadable else ""
        raise Unusable(f"none of the {len(unreadable):,} images could be decoded{example}")
    return {
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
        "disagreements": tally.disagreements,
        "images": images,
    }


def accuracy(tally: Tally, impl: str) -> dict[str, Any]:
    """Right images (with shares of ties, if the rule gives them), their share, and how many labels were in a tie."""
    found: dict[str, Any] = {"tied": tally.tied[impl]}
    for k in (1, TOP):
        right = tally.credit[impl, k]
        found[f"top{k}"] = {"right": float(right), "share": float(right / tally.images)}
    return found
