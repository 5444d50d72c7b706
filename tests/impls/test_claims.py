"""Claims that are decided by running: each implementation agrees with the oracle, so that the verdict rests on all."""

import pytest
from executed import EXECUTED

from alexnet_parity.checks.claims import front, network  # noqa: F401  (bind the checks)
from alexnet_parity.checks.claims.verdict import CHECKS, Facts


@pytest.mark.parametrize("name", ["data-top5-definition", *EXECUTED])
def test_agrees_with_the_oracle(impl, name):
    found = CHECKS[name](Facts(impls=(impl,)))
    assert f"the float64 oracle and {impl} agree" in found.evidence
    assert found.verdict is CHECKS[name](Facts()).verdict
