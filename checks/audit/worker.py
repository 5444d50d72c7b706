"""One audit in a process of its own: `python -m alexnet_parity.checks.audit.worker`, a job on standard input.

What happens goes out on standard output, a JSON line each: {"kind": "progress" or "refused", "text": ...}, and at the end
{"kind": "result", "audit": ...}. Whatever the model and its framework print goes to standard error.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import sys
import threading
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from ...impls.foreign import load as loading
from ...impls.foreign.graph import Refused
from ..worker import end_with_parent, peak_memory_mb
from . import audit as auditing
from .result import Audit

FRAMEWORKS = ("numpy", "torch", "torchvision", "tensorflow", "keras", "jax", "jaxlib", "onnx", "onnxruntime")
LONGEST = 300  # characters of an exception's message

Send = Callable[[dict[str, Any]], None]


def main() -> None:
    job = json.loads(sys.stdin.readline())
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # prints of the model and its framework must not mix with the events
    threading.Thread(target=end_with_parent, args=(os.dup(0),), daemon=True).start()
    sys.stdin = open(os.devnull)  # noqa: SIM115 - for the life of the process

    def send(event: dict[str, Any]) -> None:
        out.write(json.dumps(event).encode() + b"\n")
        out.flush()

    work(job, send)


def work(job: dict[str, Any], send: Send) -> None:
    """Load, audit and send what came of it; nothing that the model's own code raises gets past this."""
    try:
        send({"kind": "result", "audit": audited(job, send).as_dict()})
    except Refused as refusal:
        send({"kind": "refused", "text": one_line(refusal)})
    except BaseException as error:  # SystemExit as well: it is the model's
        send({"kind": "refused", "text": f"{job['target']}: {blamed(error)}"})


def audited(job: dict[str, Any], send: Send) -> Audit:
    target, shape = job["target"], job["input_shape"]
    send({"kind": "progress", "text": f"loading {target}"})
    subject = loading.load(target, job["weights"], tuple(shape[1:]) if shape else None)
    done = auditing.audit(
        subject,
        target,
        job["variant"],
        tuple(shape[1:]) if shape else None,
        shape[0] if shape else None,
        job["seed"],
        fresh=not (job["weights"] or Path(target).suffix in loading.FILES),  # those are not as first drawn
        watch=lambda text: send({"kind": "progress", "text": text}),
    )
    return dataclasses.replace(done, versions={**versions(), **done.versions})


def versions() -> dict[str, str]:
    """Versions of what the audit ran with, and the memory at its peak."""
    found = {name: str(getattr(sys.modules[name], "__version__", "?")) for name in FRAMEWORKS if name in sys.modules}
    ours = metadata.version("alexnet-parity")
    return {
        "alexnet-parity": ours,
        "python": platform.python_version(),
        **found,
        "peak_memory_mb": str(peak_memory_mb()),
    }


# Whose fault it was ---------------------------------------------------------------------------------------------------

NOT_THEIRS = {"alexnet_parity", "torch", "tensorflow", "keras", "jax", "jaxlib", "numpy", "onnx", "onnxruntime"}


def blamed(error: BaseException) -> str:
    """An exception in one line: whose it was, what it says, and the innermost line of the model's own code."""
    said = one_line(error)
    text = f"{type(error).__name__}{': ' + said if said else ''}"
    frames = places(error)
    theirs = [place for name, place in frames if not_ours(name)]
    if isinstance(error, SystemExit):
        return f"its own code called exit({said}){' at ' + theirs[-1] if theirs else ''}"
    if theirs:
        return f"its own code raised {text} at {theirs[-1]}"
    if isinstance(error, MemoryError):
        return f"out of memory ({text}); try a smaller batch: --input-shape 1,C,H,W"
    if frames and frames[-1][0].partition(".")[0] == "alexnet_parity":
        return f"the audit itself broke off with {text} at {frames[-1][1]}; please report it"
    return f"running it raised {text}{' at ' + frames[-1][1] if frames else ''}"


def places(error: BaseException) -> list[tuple[str, str]]:
    """(module, file:line) of each frame, the innermost last."""
    found, trace = [], error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        file = Path(frame.f_code.co_filename).name
        found.append((str(frame.f_globals.get("__name__", "")), f"{file}:{trace.tb_lineno}"))
        trace = trace.tb_next
    return found


def not_ours(module: str) -> bool:
    """Is it the model's own module: neither this project's, a framework's nor Python's?"""
    root = module.partition(".")[0]
    return root not in NOT_THEIRS and (root == "__main__" or root not in sys.stdlib_module_names) and bool(root)


def one_line(error: object) -> str:
    return " ".join(str(error).split())[:LONGEST]


if __name__ == "__main__":
    main()
