"""What is done with an implementation, a function for each pass. Each yields (run, name, array) as the arrays come.

A pass is named by the run that it is recorded as. What the implementation cannot do raises `Unsupported`, with the reason.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..impls.describe import one_line
from ..impls.interface import Unavailable, Unsupported
from ..reference.stimuli import Stimulus
from .recording import AGAIN, BATCH, FIRST, GRADIENTS, GRADIENTS_AGAIN, TRAINING, UNRECORDED
from .saved import saved
from .special import judge as special
from .training import augmented, dropout_own, initial, losses, steps, towers, update_steps, updates

Array = np.ndarray
Given = Iterable[tuple[str, str, Array]]  # run, name, array


@dataclass
class Subject:
    """An implementation and what it is fed; the model is built when a pass first asks for it."""

    module: Any
    stimulus: Stimulus
    device: str

    @cached_property
    def model(self) -> Any:
        return build(self.module, self.stimulus, self.device)

    def offers(self, method: str, what: str) -> Any:
        """A method of the model; raises Unsupported where there is none: `what` it would be needed for."""
        if not callable(found := getattr(self.model, method, None)):
            raise Unsupported(f"no {method}(): {what} cannot be asked of it")
        return found


def build(module: Any, stimulus: Stimulus, device: str) -> Any:
    """module.build(network, params), with the device where it takes one; raises Unavailable for one that cannot be called so."""
    if reason := unbuildable(module):
        raise Unavailable(reason)
    takes_device = "device" in inspect.signature(module.build).parameters
    if device == "cuda" and not takes_device:
        raise Unavailable("build() takes no device; give it a `device` parameter, or run with --device auto")
    return module.build(stimulus.network, dict(stimulus.params), **({"device": device} if takes_device else {}))


def unbuildable(module: Any) -> str:
    """Why its build() cannot be called at all, and what to do ("" if it can); told before anything runs."""
    file = Path(getattr(module, "__file__", "") or "").name or "the module"
    build = getattr(module, "build", None)
    if build is None:
        return f"found no build() in {file}, expected one: write build(network, params) as README.md shows"
    if not callable(build):
        return f"found build = {one_line(repr(build), 60)} in {file}, expected a function: write build(network, params)"
    try:
        signature = inspect.signature(build)
        signature.bind(None, None, **{name: None for name in ("device",) if name in signature.parameters})
    except TypeError as error:
        line = getattr(getattr(build, "__code__", None), "co_firstlineno", None)
        place = f"{file}:{line}" if line else file
        return f"found build{one_line(signature, 100)} at {place}, expected build(network, params): {one_line(error)}"
    return ""


@dataclass(frozen=True)
class Pass:
    """`calls`: what of the implementation is called, for messages. on_model: does it need the built model?"""

    run: Callable[[Subject], Given]
    calls: str = "activations()"
    on_model: bool = True


def forward(run: str) -> Pass:
    """The whole batch, or its first image alone, through the network."""

    def activations(subject: Subject) -> Given:
        x = subject.stimulus.x[:1] if run == FIRST else subject.stimulus.x
        given = subject.model.activations(x.copy())
        for pair in given.items() if isinstance(given, Mapping) else given:
            if not (isinstance(pair, tuple) and len(pair) == 2):
                raise TypeError(f"activations() gave {type(pair).__name__}, expected a mapping or (name, array) pairs")
            yield (run, *pair)

    return Pass(activations)


def unrecorded(subject: Subject) -> Iterator[tuple[str, str, Array]]:
    """The network's output by a model that hands over nothing else."""
    output = subject.offers("output", "the output when nothing is recorded")
    yield UNRECORDED, subject.stimulus.network.layers[-1].name, output(subject.stimulus.x.copy())


def gradients(subject: Subject) -> Iterator[tuple[str, str, Array]]:
    """A forward and backward pass; of a model that offers `gradients` alone, the gradients of its parameters."""
    given = subject.stimulus
    if callable(backward := getattr(subject.model, "backward", None)):
        done = backward(given.x.copy(), upstream=given.upstream, labels=given.labels, masks=given.masks)
        yield from ((TRAINING, name, array) for name, array in done.activations.items())
        yield from ((GRADIENTS, name, array) for name, array in done.gradients.items())
        if done.loss is not None:
            yield GRADIENTS, "loss", done.loss
        return
    if given.labels is None or given.masks:
        raise Unsupported("no backward(): only gradients of the mean cross-entropy can be asked of it")
    of_labels = subject.offers("gradients", "a gradient")
    yield from ((GRADIENTS, name, array) for name, array in dict(of_labels(given.x.copy(), given.labels)).items())


def gradients_again(subject: Subject) -> Iterator[tuple[str, str, Array]]:
    """A backward pass on the same input once more."""
    yield from ((GRADIENTS_AGAIN, name, array) for run, name, array in gradients(subject) if run == GRADIENTS)


PASSES: dict[str, Pass] = {
    BATCH: forward(BATCH),
    AGAIN: forward(AGAIN),
    FIRST: forward(FIRST),
    UNRECORDED: Pass(unrecorded, "output()"),
    GRADIENTS: Pass(gradients, "the backward pass"),
    GRADIENTS_AGAIN: Pass(gradients_again, "the backward pass"),
    saved.SAVED: Pass(saved.saved, "saving and loading", on_model=False),
    special.SPECIAL: Pass(special.given, "a layer alone", on_model=False),
    initial.DRAWN: Pass(initial.drawn, "initialisers.initial()", on_model=False),
    augmented.AUGMENTED: Pass(augmented.given, "an augmentation", on_model=False),
    losses.LOSS: Pass(losses.given, "a loss", on_model=False),
    initial.SEEDS: Pass(initial.drawn_three_times, "initialisers.initial()", on_model=False),
    dropout_own.OWN: Pass(dropout_own.asked, "dropout()", on_model=False),
    updates.RULE: Pass(updates.set_ups, "an optimiser's set-up", on_model=False),
    update_steps.STEP: Pass(update_steps.own_steps, "step()", on_model=False),
    steps.STEPS: Pass(steps.stepped, "step()", on_model=False),
    steps.CUT: Pass(steps.cut, "restore()", on_model=False),
    towers.TRAFFIC: Pass(towers.trained_once, "a step in two towers", on_model=False),
    towers.EXACT: Pass(towers.updated_exactly, "two towers' exact updates", on_model=False),
    towers.BOUNDS: Pass(towers.trained, "two towers' training", on_model=False),
}
