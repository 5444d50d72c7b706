"""Runs a model that nobody here wrote: the image that it takes, shared weights, inference, training; and reads what it did."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ...impls.foreign.graph import Graph, Refused, Shape, Subject
from ...reference import draws, variants
from ...reference.stimuli import INPUT_STD
from . import weights
from .blame import blamed
from .chain import chain, output_of
from .dropout import at_inference_only, with_dropout
from .merge import merged
from .reading import Reading, read
from .tape import Tape
from .unfolded import joined

Array = np.ndarray

SIDES = (224, 227, 32, 24, 64, 28, 96, 128, 256)  # images that are tried where the model does not say what it takes
BATCH = 2
MANY = 32  # images in training mode for small networks, so that a share of zeros tells a rate
SMALL = 60_000  # numbers of one image up to which a network is small


def image(shape: Shape, batch: int, seed: int) -> Array:
    return draws.normal(seed, "audit/input", (batch, *shape), INPUT_STD)


def held(subject: Subject, graph: Graph) -> dict[str, Array]:
    """Every parameter that the recording speaks of, as the model holds it now."""
    used = {t.removeprefix("param:") for op in graph.operations for t in op.inputs if t.startswith("param:")}
    return {name: subject.value(name) for name in used}


def fixed_input(subject: Subject, asked: Shape | None) -> bool:
    return asked is None and bool(subject.input_shape) and all(subject.input_shape or ())


def run_once(
    subject: Subject, asked: Shape | None, variant: str, batch: int | None, seed: int, watch: Callable[[str], None]
) -> tuple[Shape, Graph]:
    """The size of image that it takes, and a first recording; raises Refused with the reason where none works."""
    failures = []
    for shape in sizes(subject, asked, variant):
        watch(f"trying an image of {' x '.join(map(str, shape))}")
        try:
            graph = subject.record(image(shape, subject.batch or batch or 1, seed))
        except Refused:
            raise
        except Exception as error:
            failures.append((shape, blamed(error)))
            continue
        if not output_of(Tape(graph, {})):
            raise Refused("the model's output does not depend on its input, as far as its operations could be recorded")
        return shape, graph
    shape, why = failures[0]
    tried = ", ".join("x".join(map(str, shape)) for shape, _ in failures)
    step = (
        "that is what --input-shape says: give another, or none"
        if asked
        else "give its size with --input-shape N,C,H,W"
    )
    raise Refused(f"the model does not run on images of {tried}: {why}; {step}")


def sizes(subject: Subject, asked: Shape | None, variant: str) -> Iterator[Shape]:
    if asked:
        yield asked
        return
    known = subject.input_shape
    if known and all(known):
        yield known
        return
    channels = known[0] if known and known[0] else None
    first = variants.variant(variant).input_shape if variant != "nearest" else None
    shapes = [first] if first else []
    shapes += [(c, side, side) for c in ((channels,) if channels else (3, 1)) for side in SIDES]
    yield from dict.fromkeys(shape for shape in shapes if channels in (None, shape[0]))


def fitted_weights(subject: Subject, tape: Tape, shape: Shape, batch: int | None, seed: int) -> dict[str, Array]:
    """Weights under which every layer's outputs are large; loaded into the model."""
    values = weights.drawn(subject, tape, seed)
    for _ in range(weights.PASSES):
        measured = measured_with(subject, values, tape, shape, batch, seed)
        if not finite(measured):  # k = 0 divides zeros by zeros: few are left with large biases
            values = weights.drawn(subject, tape, seed, lift=weights.LIFT)
            measured = measured_with(subject, values, tape, shape, batch, seed)
        if weights.near(measured):
            break
        values = weights.scaled(values, measured)
    subject.load(values)
    changed = [n for n, v in values.items() if not np.array_equal(subject.value(n).astype(np.float32), v)]
    exact = [n for n in changed if subject.value(n).dtype == np.float32]
    if exact:
        raise Refused(f"parameter {exact[0]!r} does not hold the values that were put into it")
    return {**values, **{n: subject.value(n).astype(np.float32) for n in changed}}


def measured_with(
    subject: Subject, values: dict[str, Array], tape: Tape, shape: Shape, batch: int | None, seed: int
) -> Tape:
    subject.load(values)
    return Tape(subject.record(image(shape, subject.batch or batch or 1, seed)), {**tape.params, **values})


def finite(tape: Tape) -> bool:
    """No 0 / 0 anywhere; a maximum or a ReLU may have swallowed it by the end."""
    made = [tape.raw(t) for t in tape.fed if tape.known(t)]
    return not any(np.isnan(values).any() for values in made if values.dtype.kind == "f")


def layers_of(tape: Tape) -> list[Reading]:
    return merged(joined([read(segment, tape) for segment in chain(tape)], tape), tape)


def in_training(
    subject: Subject,
    readings: list[Reading],
    tape: Tape,
    shape: Shape,
    batch: int | None,
    seed: int,
    watch: Callable[[str], None],
) -> list[Reading]:
    """The layers with dropout as a run in training mode shows it, where the model can be run so."""
    if not subject.trains:
        return at_inference_only(readings)
    watch("recording in training mode")
    many = subject.batch or batch or (MANY if int(np.prod(shape)) <= SMALL else BATCH)
    try:
        graph = subject.record(image(shape, many, seed), training=True)
    except Exception as error:
        raise Refused(f"the model runs in inference but not in training mode: {blamed(error)}") from None
    return with_dropout(readings, layers_of(Tape(graph, tape.params)))
