"""One verdict on one thing: what was expected, what was got, and how to see it again."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from .compare import Comparison


class Status(StrEnum):
    PASS = "PASS"
    FAIL = "FAIL"
    KNOWN = "KNOWN"  # deviates as recorded, with a reason
    UNSUPPORTED = "UNSUPPORTED"  # cannot be asked of this implementation
    BLIND = "BLIND"  # the check could not have seen the fault it looks for
    ERROR = "ERROR"  # nothing could be judged


GOOD = (Status.PASS, Status.KNOWN, Status.UNSUPPORTED)


@dataclass(frozen=True)
class Finding:
    """A check yields it with what it knows; the harness fills in who, where and how to run it again.

    error_over_bound: the largest error as a share of its bound. For bitwise comparisons the bound is half a unit in the
    last place (nothing nearer is another number), so equal is 0 and one ulp away is 2. None where nothing finite could
    be compared. `numbers` holds measurements that reports tabulate and plot.
    """

    status: Status
    layer: str = ""
    expected: str = ""
    got: str = ""
    error_over_bound: float | None = None
    source: str = ""
    hint: str = ""
    numbers: dict[str, float] = field(default_factory=dict)
    check: str = ""
    impl: str = ""
    variant: str = ""
    stimulus: str = ""
    seed: int = 0
    device: str = ""
    replay: str = ""

    def good(self) -> bool:
        return self.status in GOOD

    def filled(self, **context: Any) -> Finding:
        """The same finding with context filled in wherever the check left it empty."""
        return dataclasses.replace(self, **{k: v for k, v in context.items() if getattr(self, k) in ("", 0)})

    def as_dict(self) -> dict[str, Any]:
        """For JSON, which knows no infinity and no NaN: measurements that are not finite are left out."""
        share = self.error_over_bound
        return dataclasses.asdict(self) | {
            "status": self.status.value,
            "error_over_bound": share if share is not None and math.isfinite(share) else None,
            "numbers": {name: value for name, value in self.numbers.items() if math.isfinite(value)},
        }

    def line(self) -> str:
        """One line for a terminal."""
        where = " ".join(part for part in (self.impl, self.variant, self.check, self.stimulus, self.layer) if part)
        text = f"{self.status:<11} {where}: expected {self.expected}, got {self.got}"
        return f"{text} ({self.hint})" if self.hint else text


def judged(outcome: Comparison, layer: str, expected: str, **more: Any) -> Finding:
    """A comparison's outcome as a finding: PASS or FAIL, and what was measured."""
    status = Status.PASS if outcome.ok else Status.FAIL
    numbers = dict(outcome.numbers) | more.pop("numbers", {})
    return Finding(status, layer, expected, outcome.got, outcome.share, numbers=numbers, **more)
