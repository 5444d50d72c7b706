"""Executes reports/alexnet.ipynb in place, in a fresh kernel of this very interpreter.

`python -m alexnet_parity.reports.notebook` runs every cell and renames the result over the file once all have run; a
cell that fails leaves the file as it was. With `--check` nothing is written: the file's conclusions must come out again.

Nothing of this machine stays in the file: no times, no paths, no kernel of some other name. Cells tagged VARIES print
what depends on the installed frameworks; all others must print the same everywhere.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..impls.describe import clean
from . import files

NOTEBOOK = Path(__file__).with_name("alexnet.ipynb")
VARIES = "depends-on-frameworks"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}
CELL_TIMEOUT = 300  # seconds


class Failed(Exception):
    """The notebook cannot be read, cannot be run here, or one of its cells raised; the message says which and why."""


# Running ---------------------------------------------------------------------------------------------------------------


def executed(path: Path) -> Any:
    """The notebook at `path` with fresh outputs (an nbformat node); raises Failed where a cell does.

    The kernel works in the folder of reports/alexnet.ipynb, as Jupyter's would, wherever `path` is.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
            Path(folder, name).mkdir()
        with variables({name.name: str(name) for name in Path(folder).iterdir()} | QUIET):
            notebook = read(path)
            run(notebook, Path(folder))
    return cleaned(notebook)


QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "JUPYTER_PLATFORM_DIRS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}


@contextlib.contextmanager
def variables(changed: dict[str, str]) -> Iterator[None]:
    """The environment with other values, for the kernel to inherit; then as it was."""
    before = dict(os.environ)
    os.environ.update(changed)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def read(path: Path) -> Any:
    try:
        import nbformat
    except ModuleNotFoundError as error:
        raise Failed(f"{error.name} is not installed; pip install -e '.[notebook]'") from None
    try:
        text = path.read_text(encoding="utf-8")
        if not isinstance(json.loads(text), dict):
            raise ValueError("found no object, expected one with cells")
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # nbformat warns of what it will refuse some day
            notebook = nbformat.reads(text, as_version=4)
            nbformat.validate(notebook)
    except (OSError, ValueError, Warning, nbformat.ValidationError) as error:
        raise Failed(f"cannot read {path} as a notebook: {str(error).strip().splitlines()[0]}") from None
    return notebook


def run(notebook: Any, folder: Path) -> None:
    """Every cell, in place; the kernel's own files go to `folder`."""
    try:
        from nbclient import NotebookClient
        from nbclient.exceptions import CellControlSignal, CellTimeoutError, DeadKernelError
    except ModuleNotFoundError as error:
        raise Failed(f"{error.name} is not installed; pip install -e '.[notebook]'") from None
    client = NotebookClient(
        notebook,
        km=kernel(folder),
        timeout=CELL_TIMEOUT,
        record_timing=False,
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    )
    stderr = folder / "stderr"  # start-up messages of libraries go past Python
    try:
        with open(stderr, "wb") as stream:
            client.execute(stderr=stream, cleanup_kc=True)
    except (CellControlSignal, CellTimeoutError) as error:
        raise Failed(clean(error).strip()) from None
    except (DeadKernelError, RuntimeError) as error:
        said = stderr.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise Failed(f"the kernel died: {error}; it last said: {said[-1] if said else 'nothing'}") from None


def kernel(folder: Path) -> Any:
    """A manager of kernels of the running interpreter, whatever kernels are installed or not."""
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

    class Running(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> Any:
            command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            return KernelSpec(argv=command, display_name=kernel_name, language="python")

    transport = "tcp" if os.name == "nt" else "ipc"  # sockets in `folder`, no ports
    return AsyncKernelManager(
        kernel_spec_manager=Running(), connection_file=str(folder / "kernel.json"), transport=transport
    )


def cleaned(notebook: Any) -> Any:
    """The same with only what the next run, on another machine, would write too."""
    notebook.metadata = METADATA
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = {"tags": tags} if tags else {}
        if cell.cell_type == "code":
            cell.outputs = merged([output for output in cell.outputs if not chatter(output, cell.id)])
    return notebook


# TensorFlow's start-up messages: they carry times and process ids, and no setting silences all of them.
START_UP = re.compile(r"WARNING: All log messages before absl::InitializeLog|[IWE]\d{4} \d\d:\d\d:")


def chatter(output: Any, cell: str) -> bool:
    """Is it a library's start-up messages? Anything else on standard error raises Failed: a warning is to be dealt with."""
    if output.output_type != "stream" or output.name != "stderr":
        return False
    if wrong := [line for line in output.text.splitlines() if line and not START_UP.match(line)]:
        raise Failed(f"cell {cell} wrote to standard error: {wrong[0]}")
    return True


def merged(outputs: list[Any]) -> list[Any]:
    """Pieces of one stream as one: where they were cut depends on timing."""
    found: list[Any] = []
    for output in outputs:
        if found and output.output_type == "stream" == found[-1].output_type and output.name == found[-1].name:
            found[-1].text += output.text
        else:
            found.append(output)
    return found


# Reading what it says --------------------------------------------------------------------------------------------------


def texts(notebook: Any, everything: bool = True) -> dict[str, str]:
    """What each code cell printed or showed as text, by cell id; without `everything`, of cells not tagged VARIES."""
    said = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and (everything or VARIES not in cell["metadata"].get("tags", ())):
            said[cell["id"]] = "".join(piece for output in cell["outputs"] for piece in pieces(output))
    return said


def pieces(output: Any) -> Iterator[str]:
    """Streams and what a display shows as text: its Markdown, or else its plain text."""
    if output["output_type"] == "stream":
        yield joined(output["text"])
    elif "data" in output:
        yield joined(output["data"].get("text/markdown", output["data"].get("text/plain", "")))


def joined(text: str | list[str]) -> str:
    """Files hold text as a list of lines, nodes as one string."""
    return text if isinstance(text, str) else "".join(text)


def changes(before: Any, after: Any) -> list[str]:
    """A line for each cell that prints the same everywhere and did not: its id, and the first line that is another."""
    old, new = texts(before, everything=False), texts(after, everything=False)
    return [f"{name}: {first_change(old.get(name, ''), new[name])}" for name in new if old.get(name, "") != new[name]]


def first_change(old: str, new: str) -> str:
    pairs = zip([*old.splitlines(), ""], [*new.splitlines(), ""], strict=False)
    was, now = next((pair for pair in pairs if pair[0] != pair[1]), ("", ""))
    return f"found {was!r}, expected {now!r}"


# The command -----------------------------------------------------------------------------------------------------------


def as_text(notebook: Any) -> str:
    import nbformat

    return str(nbformat.writes(notebook)).rstrip("\n") + "\n"


def main(arguments: list[str] | None = None) -> int:
    """0: executed (with --check: and the conclusions are those in the file); 1: not; 2: bad usage."""
    parser = argparse.ArgumentParser(prog="python -m alexnet_parity.reports.notebook", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; compare with what the file says")
    parser.add_argument("file", nargs="?", type=Path, default=NOTEBOOK, help="default: reports/alexnet.ipynb")
    options = parser.parse_args(arguments)
    try:
        if not options.check:
            files.check_writable(options.file)
        after = executed(options.file)
        if not options.check:
            files.write(options.file, as_text(after))
            print(f"wrote {options.file}")
            return 0
    except (Failed, files.Unwritable) as error:
        print(f"notebook: {error}", file=sys.stderr)
        return 1
    before = json.loads(options.file.read_text(encoding="utf-8"))
    differ = changes(before, after)
    for line in differ:
        print(f"notebook: {line}", file=sys.stderr)
    print("the same conclusions" if not differ else "other conclusions; run it without --check")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
