"""Each framework under each of its settings: the probe names what a layer computes in, in every layer, and never cries wolf."""

from __future__ import annotations

import pytest
from harness import bad, verified

from alexnet_parity.checks.finding import Finding, Status
from alexnet_parity.checks.precision import judge
from alexnet_parity.checks.recording import Feed
from alexnet_parity.checks.running import record
from alexnet_parity.checks.truth import Truth
from alexnet_parity.impls import find
from alexnet_parity.impls.settings import table
from alexnet_parity.reference import stimuli, variants
from alexnet_parity.reference.spec import AFFINE

ALONE = ("precision-inputs", "precision-accumulator")
SEEDS = 100
CHUNK = 25


def reduced(impl: str) -> list[table.Setting]:
    """The settings of an implementation that ask for less than float32, on a CPU."""
    return [s for s in table.settings_of(impl) if s.arithmetic != "float32" and not s.cuda]


def pytest_generate_tests(metafunc):
    if "narrow" in metafunc.fixturenames:
        impls = metafunc.config.getoption("impl") or find.runnable()
        names = [f"{impl}@{setting.name}" for impl in impls for setting in reduced(impl)]
        metafunc.parametrize("narrow", names)


def asked_for(module) -> bool:
    """Does the setting only ask a library for less, which it may do or not? Then it tells in the flag `products`."""
    given = stimuli.stimulus(variants.variant("paper-thin"), "probe.fc8", 0)
    return "products" in module.build(given.network, given.params).flags()


def test_a_setting_computes_in_what_it_says_and_the_gate_fails(narrow, monkeypatch):
    target = find.find(narrow)
    for name, value in target.environment.items():
        monkeypatch.setenv(name, value)  # taken back after the test
    wanted = table.setting_of(target.impl, target.setting).arithmetic
    module = find.load(target)
    layers = [layer.name for layer in variants.variant("paper-thin").layers if isinstance(layer, AFFINE)]
    found = verified(module, "paper-thin", ALONE)
    said = {f.layer: f.got.partition(" (")[0] for f in found if f.check == "precision-inputs"}
    assert list(said) == layers
    assert set(said.values()) <= ({wanted, "float32"} if asked_for(module) else {wanted})
    assert not any("unexplained" in f.got for f in found)
    failed = {f.layer for f in found if f.check == "precision-inputs" and f.status is Status.FAIL}
    assert failed == {layer for layer in layers if said[layer] != "float32"}
    assert bool(bad(found)) == bool(failed)


def test_float32_is_float32_in_every_kind_of_layer(module):
    for variant in stimuli.BARE:
        found = [f for f in verified(module, variant, ALONE) if f.status is not Status.UNSUPPORTED]
        assert not bad(found), [f.line() for f in bad(found)]
        assert {f.got for f in found if f.check == "precision-inputs"} == {"float32"}
        assert all(f.got.startswith(("float32", "float64")) for f in found if f.check == "precision-accumulator")


def test_asked_as_a_whole_network_it_is_float32_too(module):
    assert not bad(verified(module, "paper-thin", ("precision-chain-inputs", "precision-chain-accumulator")))


def judged(module, name: str, seed: int) -> list[Finding]:
    """What the probe finds in one stimulus of the thin network."""
    given = stimuli.stimulus(variants.variant("paper-thin"), name, seed)
    recording, truth = record(module, given, Feed("paper-thin", name, read_back=False)), Truth(given)
    return [*judge.inputs(recording, truth), *judge.accumulator(recording, truth)]


@pytest.mark.parametrize("start", range(1, SEEDS + 1, CHUNK), ids=lambda start: f"seeds {start} to {start + CHUNK - 1}")
def test_no_false_alarm(module, start):
    """The whole network at every other seed, two layers alone between: a model is built once or twice, not nine times."""
    alone = [name for name in stimuli.names(variants.variant("paper-thin")) if name.startswith("probe.")]
    for seed in range(start, start + CHUNK):
        two = [alone[seed // 2 % len(alone)], alone[(seed // 2 + len(alone) // 2) % len(alone)]]
        found = [f for name in (["probe"] if seed % 2 else two) for f in judged(module, name, seed)]
        assert len(found) == 2 * (len(alone) if seed % 2 else 2)
        assert not bad(found), (seed, [finding.line() for finding in bad(found)])
