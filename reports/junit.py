"""Findings and audits as JUnit XML, which CI systems show as test results."""

from __future__ import annotations

import re
from itertools import groupby
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from ..checks.audit.result import ANOTHER, CONVENTION, DEVIATION, UNEXPLAINED, Audit
from ..checks.finding import Finding, Status
from . import audit_words
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
    return document(root)


def document(root: Element) -> str:
    indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def of_audit(audit: Audit, fail_on: str = DEVIATION) -> str:
    """One suite: a case for each layer that is as it should be, and for each deviation; those that count have failed."""
    root = Element("testsuites", name="alexnet-parity")
    name = clean(audit_words.line(audit.target))
    suite = SubElement(root, "testsuite", name=f"{name} {audit.nearest_variant}")
    told = audit_words.told_once(audit.deviations)
    touched = {one.at for one in audit.deviations} | {one.layer for one in audit.deviations}
    for row in audit.rows:
        if not {row.at, row.layer} & (touched - {""}):
            text = clean(audit_words.line(f"{row.layer or row.at}: {row.read}"))
            SubElement(suite, "testcase", classname=f"{name}.layer", name=text)
    for one in told:
        deviating(suite, name, one, fail_on)
    if audit.verdict == ANOTHER:
        case = SubElement(suite, "testcase", classname=f"{name}.layer", name="is an AlexNet")
        SubElement(case, "failure", type="no AlexNet", message=clean(audit_words.verdict_line(audit)))
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    return document(root)


def deviating(suite: Element, target: str, told: audit_words.Told, fail_on: str) -> None:
    """A case for a deviation; one that does not count has its text on standard output."""
    one = told.one
    name = clean(audit_words.line(f"{told.where}{f' [{one.trap}]' if one.trap else ''}"))
    case = SubElement(suite, "testcase", classname=f"{target}.{one.kind}", name=name)
    message = f"found {audit_words.few(told.found)}, expected {audit_words.few(told.expected)}"
    text = clean("\n".join(filter(None, (message, told.effects, *audit_words.causes(told), one.source))))
    if one.kind == UNEXPLAINED or (one.kind != CONVENTION and fail_on == DEVIATION):
        SubElement(case, "failure", type=one.kind, message=clean(message)).text = text
    else:
        SubElement(case, "system-out").text = text


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
