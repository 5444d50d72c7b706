"""`--github`: what a command found, told to GitHub Actions as well: annotations, job summary, outputs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .main import Usage, say

if TYPE_CHECKING:
    from ..reports.github import Annotation

SUMMARY, OUTPUT, WORKSPACE = "GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT", "GITHUB_WORKSPACE"


def add_option(parser: Any) -> None:
    parser.add_argument(
        "--github",
        action="store_true",
        help="for GitHub Actions: annotations on standard output; a job summary in Markdown and the outputs verdict, "
        f"first-departure, report and junit appended to the files that ${SUMMARY} and ${OUTPUT} name",
    )


def root() -> Path:
    """The repository's folder, which annotations name files from."""
    return Path(os.environ.get(WORKSPACE) or ".")


def tell_failure(error: Usage) -> None:
    """What kept a command from judging, as an annotation, the summary and the verdict ERROR."""
    from ..reports.github import ERROR, Annotation

    title = "alexnet-parity could not judge"
    with contextlib.suppress(Usage):  # the first error is the one to hear about
        tell([Annotation(ERROR, title, str(error))], f"## {title}\n\n    {error}\n", {"verdict": "ERROR"})


def tell(annotations: Iterable[Annotation], summary: str, outputs: Mapping[str, str | Path | None]) -> None:
    """Print annotations, append summary and outputs to the runner's files; raises Usage if they cannot be written."""
    append(SUMMARY, summary)
    append(OUTPUT, "".join(f"{name}={value}\n" for name, value in outputs.items() if value))
    say(annotation.command() for annotation in annotations)


def append(variable: str, text: str) -> None:
    """To the file that a variable names; nothing where it names none."""
    if name := os.environ.get(variable):
        try:
            with open(name, "a", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(text)
        except OSError as error:
            raise Usage(f"cannot write ${variable}, {name}: {error.strerror}") from None
