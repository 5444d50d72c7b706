"""`record`: an implementation's outputs into a file, here, to be verified anywhere."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checks.traces.pass_names import PASSES
from . import outputs, targets
from .main import BAD, GOOD, Usage, named_variant, natural, say, seconds, told
from .progress import Progress

if TYPE_CHECKING:
    from ..checks.traces.taking import Taking
    from ..checks.traces.trace import Trace


def add_parser(commands: Any) -> None:
    record = commands.add_parser(
        "record", help="record one implementation, on a GPU machine say, for `verify --impl FILE` anywhere"
    )
    record.add_argument("--impl", required=True, metavar="NAME|MODULE|FILE", help="one of ours, a module, or mine.py")
    record.add_argument(
        "-o",
        "--output",
        required=True,
        type=trace_file,
        metavar="FILE.safetensors",
        help="where a pass failed, a file that is there is kept and FILE.failed.safetensors is written",
    )
    record.add_argument("--variant", default="paper", metavar="V", help="default: paper")
    record.add_argument(
        "--pass",
        dest="passes",
        action="append",
        default=[],
        choices=PASSES,
        help="exact arithmetic, large activations, the photograph, the probe of precision, special values; default: all",
    )
    record.add_argument("--device", default="cpu", choices=("cpu", "cuda", "auto"), help="default: cpu")
    record.add_argument("--seed", type=natural, default=0, metavar="N", help="of weights and inputs; default: 0")
    record.add_argument(
        "--timeout", type=seconds, default=600.0, metavar="S", help="end it when silent for so long; default 600"
    )


def trace_file(text: str) -> Path:
    path = outputs.file(text)
    if path.suffix != ".safetensors":
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a name that ends in .safetensors")
    return path


def run(options: argparse.Namespace) -> int:
    from ..checks.traces import taking

    outputs.check([options.output], targets.read([options.impl]))
    named_variant(options.variant)
    (target,) = targets.chosen([options.impl])
    passes = tuple(options.passes or PASSES)
    asked = taking.Taking(target, options.variant, passes, options.seed, options.device, options.timeout)
    if not asked.feeds:
        raise Usage(f"nothing to record: {options.variant} has no stimulus for {', '.join(passes)}")
    trace = taken(asked)
    if reason := no_outputs(trace):
        raise Usage(f"nothing was recorded, so nothing was written: {target.name}: {reason}")
    path = place(options.output, trace)
    write(path, trace)
    status = finish(path, trace)
    if path != options.output:
        return told(f"{options.output} was kept as it was; what was recorded, with what failed, is in {path}", status)
    return status


def place(asked: Path, trace: Trace) -> Path:
    """Where it is written: where it was asked for, but a run in which something failed replaces no file that is there."""
    return asked.with_suffix(f".failed{asked.suffix}") if errors(trace) and asked.exists() else asked


def taken(asked: Taking) -> Trace:
    """Run the implementation; raises Usage if its framework or device is missing."""
    from ..checks.traces.taking import Unavailable

    with Progress(f"starting {asked.target.name}") as progress:
        try:
            recordings = list(
                progress.watch(asked.recordings(), lambda r: f"{r.impl} {r.variant} {r.stimulus}", len(asked.feeds))
            )
        except Unavailable as error:
            raise Usage(str(error)) from None
        progress.write("digests of weights and inputs")
        return asked.trace(recordings)


def errors(trace: Trace) -> list[str]:
    """What went wrong while it was recorded, a line each."""
    return [f"{held.stimulus}: {text}" for held in trace.recordings.values() for text in held.errors.values()]


def no_outputs(trace: Trace) -> str:
    """Why there is nothing to write ("" if there is something)."""
    held = trace.recordings.values()
    if any(recording.runs for recording in held):
        return ""
    unsupported = [recording.unsupported for recording in held if recording.unsupported]
    return next(iter([*errors(trace), *unsupported]), "it gave no outputs")


def write(path: Path, trace: Trace) -> None:
    from ..checks.traces import trace as traces
    from ..checks.traces.container import BadTrace

    try:
        traces.write(path, trace)
        outputs.WRITTEN.append(path)
    except BadTrace as error:
        raise Usage(f"cannot write {path}: {error}") from None
    except OSError as error:
        raise Usage(f"cannot write {path}: {error.strerror or error}") from None


def finish(path: Path, trace: Trace) -> int:
    """What was recorded, and what to do with it; 1 if the implementation failed somewhere."""
    wrong = errors(trace)
    device = trace.flags.get("device", trace.device)
    say(
        [
            f"{trace.impl} on {device}, {trace.variant}: {', '.join(trace.recordings)}",
            *(f"WRONG {line}" for line in wrong),
            f"{path}: {path.stat().st_size / 1e6:.1f} MB; alexnet-parity verify --impl {path}",
        ]
    )
    return BAD if wrong else GOOD
