"""What one implementation did under one condition, summed up over its layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..finding import Finding, Status


@dataclass(frozen=True)
class Outcome:
    """status: the worst of its findings. ulps, moved (share of the numbers), share (of the bound): the largest of any layer,
    infinite where numbers are not finite.

    first: the first layer whose bits moved, "" if none; layers: how many moved, of how many. arithmetic: in fewer bits, on
    purpose, these; "" if no number left float32's bound so. things: what is judged, layers' outputs or gradients.
    fewer: in fewer bits, the largest share of that format's bound, and how many numbers lie beyond its range.
    """

    status: Status
    reason: str = ""
    ulps: float = 0.0
    moved: float = 0.0
    share: float = 0.0
    first: str = ""
    layers: int = 0
    asked: int = 0
    why: str = ""
    arithmetic: str = ""
    things: str = "layers"
    fewer: float = 0.0
    beyond: float = 0.0

    @property
    def reduced(self) -> bool:
        return bool(self.arithmetic)

    @property
    def same_bits(self) -> bool:
        return bool(self.asked) and not self.layers

    @property
    def text(self) -> str:
        """In a line."""
        if self.status is Status.UNSUPPORTED:
            return self.reason
        if not self.asked:
            return f"{self.status:<6} {self.reason}"
        bits = (
            "same bits" if self.same_bits else f"{self.layers} of {self.asked} {self.things} move from {self.first} on"
        )
        far = "" if self.same_bits else f", {ulp(self.ulps)}"
        return f"{self.status:<6} {bits}{far}; {share(self.share)}"


def ulp(distance: float) -> str:
    return f"{distance:,.0f} ulp at most" if math.isfinite(distance) else "not finite"


def share(of_bound: float) -> str:
    return f"{of_bound:.1%} of the bound" if math.isfinite(of_bound) else "out of any bound"


BACK = "condition-gradient-"  # so begin the checks of gradients
REDUCED = "computed in "  # so begins the hint of a number over float32's bound in a mode of fewer bits
ORDER = (Status.ERROR, Status.FAIL, Status.BLIND, Status.KNOWN, Status.PASS, Status.UNSUPPORTED)  # worst first


def is_back(finding: Finding) -> bool:
    """Is it about a gradient?"""
    return finding.check.startswith(BACK)


def of(findings: Sequence[Finding], things: str = "layers") -> Outcome:
    """The outcome of the findings about one implementation under one condition, one way: forward or back."""
    status = min((finding.status for finding in findings), key=ORDER.index)
    layers = [finding for finding in findings if "moved" in finding.numbers]
    moved = [finding for finding in layers if finding.numbers["moved"]]
    return Outcome(
        status,
        reason=next((f.got for f in findings if f.status in (status, Status.UNSUPPORTED)), ""),
        ulps=max((f.numbers.get("ulps", math.inf) for f in moved), default=0.0),
        moved=max((f.numbers["moved"] for f in moved), default=0.0),
        share=max((math.inf if f.error_over_bound is None else f.error_over_bound for f in layers), default=0.0),
        first=moved[0].layer if moved else "",
        layers=len(moved),
        asked=len(layers),
        why=moved[0].hint if moved else "",
        arithmetic=next((said_of(f) for f in findings if f.hint.startswith(REDUCED)), ""),
        things=things,
        fewer=max((f.numbers.get("fewer", 0.0) for f in layers), default=0.0),
        beyond=sum(f.numbers.get("beyond", 0.0) for f in layers),
    )


def said_of(finding: Finding) -> str:
    """The arithmetic that a hint names: "computed in tf32, as it was set to"."""
    return finding.hint.removeprefix(REDUCED).partition(",")[0]
