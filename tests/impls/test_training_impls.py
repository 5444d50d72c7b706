"""What our own implementations offer for training: backward, gradients, step, velocities and restore."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_parity.checks import bounds, compare
from alexnet_parity.impls.interface import Unsupported
from alexnet_parity.reference import backward, draws, loss, oracle, stimuli, update_rules, variants
from alexnet_parity.reference.mistaken import Activation
from alexnet_parity.reference.spec import Conv, Dense, Flatten, Network

pytestmark = [pytest.mark.once, pytest.mark.offers("backward", "step")]

THIN = ("paper-thin", "cifar-11pct-thin")  # groups and dropout; kernels of their own at each position, and means
UNGROUPED = "one-weird-trick-thin"  # with dropout: Keras compiles each grouped convolution of each model anew
RATE = 2.0**-7
GENTLE = 2.0**-10  # with which the loss falls
STEPS = 5


def fed(variant: str, name: str = "large") -> stimuli.Stimulus:
    return stimuli.stimulus(variants.variant(variant), name, 0)


def built(module, stimulus: stimuli.Stimulus):
    return module.build(stimulus.network, stimulus.params)


def masks_for(network: Network, choices=(0, 1), seed: int = 5) -> dict[str, np.ndarray]:
    """A mask for each dropout layer, (2, units)."""
    return {
        layer.name: draws.integers(seed, f"mask/{layer.name}", (2, *shape), np.array(choices))
        for layer, shape, _ in network.walk()
        if layer.kind == "dropout"
    }


def same_numbers(got: np.ndarray, want: np.ndarray) -> bool:
    """The same float32 numbers; zeros of either sign, which TensorFlow's ReLU passes back for what it blocks."""
    return got.dtype == np.float32 and got.shape == want.shape and np.array_equal(got, want)


def same_bits(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return sorted(one) == sorted(other) and all(
        compare.bitwise(one[name], other[name].astype(np.float64)).ok for name in one
    )


# Backward -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", THIN)
def test_backward_names_everything_in_our_layout(module, variant):
    stimulus = fed(variant)
    done = built(module, stimulus).backward(stimulus.x, labels=stimulus.labels)
    layers = {layer.name for layer in backward.up_to_logits(stimulus.network)}
    assert set(done.activations) == layers
    assert set(done.gradients) == {"input", *layers, *stimulus.params}
    shapes = {name: (2, *shape) for name, shape in stimulus.network.shapes().items()} | stimulus.network.param_shapes()
    shapes["input"] = stimulus.x.shape
    for name, array in {**done.activations, **done.gradients}.items():
        assert type(array) is np.ndarray, name
        assert (array.shape, array.dtype) == (shapes[name], np.float32), name
    assert (done.loss.shape, done.loss.dtype) == ((1,), np.float32)


@pytest.mark.parametrize("variant", THIN)
def test_gradients_are_the_oracles_number_for_number_where_they_are_exact(module, variant):
    stimulus = fed(variant, "gradient-exact")
    done = built(module, stimulus).backward(stimulus.x, upstream=stimulus.upstream)
    assert done.loss is None
    trace = oracle.forward(stimulus.network, stimulus.params, stimulus.x)
    flowing = backward.flow(stimulus.network, stimulus.params, stimulus.x, trace, stimulus.upstream.astype(float))
    of_weights = backward.gradients(stimulus.network, stimulus.params, stimulus.x, trace, flowing)
    for name, want in {**flowing, **of_weights}.items():
        assert same_numbers(done.gradients[name], want), name


@pytest.mark.parametrize("choices", [(0, 1), (0, 2)], ids=["as the paper has it", "inverted"])
def test_a_mask_multiplies_on_the_way_there_and_back(module, choices):
    stimulus = fed("paper-thin", "gradient-exact")
    masks = masks_for(stimulus.network, choices)
    assert sorted(masks) == ["drop6", "drop7"]
    done = built(module, stimulus).backward(stimulus.x, upstream=stimulus.upstream, masks=masks)
    trace = oracle.forward(stimulus.network, stimulus.params, stimulus.x, masks=masks)
    flowing = backward.flow(
        stimulus.network, stimulus.params, stimulus.x, trace, stimulus.upstream.astype(float), masks
    )
    of_weights = backward.gradients(stimulus.network, stimulus.params, stimulus.x, trace, flowing)
    assert all(same_numbers(done.activations[name], trace[name]) for name in done.activations)
    assert all(same_numbers(done.gradients[name], want) for name, want in {**flowing, **of_weights}.items())
    for name, before in (("drop6", "relu6"), ("drop7", "relu7")):
        assert not done.activations[name][masks[name] == 0].any()
        assert not done.gradients[before][masks[name] == 0].any()
        assert done.gradients[name][masks[name] == 0].any()  # as if it counted: only the layer itself stops it


def test_a_mask_may_be_given_for_one_layer_alone(module):
    stimulus = fed("paper-thin", "gradient-exact")
    masks = {"drop7": masks_for(stimulus.network)["drop7"]}
    done = built(module, stimulus).backward(stimulus.x, upstream=stimulus.upstream, masks=masks)
    assert np.array_equal(done.activations["drop6"], done.activations["relu6"])
    assert np.array_equal(done.activations["drop7"], done.activations["relu7"] * masks["drop7"])


def test_gradients_are_those_of_the_loss_and_dropout_is_off(module):
    """All within 2^-16 of the largest in each array: a third of the bits to spare for any order of summing."""
    stimulus = fed(UNGROUPED)
    model = built(module, stimulus)
    found, done = model.gradients(stimulus.x, stimulus.labels), model.backward(stimulus.x, labels=stimulus.labels)
    assert set(found) == set(stimulus.params)
    trace = oracle.forward(stimulus.network, stimulus.params, stimulus.x)
    upstream = loss.cross_entropy_gradient(trace["fc8"], stimulus.labels)
    flowing = backward.flow(stimulus.network, stimulus.params, stimulus.x, trace, upstream)
    for name, want in backward.gradients(stimulus.network, stimulus.params, stimulus.x, trace, flowing).items():
        for got in (found[name], done.gradients[name]):
            assert (got.dtype, got.shape) == (np.float32, want.shape), name
            assert np.abs(got - want).max() <= 2.0**-16 * np.abs(want).max(), name
    np.testing.assert_allclose(done.loss, loss.cross_entropy(trace["fc8"], stimulus.labels), rtol=2.0**-16)


# Steps ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", THIN)
def test_each_step_is_the_papers_rule_on_the_gradient(module, variant):
    """v' = 0.9 v - 0.0005 rate w - rate g has three terms with at most five roundings each (0.9, 0.0005 and the rate to
    float32, products and sums), so that 6 u times the sum of their sizes bounds its error; w' = w + v' rounds once more.
    """
    stimulus = fed(variant)
    model = built(module, stimulus)
    u = bounds.U
    for step in range(STEPS):
        rate = RATE if step < 3 else RATE / 10
        w, v, g = (
            {name: value.astype(np.float64) for name, value in found.items()}
            for found in (model.params(), model.velocities(), model.gradients(stimulus.x, stimulus.labels))
        )
        assert all(value.any() == (step > 0) for value in v.values())
        said = model.step(stimulus.x, stimulus.labels, rate)
        assert (said.shape, said.dtype) == ((1,), np.float32)
        now, velocity = model.params(), model.velocities()
        for name, value in w.items():
            want, carried = update_rules.paper(value, v[name], g[name], rate)
            terms = 0.9 * np.abs(v[name]) + 0.0005 * rate * np.abs(value) + rate * np.abs(g[name])
            allowed = 6 * u * terms + bounds.SMALLEST_NORMAL
            assert compare.within(velocity[name], carried, allowed).ok, (step, name)
            assert compare.within(now[name], want, allowed + u * np.abs(want)).ok, (step, name)


def oracle_path(
    stimulus: stimuli.Stimulus, masks, rule=update_rules.paper
) -> tuple[list[float], dict[str, np.ndarray]]:
    """The losses and the weights after STEPS steps in float64."""
    weights = {name: value.astype(np.float64) for name, value in stimulus.params.items()}
    velocity, losses = {name: np.zeros_like(value) for name, value in weights.items()}, []
    logits = backward.up_to_logits(stimulus.network)[-1].name
    for _ in range(STEPS):
        trace = oracle.forward(stimulus.network, weights, stimulus.x, masks=masks)
        losses.append(float(loss.cross_entropy(trace[logits], stimulus.labels)[0]))
        upstream = loss.cross_entropy_gradient(trace[logits], stimulus.labels)
        flowing = backward.flow(stimulus.network, weights, stimulus.x, trace, upstream, masks)
        gradient = backward.gradients(stimulus.network, weights, stimulus.x, trace, flowing)
        for name, value in weights.items():
            weights[name], velocity[name] = rule(value, velocity[name], gradient[name], GENTLE)
    return losses, weights


@pytest.mark.parametrize("masked", [False, True], ids=["dropout off", "under masks"])
def test_five_steps_end_where_the_oracle_ends(module, masked):
    """Within 2^-10 of the way that each array of weights has gone, and one rounding of the weights for each step.

    Without momentum it would have gone less than 2/3 of the way.
    """
    stimulus = fed(UNGROUPED)
    masks = masks_for(stimulus.network) if masked else None
    model = built(module, stimulus)
    losses = [float(model.step(stimulus.x, stimulus.labels, GENTLE, masks)[0]) for _ in range(STEPS)]
    expected, want = oracle_path(stimulus, masks)
    np.testing.assert_allclose(losses, expected, rtol=2.0**-10, atol=2.0**-12)
    for name, value in model.params().items():
        way = np.linalg.norm(want[name] - stimulus.params[name])
        assert np.linalg.norm(value - want[name]) <= 2.0**-10 * way + STEPS * bounds.U * np.linalg.norm(want[name]), (
            name
        )


def test_a_rule_without_momentum_would_be_seen():
    stimulus = fed(UNGROUPED)
    _, want = oracle_path(stimulus, None)
    _, without = oracle_path(stimulus, None, lambda w, v, g, rate: (w - 0.0005 * rate * w - rate * g, v))
    for name, value in want.items():
        way = np.linalg.norm(value - stimulus.params[name])
        assert np.linalg.norm(without[name] - value) > way / 3, name


def test_masks_change_a_step(module):
    stimulus = fed(UNGROUPED)
    with_masks, without = built(module, stimulus), built(module, stimulus)
    masks = masks_for(stimulus.network)
    dropped = ~masks["drop7"].any(axis=0)  # in both images
    assert dropped.any()
    assert with_masks.step(stimulus.x, stimulus.labels, RATE, masks) != without.step(stimulus.x, stimulus.labels, RATE)
    decayed = 0.0005 * RATE * np.abs(stimulus.params["fc7.weight"][:, dropped]).max()
    assert np.abs(with_masks.velocities()["fc7.weight"][:, dropped]).max() <= decayed * (1 + 8 * bounds.U)
    assert np.abs(without.velocities()["fc7.weight"][:, dropped]).max() > 2 * decayed


# Velocities -----------------------------------------------------------------------------------------------------------


def test_velocities_are_zero_before_the_first_step(module):
    stimulus = fed(UNGROUPED)
    found = built(module, stimulus).velocities()
    assert {name: value.shape for name, value in found.items()} == stimulus.network.param_shapes()
    assert all(value.dtype == np.float32 and not value.any() for value in found.values())


@pytest.mark.parametrize("before", [0, 2], ids=["a model that has not stepped", "one that has"])
def test_velocities_come_back_bit_for_bit(module, before):
    stimulus = fed("cifar-11pct-thin")
    given = {name: draws.normal(3, name, shape, 1.0) for name, shape in stimulus.network.param_shapes().items()}
    model = built(module, stimulus)
    for _ in range(before):
        model.step(stimulus.x, stimulus.labels, RATE)
    kept = {name: value.copy() for name, value in given.items()}
    model.restore(given)
    assert same_bits(model.velocities(), given)
    model.step(stimulus.x, stimulus.labels, RATE)
    assert same_bits(given, kept)  # what was given is copied, not held


def test_an_interrupted_run_goes_on_with_the_same_bits(module):
    stimulus = fed(UNGROUPED)
    masks = masks_for(stimulus.network, (0, 2))
    whole = built(module, stimulus)
    for _ in range(2):
        whole.step(stimulus.x, stimulus.labels, RATE, masks)
    weights, velocities = whole.params(), whole.velocities()
    weights = {name: value.copy() for name, value in weights.items()}
    resumed = module.build(stimulus.network, weights)
    resumed.restore(velocities)
    assert same_bits(resumed.params(), weights)
    for _ in range(2):
        ahead = whole.step(stimulus.x, stimulus.labels, RATE, masks)
        again = resumed.step(stimulus.x, stimulus.labels, RATE, masks)
        assert ahead.tobytes() == again.tobytes()
    assert same_bits(whole.params(), resumed.params())
    assert same_bits(whole.velocities(), resumed.velocities())


def test_what_was_read_back_does_not_change_with_the_next_step(module):
    stimulus = fed(UNGROUPED)
    model = built(module, stimulus)
    model.step(stimulus.x, stimulus.labels, RATE)
    params, velocities = model.params(), model.velocities()
    kept = [{name: value.copy() for name, value in found.items()} for found in (params, velocities)]
    model.step(stimulus.x, stimulus.labels, RATE)
    assert same_bits(params, kept[0])
    assert same_bits(velocities, kept[1])


def test_steps_leave_the_weights_that_were_given_alone(module):
    stimulus = fed(UNGROUPED)
    kept = {name: value.copy() for name, value in stimulus.params.items()}
    built(module, stimulus).step(stimulus.x, stimulus.labels, RATE)
    assert same_bits(stimulus.params, kept)


# tanh -----------------------------------------------------------------------------------------------------------------


def with_activation(function: str) -> Network:
    layers = (Conv("c", 5, 3, padding=(1, 1)), Activation("a", function), Flatten("f"), Dense("d", 7))
    return Network("odd", (3, 4, 6), layers)


def test_tanh_forward_and_backward(module):
    """Its derivative, 1 - y^2, takes y with its error e on: 2 |y| e more, and four roundings of its own."""
    network = with_activation("tanh")
    params = {name: draws.normal(2, name, shape, 0.3) for name, shape in network.param_shapes().items()}
    x = draws.normal(2, "x", (2, 3, 4, 6), 1.0)
    upstream = draws.integers(2, "upstream", (2, 7), np.array([-1, 1]))
    done = module.build(network, params).backward(x, upstream=upstream)
    fed = done.activations["c"].astype(np.float64)
    want = np.tanh(fed)
    allowed = bounds.local_tolerance(network["a"], params, fed, want)
    assert compare.within(done.activations["a"], want, allowed).ok
    into = done.gradients["a"].astype(np.float64)
    tolerance = np.abs(into) * (2 * allowed + 4 * bounds.U)
    assert compare.within(done.gradients["c"], into * (1 - np.square(want)), tolerance).ok
    assert np.array_equal(dict(module.build(network, params).activations(x))["a"], done.activations["a"])


def test_other_activations_are_declined(module):
    network = with_activation("sigmoid")
    params = {name: np.zeros(shape, np.float32) for name, shape in network.param_shapes().items()}
    with pytest.raises(Unsupported):
        dict(module.build(network, params).activations(np.zeros((2, 3, 4, 6), np.float32)))
