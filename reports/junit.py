"""Findings as JUnit XML, which CI systems show as test results."""

from __future__ import annotations

import re
from itertools import groupby
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from ..checks.finding import Finding, Status
from .findings_file import Findings


def as_xml(findings: Findings) -> str:
    """A suite for each implementation and variant, a case for each finding; UNSUPPORTED counts as skipped."""

    def suite_of(finding: Finding) -> tuple[str, str]:
        return finding.impl, finding.variant

    root = Element("testsuites", name="alexnet-parity")
    for (impl, variant), cases in groupby(sorted(findings.findings, key=suite_of), key=suite_of):
        suite = SubElement(root, "testsuite", name=f"{impl} {variant}")
        rows = list(cases)
        for finding in rows:
            add(suite, finding)
        statuses = [finding.status for finding in rows]
        suite.set("tests", str(len(rows)))
        suite.set("failures", str(sum(s in (Status.FAIL, Status.BLIND) for s in statuses)))
        suite.set("errors", str(statuses.count(Status.ERROR)))
        suite.set("skipped", str(statuses.count(Status.UNSUPPORTED)))
    indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def add(suite: Element, finding: Finding) -> None:
    name = " ".join(part for part in (finding.check, finding.stimulus, finding.layer, finding.expected) if part)
    case = SubElement(
        suite, "testcase", classname=f"{finding.impl}.{finding.variant}.{finding.check}", name=clean(name)
    )
    if finding.status is Status.UNSUPPORTED:
        SubElement(case, "skipped", message=clean(finding.got))
    elif not finding.good():
        kind = "error" if finding.status is Status.ERROR else "failure"
        detail = SubElement(case, kind, type=finding.status.value, message=clean(finding.got))
        detail.text = clean(f"expected {finding.expected}\n{finding.hint}\nagain: {finding.replay}")


def clean(text: str) -> str:
    """Without the control characters that XML does not allow."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)
