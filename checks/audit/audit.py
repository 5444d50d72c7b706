"""The audit from end to end: run, read, align, name."""

from __future__ import annotations

import dataclasses
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ...impls.foreign.graph import Graph, Refused, Shape, Subject
from ...reference import draws, variants
from ...reference.spec import AFFINE, Conv, Dropout, Layer, Network, Pool, Softmax
from ...reference.stimuli import INPUT_STD
from ..traps import BY_ID
from . import effect, expected, first_values, naming, weights, words
from .atoms import Unexplained
from .blame import blamed
from .chain import chain, output_of
from .dropout import at_inference_only, with_dropout
from .expected import CONVENTIONS, Match
from .facts import Difference, Fact, Step, differences, is_last_dense, steps
from .merge import merged
from .reading import Reading, read
from .result import ANOTHER, CONVENTION, DEVIATION, UNEXPLAINED, Audit, Deviation, Row, verdict_of
from .tape import Tape
from .unfolded import joined

Array = np.ndarray

SIDES = (224, 227, 32, 24, 64, 28, 96, 128, 256)  # images that are tried where the model does not say what it takes
BATCH = 2
MANY = 32  # images in training mode for small networks, so that a share of zeros tells a rate
SMALL = 60_000  # numbers of one image up to which a network is small


def audit(
    subject: Subject,
    target: str,
    variant: str = "nearest",
    input_shape: Shape | None = None,
    batch: int | None = None,
    seed: int = 0,
    fresh: bool = True,
    watch: Callable[[str], None] = lambda _: None,
) -> Audit:
    """Audit a model on images of `input_shape` (C, H, W), where it does not fix that itself.

    variant: a name of reference/variants.py, or "nearest". fresh: its parameters are as first drawn, so that the law they follow
    can be held against the paper's. Raises Refused for a model that does not run; what its own code raises is told in that.
    """
    started = time.monotonic()
    shape, first = run_once(subject, input_shape, variant, batch, seed, watch)
    tape = Tape(first, held(subject, first))
    initial = {name: subject.value(name) for name in subject.parameters} if fresh else {}
    watch("shared weights")
    values = fitted_weights(subject, tape, shape, batch, seed)
    x = image(shape, subject.batch or batch or BATCH, seed)
    watch("recording")
    tape = Tape(subject.record(x), {**initial, **held(subject, first), **values})
    watch("reading each layer")
    readings = layers_of(tape)
    readings = in_training(subject, readings, tape, shape, batch, seed, watch)
    found = [(r.layer, r.shape) for r in readings]
    match = expected.nearest(found, shape) if variant == "nearest" else expected.match(variant, found, shape)
    if not subject.trains and not any(type(layer) is Dropout for layer, _ in found):
        match = expected.without_dropout(match, found)
    common: dict[str, Any] = {
        "target": target,
        "framework": subject.framework,
        "nearest_variant": match.name,
        "input_shape": shape,
        "batch": len(x),
        "seed": seed,
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
    }
    if not expected.is_alexnet(match, found):
        told = no_alexnet(match, found, variant == "nearest")
        return Audit(verdict=ANOTHER, deviations=(), notes=(told,), **common)
    watch("naming what differs")
    judged = Judged(subject, tape, readings, match, shape, initial, fixed_input(subject, input_shape))
    deviations = tuple(judged.deviations())
    return Audit(
        verdict=verdict_of(deviations),
        deviations=deviations,
        rows=tuple(judged.rows()),
        notes=tuple(judged.notes()),
        seconds=round(time.monotonic() - started, 2),
        **common,
    )


def no_alexnet(match: Match, found: list[Step], searched: bool) -> str:
    own, which = steps(match.network), "the nearest variant, " if searched else ""
    return (
        f"no AlexNet: found {expected.counted(found)}, of which {match.anchors} have a place in {which}"
        f"{match.name}, which has {expected.counted(own)}"
    )


# Running it -------------------------------------------------------------------------------------------------------------


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
    raise Refused(f"the model does not run on images of {tried}: {why}; give its size with --input-shape N,C,H,W")


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


# Judging it -------------------------------------------------------------------------------------------------------------


@dataclass
class Judged:
    """Readings beside the network that they are held against."""

    subject: Subject
    tape: Tape
    readings: list[Reading]
    match: Match
    shape: Shape
    initial: Mapping[str, Array]
    fixed: bool

    @cached_property
    def found(self) -> list[Step]:
        return [(r.layer, r.shape) for r in self.readings]

    @cached_property
    def index(self) -> dict[str, int]:
        """Where each expected layer is in the found chain."""
        pairs = expected.align(self.found, steps(self.match.network))
        return {self.match.network.layers[j].name: i for i, j in pairs if i is not None and j is not None}

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """What each expected layer was really fed."""
        own = {layer.name: before for layer, before, _ in self.match.network.walk()}
        met = {d.expected: d.found for d in self.match.differences if d.expected and d.found is not None}
        return own | {name: self.readings[i].shape for name, i in (self.index | met).items()}

    def deviations(self) -> Iterator[Deviation]:
        """From the nearest variant, then what that variant itself does otherwise than the paper."""
        gathered = [*self.match.differences, *self.quirks(), *self.first(self.match.network)]
        if not (self.subject.trains or self.shows_dropout()):
            gathered = [d for d in gathered if not self.about_dropout(d)]
        where = {d.fact: d for d in gathered}
        yield from self.input_size()
        causes = naming.causes((f for f in where if f.kind != "initial"), self.match.network, self.shapes)
        for cause in causes:
            yield from self.deviation(cause, where, self.match.network)
        begun = [f for f in where if f.kind == "initial"]
        common = Counter(trap for fact in begun for trap in fact.value[1])
        for fact in begun:
            yield self.initially(fact, common, self.match.network)
        yield from self.conventions(set(where))

    def shows_dropout(self) -> bool:
        return any(type(layer) is Dropout for layer, _ in self.found)

    def about_dropout(self, difference: Difference) -> bool:
        return difference.fact.kind == "missing" and self.match.network[difference.expected].kind == "dropout"

    def input_size(self) -> Iterator[Deviation]:
        """A model that takes images of one size only, and not the paper's."""
        usual = self.match.network.input_shape
        paperlike = self.shape[1:] in ((224, 224), (227, 227)) and usual[1] > 200
        if not self.fixed or paperlike or self.shape == variants.variant(self.match.name).input_shape:
            return
        found, want = (" x ".join(map(str, s)) for s in (self.shape, variants.variant(self.match.name).input_shape))
        first = self.match.network.layers[0]
        cause = "The model fixes the size of its images itself."
        yield Deviation(
            first.name, "input-size", DEVIATION, found, want, "every layer sees other maps", cause, first.source
        )

    def quirks(self) -> Iterator[Difference]:
        """Mistakes in how weights are used, at the layer that the alignment gives."""
        names = {i: name for name, i in self.index.items()}
        seen: dict[str, str] = {}
        for i, reading in enumerate(self.readings):
            name = names.get(i, "")
            for quirk in reading.quirks:
                yield Difference(Fact("quirk", name, quirk), i, name)
            if isinstance(reading.layer, AFFINE) and not reading.origin.get("bias") and name:
                yield Difference(Fact("quirk", name, "bias-missing"), i, name)
            weight = reading.origin.get("weight", "")
            if weight and weight in seen:
                yield Difference(Fact("quirk", name, "weights-shared", seen[weight]), i, name)
            elif weight:
                seen[weight] = name

    def first(self, network: Network) -> Iterator[Difference]:
        """Parameters that begin otherwise than those of `network`, the nearest variant or the paper."""
        names = {i: name for name, i in self.index.items()}
        for i, reading in enumerate(self.readings):
            name = names.get(i, "")
            if name not in network.names() or not isinstance(network[name], AFFINE):
                continue
            if not isinstance(reading.layer, AFFINE):
                continue
            for role, origin in reading.origin.items():
                if origin in self.initial and self.initial[origin].size > 1:
                    traps = first_values.unlike_the_paper(
                        as_found(network[name], reading), name, role, self.initial[origin]
                    )
                    if traps is not None:
                        yield Difference(Fact("initial", name, role, (origin, traps)), i, name)

    def layer(self, name: str) -> Layer | None:
        return self.match.network[name] if name else None

    # Deviations in words

    def deviation(self, cause: naming.Cause, where: Mapping[Fact, Difference], network: Network) -> Iterator[Deviation]:
        """One for each trap of a cause; one without a name where it has none."""
        fact = min(cause.facts, key=lambda f: ORDER.get(f.kind, 9))
        difference = where[fact]
        reading = self.readings[difference.found] if difference.found is not None else None
        layer = cause.layer or fact.layer or network.layers[0].name
        found, want = self.in_words(sorted(cause.facts, key=repr), reading, network)
        local, final, shapes = self.moves(fact, difference, reading, network)
        moved = self.effect(fact, layer, network, effect.in_words(local, final, shapes))
        agrees = tuple(self.agreeing(cause.facts))
        source = network[layer].source if layer in network.names() else ""
        for trap in cause.traps or (self.unnamed(fact, reading),):
            kind = self.kind(trap, fact, agrees, local, layer)
            why = (
                words.cause(trap, self.subject.framework, layer, found, want)
                if trap in BY_ID
                else self.said(fact, reading, trap)
            )
            if len(cause.traps) > 1:
                why += f" (together with {' and '.join(t for t in cause.traps if t != trap)})"
            at = reading.segment.name if reading is not None else ""
            yield Deviation(layer, trap, kind, found, want, moved, why, source, at, agrees, local, final)

    def effect(self, fact: Fact, layer: str, network: Network, measured: str) -> str:
        """In words; where a number would mislead, what is so instead."""
        own = network[layer] if layer in network.names() else None
        extra = fact.kind == "extra" and "Dropout" in str(fact.value[0])
        if extra or (isinstance(own, Dropout) and "moves" not in measured):
            return "training only: at inference it is the same function"
        if fact.kind == "missing" and isinstance(own, Softmax):
            return "logits are returned, not probabilities"
        if fact.kind == "field" and fact.what in ("channels", "units", "groups", "kernel") and "gives" not in measured:
            return "weights of another shape"
        return measured

    def unnamed(self, fact: Fact, reading: Reading | None) -> str:
        """An id for what was found exactly and that no entry names; "" for what was not explained."""
        if fact.kind == "unexplained" or (fact.kind == "quirk" and fact.what in ("weights-derived", "weights-fixed")):
            return ""
        if fact.kind == "quirk":
            return fact.what
        if fact.kind == "field" and fact.what == "units" and is_last_dense(self.match.network, fact.layer):
            return "classes"
        return (
            f"{fact.what}-other"
            if fact.kind == "field"
            else f"layer-{'replaced' if fact.kind == 'kind' else fact.kind}"
        )

    def said(self, fact: Fact, reading: Reading | None, trap: str) -> str:
        """The cause of what no entry names."""
        if trap:
            return UNSAID.get(trap, "Read off its numbers; no entry of the catalogue has it.")
        strange = reading is not None and isinstance(reading.layer, Unexplained)
        says = reading.layer.says if strange and reading is not None else UNSAID.get(fact.what, "")  # type: ignore[attr-defined]
        return f"Unexplained by any entry of the catalogue or two of them: {says}".strip(": ")

    def kind(self, trap: str, fact: Fact, agrees: tuple[str, ...], local: float | None, layer: str) -> str:
        if not trap:
            return UNEXPLAINED
        by_nature = trap in BY_ID and BY_ID[trap].convention
        if fact.kind in ("moved", "extra") and local == 0 and not self.drops(layer, fact):
            return CONVENTION  # the same function: a matter of taste
        classes = fact.kind == "field" and fact.what == "units" and is_last_dense(self.match.network, layer)
        return CONVENTION if agrees or by_nature or classes else DEVIATION

    def drops(self, layer: str, fact: Fact) -> bool:
        """Is it about dropout, which is the identity at inference?"""
        own = self.layer(layer) if layer in self.match.network.names() else None
        return isinstance(own, Dropout) or (fact.kind == "extra" and "Dropout" in str(fact.value[0]))

    def agreeing(self, facts: frozenset[Fact]) -> Iterator[str]:
        """Who does just this: the authors' code and Caffe."""
        for name in CONVENTIONS:
            if name != self.match.name and facts <= self.facts_of(name):
                yield name

    def facts_of(self, name: str) -> frozenset[Fact]:
        other = expected.on_input(name, self.shape)
        return frozenset(d.fact for d in differences(steps(other), steps(self.match.network)))

    def in_words(self, facts: list[Fact], reading: Reading | None, network: Network) -> tuple[str, str]:
        """(found, expected), each a phrase."""
        found, want = [], []
        for fact in facts:
            f, e = self.phrase(fact, reading, network)
            found.append(f)
            want.append(e)
        return "; ".join(dict.fromkeys(found)), "; ".join(dict.fromkeys(want))

    def phrase(self, fact: Fact, reading: Reading | None, network: Network) -> tuple[str, str]:
        own = network[fact.layer] if fact.layer in network.names() else None
        shape = self.shapes.get(fact.layer, ())
        whole = words.layer_in_words(own, shape) if own is not None else "nothing"
        read_as = words.layer_in_words(reading.layer, reading.shape) if reading is not None else "nothing"
        match fact.kind:
            case "field":
                want = expected_field(own, fact.what, shape)
                return (
                    f"{FIELD.get(fact.what, fact.what)} {value_in_words(fact.value)}",
                    f"{FIELD.get(fact.what, fact.what)} {want}",
                )
            case "kind" | "unexplained":
                return read_as, whole
            case "missing":
                return "nothing", whole
            case "extra":
                return read_as, f"nothing behind {fact.layer}" if fact.layer else "nothing before the first layer"
            case "moved":
                return f"behind {fact.what or 'the input'}", f"behind {before(network, fact.layer) or 'the input'}"
        return (
            fact.what,
            "the weights as they are stored" if fact.what not in BY_ID else f"not so: {BY_ID[fact.what].says}",
        )

    def initially(self, fact: Fact, common: Mapping[str, int], network: Network) -> Deviation:
        """A parameter that begins otherwise. common: parameters that follow each law; of several the most common is named."""
        origin, traps = fact.value
        traps = sorted(traps, key=lambda trap: -common[trap])
        layer = network[fact.layer]
        law = first_values.expected_laws(layer, fact.what)[0]
        found, want = (
            f"{fact.what}: {text}"
            for text in (first_values.described(self.initial[origin]), first_values.in_words(law))
        )
        trap = traps[0] if traps else "init-other"
        why = words.cause(trap, self.subject.framework, fact.layer, found, want) if traps else UNSAID["init-other"]
        agrees = tuple(n for n in CONVENTIONS if n != self.match.name and self.begins_so(n, fact))
        kind = CONVENTION if agrees else DEVIATION
        text = "training begins elsewhere; inference with given weights is the same"
        return Deviation(fact.layer, trap, kind, found, want, text, why, "Section 5", origin, agrees)

    def begins_so(self, name: str, fact: Fact) -> bool:
        network = variants.variant(name)
        if fact.layer not in network.names():
            return False
        laws = first_values.expected_laws(network[fact.layer], fact.what)
        return any(first_values.follows(self.initial[fact.value[0]], law) for law in laws)

    def conventions(self, found: set[Fact]) -> Iterator[Deviation]:
        """What the nearest variant does otherwise than the paper, and the model with it."""
        paper = expected.on_input("paper", self.shape)
        if self.match.name in ("paper", "paper-224", "paper-thin", "paper-224-thin") or len(paper.layers) < 20:
            return
        if max(self.shape[1:]) <= 40 or self.match.name.endswith("-thin"):
            return
        own = differences(self.found, steps(paper))
        variant = expected.on_input(self.match.name, self.shape)
        theirs = {d.fact for d in differences(steps(variant), steps(paper))}
        where = {d.fact: d for d in own if d.fact in theirs}
        shapes = {layer.name: before for layer, before, _ in paper.walk()}
        pairs = expected.align(self.found, steps(paper))
        shapes |= {paper.layers[j].name: self.readings[i].shape for i, j in pairs if i is not None and j is not None}
        shapes |= {d.expected: self.readings[d.found].shape for d in own if d.expected and d.found is not None}
        for cause in naming.causes(where, paper, shapes):
            for one in self.deviation(cause, where, paper):
                yield replace(
                    one, kind=CONVENTION, agrees_with=tuple(dict.fromkeys((self.match.name, *one.agrees_with)))
                )

        begun = [d.fact for d in self.first(paper)]
        common = Counter(trap for fact in begun for trap in fact.value[1])
        own_laws = {(fact.layer, fact.what) for fact in found if fact.kind == "initial"}
        for fact in begun:
            if (fact.layer, fact.what) not in own_laws:
                one = self.initially(fact, common, paper)
                yield replace(
                    one, kind=CONVENTION, agrees_with=tuple(dict.fromkeys((self.match.name, *one.agrees_with)))
                )

    def moves(
        self, fact: Fact, difference: Difference, reading: Reading | None, network: Network
    ) -> tuple[float | None, float | None, tuple[tuple[int, ...], tuple[int, ...]] | None]:
        """(share of the layer's output, share of the network's, shapes where they differ)."""
        layer = network[difference.expected] if difference.expected else None
        if reading is not None and layer is not None and fact.kind == "field":
            layer = mended(reading.layer, layer, fact.what)
        if fact.kind == "moved" and difference.found is not None:
            share = self.by_moving(difference.found, before(network, fact.layer))
            return share, share, None
        if reading is not None:
            place, x = difference.found or 0, reading.x
        else:
            place = self.place_of(fact.layer, network)
            x = self.readings[place].x if place < len(self.readings) else self.readings[-1].y
        pair = effect.alone(reading, layer, x)
        if pair is None:
            return None, None, None
        want, got = pair
        if want.shape != got.shape:
            return None, None, (want.shape[1:], got.shape[1:])
        local = effect.moved(want, got)
        rest = self.readings[place + 1 :] if reading is not None else self.readings[place:]
        final = effect.to_the_end(rest, want, got) if local else None
        return local, final, None

    def by_moving(self, place: int, behind: str) -> float | None:
        """How far the network's output moves when a layer goes back to where it belongs."""
        home = self.index[behind] + 1 if behind in self.index else 0
        rest = [reading for i, reading in enumerate(self.readings) if i != place]
        home -= place < home
        mended = [*rest[:home], self.readings[place], *rest[home:]]
        start = min(place, home)
        x = self.readings[start].x[:1].astype(np.float64)
        return effect.between(mended[start:], self.readings[start:], x, x)

    def place_of(self, name: str, network: Network) -> int:
        """Where in the found chain a missing layer should stand."""
        names = network.names()
        later = [self.index[n] for n in names[names.index(name) + 1 :] if n in self.index] if name in names else []
        return min(later, default=len(self.readings))

    # The whole of it

    def rows(self) -> Iterator[Row]:
        names = {i: name for name, i in self.index.items()}
        for i, reading in enumerate(self.readings):
            call = max((op.call for op in reading.segment.operations), key=len, default="")
            origin = tuple(filter(None, reading.origin.values()))
            text = words.layer_in_words(reading.layer, reading.shape)
            yield Row(reading.segment.name, call, text, names.get(i, ""), reading.y.shape[1:], reading.share, origin)

    def notes(self) -> Iterator[str]:
        used = {t.removeprefix("param:") for op in self.tape.graph.operations for t in op.inputs}
        unused = [name for name in self.subject.parameters if name not in used]
        if unused:
            yield f"parameters that are never used: {', '.join(unused)}"
        if self.tape.graph.idle:
            yield f"defined and never called: {', '.join(self.tape.graph.idle)}"
        others = [t for t in self.tape.graph.outputs if t != output_of(self.tape)]
        if others:
            yield f"the model returns {len(self.tape.graph.outputs)} outputs; audited is the one that most operations lead to"
        if not self.subject.trains:
            yield "it cannot be run in training mode here: dropout was not judged"


ORDER = {"unexplained": 0, "kind": 1, "missing": 2, "moved": 3, "extra": 4, "field": 5, "quirk": 6}

FIELD = {
    "channels": "maps",
    "kernel": "kernel",
    "border": "padding",
    "average": "mean:",
    "n": "n =",
    "k": "k =",
    "alpha": "alpha =",
    "beta": "beta =",
}

UNSAID = {
    "layer-moved": "The layer is there, but stands elsewhere.",
    "layer-missing": "There is no such layer.",
    "layer-extra": "The other network has no such layer.",
    "layer-replaced": "Another layer stands in its place.",
    "channels-other": "It has a width of its own.",
    "units-other": "It has a width of its own.",
    "kernel-other": "Its kernels have another size.",
    "stride-other": "Its windows move in other steps.",
    "border-other": "Its zeros lie elsewhere, or are more or fewer.",
    "groups-other": "Its maps are grouped otherwise.",
    "weights-derived": "its weight is computed from its parameters in a way that no entry has",
    "weights-fixed": "its weight is a constant, no parameter",
    "weights-shared": "This layer uses the weights of another one.",
    "init-other": "Its first values follow a law that no entry of the catalogue has.",
    "input-bfloat16": "Only its input is rounded.",
    "float64": "It is computed in double precision.",
}


def as_found(wanted: Layer, reading: Reading) -> Network:
    """The expected layer alone with the found one's sizes: laws depend on how many products are summed."""
    keep = {f: getattr(wanted, f) for f in ("name", "init_std", "init_bias", "init_bias_std")}
    return Network(wanted.name, reading.shape, (replace(reading.layer, **keep),))


def mended(found: Layer, expected: Layer, field: str) -> Layer:
    """The found layer with one field as it should be: what that field alone does."""
    if field == "border" and isinstance(found, Conv | Pool) and isinstance(expected, Conv | Pool):
        names = [f for f in ("padding", "ceil") if hasattr(found, f)]
        plain = Conv if isinstance(found, Conv) else Pool
        own = {f.name: getattr(found, f.name) for f in dataclasses.fields(plain)}
        return plain(**{**own, **{name: getattr(expected, name) for name in names}})
    if hasattr(found, field) and hasattr(expected, field):
        return replace(found, **{field: getattr(expected, field)})
    return expected


def expected_field(layer: Layer | None, name: str, shape: Shape) -> str:
    from .facts import fields

    return value_in_words(fields(layer, shape).get(name)) if layer is not None else ""


def value_in_words(value: Any) -> str:
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], tuple):
        return words.padding_in_words(value).removeprefix("padding ") or "0"
    return f"{value:g}" if isinstance(value, float) else str(value)


def before(network: Network, name: str) -> str:
    names = network.names()
    index = names.index(name)
    return names[index - 1] if index else ""
