"""Each framework's gradients: no false alarm, planted faults are seen, choices are told.

That every gradient check passes on every thin network is among what `test_parity.py` shows of all checks.
"""

from __future__ import annotations

import pytest
from gradient_faults import FAULTS, check_caught
from harness import bad, verified

pytestmark = pytest.mark.offers("backward")

SEEDS = range(1, 11)
FEW = SEEDS[:3]  # Keras runs TensorFlow's own kernels, and takes seconds to build each network
WHOLE_NETWORK = (
    "gradient-exact-chain",
    "gradient-exact-local",
    "gradient-ties",
    "gradient-loss",
    "gradient-local-large",
    "gradient-chain-large",
)

# One of each kind: the loss, normalisation, ties, a convolution, groups, ReLU, a dense layer's weight.
PLANTED = (
    "softmax-twice-at-logits",
    "label-smoothing-at-logits",
    "lrn-constant-at-norm1",
    "ties-to-each-at-pool1",
    "kernels-not-flipped-at-conv3",
    "groups-weights-swapped-at-conv4.weight",
    "relu-passes-all-at-relu3",
    "decay-inside-at-fc7.weight",
)


def test_no_false_alarm(impl, module):
    for seed in FEW if impl.startswith("keras") else SEEDS:
        wrong = bad(verified(module, "paper-thin", WHOLE_NETWORK, seed))
        assert not wrong, (seed, [f.line() for f in wrong])


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if str(fault) in PLANTED], ids=str)
def test_planted_fault_is_seen_and_named(module, fault):
    check_caught(module, fault)


def test_all_planted_faults_are_in_the_table():
    assert set(PLANTED) <= {str(fault) for fault in FAULTS}


def test_what_is_chosen_at_ties_is_told(module):
    found = {f.layer: f for f in verified(module, "paper-thin", ("gradient-ties",))}
    assert found["pool1"].numbers["asked"] > 0
    assert found["pool1"].got.split(" (")[0] in ("the first", "the last", "all, divided evenly")
    assert found["relu1"].status == "PASS"
