"""alexnet-parity: the commands and how they fail. Heavy imports wait until a command needs them."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn, TextIO

GOOD, BAD, USAGE, INTERRUPTED = 0, 1, 2, 130


class Usage(Exception):
    """Something that the person who typed the command can mend; one line."""


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Usage(f"{message} (see {self.prog} --help)")


def parser() -> Parser:
    from . import github, outputs, targets

    main = Parser(
        prog="alexnet-parity",
        description="Does an AlexNet compute what the 2012 paper says, the same in every framework? With proof.",
        epilog="Exit status: 0 nothing fails; 1 something does; 2 bad usage or input, or a framework or device missing.",
    )
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")

    commands.add_parser("list", help="implementations (and whether they can run here), variants, checks")

    spec = commands.add_parser("spec", help="the layer table of a variant")
    spec.add_argument("--variant", default="paper", metavar="V", help="default: paper")
    spec.add_argument("--json", action="store_true", help="as JSON, for other languages")

    verify = commands.add_parser("verify", help="verify implementations against the paper and one another")
    targets.add_option(verify)
    verify.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="V",
        help="may be repeated, or a pattern: '*' for all in full size, 'cifar-*', '*-thin'; default: paper",
    )
    verify.add_argument("--check", action="append", default=[], metavar="C", help="a check or a family; default: all")
    verify.add_argument("--device", default="cpu", choices=("cpu", "cuda", "auto"), help="default: cpu")
    verify.add_argument(
        "--seed", type=natural, default=None, metavar="N", help="of weights and inputs; default: 0, or a trace's own"
    )
    verify.add_argument(
        "--timeout",
        type=seconds,
        default=600.0,
        metavar="S",
        help="end an implementation silent for so long; default 600",
    )
    verify.add_argument("--json", type=outputs.file, metavar="FILE", help="the findings as JSON")
    verify.add_argument("--report", type=outputs.file, metavar="FILE", help="a Markdown report with figures beside it")
    verify.add_argument("--junit", type=outputs.file, metavar="FILE", help="the findings as JUnit XML")
    github.add_option(verify)

    report = commands.add_parser("report", help="merge findings of separate runs into one report")
    report.add_argument("findings", nargs="+", type=outputs.file, metavar="FINDINGS.json")
    report.add_argument("-o", "--output", type=outputs.file, default=Path("reports/parity.md"), metavar="FILE")
    report.add_argument("--json", type=outputs.file, metavar="FILE", help="the merged findings as JSON")
    report.add_argument("--junit", type=outputs.file, metavar="FILE", help="the merged findings as JUnit XML")

    for name in ELSEWHERE:
        elsewhere(name).add_parser(commands)
    return main


ELSEWHERE = (
    "audit",
    "claims",
    "convert",
    "conditions",
    "diff",
    "differences",
    "evaluate",
    "record",
    "train",
    "traps",
)  # commands with a file of their own: cli/NAME.py


def elsewhere(name: str) -> ModuleType:
    return importlib.import_module(f"alexnet_parity.cli.{name}")


def natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number, 0 or more")
    return int(text)


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number of seconds above 0")
    return value


def entry() -> NoReturn:
    """The console script."""
    sys.exit(main())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Errors that a person can mend are one line on standard error."""
    # One BLAS thread: the frameworks run beside the oracle, and idle BLAS threads would spin on their cores.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: with the workers
    open_streams()
    from . import outputs

    outputs.WRITTEN.clear()
    try:
        options = parser().parse_args(arguments)
        if options.command not in ("list", "spec"):
            check_folder()
        if options.command in ELSEWHERE:
            return int(elsewhere(options.command).run(options))
        command = {"list": show_list, "spec": show_spec, "verify": run_verify, "report": run_report}[options.command]
        return command(options)
    except Usage as error:
        if "--github" in (sys.argv[1:] if arguments is None else arguments):
            from . import github

            github.tell_failure(error)
        return told(str(error), USAGE)
    except KeyboardInterrupt:
        return told(f"interrupted; {outputs.told(otherwise='nothing was written')}", INTERRUPTED)


def open_streams() -> None:
    """What the shell closed (`>&-`) leads nowhere: no error of ours, and no file of ours that gets its number.

    The next file to be opened would, and what a library prints there would be written into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            with contextlib.suppress(OSError):
                os.set_inheritable(number, True)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def check_folder() -> None:
    """Raise Usage where the current folder is gone: nothing could be found or written by a name within it."""
    try:
        os.getcwd()
    except OSError:
        raise Usage("the current folder is no longer there, expected one that is; cd to it and try again") from None


def told(message: str, status: int) -> int:
    """One line on standard error, lost where that cannot take it; returns the status."""
    try:
        print(f"alexnet-parity: {message}", file=sys.stderr, flush=True)
    except OSError:
        to_nowhere(sys.stderr)
    return status


def to_nowhere(stream: TextIO) -> None:
    """What was and will be written to a stream that takes no more: Python tries once again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def say(lines: Iterable[str]) -> None:
    """Print; a reader that has gone (head, less) changes nothing, least of all the exit status."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:
        to_nowhere(sys.stdout)
    except OSError as error:
        to_nowhere(sys.stdout)
        raise Usage(f"cannot write to standard output: {error.strerror}") from None


def show_list(_: argparse.Namespace) -> int:
    say(everything())
    return GOOD


def everything() -> Iterator[str]:
    """What there is, a line each."""
    from ..checks import catalogue
    from ..impls import find
    from ..impls.settings import table
    from ..reference import variants

    yield ("Implementations")
    for name in find.own():
        absent = find.missing(name)
        named = ", only where named" if find.on_request(name) else ""
        needs = f"needs {', '.join(absent)} (extra {find.extra(name)!r})" if absent else f"can run here{named}"
        yield (f"  {name:<26} {needs}")
    yield ("Settings (NAME@SETTING runs an implementation under one)")
    for name, settings in table.by_name().items():
        takers = ", ".join(dict.fromkeys(impl for setting in settings for impl in setting.impls)) or "any"
        yield (f"  {name:<26} {settings[0].about} ({takers})")
    yield ("Variants")
    for name in variants.names():
        yield (f"  {name:<26} {variants.variant(name).about}")
    yield ("Checks (a family is the part before the dash)")
    for check in catalogue.CHECKS:
        yield (f"  {check.name:<26} {check.about}")


def show_spec(options: argparse.Namespace) -> int:
    from ..reference import export

    network = named_variant(options.variant)
    if options.json:
        import json

        say([json.dumps(export.as_dict(network), indent=1)])
    else:
        from tabulate import tabulate

        head = f"{network.name}: {network.about}. Input {' x '.join(map(str, network.input_shape))}."
        say([head, tabulate(export.rows(network), export.HEADERS, tablefmt="github", disable_numparse=True)])
    return GOOD


def named_variant(name: str):  # type: ignore[no-untyped-def]  # -> Network, whose module is imported late
    from ..reference import variants

    try:
        return variants.variant(name)
    except KeyError as error:
        raise Usage(error.args[0]) from None


def run_verify(options: argparse.Namespace) -> int:
    from .verify import verify

    return verify(options)


def run_report(options: argparse.Namespace) -> int:
    from .verify import report

    return report(options)
