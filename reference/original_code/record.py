"""Write recorded.json anew: `python -m alexnet_parity.reference.original_code.record DIR`.

Each DIR has files of NETS and NOTES (code.py), flat or as a clone has them; together they must have all.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import saved
from .code import MUSEUM, NETS, NOTES, RECORDED, parse
from .net import Net
from .notes import Notes

ABOUT = (
    "Facts extracted from the authors' configuration files and run notes: layer fields, events, results, not the files' "
    "text. Written by record.py; keys as in net.py and notes.py; what a layer leaves out has the code's default."
)


def document(directories: list[Path]) -> dict[str, Any]:
    """Everything, as recorded.json holds it."""
    nets: dict[str, Net] = {}
    found: dict[str, Notes] = {}
    for directory in directories:
        some_nets, some_notes = parse(directory)
        nets |= some_nets
        found |= some_notes
    if absent := [name for name in (*NETS, *NOTES) if name not in nets and name not in found]:
        raise SystemExit(f"nothing written: the files of {', '.join(absent)} were not found")
    sources = {name: f"{NETS[name].repository} {NETS[name].folder}/{NETS[name].layers}" for name in NETS}
    return {
        "about": ABOUT,
        "nets": {name: {"source": sources[name], **saved.from_net(nets[name])} for name in NETS},
        "notes": {
            name: {"source": f"{MUSEUM} layers/{NOTES[name].params}", **saved.from_notes(found[name])} for name in NOTES
        },
    }


def lines(value: Any, depth: int = 0, limit: int = 160) -> Iterator[str]:
    """JSON with one line for whatever fits into one."""
    short = json.dumps(value)
    if not isinstance(value, dict | list) or (depth > 1 and len(short) <= limit) or depth > 3:
        yield short
        return
    pairs = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    yield opening
    rows = []
    for key, item in pairs:
        inner = list(lines(item, depth + 1, limit))
        inner[0] = inner[0] if key is None else f"{json.dumps(key)}: {inner[0]}"
        rows.append(inner)
    for number, inner in enumerate(rows):
        inner[-1] += "," if number < len(rows) - 1 else ""
        yield from (" " + line for line in inner)
    yield closing


def main(arguments: list[str]) -> None:
    if not arguments:
        raise SystemExit("usage: python -m alexnet_parity.reference.original_code.record DIR [DIR ...]")
    RECORDED.write_text("\n".join(lines(document([Path(name) for name in arguments]))) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
