"""The table of named mistakes: each is seen in every network that has its layer, and is the one that is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alexnet_parity.checks import bounds, compare, traps
from alexnet_parity.checks.truth import Truth
from alexnet_parity.reference import oracle, stimuli, variants
from alexnet_parity.reference.spec import Dense, Lrn, Pool, SpatialLrn

THIN = [name for name in variants.names() if name.endswith("-thin")]
ALIKE = ["weights-tf32", "weights-float16"]  # ten bits of mantissa both: the hint names both


def posed(truth: Truth):
    """Every (trap, site, input, what an implementation with this mistake gives) of a network; no edit that is the same."""
    for site in traps.sites(truth.network):
        x = truth.input_of(site.layer.name).astype(np.float32).astype(np.float64)
        for trap in traps.TRAPS:
            poses = (
                isinstance(site.layer, trap.kinds) and not trap.tolerance
            )  # a right layer that rounds more: test_running_sum
            layer = trap.edited(site) if poses else None
            own = trap.edited_params(site, truth.params) if layer else None
            if layer is not None and own is not None:
                fed = trap.inputs(x) if trap.inputs else x
                yield trap, site, x, oracle.apply(layer, {**truth.params, **own}, fed).astype(np.float32)


def harmless(trap: traps.Trap, site: traps.Site, x: np.ndarray) -> bool:
    """Where a mistake changes nothing: no window is cut, or nothing is negative before a ReLU too many."""
    if trap.id in ("pool-ceil", "pool-floor"):
        edited = trap.edited(site)
        return edited is not None and edited.output(site.inputs) == site.layer.output(site.inputs)
    return trap.id == "relu-first" and (x >= 0).all()


@pytest.mark.parametrize("name", THIN)
def test_every_mistake_is_seen_and_named_alone_in(name):
    truth, seen = Truth(stimuli.stimulus(variants.variant(name), "large", 0)), set()
    for trap, site, x, got in posed(truth):
        where = f"{trap.id} at {site.layer.name}"
        want = oracle.apply(site.layer, truth.params, x)
        outcome = compare.within(got, want, bounds.local_tolerance(site.layer, truth.params, x, want))
        assert outcome.ok == harmless(trap, site, x), where
        if not outcome.ok:
            seen.add(trap.id)
            hint = traps.explain(site, truth.params, x, got)
            assert f"[{trap.id}]" in hint or (trap.id in ALIKE and hint.endswith(", ".join(ALIKE))), (where, hint)
    assert len(seen) >= 18


def test_every_mistake_is_seen_in_some_network():
    possible = {
        trap.id for name in THIN for trap, *_ in posed(Truth(stimuli.stimulus(variants.variant(name), "large", 0)))
    }
    assert possible == {trap.id for trap in traps.TRAPS if not trap.tolerance}


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
