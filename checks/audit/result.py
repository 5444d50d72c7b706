"""What an audit says: a verdict, and every deviation with its layer, size and cause."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

SCHEMA = "alexnet-parity/audit/1"

DEVIATION, CONVENTION, UNEXPLAINED = "deviation", "convention", "unexplained"

# Verdicts, best first.
EQUAL, CONVENTIONAL, DEVIATES, UNCLEAR, ANOTHER = "equal", "conventions only", "deviates", "unexplained", "no AlexNet"


@dataclass(frozen=True)
class Deviation:
    """One way in which the model is not the paper's network, or not the nearest variant.

    layer: the paper's name of it; at: the model's own. trap: the catalogue's id, "" where it has none. kind: a mistake
    ("deviation"), somebody's choice ("convention": `agrees_with` says whose) or "unexplained". effect: how far outputs move;
    local and final: the same as a share of the layer's and of the network's output (None: shapes differ, or nothing moves there).
    """

    layer: str
    trap: str
    kind: str
    found: str
    expected: str
    effect: str
    cause: str
    source: str
    at: str = ""
    agrees_with: tuple[str, ...] = ()
    local: float | None = None
    final: float | None = None


@dataclass(frozen=True)
class Row:
    """One layer of the model: its own name and call, what it was read as, and the share of the bound that this took."""

    at: str
    call: str
    read: str
    layer: str
    shape: tuple[int, ...]
    share: float
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Audit:
    target: str
    framework: str
    nearest_variant: str
    verdict: str
    deviations: tuple[Deviation, ...]
    rows: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()
    input_shape: tuple[int, ...] = ()
    batch: int = 0
    seed: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def fails(self, on: str = DEVIATION) -> bool:
        """Does it fail? `on`: "deviation" (and anything unexplained) or "unexplained" alone."""
        kinds = {d.kind for d in self.deviations}
        return self.verdict == ANOTHER or UNEXPLAINED in kinds or (on == DEVIATION and DEVIATION in kinds)

    def as_json(self) -> str:
        return json.dumps({"schema": SCHEMA, **finite(self.as_dict())}, indent=1, allow_nan=False)

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> Audit:
        """Raises ValueError, in one line, for what is no audit of this schema."""
        try:
            if given.get("schema", SCHEMA) != SCHEMA:
                raise ValueError(f"no audit: found schema {given['schema']!r}, expected {SCHEMA!r}")
            values = {k: v for k, v in given.items() if k != "schema"}
            values["deviations"] = tuple(
                Deviation(**{**d, "agrees_with": tuple(d["agrees_with"])}) for d in values["deviations"]
            )
            values["rows"] = tuple(
                Row(**{**r, "shape": tuple(r["shape"]), "parameters": tuple(r["parameters"])}) for r in values["rows"]
            )
            values["notes"], values["input_shape"] = tuple(values["notes"]), tuple(values["input_shape"])
            return cls(**values)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no audit: {' '.join(str(error).split())}") from None


def finite(value: Any) -> Any:
    """For JSON, which knows no infinity and no NaN: numbers that are not finite become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    return [finite(one) for one in value] if isinstance(value, (list, tuple)) else value


def verdict_of(deviations: Sequence[Deviation]) -> str:
    kinds = {deviation.kind for deviation in deviations}
    if UNEXPLAINED in kinds:
        return UNCLEAR
    return DEVIATES if DEVIATION in kinds else CONVENTIONAL if kinds else EQUAL
