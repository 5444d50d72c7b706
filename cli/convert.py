"""`convert`: weights out of any format into any other, all bits compared before the file is there; `--matrix` tries all pairs."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checks import whole
from . import outputs
from .main import BAD, GOOD, Usage, named_variant, natural, say, seconds, told
from .progress import Progress

if TYPE_CHECKING:
    import numpy as np

    from ..checks.finding import Finding
    from ..checks.saved.partner import Scribes
    from ..impls.formats.table import Format
    from ..reference.spec import Network

    Params = dict[str, np.ndarray]

CAFFE = ".caffemodel"  # read only


def add_parser(commands: Any) -> None:
    """Add the command to argparse's subparsers."""
    from ..impls.formats import table

    names = ", ".join(format.name for format in table.FORMATS)
    parser = commands.add_parser(
        "convert",
        help="weights from one framework's format into another's, not one bit changed",
        description=f"Formats: {names}. A file's ending says its format; {CAFFE} files can be read. The layers' names are ours.",
    )
    parser.add_argument(
        "source", nargs="?", type=outputs.file, metavar="SOURCE", help="a file, or a SavedModel's folder"
    )
    parser.add_argument("--to", default="", metavar="FORMAT", help="default: what the output's ending says")
    parser.add_argument(
        "--from", dest="source_format", default="", metavar="FORMAT", help="default: by SOURCE's ending"
    )
    parser.add_argument("-o", "--output", type=outputs.file, metavar="FILE")
    parser.add_argument("--variant", default="", metavar="V", help="default: paper; with --matrix: paper-thin")
    parser.add_argument(
        "--matrix", action="store_true", help="convert every format into every other, on weights of odd bits"
    )
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="of the matrix' weights; default: 0")
    parser.add_argument("--json", type=outputs.file, metavar="FILE", help="the matrix' findings as JSON")
    parser.add_argument("--timeout", type=seconds, default=600.0, metavar="S", help="for one file; default: 600")


def run(options: argparse.Namespace) -> int:
    """The command; returns the exit status: 1 where a bit is not the same, and then nothing is written."""
    from ..checks.saved.partner import Scribes

    with Scribes(options.timeout) as scribes:
        if options.matrix:
            return matrix(options, scribes)
        if not options.source or not options.output:
            raise Usage("give a SOURCE and -o FILE, or --matrix (see alexnet-parity convert --help)")
        if options.json:
            raise Usage("--json is for --matrix")
        return convert(options, scribes)


# One file -------------------------------------------------------------------------------------------------------------


def convert(options: argparse.Namespace, scribes: Scribes) -> int:
    from ..checks.saved import matrix
    from ..checks.saved.scribe import Broken
    from ..impls.foreign.graph import Refused
    from ..impls.interface import Unsupported

    network = named_variant(options.variant or "paper")
    target = format_of(options.output, options.to, "--to")
    caffe = options.source.suffix == CAFFE and not options.source_format
    source = None if caffe else format_of(options.source, options.source_format, "--from")
    place = outputs.real(options.output)  # what a link leads to is written, as by every other command
    check_place(options.output, place, target, options.source)
    with Progress(f"reading {options.source}") as progress:
        try:
            given, kept, left = (
                from_caffe(options.source, network) if source is None else read(options, scribes, source, network)
            )
            progress.write(f"writing {options.output}")
            with beside(place) as part:
                scribe = scribes.of(target, able(target))
                scribe.write(target.name, network, given, part)
                progress.write(f"comparing {options.output} with {options.source}")
                found = scribe.read(target.name, network, part)
                if wrong := matrix.differing(network, found, given, target.name):
                    why = f"{options.output}: not written, {wrong.got}; {options.source} holds it otherwise"
                    return told(why, BAD)
                put(part, place)
                outputs.WRITTEN.append(options.output)
        except (Refused, Unsupported) as error:
            raise Usage(str(error)) from None
        except Broken as error:
            return told(f"nothing was written: {error}", BAD)
        except OSError as error:
            raise Usage(f"cannot write {options.output}: {error.strerror or error}") from None
    count = sum(value.size for value in given.values())
    same = f"{len(given)} parameters, {count:,} numbers of {network.name}, every {kept} as in {options.source}"
    say([f"{options.output}: {target.name}, {same}{left}"])
    return GOOD


def format_of(path: Path, name: str, option: str) -> Format:
    """The format that is asked for by name, or that a path's ending says."""
    from ..impls.formats import table

    if name:
        try:
            return table.called(name)
        except KeyError as error:
            raise Usage(f"{option}: {error.args[0]}") from None
    found = table.of_file(path)
    if found is None:
        raise Usage(
            f"{path}: its ending says no format, expected one of {table.endings()}"
            f"{f' or {CAFFE}' if option == '--from' else ''}; give {option}"
        )
    return found


def able(format: Format) -> str:
    """The implementation that can write and read a format; Usage says what to install."""
    from ..checks.saved import scribe

    impl, reason = scribe.able(format)
    if reason:
        raise Usage(f"{format.name} {reason}")
    return impl


def read(options: argparse.Namespace, scribes: Scribes, source: Format, network: Network) -> tuple[Params, str, str]:
    """The file's parameters, checked against the network; whether every "bit" or every "value" is as there; what was left out."""
    from ..evaluate import weights
    from ..evaluate.errors import Unusable
    from ..impls.formats.codec import float32, kept

    path = options.source
    if not path.exists():
        raise Usage(f"no file {str(path)!r} here (looked in {Path.cwd()})")
    found = dict(scribes.of(source, able(source)).read(source.name, network, path))
    found, left = without_training(found)
    entries = {name: weights.Entry(value.shape, value.dtype.name, value.copy) for name, value in found.items()}
    try:
        weights.check(path, entries, network)
    except Unusable as error:
        raise Usage(str(error)) from None
    return {name: float32(f"{path}: {name}", found[name]) for name in network.param_shapes()}, kept(found), left


def without_training(found: Params) -> tuple[Params, str]:
    """Of a checkpoint of `train`, the parameters alone."""
    kept = {name: value for name, value in found.items() if name != "losses" and not name.startswith("velocity.")}
    return kept, "; velocities and losses were left behind" if len(kept) < len(found) else ""


def from_caffe(path: Path, network: Network) -> tuple[Params, str, str]:
    from ..evaluate import weights
    from ..evaluate.errors import Unusable

    try:
        return weights.read(path, network), "bit", "; the first layer's channels turned from B, G, R to R, G, B"
    except Unusable as error:
        raise Usage(str(error).removeprefix("--weights ")) from None


def check_place(path: Path, place: Path, target: Format, source: Path) -> None:
    """Raise Usage now where the output could not be written later. place: what `path` leads to."""
    if not target.ending and path.exists():
        raise Usage(f"{path} is there already; a {target.name} is a folder, give the name of a new one")
    for name in (path, place) if target.ending else ():
        if not name.name.endswith((target.ending, *target.also)):
            raise Usage(f"{name}: files of {target.name} end in {target.ending}")
    outputs.check([path], [source])


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A place of the same name in a new folder beside it, which is gone afterwards."""
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    try:
        yield folder / path.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put(part: Path, path: Path) -> None:
    """What lies in the part's folder into the folder of `path`, the file of that name last.

    As open() would have made it: the libraries that write it say themselves who may read it, each otherwise.
    """
    with whole.part(part) as plain:
        mode = stat.S_IMODE(plain.stat().st_mode)
    for made in sorted(part.parent.iterdir(), key=lambda made: made.name == part.name):
        if made.is_file():
            made.chmod(mode)
        whole.put(made, path.parent / made.name)


# All pairs ------------------------------------------------------------------------------------------------------------


def matrix(options: argparse.Namespace, scribes: Scribes) -> int:
    from ..checks.saved import matrix
    from ..reports import files, findings_file
    from ..reports.findings_file import Findings

    if options.source or options.output or options.to or options.source_format:
        raise Usage("--matrix takes no SOURCE, --from, --to or -o: it makes its files itself")
    outputs.check([options.json] if options.json else [])
    network = named_variant(options.variant or "paper-thin")
    there = matrix.here(scribes)
    with tempfile.TemporaryDirectory() as folder, Progress("converting") as progress:
        asked = matrix.Matrix(network, there, Path(folder), options.seed).findings()
        found = tuple(progress.watch(asked, lambda finding: finding.impl, len(there) ** 2))
    versions = {name: versions_of(name) for name, scribe in there.items() if not isinstance(scribe, str)}
    environment = findings_file.environment(versions, options.seed, "cpu", {})
    with outputs.writing():
        if options.json:
            files.write(options.json, Findings(found, environment).as_json())
    say(table_of(found, there))
    return GOOD if all(finding.good() for finding in found) else BAD


def versions_of(name: str) -> dict[str, str]:
    """The packages that write and read a format, with their versions."""
    from ..checks.saved.scribe import able
    from ..impls import find
    from ..impls.formats import table

    format = table.called(name)
    impl, _ = able(format)
    requires = find.requires(find.own()[impl]) if impl else ()
    return find.versions(dict.fromkeys(("numpy", *requires, *format.requires)))


def table_of(found: Sequence[Finding], there: Mapping[str, Any]) -> Iterator[str]:
    """The matrix in few lines: what is not the same bits, what could not be tried, how many pairs are."""
    from ..checks.finding import Status

    for finding in found:
        if finding.status not in (Status.PASS, Status.UNSUPPORTED):
            yield finding.line()
    for name, reason in there.items():
        if isinstance(reason, str):
            yield f"{Status.UNSUPPORTED:<11} {name} {reason}"
    good = sum(finding.status is Status.PASS for finding in found)
    tried = sum(finding.status is not Status.UNSUPPORTED for finding in found)
    verdict = "PASS" if all(finding.good() for finding in found) and good else "FAIL"
    yield f"{verdict}: {good} of {tried} pairs of formats the same bits; {len(found) - tried} could not be tried here"
