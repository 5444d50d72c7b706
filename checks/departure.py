"""Where an implementation first departs: the earliest layer that fails, judged alone before anything else."""

from __future__ import annotations

from collections.abc import Iterable

from ..reference import variants
from .finding import Finding

ALONE = ("local-", "exact-dense", "exact-local", "exact-one-tap")  # what judges a layer on what it was really fed


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """What is wrong, causes before consequences: by layer, a layer judged alone first, with a hint before without."""
    return sorted((finding for finding in findings if not finding.good()), key=rank)


def first(findings: Iterable[Finding]) -> list[Finding]:
    """The first departure of each implementation (or pair) on each variant."""
    found: dict[tuple[str, str], Finding] = {}
    for finding in in_order(findings):
        found.setdefault((finding.impl, finding.variant), finding)
    return list(found.values())


def rank(finding: Finding) -> tuple[bool, int, bool, bool]:
    try:
        names = variants.variant(finding.variant).names()
    except KeyError:
        names = []
    place = names.index(finding.layer) if finding.layer in names else len(names)
    return "~" in finding.impl, place, not finding.check.startswith(ALONE), not finding.hint
