"""The same network from the same weights on the same batches in every implementation and the oracle, side by side.

Each is trained in a process of its own and knows nothing of the others; all that one of them does lies in its folder of
checkpoints, from which it goes on when it was interrupted and from which the runs are compared.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..checks import whole
from ..evaluate.errors import Failed, Unusable, reason
from ..impls.find import Target
from ..reference import stimuli
from . import checkpoint, process
from .checkpoint import Params, State
from .data import Batches, Samples
from .learner import Plan
from .process import Heard
from .recipe import Recipe

ORACLE, SINGLE, ROUNDING = "oracle-float64", "oracle-float32", "rounding"
EARLY = (1, 2, 5)  # steps that are looked at besides every so many


@dataclass(frozen=True)
class Request:
    """What is trained and for how long. `begin`: a checkpoint that all start from. `draws`: of the oracle's rounding."""

    recipe: Recipe
    samples: Samples
    targets: tuple[Target, ...]
    steps: int
    every: int
    draws: int = 0
    begin: Path | None = None
    resume: bool = False
    device: str = "cpu"
    at_once: int = 2
    timeout: float = 600.0


@dataclass
class Run:
    """A run in a folder. `ended`: how those ended that did not come to the end; `notes`: what a person should know."""

    request: Request
    folder: Path
    plans: list[Plan]
    start: int
    ended: dict[str, tuple[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def place(self, name: str) -> Path:
        return self.folder / checkpoint.slug(name)

    @property
    def done(self) -> list[Plan]:
        """The plans that came to the end."""
        return [plan for plan in self.plans if plan.name not in self.ended]

    def read(self, name: str, step: int) -> State:
        return checkpoint.read(checkpoint.place(self.place(name), step), self.request.recipe)

    @property
    def steps_kept(self) -> list[int]:
        """The steps of which all who came to the end have a checkpoint."""
        kept = [set(checkpoint.steps(self.place(plan.name))) for plan in self.done]
        return (
            sorted(step for step in set.intersection(*kept) if self.start <= step <= self.request.steps) if kept else []
        )


def kept_steps(start: int, steps: int, every: int) -> tuple[int, ...]:
    """After which steps a checkpoint is written: the first few, each `every`th, and the last."""
    chosen = {*(start + early for early in EARLY), *range(0, steps + 1, every), steps}
    return tuple(sorted(step for step in chosen if start < step <= steps))


def prepare(request: Request, folder: Path) -> Run:
    """Everything that can be refused before a step is made: raises Unusable."""
    checkpoint.require_safetensors()
    Batches(request.samples, request.recipe)
    given = request.begin and from_another(request.begin, request.recipe)
    start = given.step if given else 0
    if request.steps <= start:
        raise Unusable(f"--steps {request.steps}: expected more than the {start} that {request.begin} has behind it")
    claim(request, folder)
    run = Run(request, folder, [], start)
    run.plans = plans(request, run)
    first = given or fresh(request.recipe)
    for plan in run.plans:
        make(run.place(plan.name))
        checkpoint.tidy(run.place(plan.name))
        if not checkpoint.steps(run.place(plan.name)):
            checkpoint.write(checkpoint.place(run.place(plan.name), start), first, request.recipe)
    return run


def fresh(recipe: Recipe) -> State:
    """The paper's initialisation and no velocity."""
    params = stimuli.paper_init(recipe.network(), recipe.seed)
    return State(0, params, {name: np.zeros_like(value) for name, value in params.items()})


def from_another(path: Path, recipe: Recipe) -> State:
    """A checkpoint as everybody's start: in float32, so that all begin with the same bits, without what led to it."""
    given = checkpoint.read(path, recipe)
    if given.velocities is None:
        raise Unusable(f"{path}: found no velocities (written by {given.by}): a run cannot be continued from it")
    return State(given.step, single(given.params), single(given.velocities), by=given.by)


def single(values: Params) -> Params:
    return {name: value.astype(np.float32) for name, value in values.items()}


def plans(request: Request, run: Run) -> list[Plan]:
    """The oracle first, which takes longest; the implementations; the draws of rounding."""
    kept = kept_steps(run.start, request.steps, request.every)

    def plan(name: str, target: Target | None = None, precision: str = "float32", draw: int = 0) -> Plan:
        return Plan(
            name,
            request.recipe,
            request.steps,
            run.place(name),
            kept,
            target,
            precision,
            draw,
            request.device,
            tested=(request.steps,) if not draw else (),
        )

    draws = [plan(f"{ROUNDING}-{draw}", draw=draw) for draw in range(1, request.draws + 1)]
    own = [plan(target.name, target) for target in request.targets]
    found = [plan(ORACLE, precision="float64"), plan(SINGLE), *draws, *own]
    if len({checkpoint.slug(one.name) for one in found}) < len(found):
        names = ", ".join(target.name for target in request.targets)
        raise Unusable(f"--impl: found {names}, of which two would have one folder; rename a file")
    return found


# The folder ----------------------------------------------------------------------------------------------------------


def make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unusable(f"cannot make the folder {folder}: {reason(error)}") from None


RUN = "run.json"


def claim(request: Request, folder: Path) -> None:
    """Begin a folder, or find it to be of the same run; raises Unusable for another's, and without --resume for any."""
    make(folder)
    about = folder / RUN
    begin = str(request.begin.resolve()) if request.begin else ""
    ours = json.loads(json.dumps({"format": checkpoint.FORMAT, "recipe": request.recipe.as_dict(), "from": begin}))
    try:
        theirs = json.loads(about.read_text(encoding="utf-8")) if about.exists() else None
    except (OSError, ValueError):
        raise Unusable(f"{about}: cannot be read; name another folder") from None
    if theirs is None:
        if any(folder.iterdir()):
            raise Unusable(f"--checkpoints {folder}: found a folder with other things in it; name a new one")
        write(about, json.dumps(ours, indent=1) + "\n")
        return
    if not request.resume:
        raise Unusable(
            f"--checkpoints {folder}: found a run there; add --resume to continue it, or name another folder"
        )
    if theirs != ours:
        raise Unusable(
            f"--checkpoints {folder}: found another run there: {difference(theirs, ours)}; name another folder"
        )


def difference(theirs: object, ours: dict[str, object]) -> str:
    if not isinstance(theirs, dict) or not isinstance(theirs.get("recipe"), dict):
        return "it says nothing of its recipe"
    flat: dict[str, object] = {**theirs, **theirs["recipe"]}
    own: dict[str, object] = {**ours, **(ours["recipe"] if isinstance(ours["recipe"], dict) else {})}
    key = next(key for key in own if key != "recipe" and flat.get(key) != own[key])
    return f"{key} is {flat.get(key)} there, {own[key]} here"


def write(path: Path, text: str) -> None:
    try:
        with checkpoint.part(path) as (file, name):
            file.write(text.encode())
            file.flush()
            whole.put(name, path)
    except OSError as error:
        raise Unusable(f"cannot write {path}: {reason(error)}") from None


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder for this run alone; raises Unusable while another run is writing into it."""
    make(folder)
    try:
        import fcntl
    except ImportError:  # Windows; two runs at once in one folder are then not noticed
        yield
        return
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unusable(f"--checkpoints {folder}: another run is writing there; wait for it") from None
        yield
    finally:
        os.close(lock)


# Training ------------------------------------------------------------------------------------------------------------


def train(run: Run, samples: Path) -> Iterator[Heard]:
    """Whatever is not there yet; each event as it comes. Raises Failed where an implementation crashed or diverged.

    `samples`: a folder that `Samples.save` filled.
    """
    for heard in process.run(list(to_do(run)), samples, run.request.at_once, run.request.timeout):
        event, name = heard.event, heard.plan.name
        if event.kind == "unavailable":
            raise Unusable(f"{name}: {event.text}")
        if event.kind == "unsupported":
            run.ended[name] = ("unsupported", event.text)
        if event.kind in ("failed", "diverged", "unusable"):
            raise Failed(f"{name}: {event.text}")
        yield heard


def to_do(run: Run) -> Iterator[tuple[Plan, Path]]:
    """Each plan that is not at its end, and the checkpoint that it goes on from: its latest whole one."""
    for plan in run.plans:
        folder = run.place(plan.name)
        state, damaged = checkpoint.latest(folder, run.request.recipe, run.request.steps)
        run.notes += damaged
        if state is None:
            raise Unusable(f"{folder}: found no whole checkpoint; delete the folder to begin again")
        if (
            state.velocities is None and state.step > run.start
        ):  # it does not tell them: from the start, the same numbers
            run.notes.append(f"{plan.name} tells no velocities: it begins again")
            state = run.read(plan.name, run.start)
        if state.step < run.request.steps:
            yield plan, checkpoint.place(folder, state.step)


def names(plans: Sequence[Plan]) -> list[str]:
    return [plan.name for plan in plans]
