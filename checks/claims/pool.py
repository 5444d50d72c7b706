"""Verdicts on Section 3.4: overlapping pools."""

from __future__ import annotations

import dataclasses

import numpy as np

from ...reference.spec import Network, Pool
from . import frameworks, logged
from .verdict import Facts, Outcome, Verdict, decides, holds_if

SIZE, STRIDE = 3, 2
GAIN = (0.4, 0.3)


def pools(network: Network) -> list[Pool]:
    return [layer for layer in network.layers if isinstance(layer, Pool)]


@decides("pool-s2-z3")
def overlapping(facts: Facts) -> Outcome:
    theirs = {x.name: (x.sizeX, *x.stride) for x in facts.original.net("145").of_type("pool")}
    ours = [(x.kernel, x.stride) for x in pools(facts.paper)]
    found = sorted({*theirs.values(), *ours})
    evidence = (
        f"The {len(theirs)} pools of the authors' net and the {len(ours)} specified have "
        f"{' or '.join(f'{z} x {z} windows {s} apart' for z, s in found)}."
    )
    return holds_if(found == [(SIZE, STRIDE)], evidence)


@decides("pool-gain-0p4-0p3")
def gain(facts: Facts) -> Outcome:
    apart, over = (logged.error(facts.original, name) for name in ("147", "145"))
    gains, z = logged.points(apart, over), logged.sigmas(apart, over, logged.VALIDATION)
    evidence = (
        f"The notes have {logged.shown(apart)} for 2 x 2 and {logged.shown(over)} for 3 x 3 windows, on the validation set "
        f"of 2012 (the notes name no year; the figures are those of 2012): {gains[0]:.3f} and {gains[1]:.3f} points, "
        f"{z[0]:.2f} and {z[1]:.2f} standard errors, if the images had been different ones. Runs were not repeated, so chance "
        f"is not excluded."
    )
    return holds_if(logged.rounds_to(gains, GAIN), evidence)


@decides("pool-equivalent-dims")
def dimensions(facts: Facts) -> Outcome:
    net = facts.original.net("145")
    apart = net
    for layer in net.of_type("pool"):
        apart = apart.edit(layer.name, sizeX=STRIDE)
    names = [layer.name for layer in net.of_type("pool") if layer.name.endswith("a")]
    theirs = [[x.shapes()[name][1] for name in names] for x in (net, apart)]
    paper = facts.paper
    for pool in pools(paper):
        paper = paper.edit(pool.name, kernel=STRIDE)
    down = [[x.shapes()[pool.name][1] for pool in pools(x)] for x in (facts.paper, paper)]
    real = facts.original.net("147")
    padding = [f"{n} {net.layer(n).padding[0]} to {real.layer(n).padding[0]}" for n in ("conv2a", "conv5a")]
    maps = [real.shapes()[name][1] for name in ("conv1a", "pool1a", "conv2a", "pool2a", "conv3a", "conv5a", "pool3a")]
    evidence = (
        f"3 x 3 windows give maps of {dashed(theirs[0])}; 2 x 2 give {dashed(theirs[1])} as the authors' code rounds, up, "
        f"and {dashed(down[1])} rounding down. Their net with 2 x 2 windows therefore has other padding as well "
        f"({', '.join(padding)}; maps {dashed(maps)})."
    )
    return holds_if(theirs[0] == theirs[1] and down[0] == down[1], evidence)


def dashed(sizes: list[int]) -> str:
    return "-".join(map(str, sizes))


@decides("pool-less-overfitting")
def overfitting(facts: Facts) -> Outcome:
    apart, over = (facts.original.notes(name).runs[0] for name in ("147", "145"))
    evidence = (
        f"Overfitting is the gap between training and test error; the notes of the two nets, stopped at epochs "
        f"{apart.stopped():g} and {over.stopped():g}, have {len(apart.results)} and {len(over.results)} results, "
        "of validation alone."
    )
    return Outcome(Verdict.NOT_CHECKABLE, evidence)


@decides("pool-window-centred")
def centred(facts: Facts) -> Outcome:
    layer = pools(facts.paper)[0]
    width = 11
    lit = np.zeros((width, 1, layer.kernel, width), np.float32)
    lit[np.arange(width), 0, 0, np.arange(width)] = 1  # one image for each column
    runs = frameworks.run(facts, frameworks.chain(lit.shape[1:], layer), lit)
    starts = {who: y[:, 0, 0].argmax(axis=0).tolist() for who, y in runs.of(layer.name).items()}
    want = [i * layer.stride for i in range(len(starts[frameworks.ORACLE]))]
    apart = [who for who, found in starts.items() if found != want]
    before, size, _ = facts.paper.shapes()[facts.paper.layers[facts.paper.names().index(layer.name) - 1].name]
    whole = dataclasses.replace(layer, ceil=False).output((before, size, size))[1]
    around = -(-size // layer.stride)
    evidence = (
        f"Windows of {layer.kernel} begin at {', '.join(map(str, starts[(apart or [frameworks.ORACLE])[0]]))}, so the unit "
        f"lies in the middle only on a grid moved by {(layer.kernel - 1) / 2:g}: {runs.said(apart)}. Units at every "
        f"{layer.stride}nd pixel from the first would be {around} in a row of {size}, not {whole}; the text fits both."
    )
    if apart:
        return Outcome(Verdict.CONTRADICTED, evidence)
    return Outcome(Verdict.HOLDS if around == whole else Verdict.UNDERSPECIFIED, evidence)
