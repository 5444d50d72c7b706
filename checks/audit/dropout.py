"""Where dropout stands, what it drops and who scales: read off a run in training mode beside one in inference."""

from __future__ import annotations

import math
from dataclasses import replace

from ...reference.mistaken import Affine, RandomDropout
from ...reference.spec import Dense, Dropout, Layer
from .atoms import Dropped, Unexplained
from .reading import Reading

RATES = (0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9)
PAPERS, LIKELY = 0.5, 3.5  # few numbers lost at the paper's rate may be nearer to another
SURE = 5.0  # standard deviations of a share of numbers lost


def at_inference_only(inference: list[Reading]) -> list[Reading]:
    """For what cannot be run in training mode: dropout that is always on is seen all the same."""
    found: list[Reading] = []
    dense = False
    for r in inference:
        dense = dense or isinstance(r.layer, Dense)
        layer = combined(r, r) if isinstance(r.layer, Dropped) else r.layer
        layer = as_a_factor(layer) if dense else layer
        if found and {type(layer), type(found[-1].layer)} == {Dropout, RandomDropout}:
            # ONNX: a node that does nothing, and a factor
            random = layer if isinstance(layer, RandomDropout) else found[-1].layer
            found[-1] = replace(r, layer=random, x=found[-1].x)
        else:
            found.append(replace(r, layer=layer))
    return found


def as_a_factor(layer: Layer) -> Layer:
    """A product with what a usual rate keeps: the paper's way to use all units at inference."""
    if not isinstance(layer, Affine) or len(layer.scale) != 1 or layer.shift != (0.0,):
        return layer
    rate = round(1 - layer.scale[0], 4)
    return RandomDropout(layer.name, rate, factor=layer.scale[0], scaled=False) if rate in RATES else layer


def with_dropout(inference: list[Reading], training: list[Reading]) -> list[Reading]:
    """The layers of the inference run, with each dropout where the training run has it and as it is there."""
    found, i = [], 0
    names = {r.segment.name for r in inference}
    for drop in training:
        here = inference[i] if i < len(inference) else None
        if isinstance(drop.layer, Dropped):
            partner = here if here is not None and stands_for_dropout(here.layer) else None
            i += partner is not None
            found.append(replace(partner or drop, layer=combined(drop, partner)))
        elif isinstance(drop.layer, Dropout):  # called so, and dropped nothing
            i += here is not None and isinstance(here.layer, Dropout)
        elif isinstance(drop.layer, Unexplained) and drop.segment.name not in names:
            found.append(drop)
        elif here is not None and an_extra_step(drop, here):
            continue
        else:
            while here is not None and isinstance(here.layer, Dropout):  # nothing of it in training
                i += 1
                here = inference[i] if i < len(inference) else None
            if here is not None:
                found.append(here)
                i += 1
    return [*found, *(r for r in inference[i:] if not isinstance(r.layer, Dropout))]


def an_extra_step(training: Reading, inference: Reading) -> bool:
    """Is this a step that inference does not have?"""
    unlike = type(training.layer) is not type(inference.layer) and not isinstance(inference.layer, Dropout)
    return unlike and training.segment.name != inference.segment.name


def stands_for_dropout(layer: Layer) -> bool:
    return isinstance(layer, Dropout | Dropped) or (isinstance(layer, Affine) and layer.shift == (0.0,))


def combined(drop: Reading, partner: Reading | None) -> Layer:
    """One layer from what training does (zeros, and a factor on the rest) and what inference does (a factor, or zeros too)."""
    dropped, other = drop.layer, partner.layer if partner is not None else None
    assert isinstance(dropped, Dropped)
    scaled, always = abs(dropped.scale - 1) > 1e-4, isinstance(other, Dropped)
    count = kept_and_lost(drop)
    rate = round(1 - 1 / dropped.scale, 4) if scaled else rate_of(dropped.share, count)
    if scaled and not likely(dropped.share, rate, count):
        says = f"drops {dropped.share:.1%} of the numbers and multiplies the rest by {dropped.scale:g}"
        return Unexplained(dropped.name, says=says)
    factor = other.scale[0] if isinstance(other, Affine) else 1.0
    name = other.name if other is not None else dropped.name
    if scaled and not always and factor == 1.0 and not dropped.maps:
        return Dropout(name, rate)
    return RandomDropout(name, rate, always, factor, scaled, dropped.maps)


def likely(share: float, rate: float, count: int) -> bool:
    """Could `share` of `count` numbers have been lost at this rate?"""
    return 0 < rate < 1 and abs(share - rate) <= 6 * math.sqrt(rate * (1 - rate) / count) + 1 / count


def kept_and_lost(drop: Reading) -> int:
    """How many draws there were: one for each number that was there, or for each map."""
    assert isinstance(drop.layer, Dropped)
    there = drop.x != 0
    return max(1, int(there.any(axis=(2, 3)).sum() if drop.layer.maps else there.sum()))


def rate_of(share: float, count: int) -> float:
    """The usual rate that a share of `count` numbers lost is compatible with, or the share itself."""
    halved = abs(share - PAPERS) <= LIKELY * math.sqrt(PAPERS * (1 - PAPERS) / count)
    usual = PAPERS if halved else min(RATES, key=lambda rate: abs(rate - share))
    spread = math.sqrt(usual * (1 - usual) / count)
    return usual if abs(usual - share) <= SURE * spread else round(share, 3)
