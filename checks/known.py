"""Deviations that are known: data with a reason and a link, and strict: one that stops deviating fails.

A framework's own behaviour that we cannot change belongs here, nothing else. What its users may write and should know to
part from the paper (set-ups of optimisers, forms of the loss, crops of a batch) is data of its own check, which yields KNOWN
itself and is as strict: `reference/update_setups.py`, `impls/losses/`, `impls/augmentation/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from .finding import Finding, Status
from .traces.replay import called


@dataclass(frozen=True)
class Known:
    """Patterns (shell style) for who and where; why, and where it is documented.

    cause: a mistake of `checks/traps` by its id, where it depends on the numbers whether the deviation shows. Then a FAIL is
    known only if that alone explains it, and a PASS stays one: that the deviation is still there is shown by a test.
    """

    impl: str
    check: str
    layer: str
    reason: str
    link: str
    variant: str = "*"
    cause: str = ""

    def explains(self, finding: Finding) -> bool:
        named = not self.cause or f"[{self.cause}]" in finding.hint
        return finding.status is Status.FAIL and named

    def concerns(self, finding: Finding) -> bool:
        pairs = (
            (called(finding.impl), self.impl),
            (finding.check, self.check),
            (finding.layer, self.layer),
            (finding.variant, self.variant),
        )
        return all(fnmatchcase(value, pattern) for value, pattern in pairs)


KNOWN: tuple[Known, ...] = (
    Known(
        "*onnxruntime*",
        "*",
        "*",
        "ONNX Runtime's LRN carries its sum of squares along from map to map: it adds the next and takes off the last",
        "https://github.com/microsoft/onnxruntime/blob/main/onnxruntime/core/providers/cpu/nn/lrn.cc",
        cause="lrn-running-sum",
    ),
)


def applied(findings: Iterable[Finding], table: Iterable[Known] | None = None) -> Iterator[Finding]:
    """A FAIL that is known becomes KNOWN; a PASS that should deviate, FAIL; an entry that matches nothing, ERROR."""
    entries = tuple(KNOWN if table is None else table)
    asked: set[Known] = set()
    met: set[Known] = set()
    for finding in findings:
        asked |= {e for e in entries if replace(e, layer="*").concerns(finding)}
        entry = next((e for e in entries if e.concerns(finding)), None)
        met |= {entry} if entry else set()
        if entry and entry.explains(finding):
            yield replace(finding, status=Status.KNOWN, hint=f"{entry.reason} ({entry.link})")
        elif entry and finding.status is Status.PASS and not entry.cause:
            hint = f"no longer deviates ({entry.reason}): remove its entry in checks/known.py"
            yield replace(finding, status=Status.FAIL, hint=hint)
        else:
            yield finding
    for entry in (e for e in entries if e in asked - met):
        got = f"no layer {entry.layer!r}"
        hint = "an entry of checks/known.py that nothing matches: remove it"
        yield Finding(Status.ERROR, expected="a finding", got=got, hint=hint, impl=entry.impl, check=entry.check)
