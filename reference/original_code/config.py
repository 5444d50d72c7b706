"""The configuration format of cuda-convnet: text to typed layers.

INI-like: `[name]` opens the section of a layer, `key=value` lines follow, `#` opens a comment. A layer file says what
each layer is and reads; a parameter file says, under the same names, how it learns. Lists are separated by commas; a
layer that reads several others has one value per input. Keys are read without regard to case, as the authors' reader
(Python's ConfigParser) does. Format: cuda-convnet's LayerParams and NeuronTypes documentation pages.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..spec import nearest
from . import arithmetic
from .net import Layer, Net

CONV = ("inputs", "channels", "filters", "filterSize")
REQUIRED = {
    "data": ("dataIdx",),
    "conv": CONV,
    "local": CONV,
    "fc": ("inputs", "outputs"),
    "pool": ("inputs", "pool", "channels", "sizeX", "stride"),
    "cmrnorm": ("inputs", "channels", "size"),
    "rnorm": ("inputs", "channels"),
    "cnorm": ("inputs", "channels"),
    "blur": ("inputs", "channels", "filterSize", "stdev"),
    "nailbed": ("inputs", "channels", "stride"),
    "resize": ("inputs", "channels", "scale"),
    "hs": ("inputs",),
    "dropout": ("inputs",),
    "dropout2": ("inputs",),
    "neuron": ("inputs", "neuron"),
    "eltsum": ("inputs",),
    "eltmax": ("inputs",),
    "softmax": ("inputs",),
    "cost.logreg": ("inputs",),
}
LEARNING = ("epsW", "epsB", "momW", "momB", "wc")
SUMMED = ("conv", "local", "fc")  # layers that add up several inputs
# What the code takes where a file is silent; one value stands for each input.
DEFAULTS: dict[str, dict[str, Any]] = {
    "conv": {"padding": 0, "stride": 1, "groups": 1, "initW": 0.01, "initB": 0.0, "sharedBiases": True},
    "local": {"padding": 0, "stride": 1, "groups": 1, "initW": 0.01, "initB": 0.0},
    "fc": {"initW": 0.01, "initB": 0.0},
    "hs": {"keep": 0.5},
    "dropout": {"keep": 0.5},
    "dropout2": {"keep": 0.5},
}


class BadConfig(Exception):
    """A configuration that cannot be used; one line: file, line, what was found, what was expected, the next step."""


@dataclass(frozen=True)
class Section:
    """One `[name]` and its keys: {key in lower case: (key as written, value, line)}."""

    name: str
    file: str
    line: int
    values: dict[str, tuple[str, str, int]] = field(default_factory=dict)

    def lines(self) -> tuple[int, int]:
        return self.line, max((line for _, _, line in self.values.values()), default=self.line)

    def bad(self, line: int, message: str) -> BadConfig:
        return BadConfig(f"{self.file}, line {line}, layer {self.name}: {message}")


def sections(text: str, file: str) -> dict[str, Section]:
    """The sections of a file by name, in order; raises BadConfig for anything that is not of this format."""
    found: dict[str, Section] = {}
    current: Section | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.split(r"(?:^|\s)[#;]", raw, maxsplit=1)[0].strip()
        if not line:
            continue
        if line.startswith("["):
            current = opened(line, file, number, found)
        else:
            add(current, line, file, number)
    if not found:
        raise BadConfig(f"{file}: found no [section], expected one for each layer; is it a cuda-convnet configuration?")
    return found


def opened(line: str, file: str, number: int, found: dict[str, Section]) -> Section:
    name = line[1:-1].strip()
    if not line.endswith("]") or not name:
        raise BadConfig(f"{file}, line {number}: found {line[:60]!r}, expected [name]; close the bracket")
    if name in found:
        first = found[name].line
        raise BadConfig(
            f"{file}, line {number}: found a second [{name}] (the first: line {first}), expected one; rename it"
        )
    found[name] = Section(name, file, number)
    return found[name]


def add(section: Section | None, line: str, file: str, number: int) -> None:
    """Put a `key=value` line into the section that is open."""
    key, equals, value = (part.strip() for part in line.partition("="))
    if not key or not equals:
        raise BadConfig(f"{file}, line {number}: found {line[:60]!r}, expected key=value; make it so, or a # comment")
    if section is None:
        raise BadConfig(f"{file}, line {number}: found {line[:60]!r} before any [name]; put it under its layer")
    if key.lower() in section.values:
        raise section.bad(number, f"found {key} twice, expected once; take one out")
    section.values[key.lower()] = (key, value, number)


def whole(text: str) -> int:
    return int(text)


def real(text: str) -> float:
    """A number; of a schedule such as dexp[base=0.01;...] the base, with which it starts."""
    schedule = re.fullmatch(r"\w+\[base=([^;\]]+).*\]", text)
    found = float(schedule.group(1) if schedule else text)
    if not math.isfinite(found):
        raise ValueError
    return found


def flag(text: str) -> bool:
    return {"1": True, "true": True, "0": False, "false": False}[text.lower()]


def word(text: str) -> str:
    if not text:
        raise ValueError
    return text


# How to read each key, and whether it has one value per input.
Reader = Callable[[str], Any]
EXPECTED: dict[Reader, str] = {whole: "a whole number", real: "a number", flag: "0, 1, true or false", word: "a word"}
PER_INPUT: dict[str, Reader] = {
    **dict.fromkeys(("filterSize", "channels", "padding", "stride", "groups"), whole),
    **dict.fromkeys(("initW", "epsW", "momW", "wc"), real),
}
ONE: dict[str, Reader] = {
    **dict.fromkeys(("partialSum", "sumWidth", "outputs", "gpu", "sizeX", "start", "outputsX", "size"), whole),
    **dict.fromkeys(("dataIdx", "topk"), whole),
    **dict.fromkeys(("initB", "keep", "stdev", "epsB", "momB", "scale", "pow", "minDiv", "coeff"), real),
    **dict.fromkeys(("sharedBiases", "enable"), flag),
    **dict.fromkeys(("neuron", "pool"), word),
}
KEYS = {name.lower(): name for name in (*PER_INPUT, *ONE, "inputs", "type", "filters")}
# Keys of every file that mean nothing to a reader of it: always 0 here, or how the GPU computes.
IGNORED = ("wball", "wcnorm", "wcnormmin", "wcnormmax", "randsparse", "updateperiod")
LEAST: dict[str, int] = {
    **dict.fromkeys(("filterSize", "channels", "stride", "groups", "filters", "outputs", "size", "sizeX"), 1),
    **dict.fromkeys(("padding", "partialSum", "start", "outputsX"), 0),
}


def net(
    name: str, layers: str, params: str | None = None, *, files: tuple[str, str] = ("", ""), input_size: int = 224
) -> Net:
    """A net from the texts of a layer file and, where given, its parameter file; raises BadConfig.

    `files` are the names that errors give.
    """
    first, second = files[0] or f"layers-{name}.cfg", files[1] or f"layer-params-{name}.cfg"
    described = sections(layers, first)
    learning = sections(params, second) if params is not None else None
    if learning is not None:
        for section in learning.values():
            if section.name not in described:
                raise section.bad(section.line, f"no such layer in {first}{nearest(section.name, list(described))}")
    found = tuple(layer(section, learning, second) for section in described.values())
    check_inputs(found, described)
    whole_net = Net(name, found, input_size)
    try:
        arithmetic.shapes(whole_net, input_size, 3)
    except ValueError as error:
        raise BadConfig(f"{first}: {error}; correct the layer") from None
    return whole_net


def read(name: str, layers: Path, params: Path | None = None, input_size: int = 224) -> Net:
    """A net from its files; raises BadConfig, also for files that cannot be read."""
    texts = text(layers), text(params) if params else None
    return net(name, *texts, files=(str(layers), str(params or "")), input_size=input_size)


def text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "found bytes that are not text, expected a configuration file"
        raise BadConfig(f"cannot read {path}: {why}; give the folder of a whole copy") from None


def layer(section: Section, learning: dict[str, Section] | None, file: str) -> Layer:
    """One layer, typed, with the code's defaults, joined with its parameters."""
    kind = required(section, "type")
    if kind not in REQUIRED:
        raise section.bad(
            section.values["type"][2], f"found type={kind}, expected a known one{nearest(kind, list(REQUIRED))}"
        )
    for key in REQUIRED[kind]:
        required(section, key)
    inputs = tuple(part.strip() for part in section.values.get("inputs", ("", "", 0))[1].split(",") if part.strip())
    number = max(1, len(inputs))
    fields = typed(section, number) | {"lines": section.lines()}
    params = (learning or {}).get(section.name)
    if params:
        joined = typed(params, number)
        other = fields.get("other", {}) | joined.pop("other", {})
        fields |= joined | {"param_lines": params.lines(), "other": other}
    if learning is not None and kind in SUMMED:
        for key in LEARNING:
            if key not in fields:
                raise BadConfig(f"{file}: layer {section.name} ({kind}) has no {key}; put it under [{section.name}]")
    if fields.get("neuron") == "ident":
        fields["neuron"] = None
    return Layer(section.name, kind, inputs, **defaults(kind, number) | fields)


def defaults(kind: str, inputs: int) -> dict[str, Any]:
    """The fields that the code fills in for a layer of this type with so many inputs."""
    given = DEFAULTS.get(kind, {}).items()
    return {key: (value,) * inputs if key in PER_INPUT else value for key, value in given}


def required(section: Section, key: str) -> str:
    entry = section.values.get(key.lower())
    if entry is None or not entry[1]:
        line = entry[2] if entry else section.line
        raise section.bad(line, f"found no {key}, expected {key}=...; add it")
    return entry[1]


def typed(section: Section, inputs: int) -> dict[str, Any]:
    """The values of a section by field, converted; keys unknown here under "other", as text."""
    fields: dict[str, Any] = {}
    other: dict[str, str] = {}
    for lower, (written, value, line) in section.values.items():
        key = KEYS.get(lower)
        if key is None and lower not in IGNORED:
            other[written] = value
        elif key == "filters":
            fields[key] = filters(section, value, line, inputs)
        elif key in PER_INPUT:
            fields[key] = several(section, key, value, line, inputs)
        elif key in ONE:
            fields[key] = one(section, key, value, line, ONE[key])
        if "[" in value and key:
            other[written] = value
    return fields | ({"other": other} if other else {})


def one(section: Section, key: str, value: str, line: int, reader: Reader) -> Any:
    try:
        found = reader(value)
    except (ValueError, KeyError):
        expected = EXPECTED[reader]
        raise section.bad(line, f"found {key}={value[:40]}, expected {expected}; correct it") from None
    if (least := LEAST.get(key)) is not None and found < least:
        raise section.bad(line, f"found {key}={value[:40]}, expected {least} or more; correct it")
    return found


def several(section: Section, key: str, value: str, line: int, inputs: int) -> tuple[Any, ...]:
    reader = PER_INPUT.get(key, whole)
    found = tuple(one(section, key, part.strip(), line, reader) for part in value.split(","))
    if len(found) != inputs:
        raise section.bad(line, f"found {len(found)} values of {key}, expected {inputs}, one per input; correct it")
    return found


def filters(section: Section, value: str, line: int, inputs: int) -> int:
    """How many maps come out; said for each input, and the same for all because they are summed."""
    found = several(section, "filters", value, line, inputs)
    if len(set(found)) > 1:
        raise section.bad(
            line, f"found filters={value}, expected the same for each input, which are summed; correct it"
        )
    return int(found[0])


def check_inputs(layers: tuple[Layer, ...], described: dict[str, Section]) -> None:
    """Each layer reads layers above it."""
    above: list[str] = []
    for one_layer in layers:
        for name in one_layer.inputs:
            if name not in above:
                section = described[one_layer.name]
                line = section.values["inputs"][2]
                raise section.bad(line, f"reads {name!r}, which no layer above it is called{nearest(name, above)}")
        above.append(one_layer.name)
