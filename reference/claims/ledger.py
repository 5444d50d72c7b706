"""All claims, in the paper's order: by section, figures where they are printed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

from ..spec import nearest
from . import front, learning, network, results
from .claim import Claim

# The paper's headings, and Figure 2, whose counts are claims of their own, after the section that shows it.
TITLES = {
    "Abstract": "Abstract",
    "1": "1 Introduction",
    "2": "2 The Dataset",
    "3": "3 The Architecture",
    "3.1": "3.1 ReLU Nonlinearity",
    "3.2": "3.2 Training on Multiple GPUs",
    "3.3": "3.3 Local Response Normalization",
    "3.4": "3.4 Overlapping Pooling",
    "3.5": "3.5 Overall Architecture",
    "Fig. 2": "Figure 2",
    "4": "4 Reducing Overfitting",
    "4.1": "4.1 Data Augmentation",
    "4.2": "4.2 Dropout",
    "5": "5 Details of learning",
    "6": "6 Results",
    "6.1": "6.1 Qualitative Evaluations",
    "7": "7 Discussion",
}
PRINTED_IN = {"Fig. 1": "3.1", "Fig. 3": "6.1", "Fig. 4": "6.1", "Table 1": "6", "Table 2": "6"}


def chapter(claim: Claim) -> str:
    """The heading under which a claim is listed: the first place it names ("3.3 fn. 3" is 3.3, "Table 2" is 6)."""
    found = re.match(r"Abstract|Fig\. \d|Table \d|\d(\.\d)?", claim.section.replace("Figure", "Fig."))
    place = PRINTED_IN.get(found.group(), found.group()) if found else ""
    if place not in TITLES:
        raise ValueError(f"claim {claim.id}: found section {claim.section!r}, expected one of {', '.join(TITLES)}")
    return place


def in_order(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """Claims by section, as they come within one; raises ValueError if two have one id."""
    places = list(TITLES)
    ordered = tuple(sorted(claims, key=lambda claim: places.index(chapter(claim))))
    ids = [claim.id for claim in ordered]
    if repeated := sorted({name for name in ids if ids.count(name) > 1}):
        raise ValueError(f"claims with the same id: {', '.join(repeated)}; give each its own")
    return ordered


CLAIMS = in_order((*front.CLAIMS, *network.CLAIMS, *learning.CLAIMS, *results.CLAIMS))


def ids() -> list[str]:
    return [claim.id for claim in CLAIMS]


def claim(name: str) -> Claim:
    """The claim with an id; an unknown one raises KeyError with the nearest."""
    for one in CLAIMS:
        if one.id == name:
            return one
    end = nearest(name, ids())
    raise KeyError(f"no claim {name!r}{end}" + ("" if "?" in end else " reports/claims.md lists them all"))


def sections(claims: Iterable[Claim] | None = None) -> dict[str, tuple[Claim, ...]]:
    """{heading: its claims}, in the paper's order, of all claims or of some; headings without a claim are left out."""
    chosen = CLAIMS if claims is None else in_order(claims)
    return {TITLES[place]: tuple(group) for place, group in itertools.groupby(chosen, chapter)}
