"""The probe names the arithmetic of a NumPy network that computes in it, in every layer, and passes float32 alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy_alexnet
import pytest
from harness import bad, verified
from numpy_arithmetics import (
    Module,
    Winograd,
    bfloat16,
    bfloat16_truncated,
    cut,
    float16,
    fused,
    in_blocks,
    in_float64,
    in_pieces,
    narrow_sums,
    once_rounded,
    one_by_one,
    tensor_core,
    tf32,
    tf32_truncated,
    winograd,
)

from alexnet_parity.checks.catalogue import select
from alexnet_parity.checks.finding import Status
from alexnet_parity.checks.precision import judge, order, terms, transform
from alexnet_parity.checks.precision.verdict import verdict
from alexnet_parity.checks.recording import Feed
from alexnet_parity.checks.running import record
from alexnet_parity.checks.truth import Truth
from alexnet_parity.reference import oracle, stimuli, variants
from alexnet_parity.reference.spec import AFFINE, Conv

ALONE = ("precision-inputs", "precision-accumulator")
CHAIN = ("precision-chain-inputs", "precision-chain-accumulator")
SPLIT, FUSED = ", split accumulation", ", fused multiply-add"

# What it computes in, what is found of its inputs and of its sums.
CASES = {
    "float32": (Module(), "float32", "float32"),
    "float32, last product first": (Module(backwards=True), "float32", "float32"),
    "fused multiply-add": (Module(total=fused), "float32", "float32, fused multiply-add"),
    "float64 sums": (Module(total=in_float64), "float32", "float64"),
    "tf32": (Module(tf32, tf32), "tf32 (11 significant bits)", "float32"),
    "tf32, fused": (Module(tf32, tf32, fused), "tf32 (11 significant bits)", "float32"),
    "tf32, truncated": (Module(tf32_truncated, tf32_truncated), "tf32 truncated (11 significant bits)", "float32"),
    "bfloat16": (Module(bfloat16, bfloat16), "bfloat16 (8 significant bits)", "float32"),
    "bfloat16, truncated": (
        Module(bfloat16_truncated, bfloat16_truncated),
        "bfloat16 truncated (8 significant bits)",
        "float32",
    ),
    "bfloat16 in and out": (
        Module(bfloat16, bfloat16, result=bfloat16),
        "bfloat16 (8 significant bits)",
        "float32, results rounded to bfloat16",
    ),
    "bfloat16 throughout": (
        Module(bfloat16, bfloat16, one_by_one(bfloat16)),
        "bfloat16 (8 significant bits)",
        "bfloat16",
    ),
    "float16": (Module(float16, float16), "float16 (11 significant bits)", "float32"),
    "float16 throughout": (Module(float16, float16, one_by_one(float16)), "float16 (11 significant bits)", "float16"),
    "results in bfloat16": (Module(result=bfloat16), "float32", "float32, results rounded to bfloat16"),
    "results in float16": (Module(result=float16), "float32", "float32, results rounded to float16"),
    "weights in bfloat16": (Module(weights=bfloat16), "activations float32, weights bfloat16", "float32"),
    "activations in tf32": (Module(activations=tf32), "activations tf32, weights float32", "float32"),
    "bfloat16 three times": (Module(total=in_pieces(bfloat16, 2)), "bfloat16x3", "float32"),
    "tensor cores": (
        Module(tf32, tf32, tensor_core(1, 4)),
        "tf32 (11 significant bits)",
        "float32 of tensor cores (1 extra bits)",
    ),
    "sums of 14 bits": (Module(total=narrow_sums(14)), "float32", "14 significant bits"),
}
JUDGES = (judge.inputs, judge.accumulator)
SOME = ("conv1", "conv5", "fc6", "fc8")  # large and small maps, in groups, many units and few
FINE = ("float32", "float32, fused multiply-add", "float64")


def found(module, variant="paper-thin", layers=None, seed=0):
    """{layer: (what is found of its inputs, of its sums)}."""
    network = variants.variant(variant)
    names = layers or [layer.name for layer in network.layers if isinstance(layer, AFFINE)]
    said = {}
    for layer in names:
        given = stimuli.stimulus(network, f"probe.{layer}", seed)
        recording = record(module, given, Feed(variant, given.name, read_back=False))
        said[layer] = tuple(one for check in JUDGES for one in check(recording, Truth(given)))
    return said


def in_whole(module):
    """The same of the layers of a whole network, each by what it was fed."""
    findings = verified(module, "paper-thin", CHAIN)
    said = {(f.layer, f.check): f for f in findings}
    return {layer: tuple(said[layer, check] for check in CHAIN) for layer, _ in said}


def plain(text):
    return text.replace(SPLIT, "")


@pytest.mark.parametrize("case", CASES)
def test_the_arithmetic_is_named_in_layers_of_every_shape(case):
    """In all layers of all settings of the frameworks: tests/impls/test_precision.py."""
    module, inputs, sums = CASES[case]
    for layer, (read, summed) in found(module, layers=SOME).items():
        assert (read.got, plain(summed.got)) == (inputs, sums), layer
        assert (read.status is Status.PASS) == (inputs == "float32") == (not read.hint), layer
        assert (summed.status is Status.PASS) == (plain(sums) in FINE), layer
        assert read.numbers["activation_bits"] == (24 if inputs.startswith(("float32", "activations float32")) else
                                                   8 if "bfloat16" in inputs else 11)  # fmt: skip


@pytest.mark.parametrize(
    ("variant", "layers"),
    [("original-no-communication-thin", ("fc6", "fc7")), ("cifar-11pct-thin", ("local3", "local4"))],
)
@pytest.mark.parametrize("case", ["float32", "fused multiply-add", "tf32", "bfloat16 throughout", "float16"])
def test_named_in_grouped_dense_and_unshared_layers_too(case, variant, layers):
    module, inputs, sums = CASES[case]
    for layer, (read, summed) in found(module, variant, layers).items():
        assert (read.got, plain(summed.got)) == (inputs, sums), layer


@pytest.mark.parametrize("case", ["tf32", "bfloat16 in and out", "bfloat16 throughout", "float16 throughout"])
def test_named_whatever_the_seed(case):
    module, inputs, sums = CASES[case]
    for seed in range(1, 6):
        for layer, (read, summed) in found(
            module, layers=("conv5", "fc8"), seed=seed
        ).items():  # give the fewest answers
            assert (read.got, plain(summed.got)) == (inputs, sums), (seed, layer)


def test_no_false_alarm_over_100_seeds():
    """Every layer in turn: NumPy's own matrix products, and one product after the other."""
    names = [layer.name for layer in variants.variant("paper-thin").layers if isinstance(layer, AFFINE)]
    for seed in range(100):
        for module, layer in ((numpy_alexnet, names[seed % len(names)]), (Module(), names[(seed + 3) % len(names)])):
            said = found(module, layers=[layer], seed=seed)
            assert not bad([finding for pair in said.values() for finding in pair]), seed


def test_one_narrow_layer_among_others():
    """Whole network: judged on what each layer was really fed."""

    class OneLayer(type(Module().build(variants.variant("paper-thin"), {}))):
        def affine(self, layer, x):
            narrow = dataclasses.replace(self.module, activations=tf32, weights=tf32)
            self.module, plain = (narrow if layer.name == "conv3" else self.module), self.module
            try:
                return super().affine(layer, x)
            finally:
                self.module = plain

    class Fixed:
        variant = "paper-thin"

        @staticmethod
        def build(network, params):
            return OneLayer(Module(), network, dict(params))

    names = [f.layer for f in bad(verified(Fixed, "paper-thin", CHAIN))]
    assert names == ["conv3"]


# Fixed modules --------------------------------------------------------------------------------------------------------


WHOLE = ("float32", "fused multiply-add", "tf32", "bfloat16", "bfloat16 throughout", "float16 throughout")


@pytest.mark.parametrize("case", WHOLE)
def test_a_module_fixed_to_one_network_is_asked_as_a_whole(case):
    module, inputs, sums = CASES[case]
    said = in_whole(module)
    for layer in ("conv1", "conv2", "conv3", "conv4", "conv5"):
        read, summed = said[layer]
        assert inputs.partition(" (")[0] in read.got, layer
        assert plain(sums) in summed.got.replace("float32 or float64", "float32"), layer
        assert (read.status is Status.PASS) == (inputs == "float32"), layer


def test_it_is_the_fallback():
    """One check for those who take one-layer networks, another for those who do not, unless it is asked for."""

    class Fixed:
        variant = "paper-thin"
        build = staticmethod(numpy_alexnet.build)

    by_check = {f.check: f.status for f in verified(Fixed, "paper-thin", ("precision",))}
    assert by_check == dict.fromkeys(ALONE, Status.UNSUPPORTED) | dict.fromkeys(CHAIN, Status.PASS)
    assert {f.check for f in verified(numpy_alexnet, "paper-thin", ("precision",))} == set(ALONE)
    assert [check.fallback for check in select(["precision"])] == [False, False, True, True]


# Split sums and transforms --------------------------------------------------------------------------------------------


def test_several_accumulators_are_named_and_one_is_not():
    layers = ("conv1", "conv2", "fc6")
    for layer, (_, summed) in found(Module(), layers=layers).items():
        assert SPLIT not in summed.got, layer
    said = found(Module(total=in_blocks(4)), layers=layers)
    split = [layer for layer, (_, summed) in said.items() if SPLIT in summed.got]
    assert split == list(layers)
    assert all(read.status is summed.status is Status.PASS for read, summed in said.values())


def test_disjoint_pairs_with_subtrees_of_one_size():
    pair = lambda *taps: frozenset(taps)  # noqa: E731
    serial = {pair(0, 1): 2, pair(2, 3): 4, pair(0, 3): 4, pair(1, 2): 3}
    assert not order.disjoint_alike(serial)
    assert order.disjoint_alike({pair(0, 1): 2, pair(2, 3): 2})


def test_winograds_transform_is_named_where_it_can_be():
    for layer, (read, summed) in found(Winograd(), layers=("conv2", "conv3", "conv5")).items():
        tiled = layer != "conv2"
        assert (read.status, summed.status) == ((Status.BLIND, Status.FAIL) if tiled else (Status.PASS,) * 2), layer
        assert ("Winograd" in summed.got) == tiled


def test_the_emulated_transform_is_a_convolution():
    layer = Conv("c", 5, 3, padding=(1, 1))
    random = np.random.default_rng(0)
    x, weight = random.standard_normal((2, 3, 7, 10)), random.standard_normal((5, 3, 3, 3))
    want = oracle.conv(x, weight, np.zeros(5), layer)
    np.testing.assert_allclose(winograd(x.astype(np.float32), weight.astype(np.float32), layer), want, atol=1e-4)


def test_emulated_fma_rounds_once():
    one = np.array([1 + 2.0**-24])
    assert once_rounded(one, np.array([2.0**-60]))[0] == np.float32(1 + 2.0**-23)
    assert once_rounded(one, np.array([-(2.0**-60)]))[0] == 1


# What nothing explains ------------------------------------------------------------------------------------------------


class Reported:
    """What a layer gives is changed after it was computed."""

    def __init__(self, change):
        self.change = change

    def build(self, network, params):
        outer = self

        class Model(numpy_alexnet.Model):
            def activations(self, x):
                return {name: outer.change(y) for name, y in super().activations(x).items()}

        return Model(network, params)


@pytest.mark.parametrize(
    "change", [lambda y: y * np.float32(1.001), cut(9), lambda y: np.where(y == y.max(), np.nan, y).astype(np.float32)]
)
def test_what_fits_nothing_is_unexplained_never_guessed(change):
    for layer, (read, summed) in found(Reported(change), layers=("conv4", "fc7")).items():
        assert read.status is summed.status is Status.FAIL, layer
        assert read.got.startswith("unexplained") or summed.got.startswith("15 significant bits"), layer


def test_a_single_answer_off_by_one_ulp_is_seen():
    given = stimuli.stimulus(variants.variant("paper-thin"), "probe.conv3", 0)
    layer = given.network.layers[0]
    recording = record(numpy_alexnet, given, Feed("paper-thin", "probe.conv3"))
    got = recording.run()["conv3"].copy()
    few, _ = terms.filters(given.params["conv3.weight"], 180)
    got[0, few.rows[0]] = np.nextafter(got[0, few.rows[0]], np.float32(np.inf))
    assert verdict(layer, given.params, given.x, recording.run()["conv3"]).found
    assert not verdict(layer, given.params, given.x, got).found


def test_a_layer_that_gave_nothing_is_an_error():
    class Silent(numpy_alexnet.Model):
        def activations(self, x):
            return {}

    class Nothing:
        build = staticmethod(Silent)

    assert {f.status for pair in found(Nothing, layers=("fc8",)).values() for f in pair} == {Status.ERROR}


def test_transforms_are_no_dense_layers():
    given = stimuli.stimulus(variants.variant("paper-thin"), "probe.fc6", 0)
    asked = terms.terms(given.network.layers[0], given.params, given.x, np.zeros((len(given.x), 37), np.float32))
    assert not transform.like(given.network.layers[0], given.params, given.x, asked)


def test_terms_are_what_each_answer_sums():
    """Against the oracle: wherever a filter has up to three taps, its terms add up to its answer."""
    for name in ("probe.conv2", "probe.fc7"):
        given = stimuli.stimulus(variants.variant("original-no-communication-thin"), name, 2)
        layer = given.network.layers[0]
        want = oracle.apply(layer, given.params, given.x.astype(np.float64))
        asked = terms.terms(layer, given.params, given.x, want)
        np.testing.assert_array_equal((asked.x.astype(np.float64) * asked.weight).sum(axis=1), asked.got)
        assert np.unique(asked.place[1]).size < want.shape[1]
