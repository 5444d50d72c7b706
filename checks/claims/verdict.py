"""What a claim's check says, how checks are bound to claims, and what they are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from ...reference import variants
from ...reference.original_code.code import OriginalCode
from ...reference.spec import Network


class Verdict(Enum):
    HOLDS = "holds"
    CONTRADICTED = "contradicted"
    UNDERSPECIFIED = "underspecified"
    NOT_CHECKABLE = "not checkable here"


@dataclass(frozen=True)
class Outcome:
    """`evidence`: what was computed, run or read, with its numbers, in a sentence or two."""

    verdict: Verdict
    evidence: str


@dataclass(frozen=True)
class Facts:
    """Everything that a check may look at. Change one and the verdicts that rest on it must change with it."""

    paper: Network = field(default_factory=lambda: variants.variant("paper-224"))
    original: OriginalCode = field(default_factory=OriginalCode.recorded)
    impls: tuple[str, ...] = ()  # implementations to run on shared weights, beside the oracle


Check = Callable[[Facts], Outcome]
CHECKS: dict[str, Check] = {}


def decides(*claims: str) -> Callable[[Check], Check]:
    """Bind a check to the claims that it decides; binding a claim twice is a mistake."""

    def bind(check: Check) -> Check:
        for claim in claims:
            if claim in CHECKS:
                raise ValueError(f"claim {claim} has two checks")
            CHECKS[claim] = check
        return check

    return bind


def holds_if(condition: object, evidence: str) -> Outcome:
    return Outcome(Verdict.HOLDS if condition else Verdict.CONTRADICTED, evidence)
