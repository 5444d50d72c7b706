"""Claims that are decided by running: each implementation agrees with the oracle, so that the verdict rests on all."""

import pytest

from alexnet_parity.checks.claims import front, network  # noqa: F401  (bind the checks)
from alexnet_parity.checks.claims.verdict import CHECKS, Facts

EXECUTED = (
    "data-top5-definition",
    "relu-definition",
    "relu-positive-input-learns",
    "gpu-l3-all-l2",
    "gpu-l4-same-gpu",
    "lrn-formula",
    "lrn-window-bounds",
    "lrn-n-total-kernels",
    "lrn-after-relu",
    "lrn-no-mean-subtraction",
    "pool-window-centred",
    "arch-stride-rf-centres",
    "arch-extra-within-map-norm",
    "arch-relu-every-layer",
    "arch-objective",
)


@pytest.mark.parametrize("name", EXECUTED)
def test_agrees_with_the_oracle(impl, name):
    found = CHECKS[name](Facts(impls=(impl,)))
    assert f"the float64 oracle and {impl} agree" in found.evidence
    assert found.verdict is CHECKS[name](Facts()).verdict
