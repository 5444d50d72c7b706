"""The original code as a whole: its nets, its run notes, and single facts, as recorded or as parsed from its files."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..spec import nearest
from . import config, notes, saved
from .config import BadConfig
from .net import Net
from .notes import Notes

__all__ = ["NETS", "BadConfig", "Fact", "OriginalCode", "Source"]

MUSEUM = "computerhistory/AlexNet-Source-Code@2f8b81f"
CONVNET2 = "akrizhevsky/cuda-convnet2@3238bf0"
RECORDED = Path(__file__).with_name("recorded.json")
FACTS = Path(__file__).with_name("facts.json")  # of files that are not parsed; kept by hand


@dataclass(frozen=True)
class Source:
    """Where a net's two files lie: repository@commit, folder there, the part of their names that differs; input side.

    The CIFAR nets with locally connected layers train on 24 x 24 crops of 32 x 32 images.
    """

    repository: str
    folder: str
    stem: str
    input_size: int = 224

    @property
    def layers(self) -> str:
        return f"layers-{self.stem}.cfg"

    @property
    def params(self) -> str:
        return f"layer-params-{self.stem}.cfg"


ORIGINAL = ("145", "145-half", "146-2012-2011", "147", "148", "150", "137", "114")
NETS = {
    **{name: Source(MUSEUM, "layers", name) for name in ORIGINAL},
    "cifar-18pct": Source(MUSEUM, "example-layers", "18pct", 32),
    "cifar-13pct": Source(MUSEUM, "example-layers", "conv-local-13pct", 24),
    "cifar-11pct": Source(CONVNET2, "layers", "cifar10-11pct", 24),
    "imagenet-1gpu": Source(CONVNET2, "layers", "imagenet-1gpu"),
}
# Notes are kept under the name of the parameter file; 145 was trained twice and has two.
NOTES = {**{name: NETS[name] for name in ORIGINAL}, "145-2010": Source(MUSEUM, "layers", "145-2010")}


@dataclass(frozen=True)
class Fact:
    """Something about a file that is not parsed here: a value and where it was read (repository@commit, file:line)."""

    value: Any
    source: str


@dataclass(frozen=True)
class OriginalCode:
    """What the authors' files say. `parsed`: the nets and notes that were read from files just now; the rest is recorded."""

    nets: dict[str, Net]
    notes_by_name: dict[str, Notes]
    facts: dict[str, Fact]
    parsed: frozenset[str] = frozenset()

    @classmethod
    def recorded(cls) -> OriginalCode:
        """What was read from the files when this project was made; see recorded.json."""
        document = json.loads(RECORDED.read_text(encoding="utf-8"))
        facts = json.loads(FACTS.read_text(encoding="utf-8"))
        return cls(
            {name: saved.to_net(name, given) for name, given in document["nets"].items()},
            {name: saved.to_notes(name, given) for name, given in document["notes"].items()},
            {name: Fact(**given) for name, given in facts.items()},
        )

    @classmethod
    def read(cls, directory: Path | str) -> OriginalCode:
        """Parse what a folder has: a clone of the museum's release, or the files themselves; the rest as recorded.

        Raises BadConfig (one line) for a folder with none of the files, or with one that cannot be read.
        """
        nets, found = parse(Path(directory))
        recorded = cls.recorded()
        return cls(recorded.nets | nets, recorded.notes_by_name | found, recorded.facts, frozenset({*nets, *found}))

    def net(self, name: str) -> Net:
        """A net by name; an unknown name raises KeyError with the known ones."""
        return known(self.nets, name, "net")

    def notes(self, name: str) -> Notes:
        """The notes in a parameter file; an unknown name raises KeyError with the known ones."""
        return known(self.notes_by_name, name, "notes")

    def fact(self, name: str) -> Any:
        """The value of a recorded fact; an unknown name raises KeyError with the known ones."""
        return known(self.facts, name, "fact").value

    # Changed copies, to see what rests on a fact ---------------------------------------------------------------------

    def edit(self, net: str, layer: str, **fields: Any) -> OriginalCode:
        """A copy in which one layer of one net has other fields; unknown names raise KeyError."""
        return self.with_net(self.net(net).edit(layer, **fields))

    def edit_all(self, net: str, prefix: str, **fields: Any) -> OriginalCode:
        """The same for every layer whose name begins with `prefix` ("rnorm1": rnorm1a and rnorm1b)."""
        changed = self.net(net)
        names = [name for name in changed.names() if name.startswith(prefix)]
        if not names:
            raise KeyError(f"net {net} has no layer whose name begins with {prefix!r}")
        for name in names:
            changed = changed.edit(name, **fields)
        return self.with_net(changed)

    def without(self, net: str, *layers: str) -> OriginalCode:
        """A copy in which a net lacks these layers; their readers read what they read."""
        changed = self.net(net)
        for layer in layers:
            changed = changed.without(layer)
        return self.with_net(changed)

    def with_net(self, net: Net) -> OriginalCode:
        return dataclasses.replace(self, nets=self.nets | {net.name: net})

    def edit_notes(self, name: str, line: int, **fields: Any) -> OriginalCode:
        """A copy in which the event or result at a line of the notes has other fields."""
        changed = self.notes(name).edit(line, **fields)
        return dataclasses.replace(self, notes_by_name=self.notes_by_name | {name: changed})

    def edit_fact(self, name: str, value: Any) -> OriginalCode:
        """A copy in which a recorded fact has another value."""
        changed = dataclasses.replace(known(self.facts, name, "fact"), value=value)
        return dataclasses.replace(self, facts=self.facts | {name: changed})


def known(things: dict[str, Any], name: str, what: str) -> Any:
    if name not in things:
        end = nearest(name, list(things))
        others = "" if "?" in end and len(things) > 20 else f" Known: {', '.join(things)}"
        raise KeyError(f"no {what} {name!r} of the original code{end}{others}")
    return things[name]


def parse(directory: Path) -> tuple[dict[str, Net], dict[str, Notes]]:
    """The nets and notes whose files a folder has; raises BadConfig if there are none, or half of a pair."""
    if not directory.is_dir():
        raise BadConfig(f"found no folder {directory}, expected a clone of {MUSEUM.partition('@')[0]}; give its path")
    nets: dict[str, Net] = {}
    found: dict[str, Notes] = {}
    for name, source in NETS.items():
        layers, params = locate(directory, source, source.layers), locate(directory, source, source.params)
        if layers and not params:
            raise BadConfig(f"{layers} is there, but not {source.params} beside it; give the folder of a whole copy")
        if layers:
            nets[name] = config.read(name, layers, params, source.input_size)
    for name, source in NOTES.items():
        if params := locate(directory, source, source.params):
            found[name] = notes.read(name, config.text(params))
    if not nets and not found:
        raise BadConfig(
            f"{directory} has none of the files, expected {NETS['145'].layers} and others, there or in layers/; "
            f"give the path of a clone of {MUSEUM.partition('@')[0]}"
        )
    return nets, found


def locate(directory: Path, source: Source, name: str) -> Path | None:
    """A file in the folder itself, or where its repository has it."""
    places = (directory / source.folder / name, directory / name)
    try:
        return next((path for path in places if path.is_file()), None)
    except OSError as error:
        raise BadConfig(f"cannot look into {directory}: {error.strerror}; give a folder that can be read") from None
