"""Published AlexNets as they are installed: everything listed is there, is what was read, and is audited as its source says.

Run by `tox -e wild`, which installs them; elsewhere nothing here can pass.
"""

from __future__ import annotations

import pytest

from alexnet_parity.checks.audit import wild
from alexnet_parity.impls.foreign import published

SUBJECTS = published.subjects()


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_it_is_installed_and_the_very_source_that_was_read(subject):
    assert subject.absent() == ""
    assert subject.altered() == []


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_its_audit_is_what_its_source_says(subject):
    outcome = wild.outcome(subject)
    assert outcome.disagreements == ()
    assert outcome.agrees


def test_an_audit_of_one_is_not_what_the_source_of_another_says():
    first, second = (s for s in SUBJECTS if s.package == "pytorchcv" and not s.control)
    audit = wild.outcome(first).audit
    assert wild.Outcome(second, audit).disagreements
