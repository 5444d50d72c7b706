"""From the words of a claim's source to links: public files at the commit that was read, pages, files of this project."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .. import checks

PROJECT = Path(checks.__path__[0]).parent
# Abbreviations in the ledger: repository and commit.
REPOSITORIES = {
    "CHM": ("computerhistory/AlexNet-Source-Code", "2f8b81f"),
    "CC1": ("mbrukman/cuda-convnet", "fb78b3d"),
    "CC2": ("akrizhevsky/cuda-convnet2", "3238bf0"),
    "Caffe": ("BVLC/caffe", "9b89154"),
    "TV": ("pytorch/vision", "29032aa"),
    "MBR": ("mbrukman/reimplementing-ml-papers", "d137ca0"),
}
ABOUT = {
    "CHM": "the authors' code of 2012, as the Computer History Museum released it",
    "CC1": "cuda-convnet, the code that the paper cites",
    "CC2": "cuda-convnet2, its successor",
    "Caffe": "a re-implementation by Berkeley",
    "TV": "torchvision",
    "MBR": "re-implementations in Keras and others",
}
RANGES = r"\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*"
FILE = r"make-data/input_meta|[\w][\w./-]*\.(?:cfg|py|cuh?|h|hpp|cpp|md|sh|txt|prototxt|html)\b"
TOKEN = re.compile(
    rf"(?P<repository>\b(?:{'|'.join(REPOSITORIES)})\b)"
    r"|(?P<page>(?:https?://)?(?:[\w-]+\.)+(?:org|com|net|edu|ca)/[\w./%-]*[\w/])"
    rf"|(?P<short>(?<=[ ,])-[\w-]+\.cfg)|(?P<file>{FILE})(?::(?P<lines>{RANGES}))?"
)


def links(source: str, folder: Path) -> str:
    """The source as Markdown for a report in `folder`. What has no public address stays as it is.

    A file belongs to the repository named last before it; "-147.cfg" after another `layer-params-` file is short for one.
    """
    parts, repository, end = [], "", 0
    for found in TOKEN.finditer(source):
        parts.append(escape(source[end : found.start()]))
        end = found.end()
        repository = found["repository"] or repository
        parts.append(link(found, repository, folder))
    return "".join((*parts, escape(source[end:])))


def link(found: re.Match[str], repository: str, folder: Path) -> str:
    if found["page"]:
        address = found["page"]
        return f"[{escape(address)}]({address if '://' in address else 'https://' + address})"
    if found["repository"]:
        name, after = found["repository"], TOKEN.match(found.string, found.end() + 1)
        return name if after and after["file"] else f"[{name}]({tree(name)})"  # the file's link is enough
    if own := project_file(found["file"] or "", folder):
        return own
    if not repository:
        return escape(found.group())
    short = found["short"]
    path = f"layers/layer-params{short}" if short else found["file"]
    return lines_of(short or path, f"{tree(repository, 'blob')}/{path}", found["lines"])


def lines_of(text: str, address: str, lines: str | None) -> str:
    """A link to a file, or one to each range of lines: "143,157-160"."""
    if not lines:
        return f"[{escape(text)}]({address})"
    first, *rest = lines.split(",")
    parts = [f"[{escape(text)}:{first}]({address}{anchor(first)})"]
    return ",".join([*parts, *(f"[{part}]({address}{anchor(part)})" for part in rest)])


def anchor(lines: str) -> str:
    """ "9-33" as GitHub writes it: #L9-L33."""
    return "#" + "-".join(f"L{number}" for number in lines.split("-"))


def tree(repository: str, kind: str = "tree") -> str:
    name, commit = REPOSITORIES[repository]
    return f"https://github.com/{name}/{kind}/{commit}"


def project_file(path: str, folder: Path) -> str:
    """A link to a file of this project, for a report that lies in it; elsewhere only its name; "" if it is none."""
    if not path or not (PROJECT / path).is_file() or path.partition("/")[0] not in ("reference", "checks", "impls"):
        return ""
    if not folder.resolve().is_relative_to(PROJECT):
        return f"`{path}`"
    return f"[{escape(path)}]({os.path.relpath(PROJECT / path, folder.resolve())})"


def escape(text: str) -> str:
    """Plain text as Markdown for a table's cell: nothing in it is markup, code between backticks is kept."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(
        piece if piece.startswith("`") else re.sub(r"([\\*_\[\]<>~])", r"\\\1", piece) for piece in pieces
    ).replace("|", "\\|")
