"""Compiled and rearranged modes through the checks; the network's output with nothing recorded on the way."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from faults import Faulty, trapped
from harness import bad, verified

from alexnet_parity.checks.finding import Status
from alexnet_parity.impls import find
from alexnet_parity.impls.interface import Unavailable, Unsupported
from alexnet_parity.impls.settings import table
from alexnet_parity.reference import stimuli, variants

# torch's own, of its compiler's first import: torch/utils/mkldnn.py, line 19
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")

MODES = {
    "torch": ("compile", "channels-last"),
    "tf_nn": ("graph", "xla"),
    "keras": ("graph", "xla"),
    "keras_ops": ("xla",),
}
# One network, not paper-thin: nine layers of it instead of twenty-three have every kind but groups, and compile in seconds.
SHORT = "cifar-18pct-thin"
FORWARD = ("structure", "exact-chain", "exact-local", "local-large", "chain-large", "repeat")


@pytest.fixture(scope="module")
def modes(impl):
    """The implementation's modes, loaded, by name."""
    if impl not in MODES:
        pytest.skip("it has no modes")
    if "compile" in MODES[impl] and shutil.which("g++") is None:
        pytest.skip("no C++ compiler")
    return {mode: find.load(find.find(f"{impl}@{mode}")) for mode in MODES[impl]}


def given(variant: str = SHORT):
    return stimuli.stimulus(variants.variant(variant), "large", 0)


def test_modes_are_in_the_table(impl):
    for mode in MODES.get(impl, ()):
        assert table.setting_of(impl, mode).file == ("torch" if impl == "torch" else impl.removesuffix("_ops"))


@pytest.mark.once
def test_every_mode_passes(modes):
    for mode, module in modes.items():
        wrong = bad(verified(module, "paper-thin" if mode == "graph" else SHORT, FORWARD))
        assert not wrong, (mode, [finding.line() for finding in wrong])


@pytest.mark.once
def test_grappler_divides_by_nine_as_a_product(modes):
    """Its constant folding: a mean of nine whole numbers is no whole number any more, and has the bits again without it."""
    if "graph" not in modes:
        pytest.skip("Grappler is TensorFlow's")
    import tensorflow as tf

    wrong = bad(verified(modes["graph"], SHORT, ("exact-local", "local-large")))
    assert {(f.check, f.layer) for f in wrong} == {("exact-local", "pool2")}
    tf.config.optimizer.set_experimental_options({"constant_folding": False})
    try:
        assert not bad(verified(modes["graph"], SHORT, ("exact-chain", "exact-local")))
    finally:
        tf.config.optimizer.set_experimental_options({"constant_folding": True})


@pytest.mark.once
def test_a_fault_in_a_compiled_mode_is_caught(modes):
    """Planted in the network that the compiler is given."""
    mode, module = next(iter(modes.items()))
    fault = trapped("lrn-missing", "norm1")
    wrong = bad(verified(Faulty(module, fault), SHORT, ("local-large",)))
    assert {f.layer for f in wrong} == {"norm1"}, (mode, [f.line() for f in wrong])


@pytest.mark.once
def test_a_mode_says_what_compiles_it(modes):
    says = {"compile": "inductor", "graph": "Grappler", "xla": "XLA", "channels-last": None}
    stimulus = given()
    for mode, module in modes.items():
        flags = module.build(stimulus.network, dict(stimulus.params)).flags()
        assert flags.get("compiler") == says[mode]


@pytest.mark.once
def test_xla_refuses_the_way_back_through_maxima_and_says_why(impl, modes):
    if "xla" not in modes:
        pytest.skip("torch has no XLA here")
    stimulus = given()
    model = modes["xla"].build(stimulus.network, dict(stimulus.params))
    with pytest.raises(Unsupported, match="no deterministic gradient of max-pooling"):
        model.backward(stimulus.x, labels=stimulus.labels)
    with pytest.raises(Unsupported, match="no deterministic gradient of max-pooling"):
        model.step(stimulus.x, stimulus.labels, 0.01)


@pytest.mark.once
def test_a_graph_gives_gradients_within_their_bounds(modes):
    for mode in {"graph", "channels-last"} & set(modes):
        wrong = bad(verified(modes[mode], SHORT, ("gradient-loss", "gradient-local-large")))
        assert not wrong, (mode, [finding.line() for finding in wrong])


def test_without_a_compiler_it_is_one_line(impl, monkeypatch):
    if impl != "torch":
        pytest.skip("inductor's")
    monkeypatch.setenv("CXX", "no-such-compiler")
    stimulus = given()
    with pytest.raises(Unavailable, match="needs a C\\+\\+ compiler, found no 'no-such-compiler'"):
        find.load(find.find("torch@compile")).build(stimulus.network, dict(stimulus.params))


# The output alone -----------------------------------------------------------------------------------------------------


def judged(change, flags=None, **more):
    """repeat-unrecorded of a model whose output() is `change` of its last activation."""

    def build(network, params):
        model = more["module"].build(network, params)
        last = network.layers[-1].name
        return SimpleNamespace(
            activations=model.activations,
            params=model.params,
            flags=lambda: flags or {},
            output=lambda x: change(dict(model.activations(x))[last]),
        )

    return verified(SimpleNamespace(build=build), SHORT, ("repeat-unrecorded",))


def test_the_output_alone_has_the_bits_of_the_recorded_one(impl, module):
    stimulus = given()
    if not hasattr(module.build(stimulus.network, dict(stimulus.params)), "output"):
        pytest.skip("it offers no output()")
    (finding,) = verified(module, SHORT, ("repeat-unrecorded",))
    assert finding.status is Status.PASS, finding.line()
    assert finding.numbers["ulps_from_recorded"] == 0 or "fuses" in finding.expected


@pytest.mark.once
def test_an_output_that_differs_is_seen(module):
    (finding,) = judged(lambda y: np.nextafter(y, np.float32(1)), module=module)
    assert finding.status is Status.FAIL
    assert "compiler" in finding.hint
    (finding,) = judged(lambda y: np.nextafter(y, np.float32(1)), {"compiler": "somebody's"}, module=module)
    assert finding.status is Status.PASS
    assert finding.numbers["ulps_from_recorded"] == 1
    for change in (lambda y: y * np.float32(1.01), lambda y: y[::-1].copy(), lambda y: y * np.float32("nan")):
        for flags in ({}, {"compiler": "somebody's"}):
            (finding,) = judged(change, flags, module=module)
            assert finding.status is Status.FAIL, finding.line()


@pytest.mark.once
def test_whoever_offers_no_output_is_not_judged_and_one_that_breaks_is_an_error(module):
    def without(network, params):
        model = module.build(network, params)
        return SimpleNamespace(activations=model.activations, params=model.params)

    (finding,) = verified(SimpleNamespace(build=without), SHORT, ("repeat-unrecorded",))
    assert finding.status is Status.UNSUPPORTED

    def broken(y):
        raise ValueError("planted")

    (finding,) = judged(broken, module=module)
    assert finding.status is Status.ERROR
    assert "planted" in finding.got
