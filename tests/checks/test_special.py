"""The checks of special values: NumPy passes, each planted deviation is caught, what is known is held to."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import numpy_alexnet
import pytest
from harness import NUMPY, bad, verified

from alexnet_parity.checks import catalogue, compare
from alexnet_parity.checks.finding import Finding, Status
from alexnet_parity.checks.recording import Recording
from alexnet_parity.checks.special import behaviours, judge
from alexnet_parity.checks.special.behaviours import BEHAVIOURS, Who
from alexnet_parity.checks.special.whose import engine, whose
from alexnet_parity.checks.traces.replay import called
from alexnet_parity.checks.truth import Truth
from alexnet_parity.impls import find
from alexnet_parity.impls.settings import table
from alexnet_parity.reference import oracle, special_answers, special_values, stimuli, variants
from alexnet_parity.reference.special_answers import ANSWERS, OF_KIND
from alexnet_parity.reference.special_values import KINDS, kind

CHECKS = ("special",)


@dataclass(frozen=True)
class Instead:
    """NumPy's AlexNet, one kind of layer of which gives something else."""

    name: str
    gives: Any

    def build(self, network: Any, params: Any) -> Any:
        plain = numpy_alexnet.build(network, params)
        if network.names() != [self.name]:
            return plain
        layer = network.layers[0]

        def activations(x: np.ndarray) -> dict[str, np.ndarray]:
            with np.errstate(all="ignore"):
                return {self.name: np.asarray(self.gives(layer, params, x), np.float32)}

        return SimpleNamespace(activations=activations, params=lambda: dict(params))


def found(name: str, gives: Any) -> dict[str, Finding]:
    """Findings about a planted layer, by case; those about all other layers must be good."""
    findings = verified(Instead(name, gives), checks=CHECKS)
    assert not bad([f for f in findings if f.stimulus != f"special.{name}"])
    return {case_of(f): f for f in findings if f.stimulus == f"special.{name}"}


def case_of(finding: Finding) -> str:
    return finding.layer.partition(": ")[2]


def failed(name: str, gives: Any) -> set[str]:
    return {case for case, finding in found(name, gives).items() if not finding.good()}


def test_numpy_gives_what_its_arithmetic_must():
    findings = verified(numpy_alexnet, checks=CHECKS)
    assert not bad(findings)
    assert len(findings) == sum(len(kind(name).cases) for name in KINDS)
    assert {f.stimulus for f in findings} == {f"special.{name}" for name in KINDS}


def test_the_second_half_of_the_reference_is_no_mistake_either():
    """Float64 throughout, rounded at the end, is right; where float32 could not give it, it is named."""
    for name in ("lrn", "spatial-lrn"):
        by_case = found(name, lambda layer, params, x: oracle.apply(layer, params, x.astype(np.float64)))
        wide = {case for case, finding in by_case.items() if finding.status is Status.KNOWN}
        assert wide == {"the square overflows", "the sum of squares overflows", "the largest number"}
        assert "wider than float32" in by_case["the square overflows"].hint
        assert not bad(list(by_case.values()))


# Planted ------------------------------------------------------------------------------------------------------------


def test_a_relu_that_turns_nan_into_zero_is_caught_and_named():
    by_case = found("relu", lambda layer, params, x: np.where(x > 0, x, 0))
    assert by_case["NaN"].status is Status.FAIL
    assert "[zero-for-nan]" in by_case["NaN"].hint
    assert [case for case, finding in by_case.items() if not finding.good()] == ["NaN"]


def test_a_pool_that_ignores_nan_is_caught_and_named():
    wrong = found("max-pool", lambda layer, _, x: np.fmax.reduce(oracle.windows_of(x, layer, -np.inf), axis=(4, 5)))
    assert wrong["one NaN, at each place in a window"].status is Status.FAIL
    assert "[without-nan]" in wrong["one NaN, at each place in a window"].hint
    assert {case for case, f in wrong.items() if not f.good()} == {
        "one NaN, at each place in a window",
        "NaN among inf",
    }  # nothing but NaN is NaN to it as well


def test_a_pool_that_begins_with_the_lowest_number_is_caught():
    def gives(layer: Any, _: Any, x: np.ndarray) -> np.ndarray:
        return oracle.windows_of(x, layer, -np.inf).max(axis=(4, 5), initial=np.finfo(np.float32).min)

    assert failed("max-pool", gives) == {"nothing but -inf"}
    assert failed("padded-pool", gives) == {"nothing but -inf, at the edge"}


def test_a_pool_padded_with_zeros_is_caught():
    wrong = failed("padded-pool", lambda layer, _, x: oracle.windows_of(x, layer, 0.0).max(axis=(4, 5)))
    wanted = {"nothing but -inf, at the edge", "nothing but the lowest number", "one denormal, all else negative"}
    assert wrong == wanted


@pytest.mark.parametrize("name", ["conv", "local", "dense"])
def test_denormals_flushed_to_zero_are_caught_and_named(name):
    by_case = found(name, special_answers.flushed)
    wrong = {case: finding for case, finding in by_case.items() if not finding.good()}
    assert set(wrong) == {case.name for case in kind(name).cases if case.theme == "denormals"}
    assert all("[flushed]" in finding.hint for finding in wrong.values())


@pytest.mark.parametrize("name", [name for name in KINDS if name != "softmax"])
def test_flushing_is_caught_in_every_kind_of_layer(name):
    assert failed(name, special_answers.flushed)


def test_flushing_the_result_alone_is_told_from_flushing_what_is_read():
    wrong = failed("dense", lambda layer, params, x: special_answers.flush(special_answers.single(layer, params, x)))
    assert wrong == {"denormal inputs", "denormal weights", "products that become denormal"}


def test_a_softmax_that_does_not_subtract_the_maximum_is_caught_and_named():
    by_case = found("softmax", lambda layer, params, x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True))
    wrong = {case: finding for case, finding in by_case.items() if not finding.good()}
    assert {"one logit of 1e4", "every logit 1e4", "every logit -1e4"} <= set(wrong)
    assert all("[unshifted]" in finding.hint for finding in wrong.values())


def test_a_softmax_that_gives_zeros_for_nothing_but_minus_infinity_is_caught():
    def gives(layer: Any, _: Any, x: np.ndarray) -> np.ndarray:
        return np.nan_to_num(oracle.softmax(x))

    assert {"one NaN", "one inf", "nothing but -inf"} == failed("softmax", gives)


def test_an_lrn_that_leaves_nan_alone_is_caught():
    """A normalisation that counts NaN as nothing in its neighbours' windows."""

    def gives(layer: Any, _: Any, x: np.ndarray) -> np.ndarray:
        return x / oracle.lrn_scale(np.nan_to_num(x, posinf=np.inf, neginf=-np.inf), layer) ** np.float32(layer.beta)

    assert failed("lrn", gives) == {"one NaN"}


@pytest.mark.parametrize("which", ["all-maps", "running-sum"])
def test_an_lrn_that_spreads_too_far_is_caught_and_named(which):
    wrong = found("lrn", lambda *given: special_answers.answer(which, *given))
    assert wrong["one NaN"].status is Status.FAIL
    assert f"[{which}]" in wrong["one NaN"].hint


def test_a_convolution_that_skips_zero_weights_is_caught():
    """As a sparse one would: zero times inf and NaN is nothing to it."""

    def gives(layer: Any, params: Any, x: np.ndarray) -> np.ndarray:
        patches, weight = special_answers.products(layer, params, x)
        return special_answers.added(np.where(weight == 0, 0, patches), weight, params["conv.bias"]).astype(np.float32)

    assert failed("conv", gives) == {"NaN under a weight of 0", "inf under a weight of 0"}


def averaged(finish: Any) -> Any:
    """An average pooling that makes means of sums by finish(sum, how many numbers)."""

    def gives(layer: Any, _: Any, x: np.ndarray) -> np.ndarray:
        sums = oracle.windows_of(x, layer, np.float32(0)).sum(axis=(4, 5))
        return finish(sums, oracle.window_counts(x.shape, layer).astype(np.float32))

    return gives


def test_a_mean_by_a_product_is_right():
    assert not failed("average-pool", averaged(lambda sums, count: sums * (np.float32(1) / count)))


def test_a_mean_that_is_an_ulp_off_is_caught():
    def off(sums: np.ndarray, count: np.ndarray) -> np.ndarray:
        mean = sums / count
        return np.where(mean == 0, mean, np.nextafter(mean, np.float32(np.inf)))

    wanted = {case.name for case in kind("average-pool").cases} - {"nothing but -0", "the sum overflows"}
    assert failed("average-pool", averaged(off)) == wanted


def test_a_mean_of_the_largest_number_may_be_rounded():
    """By products first, as nothing overflows then."""
    tried = kind("average-pool")
    case = next(case for case in tried.cases if case.name == "the sum overflows")
    outputs = judge.answer("average-pool", "exact").astype(np.float32)
    case.of(outputs)[...] *= np.float32(1 - 2**-23)
    assert judge.of_case("average-pool", case, outputs, Who("")).good()


def test_a_flattening_that_loses_the_sign_of_zero_is_caught():
    assert failed("flatten", lambda layer, _, x: (x + 0).reshape(len(x), -1)) == {"-0"}


def test_a_dropout_that_clips_is_caught():
    wrong = failed("dropout", lambda layer, _, x: np.nan_to_num(x))
    assert {"NaN", "inf"} <= wrong


def test_an_output_of_another_shape_or_dtype_fails_and_does_not_crash():
    wrong = found("relu", lambda layer, _, x: x[:, :, :-1])
    assert {f.status for f in wrong.values()} == {Status.FAIL}
    assert "shape" in wrong["NaN"].got


def test_a_crash_is_an_error_with_its_reason():
    def gives(*_: Any) -> np.ndarray:
        raise ValueError("no NaN, please")

    wrong = found("relu", gives)
    assert {f.status for f in wrong.values()} == {Status.ERROR}
    assert all("no NaN, please" in f.got for f in wrong.values())


@pytest.mark.parametrize("name", KINDS)
def test_every_number_counts(name):
    """One number of a right answer off by far, in any of its places, is caught."""
    tried, rng = kind(name), np.random.default_rng(3)
    right = special_answers.single(tried.layer, tried.params, tried.x)
    case = tried.cases[-1]
    for place in rng.integers(0, case.of(right).size, 5):
        outputs = right.copy()
        part = case.of(outputs).copy()
        part.flat[place] = 12345.0
        index = case.image if case.part is None else (case.image, list(case.part))
        outputs[index] = part
        assert not judge.of_case(name, case, outputs, Who("")).good()


# What is known ------------------------------------------------------------------------------------------------------


def recorded(impl: str, name: str, outputs: np.ndarray, device: str = "cpu") -> list[Finding]:
    """Findings of all themes about one recorded kind."""
    facts = {
        f"{judge.BY}{find.name_and_setting(called(impl))[0]}": np.zeros(1),
        f"{judge.ON}{device}": np.zeros(1),
    }
    recording = Recording(impl, "paper-thin", f"special.{name}", {judge.SPECIAL: {name: outputs, **facts}})
    truth = Truth(stimuli.stimulus(variants.variant("paper-thin"), f"special.{name}", 0))
    return [finding for theme in special_values.THEMES for finding in judge.of_theme(theme, recording, truth)]


def given(name: str, *which: str) -> np.ndarray:
    """The float32 answer, but for the cases on record under one of `which`."""
    tried = kind(name)
    outputs = special_answers.single(tried.layer, tried.params, tried.x)
    for answer in which:
        other = special_answers.answer(answer, tried.layer, tried.params, tried.x)
        differs = ~((outputs == other) | (np.isnan(outputs) & np.isnan(other)))
        outputs = np.where(differs, other, outputs)
    return outputs


def test_what_a_framework_is_known_to_do_is_known():
    findings = recorded("tf_nn", "lrn", given("lrn", "all-maps"))
    known = {case_of(f): f for f in findings if f.status is Status.KNOWN}
    assert not bad(findings)
    assert set(known) == {"one NaN", "one inf", "one -inf", "the square overflows", "the largest number"}
    assert "lrn_op.cc" in known["one NaN"].hint
    assert known["one NaN"].got.startswith("NaN in all maps: ")


def test_one_that_stops_deviating_fails():
    wrong = bad(recorded("tf_nn", "lrn", given("lrn")))
    assert len(wrong) == 5
    assert "no longer deviates" in wrong[0].hint
    assert "checks/special/behaviours.py" in wrong[0].hint


def test_one_that_deviates_otherwise_than_on_record_fails():
    wrong = bad(recorded("tf_nn", "lrn", given("lrn", "running-sum")))
    assert {"one NaN", "one inf"} <= {case_of(f) for f in wrong}


def test_a_recorded_implementation_is_held_to_the_same_whatever_its_file_is_called():
    assert len(bad(recorded("tf_nn (cpu, a@b.safetensors)", "lrn", given("lrn")))) == 5
    assert not bad(recorded("tf_nn@graph (cpu)", "lrn", given("lrn")))


def test_an_at_within_a_path_is_no_setting(monkeypatch):
    asked = []
    monkeypatch.setattr(behaviours, "of", lambda who, *_: asked.append(who.setting) or [])
    for impl in ("my@dir/mine.py", "my@dir/mine.py@graph", "a@b.py", "tf_nn@graph (cpu, a@b (1).safetensors)"):
        recorded(impl, "relu", given("relu"))
    assert list(dict.fromkeys(asked)) == ["", "graph"]
    assert asked[0] == ""


def test_another_implementation_is_not_excused():
    assert bad(recorded("torch", "lrn", given("lrn", "all-maps")))
    assert bad(recorded("keras_ops", "lrn", given("lrn", "all-maps")))


def test_what_is_sometimes_so_may_be_otherwise():
    assert not bad(recorded("jax", "conv", given("conv")))
    assert not bad(recorded("jax", "conv", given("conv", "flushed")))


@pytest.mark.parametrize(("by", "device"), [("tf_nn@graph", "cpu"), ("tf_nn", "/gpu:0"), ("keras", "cuda a100")])
def test_under_a_setting_or_on_a_gpu_nothing_has_to_deviate(by, device):
    assert not bad(recorded(by, "lrn", given("lrn"), device))
    assert not bad(recorded(by, "lrn", given("lrn", "all-maps"), device))


def test_somebody_elses_module_on_the_same_framework_is_allowed_the_same_and_held_to_nothing():
    assert not bad(recorded("tensorflow", "lrn", given("lrn", "all-maps")))
    assert not bad(recorded("tensorflow", "lrn", given("lrn")))
    assert bad(recorded("onnxruntime", "lrn", given("lrn", "all-maps")))


@pytest.mark.parametrize("row", BEHAVIOURS, ids=lambda row: f"{row.impls[0]} {row.answer}")
def test_a_row_is_about_something(row):
    pairs = [(name, case) for name in KINDS for case in kind(name).cases]
    met = [(name, case) for name, case in pairs for impl in row.impls if row.concerns(who(impl), name, case)]
    assert met
    assert row.reason
    assert row.link
    assert row.answer == "exact" or row.answer in ANSWERS
    assert all(row.answer == "exact" or row.answer in OF_KIND[name] for name, _ in met)


@pytest.mark.parametrize("row", BEHAVIOURS, ids=lambda row: f"{row.impls[0]} {row.answer}")
def test_each_pattern_of_a_row_is_met(row):
    for pattern in row.cases:
        alone = dataclasses.replace(row, cases=(pattern,))
        assert any(alone.concerns(who(row.impls[0]), name, case) for name in KINDS for case in kind(name).cases), (
            pattern
        )


def who(impl: str) -> Who:
    name, _, setting = impl.partition("@")
    return Who("" if name == "*" else name, setting)


def test_rows_are_about_implementations_that_there_are():
    named = {impl.partition("@")[0] for row in BEHAVIOURS for impl in row.impls} - {"*"}
    assert named <= set(find.own())
    for impl in (impl for row in BEHAVIOURS for impl in row.impls if "@" in impl):
        name, _, setting = impl.partition("@")
        assert table.setting_of(name, setting)


# Whose it is --------------------------------------------------------------------------------------------------------


def module(name: str, **imports: Any) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(imports)
    return made


def test_ours_are_known_by_name_also_under_a_setting():
    own = module("alexnet_parity.impls.torch", torch=ModuleType("torch"))
    assert whose(own) == "torch"
    assert whose(SimpleNamespace(**vars(own))) == "torch"
    assert whose(module("mine", torch=own)) == "torch"


def test_others_are_known_by_what_they_import():
    assert whose(module("mine", nn=ModuleType("torch.nn"))) == "torch"
    assert whose(module("mine", tf=ModuleType("tensorflow"))) == "tensorflow"
    assert whose(module("mine", np=np)) == ""
    assert whose(object()) == ""


def test_keras_is_its_backend(monkeypatch):
    keras = module("keras", backend=SimpleNamespace(backend=lambda: "jax"))
    monkeypatch.setitem(__import__("sys").modules, "keras", keras)
    assert whose(module("mine", keras=keras)) == "jax"


def test_engines_of_ours():
    assert (engine("tf_nn"), engine("keras"), engine("torch")) == ("tensorflow", "tensorflow", "torch")


# Around it ----------------------------------------------------------------------------------------------------------


def test_two_towers_are_not_asked():
    assert verified(SimpleNamespace(towers=2, build=None), checks=CHECKS) == []


def test_a_module_fixed_to_one_network_cannot_be_asked():
    fixed = SimpleNamespace(variant="paper", build=numpy_alexnet.build)
    findings = verified(fixed, checks=("special-nan",))
    assert {f.status for f in findings} == {Status.UNSUPPORTED}
    assert "fixed to the network 'paper'" in findings[0].got


def test_checks_are_listed_and_ask_for_every_kind():
    network = variants.variant("paper-thin")
    checks = catalogue.select(["special"])
    assert [check.name for check in checks] == [f"special-{theme}" for theme in special_values.THEMES]
    assert {name for check in checks for name in check.stimuli(network)} == {f"special.{name}" for name in KINDS}
    assert all(check.about for check in checks)


def test_in_a_process_of_its_own(tmp_path, capsys):
    from harness import findings_of, run

    out = tmp_path / "found.json"
    assert run("verify", "--impl", NUMPY, "--variant", "paper-thin", "--check", "special", "--json", str(out)) == 0
    assert len(findings_of(out)) == sum(len(kind(name).cases) for name in KINDS)
    capsys.readouterr()


# compare.one_of -----------------------------------------------------------------------------------------------------


def one_of(got: list[float], *wants: list[float], tolerance: float = 0.0, signed: bool = True) -> compare.Comparison:
    arrays = [np.array(values, np.float32) for values in (got, *wants)]
    return compare.one_of(arrays[0], arrays[1:], np.full(len(got), tolerance), signed)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("got", "want", "ok"),
    [
        ([NAN], [NAN], True),
        ([NAN], [1.0], False),
        ([1.0], [NAN], False),
        ([INF], [INF], True),
        ([INF], [-INF], False),
        ([3.4e38], [INF], False),
        ([INF], [3.4e38], False),
        ([0.0], [-0.0], False),
        ([1.0], [1.0], True),
        ([1.0], [1.0000001], False),
        ([1e-45], [0.0], False),
        ([0.0], [1e-45], False),
    ],
)
def test_values_are_the_same_or_not(got, want, ok):
    assert one_of(got, want).ok is ok


def test_nan_of_any_payload_and_sign_is_nan():
    payload = np.array([0xFFC12345], np.uint32).view(np.float32)
    assert compare.one_of(payload, [np.array([np.nan], np.float32)], np.zeros(1)).ok


def test_zeros_are_alike_where_asked():
    assert one_of([0.0], [-0.0], signed=False).ok
    assert not one_of([1e-45], [-0.0], signed=False).ok


def test_each_number_may_be_that_of_any_answer():
    assert one_of([1, NAN], [1, 2], [3, NAN]).ok
    outcome = one_of([1, 5, INF], [1, 2, 3], [3, 4, 4])
    assert not outcome.ok
    assert outcome.got == "2 of 3 differ, first at [1]: 5.0 for 2.0 or 4.0"


def test_a_tolerance_is_for_finite_numbers_alone():
    assert one_of([1.25], [1.0], tolerance=0.25).ok
    assert not one_of([1.26], [1.0], tolerance=0.25).ok
    assert not one_of([INF], [1.0], tolerance=INF).ok
    assert not one_of([NAN], [1.0], tolerance=INF).ok
    assert not one_of([0.1], [0.0], tolerance=0.25).ok


def test_shapes_are_strict():
    assert "shape" in compare.one_of(np.zeros(2, np.float32), [np.zeros(3, np.float32)], np.zeros(3)).got
    with pytest.raises(ValueError, match="one for each number"):
        compare.one_of(np.zeros(2, np.float32), [np.zeros(2, np.float32)], np.zeros(1))


def test_behaviours_apply_in_order_and_the_strict_alone():
    case = next(c for c in kind("lrn").cases if c.name == "the square overflows")
    assert [row.answer for row in behaviours.of(Who("tf_nn"), "lrn", case)] == ["all-maps"]
    assert [row.answer for row in behaviours.of(Who("tf_nn", "graph"), "lrn", case)] == ["all-maps", "exact"]
