"""A point of a run in one file that every framework reads: safetensors, our names, our layout.

Parameters under their names, velocities as "velocity.NAME" in the paper's convention (w <- w + v), "losses", the loss of every
step so far; in the metadata the step, the recipe and its digest, who wrote it. A file is written beside its place and then
renamed: it is whole or not there.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..checks import whole
from ..evaluate.errors import Unusable, reason
from ..reference.spec import nearest
from .recipe import Recipe

Array = np.ndarray
Params = dict[str, Array]

FORMAT = "alexnet-parity/checkpoint/1"
VELOCITY, LOSSES = "velocity.", "losses"
LONGEST = 18  # digits of a step
NAME = re.compile(r"step-(\d{6,})\.safetensors")


class OtherRun(Unusable):
    """A checkpoint of another recipe."""


@dataclass(frozen=True)
class Error:
    """How many of `of` images of a set ("test", "train") were in the wrong class after `step` updates."""

    step: int
    images: str
    wrong: int
    of: int


@dataclass(frozen=True)
class State:
    """After `step` updates. velocities: None where the implementation does not tell them. losses: (steps,), float64.

    A run that started from another's checkpoint has the losses and errors since that one.
    """

    step: int
    params: Params
    velocities: Params | None
    losses: Array = field(default_factory=lambda: np.zeros(0))
    errors: tuple[Error, ...] = ()
    by: str = ""
    said: Mapping[str, str] = field(default_factory=dict)  # versions and settings of the implementation


def place(folder: Path, step: int) -> Path:
    return folder / f"step-{step:06d}.safetensors"


def slug(name: str) -> str:
    """A name of an implementation, maybe a path, as the name of a folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "implementation"


def require_safetensors() -> Any:
    """The safetensors package; raises Unusable where it is not installed."""
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise Unusable("checkpoints need safetensors, not installed here: pip install -e '.[train]'") from None
    return safetensors


# Writing -------------------------------------------------------------------------------------------------------------


def write(path: Path, state: State, recipe: Recipe) -> None:
    """On the disk when this returns; raises Unusable where that cannot be."""
    arrays = {name: np.ascontiguousarray(value) for name, value in state.params.items()}
    for name, value in (state.velocities or {}).items():
        arrays[f"{VELOCITY}{name}"] = np.ascontiguousarray(value)
    arrays[LOSSES] = state.losses.astype(np.float64)
    told = {
        "format": FORMAT,
        "step": str(state.step),
        "implementation": state.by,
        "variant": recipe.variant,
        "seed": str(recipe.seed),
        "recipe": json.dumps(recipe.as_dict(), sort_keys=True),
        "recipe_digest": recipe.digest,
        "versions": json.dumps(dict(state.said), sort_keys=True),
        "errors": json.dumps([asdict(error) for error in state.errors]),
    }
    content = require_safetensors().numpy.save(arrays, told)
    try:
        with part(path) as (file, beside):
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            whole.put(beside, path)
    except OSError as error:
        raise Unusable(f"cannot write {path}: {reason(error)}") from None


@contextlib.contextmanager
def part(path: Path) -> Iterator[tuple[Any, Path]]:
    """A file beside `path`, open for writing, and its name; gone afterwards unless it was renamed."""
    with whole.part(path) as name, name.open("wb") as file:
        yield file, name


# Reading -------------------------------------------------------------------------------------------------------------


def read(path: Path, recipe: Recipe) -> State:
    """The state in a checkpoint of this recipe, in the precision that it was written in.

    Raises Unusable where the file is cut short, no checkpoint, of another recipe, or holds what the network has no place for
    or what is no finite number.
    """
    arrays, told = opened(path)
    if told.get("format") != FORMAT:
        raise Unusable(f"{path}: found {told.get('format', 'no format')!r}, expected a checkpoint ({FORMAT})")
    same_recipe(path, told, recipe)
    step = told.get("step", "")
    if not step.isdecimal() or len(step) > LONGEST:
        raise Unusable(f"{path}: found the step {step[:60]!r}, expected a whole number")
    losses = arrays.pop(LOSSES, np.zeros(0))
    if losses.dtype != np.float64 or losses.ndim != 1 or len(losses) > int(step):
        raise Unusable(
            f"{path}: found losses {losses.dtype} {losses.shape}, expected one float64 a step, {step} at most"
        )
    speeds = {name.removeprefix(VELOCITY): value for name, value in arrays.items() if name.startswith(VELOCITY)}
    params = {name: value for name, value in arrays.items() if not name.startswith(VELOCITY)}
    fits(path, params, recipe)
    if speeds:
        fits(path, speeds, recipe, VELOCITY)
    try:
        errors = tuple(map(parsed_error, json.loads(told.get("errors", "[]"))))
        said = {str(name): str(text) for name, text in json.loads(told.get("versions", "{}")).items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise Unusable(f"{path}: its errors or versions are not as they are written; is it damaged?") from None
    return State(int(step), params, speeds or None, losses, errors, told.get("implementation", ""), said)


def parsed_error(given: dict[str, Any]) -> Error:
    """Raises TypeError for anything but what `write` writes."""
    error = Error(**given)
    if not isinstance(error.images, str) or not all(type(n) is int for n in (error.step, error.wrong, error.of)):
        raise TypeError("fields of other kinds")
    return error


def opened(path: Path) -> tuple[Params, dict[str, str]]:
    """Every array and the metadata; raises Unusable for a missing or damaged file."""
    safetensors = require_safetensors()
    if not path.is_file():
        raise Unusable(f"{path}: no such file; give a checkpoint, step-NNNNNN.safetensors")
    try:
        with safetensors.safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise Unusable(f"{path}: no whole .safetensors file ({reason(error)}); is it cut short?") from None
    except (TypeError, AttributeError) as error:  # bfloat16 and narrower, which NumPy does not have
        raise Unusable(f"{path}: found numbers that are no float32 ({reason(error)}); no checkpoint of ours") from None
    except OSError as error:
        raise Unusable(f"cannot read {path}: {reason(error)}") from None


def same_recipe(path: Path, told: Mapping[str, str], recipe: Recipe) -> None:
    """Raise OtherRun, with the first thing that differs, for a checkpoint of another recipe."""
    if told.get("recipe_digest") == recipe.digest:
        return
    try:
        theirs = json.loads(told.get("recipe", "{}"))
    except (ValueError, RecursionError):
        theirs = {}
    ours = json.loads(json.dumps(recipe.as_dict()))
    theirs = theirs if isinstance(theirs, dict) else {}
    key = next((key for key in ours if theirs.get(key) != ours[key]), "the digest")
    found = " ".join(str(theirs.get(key)).split())[:200]
    raise OtherRun(
        f"{path}: it is of another run: {key} is {found} there, {ours.get(key, recipe.digest)} here; "
        "give the same options, or another file"
    )


def fits(path: Path | str, given: Params, recipe: Recipe, prefix: str = "") -> None:
    """Raise Unusable unless these are the network's parameters in its shapes, floats, all finite."""
    wanted = recipe.network().param_shapes()
    for name in given:
        if name not in wanted:
            raise Unusable(f"{path}: {recipe.variant} has no {prefix}{name!r}{nearest(name, list(wanted))}")
    for name, shape in wanted.items():
        if name not in given:
            raise Unusable(f"{path}: found no {prefix}{name}, expected it for {recipe.variant}")
        array = given[name]
        if array.shape != shape or array.dtype not in (np.float32, np.float64):
            raise Unusable(f"{path}: {prefix}{name} is {array.dtype} {array.shape}, expected floats {shape}")
        if wrong := array.size - int(np.isfinite(array).sum()):
            raise Unusable(f"{path}: {prefix}{name} holds {wrong:,} of {array.size:,} numbers that are not finite")


# A folder of them ----------------------------------------------------------------------------------------------------


def steps(folder: Path) -> list[int]:
    """The steps of which there is a checkpoint, in order."""
    if not folder.is_dir():
        return []
    return sorted(int(found[1]) for path in folder.iterdir() if (found := NAME.fullmatch(path.name)))


def latest(folder: Path, recipe: Recipe, until: int) -> tuple[State | None, list[str]]:
    """The last whole checkpoint in a folder, not beyond step `until`, and what is wrong with later ones.

    Raises OtherRun where the last whole one is of another recipe.
    """
    damaged: list[str] = []
    for step in reversed([step for step in steps(folder) if step <= until]):
        try:
            return read(place(folder, step), recipe), damaged
        except OtherRun:
            raise
        except Unusable as error:
            damaged.append(str(error))
    return None, damaged


def tidy(folder: Path) -> None:
    """Remove what a run that was killed had begun to write."""
    for path in folder.glob(".step-*.part"):
        with contextlib.suppress(OSError):
            path.unlink()
