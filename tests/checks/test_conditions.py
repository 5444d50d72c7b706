"""Conditions: what each compares, what must keep its bits, and every way of not keeping them, caught and named."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import moody
import numpy as np
import numpy_alexnet
import pytest
from harness import SUPPORT

from alexnet_parity.checks import running
from alexnet_parity.checks.conditions import condition, fewer, gradients, judge, outcome, pool, reasons
from alexnet_parity.checks.conditions.baseline import Baseline
from alexnet_parity.checks.conditions.condition import AGAIN, CUDA, PLAIN, Condition
from alexnet_parity.checks.conditions.reasons import Reason
from alexnet_parity.checks.conditions.session import Session
from alexnet_parity.checks.finding import Status
from alexnet_parity.checks.precision.terms import terms
from alexnet_parity.checks.precision.verdict import Verdict, verdict
from alexnet_parity.checks.recording import AGAIN as SECOND
from alexnet_parity.checks.recording import BATCH, GRADIENTS, GRADIENTS_AGAIN, TRAINING, Feed, Recording
from alexnet_parity.checks.truth import Truth
from alexnet_parity.checks.verify import Truths
from alexnet_parity.impls import find
from alexnet_parity.impls.settings import every, table
from alexnet_parity.impls.settings.table import Setting
from alexnet_parity.reference import oracle, stimuli, variants
from alexnet_parity.reference import precision as arithmetics
from alexnet_parity.reference.precision import BFLOAT16, TF32, Arithmetic

MOODY = str(SUPPORT / "moody.py")
OMP = Setting("omp-1", (), "one thread", environment={"OMP_NUM_THREADS": "1"}, shows={"threads": "1"})
KERNELS = Setting("other-kernels", (), "other kernels", environment={"ALEXNET_MOODY_KERNELS": "1"})


# A layer under a condition, in this process ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def truth():
    return Truth(stimuli.stimulus(variants.variant("paper-thin"), "large", 0))


@pytest.fixture(scope="module")
def exact_truth():
    return Truth(stimuli.stimulus(variants.variant("paper-thin"), "exact", 0))


def recorded(truth, again=None, **changes):
    """A recording by NumPy in float32; changes: layer to a function of its output (what follows is left as it was).

    again: the second run, if it is not the same as the first.
    """
    run = {name: changes.get(name, lambda y: y)(y) for name, y in truth.single.items()}
    return Recording("numpy", "paper-thin", truth.stimulus.name, runs={BATCH: run, SECOND: dict(again or run)})


def judged(truth, base, other, **conditions):
    found = list(judge.findings(other, Baseline("numpy", base, truth), Condition("bent", "", **conditions)))
    return {finding.layer: finding for finding in found}


def up(y):
    return np.nextafter(y, np.float32(np.inf), dtype=np.float32)


def test_the_same_bits_pass_whatever_is_asked(truth):
    base = recorded(truth)
    for keeps in (True, False):
        found = judged(truth, base, recorded(truth), keeps=keeps)
        assert [f.status for f in found.values()] == [Status.PASS] * 24
        assert found["fc6"].numbers["moved"] == found["fc6"].numbers["ulps"] == 0
        assert found["conv1"].got.startswith("the plain run's bits; ")


def test_one_number_one_ulp_away_is_measured_and_fails_only_where_bits_must_stay(truth):
    def one(y):
        y = y.copy()
        y[1, 3, 4, 5] = up(y[1, 3, 4, 5])
        return y

    other = recorded(truth, conv2=one)
    found = judged(truth, recorded(truth), other)["conv2"]
    assert found.status is Status.PASS
    assert found.numbers["ulps"] == 1
    assert found.numbers["moved"] == pytest.approx(1 / truth.single["conv2"].size)
    assert "alone" in found.numbers  # its input has the plain run's bits: its own bound was asked as well
    kept = judged(truth, recorded(truth), other, keeps=True)
    assert kept["conv2"].status is Status.FAIL
    assert "[1, 3, 4, 5]" in kept["conv2"].got
    assert [f.layer for f in kept.values() if f.status is Status.FAIL] == ["conv2"]


def test_a_layer_fed_other_bits_is_judged_end_to_end_only(truth):
    found = judged(truth, recorded(truth), recorded(truth, conv2=up, relu2=up, norm2=up))
    assert "alone" in found["conv2"].numbers
    assert "alone" not in found["relu2"].numbers


def test_numbers_beyond_the_bound_fail_whatever_is_asked(truth):
    other = recorded(truth, fc7=lambda y: y * np.float32(1.01))
    found = judged(truth, recorded(truth), other)["fc7"]
    assert found.status is Status.FAIL
    assert found.error_over_bound > 1
    assert judged(truth, recorded(truth), other, keeps=True)["fc7"].status is Status.FAIL


def test_nan_fails(truth):
    other = recorded(truth, fc7=lambda y: y * np.float32(np.nan))
    found = judged(truth, recorded(truth), other, arithmetic="float32")["fc7"]
    assert found.status is Status.FAIL
    assert "not finite" in found.got


def test_what_the_plain_run_departs_in_too_is_known_not_the_conditions_fault(truth):
    def far(y):  # beyond a relu's own bound, which is nothing, inside the end-to-end one
        return y * np.float32(1 + 2.0**-22)

    def farther(y):
        return far(far(y))

    found = judged(truth, recorded(truth, relu1=far), recorded(truth, relu1=farther))["relu1"]
    assert found.status is Status.KNOWN
    assert found.hint == judge.AS_PLAIN
    found = judged(truth, recorded(truth), recorded(truth, relu1=farther))["relu1"]
    assert found.status is Status.FAIL
    found = judged(truth, recorded(truth, relu1=far), recorded(truth, relu1=farther), keeps=True)["relu1"]
    assert found.status is Status.FAIL


def test_a_condition_must_repeat_itself_unless_it_says_that_it_may_not(truth):
    other = recorded(truth, again=dict(truth.single) | {"fc8": up(truth.single["fc8"])})
    found = judged(truth, recorded(truth), other)
    assert [f.layer for f in found.values() if f.status is Status.FAIL] == ["fc8"]
    assert found["fc8"].expected == "the same bits when run twice under it"
    assert judged(truth, recorded(truth), other, repeats=False)["fc8"].status is Status.PASS


def test_a_second_run_that_crashes_is_no_repetition(truth):
    other = recorded(truth)
    del other.runs[SECOND]
    other.errors["again"] = "activations() raised RuntimeError: out of memory"
    found = judged(truth, recorded(truth), other)["conv1"]
    assert (found.status, "out of memory" in found.got) == (Status.ERROR, True)


def test_nan_is_summed_up_as_not_finite(truth):
    found = judged(truth, recorded(truth), recorded(truth, fc7=lambda y: y * np.float32(np.nan)))
    summed = outcome.of(list(found.values()))
    assert summed.text == "FAIL   1 of 24 layers move from fc7 on, not finite; out of any bound"
    there = [replace(f, numbers={k: v for k, v in f.numbers.items() if np.isfinite(v)}) for f in found.values()]
    assert outcome.of(there) == summed  # as JSON has it


def test_fewer_bits_on_purpose_are_known_beyond_the_bound_and_fail_within_it(truth):
    coarse = recorded(truth, fc7=lambda y: y * np.float32(1.01))
    found = judged(truth, recorded(truth), coarse, arithmetic="bfloat16")
    assert found["fc7"].status is Status.KNOWN
    assert found["fc7"].hint == "computed in bfloat16, as it was set to; 28% of that format's bound"
    assert "" not in found
    not_on = judged(truth, recorded(truth), recorded(truth), arithmetic="bfloat16")
    assert not_on[""].status is Status.FAIL
    assert "has not taken effect" in not_on[""].hint


WRONG = {
    "zeros": np.zeros_like,
    "NaN": lambda y: np.full_like(y, np.nan),
    "noise": lambda y: np.random.default_rng(1).normal(0, y.std(), y.shape).astype(np.float32),
    "negated": np.negative,
    "infinite": lambda y: np.full_like(y, np.inf),
    "a third more": lambda y: y * np.float32(4 / 3),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("form", ["bfloat16", "float16", "tf32"])
@pytest.mark.parametrize("layer", ["conv2", "norm1", "pool1", "fc7", "fc8"])
def test_fewer_bits_excuse_nothing_that_is_wrong(truth, layer, form, wrong):
    """Whatever it is, it leaves float32's bound; its own format's it must keep."""
    found = judged(truth, recorded(truth), recorded(truth, **{layer: wrong}), arithmetic=form)[layer]
    assert found.status is Status.FAIL, found
    assert found.expected == f"numbers within {form}'s bound, from what the layer was fed"


@pytest.mark.parametrize("cut", [False, True], ids=["to nearest", "truncated"])
@pytest.mark.parametrize("form", ["bfloat16", "float16", "tf32"])
def test_a_network_of_fewer_bits_keeps_each_layer_within_its_formats_bound(truth, form, cut):
    """Weights and every layer's output rounded, or the operands of products cut."""
    kind = fewer.FORMATS[form]
    read = replace(kind, name="cut", truncates=True) if cut else kind
    params = {name: read.rounded(value.astype(np.float64)) for name, value in truth.params.items()}
    x, run = truth.x.astype(np.float64), {}
    for layer in truth.network.layers:
        x = kind.rounded(oracle.apply(layer, params, read.rounded(x) if layer.reduction(x.shape[1:]) else x))
        run[layer.name] = x.astype(np.float32)
    other = Recording("numpy", "paper-thin", "large", runs={BATCH: run, SECOND: run})
    found = judged(truth, recorded(truth), other, arithmetic=form)
    assert [f.line() for f in found.values() if not f.good()] == []
    shares = {name: f.numbers["fewer"] for name, f in found.items()}
    assert 0 < max(shares.values()) < 1
    assert shares["conv2"] > 0.01


def test_what_a_format_cannot_hold_is_counted_and_not_judged_and_neither_is_what_it_is_fed_to(truth):
    """LRN in float16: squares beyond 65,504 overflow, in TensorFlow in all maps of that pixel."""
    tall = np.abs(truth.single["relu1"]).max(axis=1, keepdims=True) > 300

    def overflown(y):
        return np.where(tall, np.float32(np.nan), y)

    coarse = {"norm1": overflown, "pool1": lambda y: y * np.float32(np.nan)}
    found = judged(truth, recorded(truth), recorded(truth, **coarse), arithmetic="float16")
    assert found["norm1"].status is Status.KNOWN
    assert found["norm1"].numbers["beyond"] >= tall.sum() * 16
    assert "numbers beyond its range" in found["norm1"].hint
    assert found["pool1"].hint == "computed in float16, as it was set to; fed what overflowed before it"
    in_bfloat16 = judged(truth, recorded(truth), recorded(truth, **coarse), arithmetic="bfloat16")
    assert in_bfloat16["norm1"].status is Status.FAIL  # whose range is float32's
    summed = outcome.of(list(found.values()))
    assert (summed.ulps, summed.share) == (np.inf, np.inf)
    assert summed.beyond > 0


def test_an_operation_that_a_type_has_not_is_told_not_failed_and_only_then(truth):
    cut_short = recorded(truth, conv1=lambda y: y * np.float32(1.01))
    for name in truth.network.names()[2:]:
        del cut_short.runs[BATCH][name]
    cut_short.errors[BATCH] = "activations() raised NotImplementedError: no LRN in bfloat16"
    fewer = judged(truth, recorded(truth), cut_short, arithmetic="bfloat16")
    assert (fewer["conv1"].status, fewer["norm1"].status) == (Status.KNOWN, Status.UNSUPPORTED)
    assert judged(truth, recorded(truth), cut_short)["norm1"].status is Status.ERROR
    for reason in ("build() raised NotImplementedError: x", "activations() raised AttributeError: no matmul"):
        cut_short.errors[BATCH] = reason
        assert judged(truth, recorded(truth), cut_short, arithmetic="bfloat16")["norm1"].status is Status.ERROR


def test_exact_arithmetic_takes_no_other_bits_under_any_condition(exact_truth):
    base, other = recorded(exact_truth), recorded(exact_truth, conv4=up)
    found = judged(exact_truth, base, other)
    assert [f.layer for f in found.values() if not f.good()] == ["conv4"]
    assert len(found) == 23  # softmax has no exact arithmetic
    twice = recorded(exact_truth, again=dict(exact_truth.single) | {"conv5": up(exact_truth.single["conv5"])})
    again = judge.findings(twice, Baseline("numpy", twice, exact_truth), Condition(AGAIN, "", keeps=True))
    assert [f.layer for f in again if not f.good()] == ["conv5"]


def test_what_is_missing_or_of_another_shape_is_no_pass(truth):
    cut = recorded(truth, again=None)
    del cut.runs[BATCH]["fc8"], cut.runs[BATCH]["prob"]
    assert judged(truth, recorded(truth), cut)["fc8"].status is Status.ERROR
    half = recorded(truth, fc8=lambda y: y[:1])
    assert judged(truth, recorded(truth), half)["fc8"].status is Status.FAIL
    assert judged(truth, half, recorded(truth))["fc8"].got.startswith("the plain run: ")


def test_a_condition_that_does_not_show_is_blind():
    bent = Condition("threads-1", "", shows={"threads": "1"})
    assert judge.taken_effect({"threads": "1"}, bent).status is Status.PASS
    assert judge.taken_effect({"threads": "2"}, bent).status is Status.BLIND
    assert judge.taken_effect({}, bent).got == "threads not told"
    assert judge.taken_effect({}, Condition("other", "")) is None


def test_a_reason_is_given_where_there_is_one(truth, monkeypatch):
    row = Reason(("numpy",), ("be*",), ("dense",), "it is bent", "https://example.org")
    monkeypatch.setattr(reasons, "REASONS", (row,))
    found = judged(truth, recorded(truth), recorded(truth, fc7=up, conv1=up))
    assert found["fc7"].hint == "it is bent (https://example.org)"
    assert found["conv1"].hint == found["fc6"].hint == ""


def test_the_table_of_reasons_concerns_conditions_and_layers_that_there_are():
    names = {setting.name for setting in table.SETTINGS} | {c.name for c in condition.OWN}
    kinds = {layer.kind for name in variants.names() for layer in variants.variant(name).layers}
    for row in reasons.REASONS:
        device = row.device or "cpu"
        asked = ((impl, name, kind) for impl in find.own() for name in names for kind in kinds)
        assert any(row.concerns(*those, device, row.back) for those in asked), row
        assert row.link.startswith("https://")


# Which conditions there are -------------------------------------------------------------------------------------------


def test_every_implementation_has_the_general_conditions_and_those_for_a_gpu_bring_it_along():
    names = [c.name for c in condition.conditions_of("mine.py", "cpu")]
    assert names[:3] == [PLAIN, "again", "process"]
    assert {"unaligned", "batch-1", "batch-3", "batch-5"} <= set(names)
    assert CUDA not in names
    assert CUDA in [c.name for c in condition.conditions_of("torch", "cpu")]
    assert CUDA not in [c.name for c in condition.conditions_of("torch", "cuda")]


def test_those_named_and_the_plain_run():
    chosen = condition.select(["mine.py"], "cpu", ["process"])
    assert [c.name for c in chosen["mine.py"]] == [PLAIN, "process"]
    with pytest.raises(KeyError, match="did you mean 'process'"):
        condition.select(["mine.py"], "cpu", ["proces"])


def test_what_means_something_on_a_gpu_only_brings_the_gpus_own_run():
    assert [c.name for c in condition.select(["torch"], "cpu", ["tf32-on"])["torch"]] == [PLAIN, CUDA, "tf32-on"]
    assert [c.name for c in condition.select(["torch"], "cuda", ["tf32-on"])["torch"]] == [PLAIN, "tf32-on"]


def test_a_run_that_nothing_was_compared_with_is_an_error(monkeypatch):
    target = find.find(MOODY)
    one = Session([target], condition.select([target.name], "cpu", ["process"]), stimuli=("large",))
    lonely = Recording(f"{MOODY}@process", "paper-thin", "large")
    one.early[target.name, "large"].append(lonely)
    assert [(f.impl, f.status) for f in one.left_over()] == [(f"{MOODY}@process", Status.ERROR)]


def test_settings_of_a_framework_show_that_they_are_on():
    """All but modes of fewer bits, which their numbers show."""
    silent = [s.name for s in table.SETTINGS if s.impls and not s.shows and s.arithmetic == "float32"]
    assert silent == []


def test_an_implementation_under_a_condition_has_a_name_of_its_own():
    target = find.find(MOODY)
    named = condition.under(target, Condition("process", ""))
    assert (named.name, named.setting, named.file) == (f"{MOODY}@process", "", target.file)
    assert condition.under(target, Condition("unaligned", "", setting=True)).setting == "unaligned"
    assert condition.under(target, condition.OWN[0]) == target


# Settings of any implementation ------------------------------------------------------------------------------------------


def test_off_boundary_moves_and_changes_nothing():
    x = np.arange(2 * 3 * 5 * 7, dtype=np.float32).reshape(2, 3, 5, 7)
    moved = every.off_boundary(x)
    assert moved.ctypes.data % 64 == 4
    assert moved.flags.c_contiguous
    assert np.array_equal(moved, x)


@pytest.mark.parametrize("name, sizes", [("batch-1", [1, 1]), ("batch-3", [3]), ("batch-5", [5])])
def test_batches_hold_the_same_images_and_give_their_rows(name, sizes):
    fed = []

    class Model:
        def activations(self, x):
            fed.append(x.copy())
            yield "twice", 2 * x

    wrapped = every.WRAPPERS[name](type("module", (), {"build": staticmethod(lambda network, params: Model())}))
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 7)).astype(np.float32)
    given = dict(every.pairs(wrapped.build(None, {}).activations(x)))
    assert np.array_equal(given["twice"], 2 * x)
    assert [len(batch) for batch in fed] == sizes
    if len(fed) == 1:
        assert not any(np.array_equal(image, other) for image in fed[0][1:-1] for other in x)


# Processes ---------------------------------------------------------------------------------------------------------------


def session(way, monkeypatch, *names, settings=(), file=None, stimuli=("large",)):
    """The findings that are not good, as (implementation's condition, stimulus, layer), and the session."""
    monkeypatch.setenv("ALEXNET_MOODY", way)
    if file is not None:
        monkeypatch.setenv("ALEXNET_MOODY_FILE", str(file))
    monkeypatch.setattr(table, "SETTINGS", (*table.SETTINGS, *settings))
    monkeypatch.setattr(condition, "under", partial(in_environment, condition.under, settings))
    target = find.find(MOODY)
    one = Session([target], condition.select([target.name], "cpu", names), stimuli=stimuli, at_once=1)
    one.truths = TRUTHS
    return list(one.findings()), one


TRUTHS = Truths({"paper-thin": variants.variant("paper-thin")}, 0)  # the oracle is asked once


class Elsewhere(find.Target):
    """A target whose process knows nothing of the setting but its environment: the worker has the real table."""

    @property
    def environment(self):
        return dict(next((s.environment for s in table.SETTINGS if self.name.endswith(f"@{s.name}")), {}))


def in_environment(under, settings, target, asked):
    found = under(target, asked)
    own = asked.name in [setting.name for setting in settings]
    return Elsewhere(found.name, found.module, found.file) if own else found


def wrong(found):
    return [(f.impl.rpartition("@")[2], f.stimulus, f.layer) for f in found if not f.good()]


AFTER = ["fc7", "relu7", "drop7", "fc8", "prob"]


def test_an_implementation_that_keeps_its_bits_passes_under_every_condition(monkeypatch):
    names = ("again", "process", "unaligned", "omp-1")
    found, one = session("", monkeypatch, *names, settings=[OMP], stimuli=("large", "exact", "gradient-exact", "probe"))
    assert wrong(found) == []
    assert {f.impl for f in found} == {MOODY, *(f"{MOODY}@{name}" for name in names)}
    assert all(f.numbers["moved"] == 0 for f in found if f.check == "condition-large" and f.layer)
    assert {f.check for f in found} == {
        "condition-large",
        "condition-exact",
        "condition-gradient-large",
        "condition-gradient-exact",
        "precision-chain-inputs",
        "precision-chain-accumulator",
    }
    assert {f.impl for f in found if f.stimulus == "probe"} == {MOODY}
    assert one.done == one.steps == 13
    assert found[0].replay == f"alexnet-parity conditions --impl {MOODY} --variant paper-thin --seed 0 --device cpu"


@pytest.mark.parametrize(
    "way, name",
    [("second call", "again"), ("process", "process"), ("alignment", "unaligned"), ("weights' alignment", "unaligned")],
)
def test_bits_that_must_stay_and_do_not_are_caught_at_their_layer(monkeypatch, tmp_path, way, name):
    found, _ = session(way, monkeypatch, name, file=tmp_path / "count")
    assert ("again" if way == "second call" else name, "large", "fc7") in wrong(found)
    assert {layer for _, _, layer in wrong(found)} <= set(AFTER)


@pytest.mark.parametrize("way, name", [("second call", "again"), ("process", "process"), ("alignment", "unaligned")])
def test_gradients_that_must_keep_their_bits_and_do_not_are_caught(monkeypatch, tmp_path, way, name):
    found, _ = session(f"back, {way}", monkeypatch, name, file=tmp_path / "count")
    assert (name, "large", "conv2.weight") in wrong(found)
    assert {layer for _, _, layer in wrong(found)} == {"conv2.weight"}
    assert {f.check for f in found if not f.good()} == {"condition-gradient-large"}


def test_gradients_that_may_move_are_measured_and_held_to_the_bounds_and_to_exact_arithmetic(monkeypatch):
    found, _ = session("back, environment", monkeypatch, "other-kernels", settings=[KERNELS])
    assert wrong(found) == []
    back = [f for f in found if f.impl.endswith("@other-kernels") and outcome.is_back(f)]
    summed = outcome.of(back, "gradients")
    assert (summed.first, summed.layers, summed.ulps >= 1) == ("conv2.weight", 1, True)
    assert summed.text.startswith("PASS   1 of 40 gradients move from conv2.weight on, ")
    found, _ = session("back, environment, by far", monkeypatch, "other-kernels", settings=[KERNELS])
    assert wrong(found) == [("other-kernels", "large", "conv2.weight")]
    ways = ("back, environment, even exactly", monkeypatch, "other-kernels")
    found, _ = session(*ways, settings=[KERNELS], stimuli=("gradient-exact",))
    assert wrong(found) == [("other-kernels", "gradient-exact", "conv2")]


def test_a_condition_that_brings_transforms_back_is_known_not_to_be_exact(monkeypatch):
    brought = replace(KERNELS, name="cudnn-gradients")
    monkeypatch.setattr(table, "SETTINGS", tuple(s for s in table.SETTINGS if s.name != "cudnn-gradients"))
    ways = ("back, environment, even exactly", monkeypatch, "cudnn-gradients")
    found, _ = session(*ways, settings=[brought], stimuli=("gradient-exact",))
    assert wrong(found) == []
    assert [(f.layer, f.hint) for f in found if f.status is Status.KNOWN] == [("conv2", gradients.TRANSFORMS)]


def test_gradients_are_asked_of_what_has_them_and_of_conditions_that_leave_their_meaning():
    those = {c.name: c for c in condition.conditions_of("torch", "cpu")}
    without = {name for name, c in those.items() if not c.backward}
    assert {"batch-1", "batch-3", "batch-5", "autocast-bfloat16", "mkldnn-tf32", "tf32-on"} <= without
    assert not {PLAIN, "again", "process", "unaligned", "threads-1", "compile", "cudnn-gradients"} & without
    assert those["cudnn-gradients"].transforms
    assert not those["deterministic-off"].transforms


def test_an_implementation_without_gradients_is_told_once(monkeypatch, tmp_path):
    file = tmp_path / "forward.py"
    file.write_text(
        f"import sys\nsys.path.insert(0, {str(SUPPORT)!r})\nimport numpy_alexnet\n"
        "class Model(numpy_alexnet.Model):\n    backward = gradients = None\n"
        "def build(network, params):\n    return Model(network, params)\n"
    )
    target = find.find(str(file))
    one = Session([target], condition.select([target.name], "cpu", ["process"]), stimuli=("large", "gradient-exact"))
    one.truths = TRUTHS
    found = [f for f in one.findings() if outcome.is_back(f)]
    assert [(f.impl, f.status) for f in found] == [(target.name, Status.UNSUPPORTED)]
    assert "no gradients()" in found[0].got


@pytest.fixture(scope="module")
def went_back(truth):
    """A backward pass of NumPy's, twice."""
    feed = Feed("paper-thin", "large", (GRADIENTS, GRADIENTS_AGAIN), read_back=False)
    return running.record(numpy_alexnet, truth.stimulus, feed, "numpy")


def changed(recording, run, *names):
    """The recording with some arrays of a run one unit in the last place off."""
    values = {name: moody.nudged(y) if name in names else y for name, y in recording.run(run).items()}
    return replace(recording, runs={**recording.runs, run: values})


def hints(went_back, truth, other):
    base = Baseline("numpy", went_back, truth)
    found = gradients.real(other, base, Condition("bent", "", backward=True))
    return {f.layer: f.hint for f in found if f.numbers["moved"]}


def test_why_a_gradient_moved_is_on_record_or_that_what_it_is_computed_from_had(went_back, truth, monkeypatch):
    row = Reason(("numpy",), ("be*",), ("conv",), "sums in parts", "https://example.org", back=True)
    monkeypatch.setattr(reasons, "REASONS", (row, replace(row, kinds=("relu",), back=False)))
    own = changed(went_back, GRADIENTS, "conv2.weight", "relu4", "conv1")
    said = "sums in parts (https://example.org)"
    assert hints(went_back, truth, own) == {
        "relu4": said,  # which conv5 gives
        "conv2.weight": said,
        "conv1": "",  # which relu1 gives
    }
    fed = changed(changed(went_back, GRADIENTS, "conv2.weight"), TRAINING, "pool1")
    assert hints(went_back, truth, fed) == {"conv2.weight": gradients.FOLLOWS}
    from_above = changed(went_back, GRADIENTS, "conv2.weight", "conv2")
    assert hints(went_back, truth, from_above) == {"conv2": "", "conv2.weight": gradients.FOLLOWS}
    row_of_the_loss = replace(row, kinds=("softmax",))
    monkeypatch.setattr(reasons, "REASONS", (row_of_the_loss,))
    assert hints(went_back, truth, changed(went_back, GRADIENTS, "fc8")) == {"fc8": said}
    at_the_top = changed(changed(went_back, GRADIENTS, "fc8"), TRAINING, "fc8")
    assert hints(went_back, truth, at_the_top) == {"fc8": gradients.FOLLOWS}


def test_gradients_of_parameters_alone_follow_what_went_forward(truth):
    own = {name: np.ones_like(value) for name, value in truth.params.items()}
    runs = {BATCH: dict(truth.single), GRADIENTS: own, GRADIENTS_AGAIN: own}
    plain = Recording("numpy", "paper-thin", "large", runs=runs)
    other = changed(plain, GRADIENTS, "conv2.bias")
    assert hints(plain, truth, other) == {"conv2.bias": ""}
    assert hints(plain, truth, changed(other, BATCH, "conv1")) == {"conv2.bias": gradients.FOLLOWS}


def test_a_second_backward_pass_must_repeat_the_first_and_be_whole(went_back, truth):
    base, bent = Baseline("numpy", went_back, truth), Condition("bent", "", backward=True)

    def bad(other, condition):
        return [(f.layer, f.status) for f in gradients.real(other, base, condition) if not f.good()]

    other = changed(went_back, GRADIENTS_AGAIN, "fc6.bias")
    assert bad(other, bent) == [("fc6.bias", Status.FAIL)]
    assert bad(other, replace(bent, repeats=False)) == []
    assert bad(other, Condition(AGAIN, "", keeps=True, backward=True)) == [("fc6.bias", Status.FAIL)]
    cut = replace(went_back, runs={run: those for run, those in went_back.runs.items() if run != GRADIENTS_AGAIN})
    assert bad(cut, bent) == [("fc8", Status.ERROR)]
    half = {"fc6.bias": went_back.run(GRADIENTS)["fc6.bias"][:1]}
    short = replace(went_back, runs={**went_back.runs, GRADIENTS: {**went_back.run(GRADIENTS), **half}})
    assert bad(short, bent) == [("fc6.bias", Status.FAIL)]
    gone = {name: y for name, y in went_back.run(GRADIENTS).items() if name != "input"}
    assert bad(replace(went_back, runs={**went_back.runs, GRADIENTS: gone}), bent) == [("input", Status.ERROR)]


@pytest.mark.parametrize(
    "way, name, settings",
    [("environment", "other-kernels", (KERNELS,)), ("threads", "omp-1", (OMP,))],
)
def test_bits_that_may_move_are_measured_and_held_to_the_bounds(monkeypatch, way, name, settings):
    found, _ = session(way, monkeypatch, name, settings=settings)
    assert wrong(found) == []
    summed = outcome.of([f for f in found if f.impl.endswith(f"@{name}")])
    assert (summed.first, summed.ulps >= 1, summed.moved > 0.5) == ("fc7", True, True)


def test_bits_that_move_beyond_a_bound_or_in_exact_arithmetic_are_caught(monkeypatch):
    found, _ = session("environment, by far", monkeypatch, "other-kernels", settings=[KERNELS])
    assert ("other-kernels", "large", "fc7") in wrong(found)
    found, _ = session("batch size, even exactly", monkeypatch, "batch-3", stimuli=("exact",))
    assert ("batch-3", "exact", "fc7") in wrong(found)


def test_a_setting_without_effect_is_blind(monkeypatch):
    idle = replace(OMP, name="omp-9", shows={"threads": "9"})
    found, _ = session("", monkeypatch, "omp-9", settings=[idle])
    assert [f.status for f in found if not f.good()] == [Status.BLIND]


def test_what_means_something_on_a_gpu_only_is_never_left_out(monkeypatch):
    fast = Setting("fast-gpu", (), "a GPU's own choice", cuda=True)
    slow = Setting("slow-gpu", (), "another", cuda=True)
    found, _ = session("", monkeypatch, "fast-gpu", "slow-gpu", CUDA, settings=[fast, slow])
    rows = {f.impl.rpartition("@")[2]: f for f in found if f.status is Status.UNSUPPORTED}
    assert set(rows) == {CUDA, "fast-gpu", "slow-gpu"}
    assert {f.got for f in rows.values()} == {"not run here: build() takes no device"}
    assert {f.device for f in rows.values()} == {"cuda"}


@pytest.mark.parametrize(
    "device, moved", [("cpu", {"cuda": ["fc7"], "fast-gpu": ["fc8"]}), ("cuda", {"fast-gpu": ["fc8"]})]
)
def test_a_gpu_is_compared_with_the_plain_run_and_what_it_may_do_with_the_gpus_own(monkeypatch, device, moved):
    fast = Setting("fast-gpu", (), "", environment={"ALEXNET_FAST_KERNELS": "1"}, cuda=True)
    monkeypatch.setattr(table, "SETTINGS", (*table.SETTINGS, fast))
    monkeypatch.setattr(condition, "under", partial(in_environment, condition.under, [fast]))
    target = find.find(str(SUPPORT / "fake_gpu.py"))
    chosen = condition.select([target.name], device, [CUDA, "fast-gpu"] if device == "cpu" else ["fast-gpu"])
    one = Session([target], chosen, stimuli=("large",), device=device, at_once=2)
    one.truths = TRUTHS
    found = list(one.findings())
    assert wrong(found) == []
    first = {}
    for finding in found:
        if finding.numbers.get("moved"):
            first.setdefault(finding.impl.rpartition("@")[2], []).append(finding.layer)
    assert first == moved
    assert {f.device for f in found if f.impl.endswith("fast-gpu")} == {"cuda"}


def test_a_network_that_cannot_be_expressed_is_told_once_for_each_condition(monkeypatch, tmp_path):
    fixed = tmp_path / "fixed.py"
    fixed.write_text("variant = 'paper'\ndef build(network, params):\n    raise AssertionError\n")
    target = find.find(str(fixed))
    one = Session([target], condition.select([target.name], "cpu", ["process"]), "paper-thin", at_once=1)
    found = list(one.findings())
    assert [f.status for f in found] == [Status.UNSUPPORTED, Status.UNSUPPORTED]
    assert "fixed to the network 'paper'" in found[0].got


def test_the_pool_runs_a_few_at_a_time_and_a_broken_worker_ends_as_recordings(monkeypatch):
    feeds = [Feed("cifar-18pct-thin", "large", read_back=False), Feed("cifar-18pct-thin", "exact", read_back=False)]
    jobs = [pool.Job(replace(find.find(MOODY), name=f"moody@{n}"), feeds, "cpu") for n in range(2)]
    jobs.append(pool.Job(replace(jobs[0].target, name="gone", file="", module="no_such_module_at_all"), feeds, "cpu"))
    found = list(pool.recordings(jobs, 0, 60.0, at_once=1))
    assert [r.impl for r in found] == ["moody@0"] * 2 + ["moody@1"] * 2 + ["gone"] * 2
    assert all(r.unavailable or r.errors for r in found[4:])


def test_fewer_bits_are_named_by_the_probe_in_every_layer_or_fail():
    """A mode that declares something else than what runs fails in every layer."""
    for declared, status in (("bfloat16", Status.KNOWN), ("float16", Status.FAIL)):
        mode = Condition("coarse", "operands cut to bfloat16", arithmetic=declared)
        for name in ("probe.conv4", "probe.fc8"):
            truth = TRUTHS.of("paper-thin", name)
            layer = name.partition(".")[2]
            params = {key: cut(value) if value.ndim > 1 else value for key, value in truth.params.items()}
            run = oracle.forward(truth.network, params, cut(truth.x), np.float32)
            found = list(judge.probed(Recording("mine", "paper-thin", name, runs={BATCH: run}), truth, mode))
            assert {(f.check, f.status, f.layer) for f in found} == {
                ("precision-inputs", status, layer),
                ("precision-accumulator", status, layer),
            }


def asked_of_fc8(run, mode):
    """What the probe says of fc8 under a mode: (status, hint) of its inputs, then of its sums."""
    truth = TRUTHS.of("paper-thin", "probe.fc8")
    recording = Recording("mine", "paper-thin", "probe.fc8", runs={BATCH: run(truth)})
    return [(f.status, f.hint) for f in judge.probed(recording, truth, mode)]


def in_float32(truth):
    return oracle.forward(truth.network, truth.params, truth.x, np.float32)


def test_where_several_ways_to_sum_fit_the_inputs_decide(monkeypatch):
    """Tensor cores with 2 or 3 extra bits give the same answers in bfloat16."""
    sums = (arithmetics.FLOAT32_TRUNCATED, *arithmetics.TENSOR_CORES[2:])
    several = [Arithmetic(BFLOAT16, BFLOAT16, kept, BFLOAT16) for kept in sums]
    for found, status in (
        (several, Status.KNOWN),
        ([*several, Arithmetic(TF32, TF32)], Status.FAIL),
        ([], Status.BLIND),
    ):
        said = lambda recording, truth, found=found: [(truth.network.layers[0], Verdict(tuple(found)))]  # noqa: E731
        monkeypatch.setattr(judge.precision, "verdicts", said)
        mode = Condition("coarse", "", arithmetic="bfloat16")
        assert [status for status, _ in asked_of_fc8(in_float32, mode)] == [status, status]


@pytest.mark.parametrize("read", [TF32, arithmetics.TF32_AWAY, arithmetics.TF32_TRUNCATED])
def test_a_format_however_it_rounds_is_that_format(monkeypatch, read):
    said = lambda recording, truth: [(truth.network.layers[0], Verdict((Arithmetic(read, read),)))]  # noqa: E731
    monkeypatch.setattr(judge.precision, "verdicts", said)
    for declared, status in (("tf32", Status.KNOWN), ("bfloat16", Status.FAIL)):
        found = asked_of_fc8(in_float32, Condition("coarse", "", arithmetic=declared))
        assert [s for s, _ in found] == [status, status]


def test_what_may_be_fewer_bits_and_is_float32_in_a_layer_is_said_and_passes():
    allowed = Condition("tf32-on", "", arithmetic="tf32", permits=True)
    said = "float32: allowed to be tf32, and is not here"
    assert asked_of_fc8(in_float32, allowed) == [(Status.PASS, said)] * 2
    wanted = "expected products in tf32, as it was set to"
    assert asked_of_fc8(in_float32, replace(allowed, permits=False)) == [(Status.FAIL, wanted)] * 2

    def coarser(truth):
        params = {key: cut(value) if value.ndim > 1 else value for key, value in truth.params.items()}
        return oracle.forward(truth.network, params, cut(truth.x), np.float32)

    assert asked_of_fc8(coarser, allowed) == [(Status.FAIL, wanted)] * 2


@pytest.mark.parametrize("permits, shows, status", [(True, True, "PASS"), (True, False, "FAIL"), (False, True, "FAIL")])
def test_no_layer_at_all_is_the_librarys_choice_only_where_flags_show_that_it_had_one(truth, permits, shows, status):
    shown = {"tf32": "True"} if shows else {}
    found = judged(truth, recorded(truth), recorded(truth), arithmetic="tf32", permits=permits, shows=shown)[""]
    assert found.status == status
    assert ("no layer is" in found.hint) == (status == "PASS")


def test_products_exact_here_are_held_to_float32(truth):
    flagged = replace(recorded(truth), flags={"products": "exact here"})
    found = judged(truth, recorded(truth), flagged, arithmetic="bfloat16", permits=True)
    assert {f.status for f in found.values()} == {Status.PASS}
    far = replace(recorded(truth, fc7=lambda y: y * np.float32(1.01)), flags=flagged.flags)
    assert judged(truth, recorded(truth), far, arithmetic="bfloat16", permits=True)["fc7"].status is Status.FAIL


def test_sums_that_nothing_explains_leave_the_inputs_to_the_answers_of_one_product():
    given = stimuli.stimulus(variants.variant("paper-thin"), "probe.fc8", 0)
    layer = given.network.layers[0]
    half = {name: value.astype(np.float16) for name, value in given.params.items()}
    run = oracle.forward(given.network, half, given.x.astype(np.float16), np.float32)
    with np.errstate(over="ignore"):
        got = run["fc8"].astype(np.float16).astype(np.float32)
    sums = terms(layer, given.params, given.x, got)
    image, row, _ = (place[np.count_nonzero(sums.x * sums.weight, axis=1) == 3] for place in sums.place)
    got[image, row] += np.float32(3)
    found = verdict(layer, given.params, given.x, got)
    assert (found.found, found.alone, found.inputs) == ((), {"float16"}, {"float16"})
    for declared, status in (("float16", Status.KNOWN), ("bfloat16", Status.FAIL)):
        said = asked_of_fc8(lambda truth: {"fc8": got}, Condition("half", "", arithmetic=declared))
        assert [s for s, _ in said] == [status] * 2
    assert {s for s, _ in asked_of_fc8(lambda truth: {"fc8": got}, Condition("plain", ""))} == {Status.FAIL}
    one = np.count_nonzero(sums.x * sums.weight, axis=1) == 1
    image, row, _ = (place[one] for place in sums.place)
    got[image, row] *= np.float32(1.001)
    assert not verdict(layer, given.params, given.x, got).inputs


def test_a_modes_arithmetic_may_be_another_on_a_gpu():
    for device, name in (("cpu", "bfloat16"), ("cuda", "tf32")):
        those = {c.name: c for c in condition.conditions_of("jax", device)}
        assert (those["matmul-bfloat16"].arithmetic, those["matmul-bfloat16"].permits) == (name, True)
        assert (those["bfloat16"].arithmetic, those["bfloat16"].permits) == ("bfloat16", False)
        assert those["tf32-on"].arithmetic == "tf32"


def test_reasons_are_of_a_device():
    on_cpu, on_gpu = (reasons.of("torch", "channels-last", "conv", device) for device in ("cpu", "cuda"))
    assert "oneDNN" in on_cpu.why
    assert "cuDNN" in on_gpu.why
    assert reasons.of("jax", "autotune-on", "conv") is None
    assert reasons.of("jax", "threads-1", "conv", "cuda") is None


def cut(values):
    """float32 rounded to bfloat16, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


# Summed up -----------------------------------------------------------------------------------------------------------------


def test_an_outcome_is_the_worst_of_its_layers(truth):
    found = list(judged(truth, recorded(truth), recorded(truth, conv3=up, fc7=up)).values())
    summed = outcome.of(found)
    assert (summed.status, summed.first, summed.layers, summed.asked) == (Status.PASS, "conv3", 2, 24)
    assert summed.text.startswith("PASS   2 of 24 layers move from conv3 on, ")
    assert outcome.of([replace(found[0], status=Status.ERROR), *found[1:]]).status is Status.ERROR
