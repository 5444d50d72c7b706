"""One claim of the paper, in our words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class How(Enum):
    """What a check of a claim rests on."""

    ARITHMETIC = "arithmetic"
    EXECUTED = "run on shared weights"
    ORIGINAL = "the authors' configurations and run notes"
    PUBLISHED = "a published page"
    CIFAR = "needs CIFAR-10"
    IMAGENET = "needs ImageNet"
    HARDWARE = "needs the hardware of 2012"


@dataclass(frozen=True)
class Claim:
    """`section` is the paper's ("Abstract", "3.3", "Table 2"); `source` is where the evidence lies: repository, file, line.

    `needs` says what it would take, for a claim that can't be checked here. `reread`: what we took the verdict for at first,
    and what changed it.
    """

    id: str
    section: str
    says: str
    how: tuple[How, ...]
    source: str
    needs: str = ""
    reread: str = ""
