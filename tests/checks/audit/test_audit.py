"""The audit from end to end, of models in plain NumPy."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from numpy_subject import Subject

from alexnet_parity.checks.audit.audit import audit
from alexnet_parity.checks.audit.effect import moved
from alexnet_parity.checks.audit.result import Audit, Deviation, verdict_of
from alexnet_parity.impls.foreign.graph import Graph, Operation, Refused
from alexnet_parity.reference import variants
from alexnet_parity.reference.mistaken import Activation, Affine, ChannelNorm
from alexnet_parity.reference.spec import Dense, Flatten, Network, Pool, Relu, Softmax
from alexnet_parity.reference.stimuli import paper_init

THIN = variants.variant("paper-thin")


def begun(network: Network, seed: int = 0) -> dict[str, np.ndarray]:
    """As the paper has it; what it does not have, small and random."""
    rng = np.random.default_rng(seed)
    known, found = paper_init(THIN, seed), {}
    for layer, before, _ in network.walk():
        for name, shape in layer.param_shapes(before).items():
            constant = getattr(layer, "init_bias", None) if name.endswith("bias") else None
            drawn = rng.normal(0, 0.01, shape) if constant is None else np.full(shape, constant)
            found[name] = known[name] if name in known and known[name].shape == shape else drawn.astype(np.float32)
    return found


def audited(network: Network = THIN, variant: str = "paper-thin", **options) -> Audit:
    subject = options.pop("subject", None) or Subject(network, begun(network), options.pop("tricks", None))
    return audit(subject, "a model", variant, **options)


def said(result: Audit) -> list[tuple[str, str]]:
    return [(d.trap, d.layer) for d in result.deviations]


@pytest.mark.parametrize(
    "shape, step",
    [
        (None, "give its size with --input-shape N,C,H,W"),
        ((3, 9, 9), "that is what --input-shape says: give another, or none"),
    ],
)
def test_a_size_that_was_given_is_not_asked_for(shape, step):
    class Raising(Subject):
        input_shape = None

        def record(self, x, training=False):
            raise ValueError(f"never on {x.shape[1:]}")

    with pytest.raises(Refused, match=r"does not run on images of .*never on") as caught:
        audited(subject=Raising(THIN, begun(THIN)), input_shape=shape)
    assert str(caught.value).endswith(f"; {step}")


def test_the_papers_network_is_equal():
    result = audited()
    assert (result.verdict, result.deviations) == ("equal", ())
    assert not result.fails()
    assert [row.layer for row in result.rows] == THIN.names()
    assert all(0 <= row.share <= 1 for row in result.rows)
    assert result.input_shape == THIN.input_shape
    assert result.notes == ()


def test_a_deviation_is_named_with_all_that_belongs_to_it():
    result = audited(THIN.edit("norm1", k=1.0))
    (deviation,) = result.deviations
    assert (deviation.trap, deviation.layer, deviation.at) == ("lrn-k-1", "norm1", "norm1")
    assert "k = 1" in deviation.found
    assert "k = 2" in deviation.expected
    assert 0 < deviation.local < 1
    assert 0 < deviation.final < 1
    assert deviation.source


def test_what_it_says_survives_json_and_is_strict_json():
    for result in (audited(THIN.edit("norm1", k=1.0)), audited(THIN.swap("norm2"))):
        text = result.as_json()
        data = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        assert data["schema"] == "alexnet-parity/audit/1"
        assert Audit.from_dict(data) == result


@pytest.mark.parametrize(
    "wrong", [{}, {"deviations": [], "rows": []}, {"deviations": [{}], "rows": []}, {"deviations": 3}]
)
def test_what_is_no_audit_is_refused_in_one_line(wrong):
    with pytest.raises(ValueError, match="no audit: "):
        Audit.from_dict(wrong)


@pytest.mark.parametrize("got", [np.array([1.0, np.inf]), np.array([1.0, np.nan])])
def test_how_far_something_moves_is_a_number_or_nothing(got):
    """NaN and infinity would be written into the JSON, which has neither."""
    share = moved(np.array([1.0, 2.0]), got)
    assert share is None or np.isfinite(share)


def test_a_verdict_is_the_worst_of_its_deviations():
    def one(kind: str) -> Deviation:
        return Deviation("l", "t", kind, "", "", "", "", "")

    assert verdict_of([]) == "equal"
    assert verdict_of([one("convention")]) == "conventions only"
    assert verdict_of([one("convention"), one("deviation")]) == "deviates"
    assert verdict_of([one("deviation"), one("unexplained")]) == "unexplained"


# Models of their own kind ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 17])
def test_another_number_of_classes_is_a_convention(classes):
    result = audited(THIN.edit("fc8", units=classes))
    assert said(result) == [("classes", "fc8")]
    assert result.verdict == "conventions only"
    assert not result.fails()


def test_images_of_one_channel_get_a_full_audit():
    network = dataclasses.replace(THIN, input_shape=(1, 103, 131))
    result = audited(network)
    assert result.input_shape == (1, 103, 131)
    assert [row.layer for row in result.rows] == THIN.names()
    assert {layer for _, layer in said(result)} <= {"conv1"}


def test_a_fixed_batch_is_kept():
    class Fixed(Subject):
        batch = 3

        def record(self, x, training=False):
            assert len(x) == 3, "this model takes three images"
            return super().record(x, training)

    result = audited(subject=Fixed(THIN, begun(THIN)))
    assert (result.batch, result.verdict) == (3, "equal")


def test_a_model_that_wants_another_batch_is_refused_with_its_own_words():
    class Wants(Subject):
        def record(self, x, training=False):
            if len(x) != 5:
                raise ValueError("this model takes five images")
            return super().record(x, training)

    with pytest.raises(Refused, match="five images"):
        audited(subject=Wants(THIN, begun(THIN)))
    assert audited(subject=Wants(THIN, begun(THIN)), batch=5).verdict == "equal"


@pytest.mark.parametrize("error", [ValueError, RuntimeError, KeyError, ZeroDivisionError])
def test_a_model_that_raises_is_refused_in_one_line(error):
    class Raises(Subject):
        def record(self, x, training=False):
            raise error("out of order")

    with pytest.raises(Refused, match="out of order") as caught:
        audited(subject=Raises(THIN, begun(THIN)))
    assert "\n" not in str(caught.value)


def test_a_model_that_raises_in_training_only_is_refused_with_that():
    class Raises(Subject):
        def record(self, x, training=False):
            if training:
                raise RuntimeError("no training here")
            return super().record(x, training)

    with pytest.raises(Refused, match=r"training mode: .*no training here"):
        audited(subject=Raises(THIN, begun(THIN)))


def test_an_output_that_does_not_depend_on_the_input_is_refused():
    class Constant(Subject):
        def record(self, x, training=False):
            operation = Operation("c", "other", "c()", ("param:conv1.bias",), ("t",))
            return Graph((operation,), {"x": x, "t": self.held["conv1.bias"]}, "x", ("t",), "NCHW")

    with pytest.raises(Refused, match="does not depend on its input"):
        audited(subject=Constant(THIN, begun(THIN)))


def test_a_model_without_parameters_is_no_alexnet():
    network = Network("bare", THIN.input_shape, (Relu("r"), Pool("p", 3, 2), Flatten("f"), Softmax("s")))
    result = audited(network, "nearest")
    assert result.verdict == "no AlexNet"
    assert result.fails()
    assert "0 convolutions and 0 dense layers" in result.notes[0]


def test_a_model_that_gives_back_its_input_is_no_alexnet():
    class Nothing(Subject):
        def record(self, x, training=False):
            return Graph((), {"x": x}, "x", ("x",), "NCHW")

    assert audited(subject=Nothing(THIN, begun(THIN)), variant="nearest").verdict == "no AlexNet"


def test_a_perceptron_is_no_alexnet_in_one_line():
    layers = [Flatten("f")]
    for i in range(3):
        layers += [Dense(f"d{i}", 20), Relu(f"r{i}")]
    result = audited(Network("mlp", (3, 24, 25), tuple(layers)), "nearest")
    assert result.verdict == "no AlexNet"
    assert len(result.notes) == 1
    assert "\n" not in result.notes[0]


# What belongs to the parameters -----------------------------------------------------------------------------------------


def test_parameters_that_are_never_used_are_told():
    held = begun(THIN) | {"left.over": np.zeros(4, np.float32)}
    result = audited(subject=Subject(THIN, held))
    assert result.verdict == "equal"
    assert result.notes == ("parameters that are never used: left.over",)


def test_weights_that_two_layers_share_are_told():
    class Shares(Subject):
        """fc7 reads fc6's weight."""

        def record(self, x, training=False):
            self.held["fc7.weight"] = self.held["fc6.weight"]
            graph = super().record(x, training)
            swap = {"param:fc7.weight": "param:fc6.weight"}
            operations = [
                dataclasses.replace(op, inputs=tuple(swap.get(t, t) for t in op.inputs)) for op in graph.operations
            ]
            return dataclasses.replace(graph, operations=operations)

    square = THIN.edit("fc6", units=72).edit("fc7", units=72)
    result = audited(subject=Shares(square, begun(square)))
    assert ("weights-shared", "fc7") in said(result)


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_parameters_of_another_type_are_no_reason_to_break_off(dtype):
    class Typed(Subject):
        def value(self, name):
            return self.held[name].astype(dtype)

        def load(self, values):
            super().load({name: value.astype(dtype).astype(np.float32) for name, value in values.items()})

    result = audited(subject=Typed(THIN, begun(THIN)))
    assert [row.layer for row in result.rows] == THIN.names()


def test_parameters_that_do_not_take_values_are_refused_by_name():
    class Stubborn(Subject):
        def load(self, values):
            super().load({name: value for name, value in values.items() if name != "conv3.weight"})

    with pytest.raises(Refused, match=r"conv3\.weight"):
        audited(subject=Stubborn(THIN, begun(THIN)))


def test_a_bias_that_is_missing_is_named_and_a_bias_of_zeros_is_a_first_value():
    assert said(audited(tricks={"conv3": ("no-bias",)})) == [("bias-missing", "conv3")]
    held = begun(THIN)
    held["conv2.bias"] = np.zeros_like(held["conv2.bias"])
    assert said(audited(subject=Subject(THIN, held))) == [("init-zero-bias", "conv2")]


def test_first_values_are_not_judged_where_they_are_not_fresh():
    held = begun(THIN)
    held["conv2.bias"] = np.zeros_like(held["conv2.bias"])
    assert audited(subject=Subject(THIN, held), fresh=False).verdict == "equal"


# Batch normalisation, images, other things people do ----------------------------------------------------------------------


@pytest.mark.parametrize("hints", [True, False])
def test_batch_normalisation_is_read_whatever_its_statistics(hints):
    network = THIN.swap("norm1", ChannelNorm("norm1")).swap("norm2", ChannelNorm("norm2"))
    result = audited(subject=Subject(network, begun(network), hints=hints))
    assert {(d.trap, d.layer) for d in result.deviations} == {
        ("batch-norm-instead", "norm1"),
        ("batch-norm-instead", "norm2"),
    }


def test_images_divided_by_their_spread_are_read():
    scale = Affine("scale", (1 / 58.395, 1 / 57.12, 1 / 57.375), (-2.1179, -2.0357, -1.8044))
    result = audited(Network("scaled", THIN.input_shape, (scale, *THIN.layers)))
    assert result.verdict != "unexplained"
    assert {d.layer for d in result.deviations} == {"conv1"}


def test_an_activation_is_named_without_any_hint():
    for function in ("tanh", "sigmoid", "elu", "softplus"):
        network = THIN.swap("relu3", Activation("relu3", function, 1.0 if function == "elu" else 0.0))
        result = audited(subject=Subject(network, begun(network), hints=False))
        assert said(result) == [(function, "relu3")]


@pytest.mark.filterwarnings("ignore:invalid value")
def test_numbers_that_are_not_finite_are_not_laid_at_the_door_of_the_parameters():
    """k = 0 divides zero by zero wherever a whole window is zero."""
    network = THIN.edit("norm1", k=0.0)
    try:
        text, fails = " ".join(audited(network).notes), True
    except Refused as why:
        text, fails = str(why), True
    assert fails
    assert "does not hold the values" not in text


def test_a_thresholded_relu_is_never_called_dropout():
    @dataclasses.dataclass(frozen=True)
    class Threshold(Activation):
        def compute(self, params, x):
            return np.where(x > 1, x, 0).astype(x.dtype)

    network = THIN.swap("relu6", Threshold("relu6"))
    result = audited(subject=Subject(network, begun(network), hints=False))
    assert result.verdict == "unexplained"
    assert not [d for d in result.deviations if "dropout" in d.trap]


@pytest.mark.parametrize("name", ["paper-thin", "original-2012-thin", "cifar-11pct-thin"])
def test_a_variant_is_itself_without_any_hint(name):
    network = variants.variant(name)
    subject = Subject(network, paper_init(network, 1), hints=False, seed=1)
    result = audit(subject, "a model", name, seed=1)
    assert (result.verdict, said(result)) == ("equal", [])


def test_rows_and_columns_of_the_table_are_the_layers_with_their_parameters():
    rows = {row.layer: row for row in audited().rows}
    assert rows["conv2"].parameters == ("conv2.weight", "conv2.bias")
    assert rows["conv2"].shape == THIN.shapes()["conv2"]
    assert "convolution 5 x 5, 20 maps" in rows["conv2"].read
    assert rows["drop6"].read == "dropout 0.5"
