"""Nets and notes as plain JSON data and back. Fields that are empty, or have the code's own default, are left out."""

from __future__ import annotations

import dataclasses
from typing import Any

from . import config
from .net import Layer, Net
from .notes import Event, Notes, Result, Run


def from_net(net: Net) -> dict[str, Any]:
    return {"input_size": net.input_size, "layers": [from_layer(layer) for layer in net.layers]}


def to_net(name: str, given: dict[str, Any]) -> Net:
    return Net(name, tuple(map(to_layer, given["layers"])), given["input_size"])


def from_layer(layer: Layer) -> dict[str, Any]:
    return plain(layer, config.defaults(layer.type, len(layer.inputs)))


def to_layer(given: dict[str, Any]) -> Layer:
    return Layer(**config.defaults(given["type"], len(given.get("inputs", ()))) | tuples(given))


def from_notes(notes: Notes) -> dict[str, Any]:
    stated = {} if notes.stated_parameters is None else {"stated_parameters": notes.stated_parameters}
    return {**stated, "runs": [plain(run) for run in notes.runs]}


def to_notes(name: str, given: dict[str, Any]) -> Notes:
    return Notes(name, tuple(map(to_run, given["runs"])), given.get("stated_parameters"))


def to_run(given: dict[str, Any]) -> Run:
    events = tuple(Event(**tuples(event)) for event in given.get("events", ()))
    results = tuple(Result(**tuples(result)) for result in given.get("results", ()))
    return Run(**{**tuples(given), "events": events, "results": results})


def plain(thing: Any, defaults: dict[str, Any] | None = None) -> dict[str, Any]:
    """A dataclass as a dict, without the fields that have their default (the class's own, or the one given)."""
    found = {}
    for field in dataclasses.fields(thing):
        value = getattr(thing, field.name)
        default = field.default_factory() if callable(field.default_factory) else field.default
        if value != (defaults or {}).get(field.name, default):
            found[field.name] = (
                [plain(v) if dataclasses.is_dataclass(v) else v for v in value] if is_tuple(value) else value
            )
    return found


def is_tuple(value: Any) -> bool:
    return isinstance(value, tuple)


def tuples(given: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
