"""The evaluation from end to end: what is asked is checked, batches are run, each is kept, and the outcome summed up."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import tempfile
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..impls import find
from ..impls.find import Target
from ..reference import draws, preprocessing
from ..reference.spec import Network
from . import judge, mean, weights
from .batch import Job
from .dataset import Dataset, Source, open_dataset
from .engines import Engine
from .errors import Unusable, reason
from .process import Answer, threads
from .result import Outcome, result
from .state import State


@dataclass(frozen=True)
class Request:
    """What a person asks for. mean: R,G,B or a file; empty: the data's own. limit: of images; None: all of them."""

    targets: Sequence[Target]
    network: Network
    weights: str
    data: Source
    views: int = 1
    batch: int = 32
    mean: str = ""
    mean_rule: str = preprocessing.ALIGNED
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    limit: int | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class Evaluation:
    """A request whose files have been checked. `run` is all that settles its outcome; `plan`: first image -> stop."""

    jobs: tuple[Job, ...]
    data: Dataset
    run: dict[str, Any]
    plan: dict[int, int]

    @property
    def targets(self) -> list[Target]:
        return [job.target for job in self.jobs]


def prepare(request: Request) -> Evaluation:
    """Read weights, mean and labels once, here, before any process starts; raises Unusable."""
    network = request.network
    data = open_dataset(request.data)
    check_sizes(network, data)
    check_views(network, data, request.views)
    centre = request.mean or ",".join(map(str, data.mean))
    image = mean.read(centre, data.stored)
    if image.ndim == 1 and request.mean_rule != preprocessing.ALIGNED:
        raise Unusable(
            f"--mean-rule {request.mean_rule}: found a mean of three numbers, expected a mean image; leave it out"
        )
    digest = draws.digest(weights.read(Path(request.weights), network))
    first = Job(
        target=request.targets[0],
        network=network,
        weights=absolute(request.weights),
        weights_digest=digest,
        data=Source(absolute(request.data.path), request.data.split, absolute(request.data.labels)),
        views=request.views,
        mean=absolute(centre) if Path(centre).is_file() else centre,
        mean_rule=request.mean_rule,
        std=request.std,
        device=request.device,
        environment=threads(),
    )
    jobs = tuple(dataclasses.replace(first, target=target) for target in request.targets)
    count = len(data) if request.limit is None else min(request.limit, len(data))
    try:
        data_digest = data.digest()
    except OSError as error:
        raise Unusable(f"--data {request.data.path}: cannot read it ({reason(error)})") from None
    run = {
        "implementations": {target.name: source_digest(target) for target in request.targets},
        "variant": network.name,
        "network": hashlib.sha256(repr((network.input_shape, network.layers)).encode()).hexdigest(),
        "weights": digest,
        "data": {"format": data.about, "digest": data_digest, "images": len(data), "classes": list(data.classes)},
        "count": count,
        "views": request.views,
        "batch": request.batch,
        "mean": {"given": centre if image.ndim == 1 else Path(centre).name, "digest": draws.digest({"mean": image})},
        "mean_rule": request.mean_rule,
        "std": list(request.std),
        "device": request.device,
    }
    plan = {start: min(start + request.batch, count) for start in range(0, count, request.batch)}
    return Evaluation(jobs, data, run, plan)


def absolute(path: str) -> str:
    return str(Path(path).resolve()) if path else ""


def source_digest(target: Target) -> str:
    """SHA-256, hex, of an implementation's file ("" for a module by name): its changed code is another run."""
    path = target.file or find.own().get(target.name)
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""


def check_sizes(network: Network, data: Dataset) -> None:
    """Raise Unusable unless the network can read the images and tell their classes apart."""
    channels, *size = network.input_shape
    if channels != 3 or any(needed > had for needed, had in zip(size, data.stored, strict=True)):
        found = " x ".join(map(str, (3, *data.stored)))
        needed = " x ".join(map(str, network.input_shape))
        hint = "; use a CIFAR-10 variant (alexnet-parity list)" if min(data.stored) < 64 else ""
        raise Unusable(f"found images of {found}, expected at least {needed} for {network.name}{hint}")
    outputs = list(network.shapes().values())[-1]
    if len(outputs) != 1:
        raise Unusable(f"{network.name} ends in {outputs}, expected a vector of classes")
    if data.classes and len(data.classes) != outputs[0]:
        found = f"{len(data.classes):,} class{'es' * (len(data.classes) != 1)} ({data.about})"
        raise Unusable(f"found {found}, expected {outputs[0]:,} for {network.name}")
    highest = max(range(len(data)), key=data.label)
    if data.label(highest) >= outputs[0]:
        raise Unusable(
            f"{data.name(highest)} has the label {data.label(highest):,}, expected 0 to {outputs[0] - 1:,} for "
            f"{network.name}; labels are counted from 0"
        )


def check_views(network: Network, data: Dataset, views: int) -> None:
    """Raise Unusable where several views were asked for and all would be the whole image, or its reflection."""
    size = network.input_shape[1:]
    if views > 1 and size == data.stored:
        read, stored = (" x ".join(map(str, sides)) for sides in (size, data.stored))
        raise Unusable(
            f"--views {views}: found {read} of {stored}, expected a network smaller than the stored image; use --views 1"
        )


@contextlib.contextmanager
def state_of(evaluation: Evaluation, path: Path | None) -> Iterator[State]:
    """The state file; a temporary one where none is asked for."""
    with contextlib.ExitStack() as held:
        place = path or Path(held.enter_context(tempfile.TemporaryDirectory()), "state.jsonl")
        yield held.enter_context(State(place, evaluation.run, evaluation.plan))


def evaluate(evaluation: Evaluation, engine: Engine, state: State) -> Generator[int, None, None]:
    """Run every batch that is not done and keep it; yields how many are done, after each.

    Raises Unusable or Failed with the first batch that cannot be had; those before it are kept.
    """
    waiting: dict[int, dict[str, Future[Answer]]] = {}
    to_do = iter(state.to_do())
    yield len(state.places)
    while True:
        while len(waiting) < engine.ahead and (batch := next(to_do, None)):
            start, stop = batch
            waiting[start] = {job.target.name: engine.submit(job, start, stop) for job in evaluation.jobs}
        if not waiting:
            return
        undone = [f for futures in waiting.values() for f in futures.values() if not f.done()]
        if undone:
            engine.wait(undone)
        for start, futures in list(waiting.items()):
            answers = {name: engine.answer(future) for name, future in futures.items() if future.done()}
            if len(answers) == len(futures):
                del waiting[start]
                state.add(judge.record(start, evaluation.plan[start], answers, evaluation.data))
                yield len(state.places)


def outcome(evaluation: Evaluation, rule: str, state: State) -> Outcome:
    """The result of a state in which every batch is done; it is written while the state is open."""
    return result(evaluation.run, rule, state.batches)
