"""What an implementation gave in its backward pass, beside the oracle's: what each layer was fed, what came from above."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np

from ...reference import backward
from ...reference.spec import Layer, Pool, Relu, perhaps
from .. import compare
from ..finding import Finding, Status
from ..recording import BATCH, GRADIENTS, TRAINING, Recording
from ..truth import Truth
from .choices import OTHER, Choice, measured
from .decisions import Decided, between
from .truth import INPUT, LOSS, Decisions, Flow

Array = np.ndarray


class Given:
    """One recording's gradients. Arrays that cannot be calculated with (missing, misshapen, not finite) count as unknown."""

    def __init__(self, recording: Recording, truth: Truth) -> None:
        self.side = truth.backward
        self.gradients = recording.run(GRADIENTS)
        self.why_missing = recording.why_missing(GRADIENTS)  # the recording itself is not kept: it is large
        self.dissected = TRAINING in recording.runs  # else a model that offers the gradients of its parameters alone
        self.activations = recording.run(TRAINING if self.dissected else BATCH)
        self.outcomes: dict[str, compare.Comparison] = {}

    def activation(self, name: str) -> Array | None:
        """A layer's recorded output in float64, or the network's input."""
        return self.side.x if name == INPUT else self.known(self.activations.get(name), self.side.shape(name))

    def gradient(self, name: str) -> Array | None:
        """The recorded gradient at a layer's output, or at the input, in float64."""
        return self.known(self.gradients.get(name), self.side.shape(name))

    @staticmethod
    def known(got: Array | None, shape: tuple[int, ...]) -> Array | None:
        """In float64; None where it cannot be calculated with."""
        if got is None or compare.unlike(got, shape) or not np.isfinite(got).all():
            return None
        return got.astype(np.float64)

    def fed(self, layer: Layer) -> Array | None:
        return self.activation(self.side.before[layer.name])

    # What it chose, where there is a choice ---------------------------------------------------------------------------

    @cached_property
    def choices(self) -> dict[str, Choice]:
        """Of each ReLU and each maximum: who takes the gradient at zero, or where several are largest."""
        found = {}
        for layer in self.side.layers:
            if isinstance(layer, Relu) or (isinstance(layer, Pool) and not layer.average):
                x, g = self.fed(layer), self.gradient(layer.name)
                got = self.gradient(self.side.before[layer.name])
                if x is not None and g is not None and got is not None:
                    found[layer.name] = measured(layer, x, g, got)
        return found

    def legitimate(self, layer: Layer) -> Choice | None:
        choice = self.choices.get(layer.name)
        return choice if choice and choice.legitimate else None

    def ties(self, layer: Layer) -> str:
        """Who takes a shared maximum's gradient here; the first, unless another legitimate rule was seen."""
        choice = self.legitimate(layer)
        return choice.rule if choice and choice.rule in backward.TIES else backward.FIRST

    def at_zero(self, layer: Layer) -> float:
        """What share passes at zero here; nothing, unless another legitimate choice was seen."""
        choice = self.legitimate(layer)
        return choice.at_zero if choice else 0.0

    def dealt(self, layer: Layer) -> Array | None:
        """The gradient below a maximum that is dealt among equals by no known rule, but adds up: taken as it is."""
        choice = self.legitimate(layer)
        return self.gradient(self.side.before[layer.name]) if choice and choice.rule == OTHER else None

    @cached_property
    def chosen(self) -> Decisions:
        """The choices that are not the oracle's."""
        layers = self.side.layers
        ties = {layer.name: self.ties(layer) for layer in layers if self.ties(layer) != backward.FIRST}
        at_zero = {layer.name: self.at_zero(layer) for layer in layers if self.at_zero(layer)}
        dealt = {layer.name: taken for layer in layers if (taken := self.dealt(layer)) is not None}
        return Decisions({}, ties, at_zero, dealt)

    # What it decided, where numbers are near a kink -------------------------------------------------------------------

    @cached_property
    def decided(self) -> dict[str, Decided]:
        """Of each ReLU and each maximum: how its decisions differ from the oracle's."""
        found = {}
        for layer in self.side.layers:
            if isinstance(layer, Relu) or (isinstance(layer, Pool) and not layer.average):
                x = self.fed(layer)
                if x is not None:
                    found[layer.name] = between(layer, self.side, x, self.ties(layer))
        return found

    @cached_property
    def flow(self) -> Flow:
        """The oracle's flow under this implementation's choices and, where they are allowed to differ, its decisions."""
        fed = {}
        for layer in self.side.layers:
            decided = self.decided.get(layer.name)
            if decided and decided.count and not decided.far and (x := self.fed(layer)) is not None:
                fed[layer.name] = x
        return self.under(replace(self.chosen, fed=fed))

    @cached_property
    def exact_flow(self) -> Flow:
        """The oracle's flow under this implementation's choices alone: in exact arithmetic nothing else can differ."""
        return self.under(self.chosen)

    def under(self, decisions: Decisions) -> Flow:
        own = all(decisions.own(layer.name) for layer in self.side.layers)
        return self.side.own if own else Flow(self.side, decisions, self.side.own)

    def equals(self, name: str) -> compare.Comparison:
        """Is a recorded gradient the oracle's to the bit? Compared once for all checks."""
        if name not in self.outcomes:
            self.outcomes[name] = self.exact_flow.equals(name, self.gradients[name])
        return self.outcomes[name]

    # What is not there ------------------------------------------------------------------------------------------------

    def expected(self) -> list[str]:
        """The gradients that must be there, from the logits down."""
        names = self.side.names()
        return names if self.dissected else [name for name in names if name in self.side.params]

    def absent(self) -> Iterator[Finding]:
        """One ERROR for the first gradient that was not given, with the reason; one for each name that means nothing."""
        names = self.expected()
        missing = [name for name in names if name not in self.gradients]
        strangers = [name for name in self.gradients if name not in (*self.side.names(), LOSS)]
        if missing:
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            reason = self.why_missing or f"not among the names given{perhaps(missing[0], strangers)}"
            yield Finding(Status.ERROR, missing[0], "a gradient", f"none{more}: {reason}")
        for name in strangers:
            yield Finding(Status.ERROR, name, f"a gradient's name{perhaps(name, names)}", repr(name))


KEPT: dict[int, Given] = {}  # of the recordings that there still are


def given(recording: Recording, truth: Truth) -> Given:
    """The same object for all checks of one recording: what one of them computed, the next finds there."""
    key = id(recording)
    if key not in KEPT:
        weakref.finalize(recording, KEPT.pop, key, None)
    if key not in KEPT or KEPT[key].side is not truth.backward:
        KEPT[key] = Given(recording, truth)
    return KEPT[key]
