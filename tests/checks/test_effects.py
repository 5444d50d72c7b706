"""Effects of the differences: against figures found independently, at limits worked by hand, and blind to none."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from alexnet_parity.checks import deviations, effects
from alexnet_parity.checks.deviations import DEVIATIONS, Deviation, named
from alexnet_parity.reference import oracle, variants

# Percent before conv2 at s = 1, 30, 100, 300, measured by other code on other draws (a smaller sample, whose scatter is a few
# percent of each figure, and of a fifth where few maps decide: the towers).
KNOWN = {
    "ReLU after LRN and pooling": (0.008, 4.9, 17.9, 33.3),
    "alpha / 5": (0.016, 11.8, 66.6, 137),
    "LRN within towers": (0.0001, 0.09, 0.30, 0.58),
    "original code, LRN of layer 1 and 2": (0.014, 10.6, 53.9, 89.1),
    "Caffe, whole": (68.2, 82.4, 134, 181),
    "window of 11 maps": (0.011, 6.6, 20.8, 35.8),
}


def rounding(figure: float) -> float:
    """Half a unit of the last digit that is given."""
    digits = len(str(figure).partition(".")[2]) if figure != int(figure) else 0
    return 0.5 * 10.0**-digits


@pytest.mark.parametrize("name", KNOWN)
def test_the_known_figures_are_found_again(name):
    scatter = 0.25 if "towers" in name else 0.05
    for scale, figure in zip((1, 30, 100, 300), KNOWN[name], strict=True):
        got = 100 * effects.at_layer(named(name), scale, seed=0)
        assert abs(got - figure) <= rounding(figure) + scatter * figure, (scale, got, figure)


@pytest.mark.parametrize("name", [name for name in KNOWN if "towers" not in name])
def test_another_deviation_would_not_pass_for_it(name):
    other = dataclasses.replace(named(name), edit=deviations.norms(k=1.5))
    figures = [100 * effects.at_layer(other, scale, seed=0) for scale in (1, 30, 100, 300)]
    assert any(abs(got - want) > 0.05 * want + rounding(want) for got, want in zip(figures, KNOWN[name], strict=True))


def test_at_small_activations_lrn_is_a_factor():
    assert effects.at_layer(named("no LRN"), 1e-3, seed=0) == pytest.approx(2**0.75 - 1, rel=1e-5)
    assert effects.at_layer(named("k = 1"), 1e-3, seed=0) == pytest.approx(2**0.75 - 1, rel=1e-5)
    assert effects.at_layer(named("alpha / 5"), 1e-3, seed=0) < 1e-9


def test_share_is_the_ratio_of_means_and_never_broadcasts():
    assert effects.share(np.array([1.0, -3.0, 2.0]), np.array([2.0, -2.0, 4.0])) == pytest.approx(4 / 8)
    with pytest.raises(ValueError, match="not comparable"):
        effects.share(np.zeros((2, 3)), np.ones((1, 3)))


@pytest.fixture(scope="module")
def found():
    """Every deviation through the full network, at one scale."""
    return {effect.deviation: effect for effect in effects.Whole(0).effects(30.0)}


NOTHING = {"pooling rounded up", "last ReLU after pool5", "dropout before fc6 and fc7"}


def test_what_changes_no_function_moves_nothing_and_all_else_does(found):
    assert set(found) == {deviation.name for deviation in DEVIATIONS}
    still = {name for name, effect in found.items() if effect.at_layer == 0 and effect.at_logits == 0}
    assert still == NOTHING
    assert all(effect.at_layer > 1e-6 and effect.at_logits > 1e-6 for n, effect in found.items() if n not in NOTHING)


def test_the_border_pixels_of_227_move_few_places_and_another_padding_all(found):
    assert 0.005 < found["227 real pixels"].at_layer < 109 / 3025
    assert found["padding 2 + 2"].at_layer == pytest.approx(2**0.5, rel=0.05)  # as far apart as independent numbers


def test_a_whole_network_is_not_the_sum_of_its_parts(found):
    assert found["original code, whole"].at_layer == found["original code, LRN of layer 1 and 2"].at_layer
    assert found["original code, whole"].at_logits != found["original code, LRN of layer 1 and 2"].at_logits


THIN = effects.Whole(0, variants.variant("paper-224-thin"))


def test_a_batch_of_networks_gives_what_each_gives_alone():
    some = [named(name) for name in ("alpha / 5", "ReLU on fc8", "no LRN", "groups ignored", "padding 1 + 2")]
    some = [dataclasses.replace(deviation, drawn=False, at="conv1") for deviation in some]
    together = list(THIN.effects(30.0, some))
    alone = [next(THIN.effects(30.0, [deviation])) for deviation in some]
    for one, other in zip(together, alone, strict=True):
        assert one.at_logits == pytest.approx(other.at_logits, rel=1e-9)


def test_every_layer_of_the_papers_network_has_the_scale_asked_for():
    run = effects.Run(THIN, 30.0)
    for name in ("conv1", "conv2", "conv5", "fc6", "fc8"):
        values = run.given[name] - effects.BIAS * 30.0 * THIN.biases[name]
        assert values.std() == pytest.approx(30.0)


def test_a_network_run_plainly_by_the_oracle_agrees():
    """The shared prefix, the batch and the factors change nothing: the same network with the factors in its weights."""
    run, network = effects.Run(THIN, 30.0), named("alpha / 5").edit(THIN.base)
    params = {}
    for name, value in THIN.weights.items():
        layer, kind = name.split(".")
        if kind == "weight":
            params[name] = value.astype(np.float64) * run.factors[layer]
        else:
            params[name] = effects.BIAS * 30.0 * THIN.biases[layer].reshape(-1).astype(np.float64)
    x = run.seen(network)
    for layer in network.layers[:-1]:
        x = oracle.apply(layer, params, x)
    (got,) = run.logits([network], [run.maps(network)])
    np.testing.assert_allclose(got, x, rtol=1e-9, atol=1e-9)


def test_ignored_groups_keep_their_own_weights_and_get_others_beside_them():
    shape = (20, 16, 5, 5)
    wide, own = THIN.without_groups("conv2.weight", shape), THIN.weights["conv2.weight"]
    np.testing.assert_array_equal(wide[:10, :8], own[:10])
    np.testing.assert_array_equal(wide[10:, 8:], own[10:])
    assert np.all(wide.std(axis=(1, 2, 3)) > 0.8)


def test_a_network_of_other_widths_is_not_compared():
    wider = Deviation("wider", "nobody", lambda network: network.edit("conv1", channels=18), (8,))
    with pytest.raises(ValueError, match="not comparable"):
        list(THIN.effects(1.0, [wider]))


def test_an_unknown_deviation_is_told_with_the_known_ones():
    with pytest.raises(KeyError, match="known: ReLU after LRN"):
        named("alpha / 4")


def test_the_same_seed_gives_the_same_figures_and_another_one_others():
    first, again, other = (next(effects.Whole(seed, THIN.base).effects(30.0, [named("no LRN")])) for seed in (0, 0, 1))
    assert first == again != other


def test_training_begins_where_lrn_is_nearly_a_factor():
    assert 5 < effects.untrained_scale(0) < 30
