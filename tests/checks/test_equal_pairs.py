"""The equal pairs: they hold on the oracle, on NumPy in float32 and on every framework at hand, and a fault breaks each."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import numpy_alexnet
import pytest

from alexnet_parity.checks import equal_pairs
from alexnet_parity.checks.finding import Status
from alexnet_parity.checks.pairs import Arithmetic, pairs
from alexnet_parity.impls.interface import Unsupported
from alexnet_parity.reference.spec import Conv, Lrn, Pool, Relu
from alexnet_parity.reference.stimuli import Stimulus

PAIRS = {pair.name: pair for pair in pairs(0)}


def on(module, seed=0):
    return list(equal_pairs.of_implementation(module, "subject", seed))


def statuses(findings, name):
    return {finding.status for finding in findings if finding.check == f"pair-{name}"}


def test_every_pair_holds_on_the_oracle_and_on_numpy():
    for found in (list(equal_pairs.of_oracle(1)), on(numpy_alexnet, seed=1)):
        assert [finding.line() for finding in found if finding.status is not Status.PASS] == []
        assert {f"pair-{name}" for name in PAIRS} <= {finding.check for finding in found}


def test_every_pair_holds_in_every_framework_at_hand(impl, module):
    flags: dict[str, str] = {}
    found = list(equal_pairs.of_implementation(module, impl, 0, flags))
    assert [finding.line() for finding in found if not finding.good()] == []
    known = {finding.check for finding in found if finding.status is Status.KNOWN}
    assert known <= ({"pair-towers-norm1", "pair-towers-norm2"} if impl == "onnxruntime" else set())
    assert len(found) == 3 * len(PAIRS)
    assert flags


def test_a_finding_says_who_what_and_how_to_see_it_again():
    finding = on(numpy_alexnet)[0]
    assert (finding.check, finding.impl, finding.stimulus) == ("pair-conv1-rounded-up", "subject", "exact")
    assert finding.replay == "alexnet-parity differences --impl subject --seed 0"


# Planted faults -----------------------------------------------------------------------------------------------------


def each(kind, **changes):
    """Every layer of a kind with fields changed; a change may be a function of the layer."""

    def edit(network):
        for layer in network.layers:
            if isinstance(layer, kind):
                values = {field: change(layer) if callable(change) else change for field, change in changes.items()}
                network = network.edit(layer.name, **values)
        return network

    return edit


def with_network(edit):
    return SimpleNamespace(build=lambda network, params: numpy_alexnet.build(edit(network), params))


def with_params(change):
    return SimpleNamespace(build=lambda network, params: numpy_alexnet.build(network, change(network, params)))


def groups_swapped(network, params):
    """The second tower's kernels first, where there are two groups."""
    grouped = [layer.name for layer in network.layers if isinstance(layer, Conv) and layer.groups == 2]
    swap = {name: np.concatenate(np.split(value, 2)[::-1]) for name, value in params.items()}
    return {name: swap[name] if name.partition(".")[0] in grouped else value for name, value in params.items()}


def scaled_weights(network, params):
    """Weights brought to a largest value of 2, whatever they were."""
    return {n: 2 * v / np.abs(v).max() if n.endswith("weight") else v for n, v in params.items()}


def relu_lost_before_pool(network):
    order = network.names()
    for layer in network.layers:
        place = order.index(layer.name)
        if isinstance(layer, Relu) and place + 1 < len(order) and order[place + 1].startswith("pool"):
            network = network.swap(layer.name)
    return network


FAULTS = {
    "conv sizes rounded down": (with_network(each(Conv, ceil=False)), {"conv1-rounded-up"}),
    "padding put before": (
        with_network(each(Conv, padding=lambda layer: layer.padding[::-1])),
        {"conv1-rounded-up", "conv1-227", "conv1-zeros-1-2", "conv1-zeros-2-1", "conv1-zeros-3-0", "conv1-zeros-2-2"},
    ),
    "towers in the wrong order": (
        with_params(groups_swapped),
        {"towers-conv2", "towers-conv4", "towers-conv5", "towers-conv1-to-pool2"},
    ),
    "LRN across the towers": (with_network(each(Lrn, towers=1)), {"towers-norm1"}),
    "LRN always in towers": (with_network(each(Lrn, towers=2)), {"towers-norm1"}),
    "alpha divided by n": (with_network(each(Lrn, alpha=2e-5)), {"towers-norm1"}),
    "ReLU lost before pooling": (with_network(relu_lost_before_pool), {"relu-pool", "relu5-pool5"}),
    "pooling rounded up another way": (
        with_network(each(Pool, kernel=lambda layer: 2 if layer.ceil else layer.kernel)),
        {"pool-rounding-55", "pool-rounding-27", "pool-rounding-13"},
    ),
    "weights normalised": (with_params(scaled_weights), {"dropout-halving"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_fails_its_pairs(fault):
    module, broken = FAULTS[fault]
    found = on(module)
    assert {name for name in PAIRS if statuses(found, name) - {Status.PASS}} >= broken
    assert all(statuses(found, name) & {Status.FAIL, Status.ERROR} for name in broken)


def test_every_pair_has_a_fault_that_breaks_it():
    assert set().union(*(broken for _, broken in FAULTS.values())) == set(PAIRS)


# Judging ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAIRS)
def test_sides_that_differ_or_agree_where_they_should_not_fail(name):
    pair = PAIRS[name]
    one, other = (equal_pairs.side(stimuli, equal_pairs.oracle_runs) for stimuli in (pair.one, pair.other))
    assert equal_pairs.together(pair, one, other).status is Status.PASS
    if pair.equal:
        wrong = other.copy()
        wrong.reshape(-1)[-1] += 1
        assert equal_pairs.together(pair, one, wrong).status is Status.FAIL
    else:
        assert equal_pairs.together(pair, one, one).status is Status.FAIL
        expected_elsewhere = dataclasses.replace(pair, apart=~pair.apart)
        assert equal_pairs.together(expected_elsewhere, one, other).status is Status.FAIL


def test_places_count_from_the_border_inwards():
    assert list(np.flatnonzero(PAIRS["towers-norm1"].apart)) == [46, 47, 48, 49]
    assert PAIRS["conv1-227"].apart.sum() == 109
    assert not PAIRS["conv1-227"].apart[:-1, :-1].any()


def test_a_side_of_another_shape_fails_and_says_so():
    pair = PAIRS["conv1-227"]
    one = equal_pairs.side(pair.one, equal_pairs.oracle_runs)
    finding = equal_pairs.together(pair, one, one[:, :, :-1])
    assert finding.status is Status.FAIL
    assert "shape" in finding.got


def test_a_pair_whose_sums_may_round_is_blind():
    pair = PAIRS["towers-conv2"]
    (one,) = pair.one
    large = dataclasses.replace(pair, one=(Stimulus(one.name, one.network, one.params, one.x * 2**20),))
    (finding,) = equal_pairs.judge(large, equal_pairs.oracle_runs)
    assert finding.status is Status.BLIND


def refuses(network, params):
    raise Unsupported("no such layer")


def breaks(network, params):
    raise RuntimeError("out of cards")


@pytest.mark.parametrize(
    "build, status, words",
    [(refuses, Status.UNSUPPORTED, "no such layer"), (breaks, Status.ERROR, "RuntimeError: out of cards")],
)
def test_an_implementation_that_gives_nothing_is_never_a_pass(build, status, words):
    found = on(SimpleNamespace(build=build))
    assert {finding.status for finding in found} == {status}
    assert len(found) == len(PAIRS)
    assert all(words in finding.got for finding in found)


def test_nan_fails():
    class Model(numpy_alexnet.Model):
        def activations(self, x):
            return {name: value * np.float32("nan") for name, value in super().activations(x).items()}

    found = on(SimpleNamespace(build=Model))
    assert all(Status.FAIL in statuses(found, name) for name in PAIRS)


def test_dropout_without_the_halved_weights_is_another_function(monkeypatch):
    assert {finding.status for finding in equal_pairs.dropout_conventions(0)} == {Status.PASS}
    real = equal_pairs.through
    monkeypatch.setattr(equal_pairs, "through", lambda x, weights, factors: real(x, weights, [1.0, 1.0]))
    assert {finding.status for finding in equal_pairs.dropout_conventions(0)} == {Status.FAIL}


def test_exact_pairs_are_proved_exact_and_the_others_sum_nothing():
    for pair in PAIRS.values():
        if pair.arithmetic is Arithmetic.EXACT:
            assert equal_pairs.may_round(pair) == ""
        else:
            kinds = {layer.kind for stimulus in (*pair.one, *pair.other) for layer in stimulus.network.layers}
            assert kinds <= ({"lrn"} if pair.arithmetic is Arithmetic.LRN else {"relu", "pool"})
