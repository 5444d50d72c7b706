"""The spec as JSON, read back: what `export.as_dict` writes becomes a Network again, and nothing else does.

All that follows from the layers (shapes, counts, receptive fields, totals) is computed afresh and compared, so that a document
somebody edited by hand is not half believed.
"""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import export, spec
from .spec import Layer, Network, nearest

KINDS: dict[str, type[Layer]] = {
    kind.__name__.lower(): kind
    for kind in (
        *(spec.Conv, spec.Relu, spec.Lrn, spec.SpatialLrn, spec.Pool, spec.Local),
        *(spec.Flatten, spec.Dense, spec.Dropout, spec.Softmax),
    )
}
MOST = 1000  # layers
LARGEST = 2**31 - 1
POSITIVE = ("channels", "kernel", "stride", "groups", "towers", "n", "units")


class BadSpec(ValueError):
    """A document that is no network's; the message says in one line what was found and what was expected."""


def read(path: Path) -> Network:
    """The network in a file; raises BadSpec, with the file's name."""
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        raise BadSpec(f"cannot read {path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    try:
        return parse(text)
    except BadSpec as error:
        raise BadSpec(f"{path}: {error}") from None


def parse(text: str) -> Network:
    """The network that JSON text describes; raises BadSpec, also for a key that stands twice or a number that is none."""
    try:
        document = json.loads(text, object_pairs_hook=once, parse_constant=no_number)
    except BadSpec:
        raise
    except (ValueError, RecursionError) as error:
        raise BadSpec(f"not complete JSON ({error}); was it cut short? expected what `spec --json` prints") from None
    return network(document)


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for place, (key, _) in enumerate(pairs) if key in dict(pairs[:place]))
        raise BadSpec(f"found {short(twice)} twice, expected it once")
    return found


def no_number(text: str) -> float:
    raise BadSpec(f"found {text}, expected a finite number")


def network(document: Any) -> Network:
    """The network that a document (JSON as Python has it) describes; raises BadSpec."""
    if not isinstance(document, dict) or document.get("schema") != export.SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else document
        raise BadSpec(f"found {short(found)}, expected the schema {export.SCHEMA!r}; make it with `spec --json`")
    layers = document.get("layers")
    if not isinstance(layers, list) or not 0 < len(layers) <= MOST:
        raise BadSpec(f"found layers {short(layers)}, expected a list of 1 to {MOST}")
    name, about = text_of(document, "name", "the network"), text_of(document, "about", "the network")
    shape = document.get("input")
    if not isinstance(shape, list) or len(shape) not in (1, 3) or not all(is_whole(n) and n > 0 for n in shape):
        raise BadSpec(f"found input {short(shape)}, expected channels, height and width, each 1 to {LARGEST}")
    try:
        made = Network(name, tuple(shape), tuple(map(layer, layers)), about)
        again = export.as_dict(made)
    except BadSpec:
        raise
    except ValueError as error:  # layers that do not fit together
        raise BadSpec(one_line(error)) from None
    same(document, json.loads(json.dumps(again)), "the document")
    return made


def layer(given: Any) -> Layer:
    """One layer, every field of its kind there and of the right type. What follows from it is compared later."""
    if not isinstance(given, dict):
        raise BadSpec(f"found the layer {short(given)}, expected an object")
    name, kind = text_of(given, "name", "a layer"), given.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        near = nearest(kind, list(KINDS)) if isinstance(kind, str) and len(kind) < 100 else "."
        raise BadSpec(f"{short(name)}: found the kind {short(kind)}{near} Known: {', '.join(KINDS)}")
    if not name or not name.isprintable():
        raise BadSpec(f"found a layer named {short(name)}, expected a name that can be printed")
    types, fields = typing.get_type_hints(KINDS[kind]), {}
    for field in dataclasses.fields(KINDS[kind]):
        if field.name not in given:
            raise BadSpec(f"{short(name)}: no {field.name}, expected it of the kind {kind}")
        fields[field.name] = READERS[types[field.name]](given[field.name], f"{name}.{field.name}")
    for key in POSITIVE:
        if fields.get(key, 1) < 1:
            raise BadSpec(f"{name}.{key}: found {fields[key]}, expected 1 or more")
    return KINDS[kind](**fields)


def same(found: Any, expected: Any, where: str) -> None:
    """Raise BadSpec where a document says anything but what follows from its layers."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in [*expected, *(key for key in found if key not in expected)]:
            if key not in expected or key not in found:
                how = "which is not known" if key in found else "missing"
                raise BadSpec(f"{where}: {short(key)} {how}; make it with `spec --json`")
            same(found[key], expected[key], f"{where}.{short(key)[1:-1]}" if where != "the document" else key)
    elif isinstance(expected, list) and isinstance(found, list) and len(found) == len(expected):
        for place, (one, other) in enumerate(zip(found, expected, strict=True)):
            same(one, other, f"{where}[{place}]")
    elif found != expected or is_number(found) is not is_number(expected):  # 0.0 may be written as 0, but not as false
        raise BadSpec(f"{where}: found {short(found)}, but {short(expected)} follows from the layers; was it edited?")


# Values -----------------------------------------------------------------------------------------------------------------


def text_of(given: dict[str, Any], key: str, whose: str) -> str:
    if not isinstance(given.get(key), str):
        raise BadSpec(f"{whose}: found {key} {short(given.get(key))}, expected a text")
    return str(given[key])


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST


def whole(value: Any, where: str) -> int:
    if not is_whole(value):
        raise BadSpec(f"{where}: found {short(value)}, expected a whole number, 0 to {LARGEST}")
    return int(value)


def real(value: Any, where: str) -> float:
    try:
        if is_number(value) and math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number beyond all doubles
        pass
    raise BadSpec(f"{where}: found {short(value)}, expected a finite number")


def flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise BadSpec(f"{where}: found {short(value)}, expected true or false")
    return value


def text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise BadSpec(f"{where}: found {short(value)}, expected a text")
    return value


def two(value: Any, where: str) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2 or not all(map(is_whole, value)):
        raise BadSpec(f"{where}: found {short(value)}, expected two whole numbers, 0 to {LARGEST}")
    return value[0], value[1]


READERS: dict[Any, Callable[[Any, str], Any]] = {int: whole, float: real, bool: flag, str: text, tuple[int, int]: two}


def one_line(text: object) -> str:
    return " ".join(str(text).split())


def short(value: Any, most: int = 60) -> str:
    """A value in one line, its middle left out where it is long; a number of many digits by how many."""
    if type(value) is int and abs(value) > 10**most:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    shown = repr(value)
    return shown if len(shown) <= most else f"{shown[: most - 4]}...'"
