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
    float16,
    fused,
    in_blocks,
    in_float64,
    in_pieces,
    narrow_sums,
    once_rounded,
    one_by_one,
    significant,
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
from alexnet_parity.reference import oracle, precision, stimuli, variants
from alexnet_parity.reference.spec import AFFINE, Conv

ALONE = ("precision-inputs", "precision-accumulator")
CHAIN = ("precision-chain-inputs", "precision-chain-accumulator")
SPLIT, FUSED = ", split accumulation", ", fused multiply-add"


def tf32_away(values):
    """float32 numbers as `cvt.rna.tf32.f32` leaves them: half of what is dropped added to their bits, then the rest cut."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


# What it computes in, what is found of its inputs and of its sums.
CASES = {
    "float32": (Module(), "float32", "float32"),
    "float32, last product first": (Module(backwards=True), "float32", "float32"),
    "fused multiply-add": (Module(total=fused), "float32", "float32, fused multiply-add"),
    "float64 sums": (Module(total=in_float64), "float32", "float64"),
    "tf32": (Module(tf32, tf32), "tf32 (11 significant bits)", "float32"),
    "tf32, fused": (Module(tf32, tf32, fused), "tf32 (11 significant bits)", "float32"),
    "tf32, ties away": (Module(tf32_away, tf32_away), "tf32 ties away (11 significant bits)", "float32"),
    "tf32, ties away, fused": (Module(tf32_away, tf32_away, fused), "tf32 ties away (11 significant bits)", "float32"),
    "activations in tf32, ties away": (
        Module(activations=tf32_away),
        "activations tf32 ties away, weights float32",
        "float32",
    ),
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
    "bfloat16 six times": (Module(total=in_pieces(bfloat16, 3)), "bfloat16x6", "float32"),
    "tf32 three times": (Module(total=in_pieces(tf32, 2)), "tf32x3", "float32"),
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
@pytest.mark.parametrize(
    "case", ["float32", "fused multiply-add", "tf32", "tf32, ties away", "bfloat16 throughout", "float16"]
)
def test_named_in_grouped_dense_and_unshared_layers_too(case, variant, layers):
    module, inputs, sums = CASES[case]
    for layer, (read, summed) in found(module, variant, layers).items():
        assert (read.got, plain(summed.got)) == (inputs, sums), layer


@pytest.mark.parametrize(
    "case",
    [
        "tf32",
        "tf32, ties away",
        "bfloat16 in and out",
        "bfloat16 throughout",
        "float16 throughout",
        "bfloat16 six times",
    ],
)
def test_named_whatever_the_seed(case):
    module, inputs, sums = CASES[case]
    for seed in range(1, 6):
        for layer, (read, summed) in found(
            module, layers=("conv5", "fc8"), seed=seed
        ).items():  # give the fewest answers
            assert (read.got, plain(summed.got)) == (inputs, sums), (seed, layer)


def added(rounded, product):
    """Products rounded in one way, sums in another; the first product is no sum."""

    def total(x, w):
        held = product(x[..., 0].astype(np.float64) * w[..., 0]).astype(np.float64)
        for tap in range(1, x.shape[-1]):
            held = rounded(
                precision.to_odd(held, product(x[..., tap].astype(np.float64) * w[..., tap]).astype(np.float64))
            ).astype(np.float64)
        return held

    return total


def towards_zero(bits):
    """So many significant bits, towards zero; any range."""

    def rounded(values):
        fraction, exponent = np.frexp(values.astype(np.float64))
        return np.ldexp(np.trunc(np.ldexp(fraction, bits)), exponent - bits)

    return rounded


@pytest.mark.parametrize("bits", [23, 22, 15])
@pytest.mark.parametrize("cuts", [False, True], ids=["to nearest", "truncated"])
@pytest.mark.parametrize("place", ["both inputs", "activations", "weights", "sums", "results"])
def test_any_width_is_named_in_whatever_place_and_is_no_pieces(bits, cuts, place):
    """Near float32 too, where a sum of pieces would lie as near."""
    narrow = towards_zero(bits) if cuts else significant(bits)
    module = {
        "both inputs": Module(narrow, narrow),
        "activations": Module(activations=narrow),
        "weights": Module(weights=narrow),
        "sums": Module(total=added(narrow, narrow)),
        "results": Module(result=narrow),
    }[place]
    name = f"{bits} significant bits{' truncated' * cuts}"
    for layer, (read, summed) in found(module, layers=SOME).items():
        at_input, at_sum = place in ("both inputs", "activations", "weights"), place in ("sums", "results")
        assert (name in read.got, name in summed.got) == (at_input, at_sum), (layer, read.got, summed.got)
        assert (read.status is Status.FAIL, summed.status is Status.FAIL) == (at_input, at_sum), layer
        assert "x" not in read.got, layer
        assert "(" not in read.got, layer


@pytest.mark.parametrize(
    "total",
    [added(towards_zero(24), np.float32), added(np.float32, towards_zero(24))],
    ids=["adds cut", "products cut"],
)
def test_what_lies_near_float32_is_no_sum_of_pieces(total):
    """Each product alone is explained by one product in one piece: pieces would show there."""
    for layer, (read, summed) in found(Module(total=total), layers=SOME).items():
        assert read.status is summed.status is Status.FAIL, layer
        assert all(each.got.startswith("unexplained") for each in (read, summed)), layer


@pytest.mark.parametrize("sums", ["largest last", "at once"])
def test_pieces_are_named_in_whatever_order_they_are_summed(sums):
    """In few layers each product alone comes out as float32's: it is what the sum of the pieces gives there too."""

    def total(x, w):
        xs, ws = (precision.pieces_of(values.astype(np.float64), precision.BFLOAT16, 3) for values in (x, w))
        pairs = sorted(((i, j) for i in range(3) for j in range(3 - i)), key=sum, reverse=True)
        parts = np.stack([(xs[i] * ws[j]).sum(axis=-1) for i, j in pairs], axis=-1)
        if sums == "at once":
            return parts.sum(axis=-1).astype(np.float32)
        serial = one_by_one(np.float32)
        parts = [serial(xs[i].astype(np.float32), ws[j].astype(np.float32)) for i, j in pairs]
        return serial(np.stack(parts, axis=-1), np.ones(len(parts), np.float32))

    for seed in range(8):
        for layer, (read, _) in found(Module(total=total), layers=("conv5", "fc8"), seed=seed).items():
            assert read.got == "bfloat16x6", (seed, layer)


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


WHOLE = (
    "float32",
    "fused multiply-add",
    "tf32",
    "tf32, truncated",
    "bfloat16",
    "bfloat16 throughout",
    "float16 throughout",
)


@pytest.mark.parametrize("case", WHOLE)
def test_a_module_fixed_to_one_network_is_asked_as_a_whole(case):
    module, inputs, sums = CASES[case]
    said = in_whole(module)
    for layer in ("conv1", "conv2", "conv3", "conv4", "conv5"):
        read, summed = said[layer]
        assert inputs.partition(" (")[0] in read.got, layer
        assert plain(sums) in summed.got.replace("float32 or float64", "float32"), layer
        assert (read.status is Status.PASS) == (inputs == "float32"), layer


def test_in_a_whole_network_ties_are_few_and_are_said_to_go_to_even_unless_one_is_seen():
    """Numbers of 24 bits are no ties of eleven: neither name is added to the other, and none is lost."""
    alike = {"tf32", "float16"}  # of as many bits
    for rounded, names in ((tf32, alike), (tf32_away, alike | {"tf32 ties away"})):
        said = in_whole(Module(rounded, rounded))
        for layer in ("conv1", "conv2", "conv3", "conv4", "conv5"):
            read, _ = said[layer]
            assert set(read.got.removesuffix(" (11 significant bits)").split(" or ")) <= names, layer
            assert read.status is Status.FAIL
            assert read.hint.startswith("TF32 is on")


def test_infinities_among_what_a_layer_is_fed():
    """Cut to fewer bits they are infinite still; and nothing breaks on pieces of them, of which there are none."""
    given = stimuli.stimulus(variants.variant("paper-thin"), "probe.fc8", 0)
    layer, x = given.network.layers[0], given.x.copy()
    x[: len(x) // 2][x[: len(x) // 2] == 1] = np.inf
    with np.errstate(all="ignore"):
        for module in (Module(tf32_truncated, tf32_truncated), Module(total=in_pieces(bfloat16, 3))):
            got = next(iter(module.build(given.network, given.params).activations(x)))[1]
            assert verdict(layer, given.params, x, got).asked == len(terms.terms(layer, given.params, x, got))
        got = next(iter(Module(tf32_truncated, tf32_truncated).build(given.network, given.params).activations(x)))[1]
        assert verdict(layer, given.params, x, got).inputs == {"tf32 truncated"}


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
    "change", [lambda y: y * np.float32(1.001), lambda y: np.where(y == y.max(), np.nan, y).astype(np.float32)]
)
def test_what_fits_nothing_is_unexplained_never_guessed(change):
    for layer, (read, summed) in found(Reported(change), layers=("conv4", "fc7")).items():
        assert read.status is summed.status is Status.FAIL, layer
        assert all(each.got.startswith("unexplained") for each in (read, summed)), layer


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
