"""Whose fault an exception was: the innermost line of the model's own code, not of the framework that it called."""

from __future__ import annotations

import sys
from pathlib import Path

from ...impls.describe import one_line

OURS = "alexnet_parity"
NOT_THEIRS = {OURS, "torch", "tensorflow", "keras", "jax", "jaxlib", "numpy", "onnx", "onnxruntime"}


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
    if frames and frames[-1][0].partition(".")[0] == OURS:
        return f"the audit itself broke off with {text} at {frames[-1][1]}; please report it"
    return f"running it raised {text}{' at ' + frames[-1][1] if frames else ''}"


def places(error: BaseException) -> list[tuple[str, str]]:
    """(module, file:line) of each frame, the innermost last."""
    found, trace = [], error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        file = Path(frame.f_code.co_filename).name
        module = str(frame.f_globals.get("__name__", ""))
        started = module == "__main__" and str(frame.f_globals.get("__package__") or "").startswith(OURS)  # the worker
        found.append((OURS if started else module, f"{file}:{trace.tb_lineno}"))
        trace = trace.tb_next
    return found


def not_ours(module: str) -> bool:
    """Is it the model's own module: neither this project's, a framework's nor Python's?"""
    root = module.partition(".")[0]
    return root not in NOT_THEIRS and (root == "__main__" or root not in sys.stdlib_module_names) and bool(root)
