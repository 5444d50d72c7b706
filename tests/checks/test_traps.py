"""The table of named mistakes: each is seen in every network that has its layer, and is the one that is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alexnet_parity.checks import bounds, compare, traps
from alexnet_parity.checks.truth import Truth
from alexnet_parity.reference import oracle, stimuli, variants
from alexnet_parity.reference.spec import Dense, Dropout, Lrn, Pool, Relu, SpatialLrn

THIN = [name for name in variants.names() if name.endswith("-thin")]
LARGEST = 10.0  # of what an activation is fed: each of them differs from ReLU below it


def fed(truth: Truth, site: traps.Site) -> np.ndarray:
    """What the oracle feeds a layer, float32; a ReLU's brought to numbers where other activations are not all the same."""
    x = truth.input_of(site.layer.name)
    x = LARGEST * x / x.max() if isinstance(site.layer, Relu) else x
    return x.astype(np.float32).astype(np.float64)


def changes_nothing(trap: traps.Trap, site: traps.Site, x: np.ndarray) -> bool:
    """A mistake that shows in training only, or a ReLU too many where nothing is negative."""
    if isinstance(site.layer, Dropout):
        return getattr(trap.edited(site), "factor", 1.0) == 1
    return trap.id == "relu-first" and bool((x >= 0).all())


def named(hint: str) -> set[str]:
    """The ids that a hint names."""
    if hint.startswith("agrees if"):
        return {hint.rpartition("[")[2].rstrip("]")}
    return set(hint.partition("alike: ")[2].split(", ")) if "alike" in hint else set()


def with_what_is_like(trap: str) -> set[str]:
    return next((set(group) for group in traps.ALIKE if trap in group), {trap})


@pytest.mark.parametrize("name", THIN)
def test_every_mistake_is_seen_and_named_alone_in(name):
    truth, seen = Truth(stimuli.stimulus(variants.variant(name), "large", 0)), set()
    for site in traps.sites(truth.network):
        x = fed(truth, site)
        want = oracle.apply(site.layer, truth.params, x)
        tolerance = bounds.local_tolerance(site.layer, truth.params, x, want)
        under = list(traps.expectations(site, truth.params, x))
        for trap, given, *_ in under:
            if trap.tolerance:
                continue  # a right layer that rounds more: test_running_sum
            where, got = f"{trap.id} at {site.layer.name}", given.astype(np.float32)
            outcome = compare.within(got, want, tolerance)
            assert outcome.ok == changes_nothing(trap, site, x), where
            if not outcome.ok:
                seen.add(trap.id)
                assert named(traps.hint(under, got)) == with_what_is_like(trap.id), (where, traps.hint(under, got))
    assert len(seen) >= 40


def test_what_is_named_from_a_list_of_expectations_is_what_explain_says():
    truth = Truth(stimuli.stimulus(variants.variant("paper-thin"), "large", 0))
    for site in traps.sites(truth.network):
        x = fed(truth, site)
        under = list(traps.expectations(site, truth.params, x))
        for trap, given, *_ in under[:: max(1, len(under) // 2)]:
            got = given.astype(np.float32)
            if not changes_nothing(trap, site, x):
                assert traps.explain(site, truth.params, x, got) == traps.hint(under, got)
                assert traps.explains(trap, site, truth.params, x, got)


def test_a_mistake_that_needs_other_parameters_or_another_chain_is_not_tried():
    truth = Truth(stimuli.stimulus(variants.variant("paper-thin"), "large", 0))
    tried = {
        expected.trap.id
        for site in traps.sites(truth.network)
        for expected in traps.expectations(site, truth.params, truth.input_of(site.layer.name))
    }
    assert {"pad-1", "padding-same", "flattened-hwc", "tanh", "dilated", "lrn-n-4"} <= tried
    assert not {"kernel-3", "maps-64", "batch-norm-instead", "lrn-repeated", "init-zero-bias", "classes"} & tried


def alone(layer, shape, seed=0):
    """A site for a layer on maps of `shape`, an input, and what is right for it."""
    x = 100 * np.random.default_rng(seed).standard_normal((2, *shape))
    return traps.Site(layer, shape, shape), x


def test_what_no_mistake_explains_is_said_so():
    site, x = alone(Pool("p", 3, 2, ceil=True, average=True), (3, 10, 13))
    zeros_counted = oracle.pool(x, site.layer) * oracle.window_counts(x.shape, site.layer) / 9
    assert traps.explain(site, {}, x, zeros_counted.astype(np.float32)) == "unexplained by any single known mistake"


@pytest.mark.parametrize(
    ("layer", "wrong", "trap"),
    [
        (Lrn("n", n=9, k=1.0, alpha=1e-3 / 9), {"alpha": 1e-3}, "lrn-alpha-times-n"),
        (Lrn("n"), {"alpha": 1e-3}, "lrn-alpha-10e-4"),
        (Lrn("n"), {"alpha": 5e-4}, "lrn-alpha-times-n"),
        (Lrn("n"), {"n": 11}, "lrn-radius-n"),
        (Lrn("n", n=9), {"n": 19}, "lrn-radius-n"),
        (Lrn("n", n=9), {"n": 5}, "lrn-n-5"),
        (Lrn("n", n=11), {"n": 5}, "lrn-n-5"),
        (SpatialLrn("n", alpha=4e-5), {"alpha": 1e-3}, "lrn-alpha-times-n2"),
        (SpatialLrn("n", alpha=4e-5), {"alpha": 2e-4}, "lrn-alpha-times-n"),
        (SpatialLrn("n", alpha=4e-5), {"alpha": 8e-6}, "lrn-alpha-over-n"),
    ],
    ids=str,
)
def test_a_normalisation_with_other_constants_is_named(layer, wrong, trap):
    site, x = alone(layer, (24, 5, 7))
    got = oracle.lrn(x, replace(layer, **wrong)).astype(np.float32)
    assert traps.explain(site, {}, x, got).endswith(f"[{trap}]")


def test_a_window_within_maps_taken_for_one_across_is_named_and_the_reverse():
    for layer, other, trap in (
        (SpatialLrn("n", n=3, alpha=1e-4), Lrn("n", n=3, k=1.0), "lrn-across-maps"),
        (Lrn("n", n=3, k=1.0), SpatialLrn("n", n=3, alpha=1e-4), "lrn-within-maps"),
    ):
        site, x = alone(layer, (8, 5, 7))
        assert traps.explain(site, {}, x, oracle.lrn(x, other).astype(np.float32)).endswith(f"[{trap}]")


def test_dense_groups_that_read_everything_or_the_wrong_part_are_named():
    layer, rng = Dense("d", 6, groups=2), np.random.default_rng(1)
    params = {"d.weight": rng.standard_normal((6, 4)), "d.bias": rng.standard_normal(6)}
    site, x = traps.Site(layer, (8,), ()), rng.standard_normal((3, 8))
    for weight, name in (
        (np.tile(params["d.weight"], (1, 2)), "groups-ignored"),
        (np.roll(params["d.weight"], 3, axis=0), "towers-swapped"),
    ):
        edited = replace(layer, groups=1) if name == "groups-ignored" else layer
        got = oracle.apply(edited, params | {"d.weight": weight}, x).astype(np.float32)
        assert traps.explain(site, params, x, got).endswith(f"[{name}]")


def test_nothing_is_guessed_about_numbers_that_are_not_finite():
    site, x = alone(Lrn("n"), (8, 5, 7))
    assert traps.explain(site, {}, x, np.full(x.shape, np.nan, dtype=np.float32)) == ""


@pytest.mark.parametrize(("name", "bits"), [("float16", np.float16), ("tf32", np.float32)])
def test_a_layer_that_runs_in_float16_is_told_from_tf32_by_what_it_gives(name, bits):
    """Both multiply numbers of ten bits; only one of them gives such numbers."""
    layer, rng = Dense("d", 6), np.random.default_rng(1)
    params = {"d.weight": rng.standard_normal((6, 40)), "d.bias": rng.standard_normal(6)}
    site, x = traps.Site(layer, (40,), ()), rng.standard_normal((3, 40))
    ten = {key: traps.half(value) for key, value in params.items()} | {"d.bias": params["d.bias"]}
    got = oracle.apply(layer, ten, traps.half(x)).astype(bits).astype(np.float32)
    assert traps.explain(site, params, x, got).endswith(f"[{name}]")


def test_a_mistake_that_gives_no_finite_numbers_explains_nothing():
    """k = 0 where a whole window is zero: 0 / 0."""
    site, x = alone(Lrn("n"), (24, 5, 7))
    x[:, :, 0, 0] = 0
    assert "lrn-k-0" not in {expected.trap.id for expected in traps.expectations(site, {}, x)}
    x[:, :, 0, 0] = 1
    assert "lrn-k-0" in {expected.trap.id for expected in traps.expectations(site, {}, x)}
