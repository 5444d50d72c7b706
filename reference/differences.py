"""Paper, authors' code, Caffe and torchvision side by side: what an aspect is, and all of them in order.

What the networks of `variants.py` express is read off them (`differences_network.py`, `differences_initialisation.py`), so
that the table cannot say one thing and the networks do another. The rest is data: `differences_data.py` and
`differences_training.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from .spec import Network

NOTHING = "-"  # what is read where there is nothing to read
COLUMNS = ("paper", "original", "caffe", "torchvision")

# The network that stands for each column. The paper's is the one at 224, the size that it prints.
VARIANTS = {
    "paper": "paper-224",
    "original": "original-2012",
    "caffe": "caffe",
    "torchvision": "one-weird-trick",
}


class Area(StrEnum):
    INPUT = "input"
    ARCHITECTURE = "architecture"
    NORMALISATION = "normalisation"
    INITIALISATION = "initialisation"
    TRAINING = "training"
    TESTING = "testing"
    RESULT = "result"


class Stance(StrEnum):
    """How a cell stands to the paper."""

    SAME = "same"
    DIFFERS = "differs"
    OPEN = "open"  # the paper does not say, the code does not show, or there is nothing to compare


REPOSITORIES = {
    "original": ("computerhistory/AlexNet-Source-Code", "2f8b81f"),
    "cuda-convnet": ("mbrukman/cuda-convnet", "fb78b3d"),
    "cuda-convnet2": ("akrizhevsky/cuda-convnet2", "3238bf0"),
    "caffe": ("BVLC/caffe", "9b89154"),
    "torchvision": ("pytorch/vision", "29032aa"),
    "torchvision/main": ("pytorch/vision", "main"),
    "pytorch": ("pytorch/pytorch", "v2.13.0"),
    "tensorflow": ("tensorflow/tensorflow", "v2.21.0"),
    "paddle": ("PaddlePaddle/Paddle", "026a069"),
    "reimplementing-ml-papers": ("mbrukman/reimplementing-ml-papers", "d137ca0"),
}


@dataclass(frozen=True)
class Source:
    """A place that can be looked up: lines of a file at a commit, or a section of the paper (no repository)."""

    repository: str
    path: str
    lines: str = ""  # "9-33"

    @property
    def label(self) -> str:
        place = f"{self.path}:{self.lines}" if self.lines else self.path
        return f"{self.repository.partition('/')[0]} {place}" if self.repository else place

    @property
    def address(self) -> str:
        """The web address; "" for the paper itself."""
        if not self.repository:
            return ""
        name, commit = REPOSITORIES[self.repository]
        anchor = "-".join(f"L{number}" for number in self.lines.split("-")) if self.lines else ""
        return f"https://github.com/{name}/blob/{commit}/{self.path}" + (f"#{anchor}" if anchor else "")


def paper(section: str) -> Source:
    return Source("", section)


@dataclass(frozen=True)
class Cell:
    text: str
    stance: Stance


def same(text: str) -> Cell:
    return Cell(text, Stance.SAME)


def differs(text: str) -> Cell:
    return Cell(text, Stance.DIFFERS)


def silent(text: str) -> Cell:
    return Cell(text, Stance.OPEN)


@dataclass(frozen=True)
class Aspect:
    """One row of the table; `computed` where the networks were asked."""

    number: int
    name: str
    area: Area
    cells: Mapping[str, Cell]  # by column
    sources: tuple[Source, ...]
    computed: bool = False

    def as_dict(self) -> dict[str, object]:
        return {
            "number": self.number,
            "name": self.name,
            "area": self.area.value,
            "computed": self.computed,
            "cells": {column: {"text": c.text, "stance": c.stance.value} for column, c in self.cells.items()},
            "sources": [{"label": source.label, "address": source.address} for source in self.sources],
        }


Reader = Callable[[Network], str]


@dataclass(frozen=True)
class Read:
    """A row whose cells are read off the networks.

    `read` decides whether two networks agree; `detail` adds what the paper leaves open and is not compared. `said` stands in
    for what is read where the paper's words, or something outside the network, say otherwise; `notes` are added to a cell.
    """

    number: int
    name: str
    area: Area
    read: Reader
    sources: tuple[Source, ...]
    detail: Reader | None = None
    said: Mapping[str, Cell] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    def aspect(self, networks: Mapping[str, Network]) -> Aspect:
        return Aspect(
            self.number, self.name, self.area, {c: self.cell(c, networks) for c in COLUMNS}, self.sources, True
        )

    def cell(self, column: str, networks: Mapping[str, Network]) -> Cell:
        cell = self.said.get(column) or self.seen(column, networks)
        return dataclasses.replace(cell, text=cell.text + self.notes.get(column, ""))

    def seen(self, column: str, networks: Mapping[str, Network]) -> Cell:
        text, stated = self.read(networks[column]), self.said.get("paper")
        if text == NOTHING or (stated is not None and stated.stance is Stance.OPEN):
            stance = Stance.OPEN
        else:
            expected = stated.text if stated is not None else self.read(networks["paper"])
            stance = Stance.SAME if text == expected else Stance.DIFFERS
        if self.detail is not None and column != "paper":
            text = "; ".join(part for part in (text, self.detail(networks[column])) if part)
        return Cell(text, stance)


def networks() -> dict[str, Network]:
    """The network of each column."""
    from . import variants

    return {column: variants.variant(name) for column, name in VARIANTS.items()}


def aspects(of: Mapping[str, Network] | None = None) -> tuple[Aspect, ...]:
    """All 49 aspects in order, the networks' own read off `of` (by column; default: the variants)."""
    from . import differences_data, differences_initialisation, differences_network, differences_training

    read = [row.aspect(of or networks()) for row in (*differences_network.ROWS, *differences_initialisation.ROWS)]
    written = (*differences_data.ASPECTS, *differences_training.ASPECTS)
    return tuple(sorted((*read, *written), key=lambda aspect: aspect.number))
