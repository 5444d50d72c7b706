"""One implementation in a process of its own: `python -m alexnet_parity.checks.worker`, a job on standard input.

The job says what to load and what to feed it; events go out on standard output (`pipe.py`). Whatever the framework
prints goes to standard error. Only NumPy and what the implementation imports are loaded here.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from importlib import import_module
from importlib.util import find_spec
from typing import Any, BinaryIO

from ..impls import find
from ..impls.describe import describe
from ..reference import stimuli, variants
from . import pipe
from .recording import Event, Feed
from .running import events

FRAMEWORKS = ("numpy", "torch", "tensorflow", "keras", "jax", "jaxlib", "onnx", "onnxruntime", "openvino")


def job_and_output() -> tuple[dict[str, Any], BinaryIO]:
    """What to do, from standard input, and the stream for what happens; from here on this process ends with its parent."""
    job = json.loads(sys.stdin.readline())
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # prints of somebody else's code and its framework must not mix with the events
    threading.Thread(target=end_with_parent, args=(os.dup(0),), daemon=True).start()
    sys.stdin = open(os.devnull)  # noqa: SIM115 - for the life of the process
    return job, out


def main() -> None:
    job, out = job_and_output()
    target = find.Target(**job["target"])
    try:
        module = find.load(target)
    except (Exception, SystemExit) as error:
        pipe.send(out, not_imported(error, target))
        return
    gc.collect()
    gc.freeze()  # the framework's own objects: collecting after each feed would walk through them all again
    for feed in (Feed(**feed) for feed in job["feeds"]):
        stimulus = stimuli.stimulus(variants.variant(feed.variant), feed.stimulus, job["seed"])
        for event in events(module, stimulus, feed, job["device"]):
            pipe.send(out, event)
        del stimulus
        gc.collect()  # frameworks keep cycles: without this two models of 244 MB live at once
        for name, text in versions().items():
            pipe.send(out, Event("flag", name=name, text=text))
        pipe.send(out, Event("done"))


def not_imported(error: BaseException, target: find.Target) -> Event:
    """What is missing or wrong before anything of it ran is told once and ends the run, as a missing framework does.

    But what breaks under a setting alone is that setting's error, for others compare with it.
    """
    lacking = isinstance(error, ImportError) and find.lacks(error)
    kind = "error" if target.setting and not lacking else "unavailable"
    how = "failed:" if isinstance(error, ImportError) else "raised"
    return Event(kind, "build", text=f"its import {how} {describe(error, target.file or origin(target.module))}")


def origin(module: str) -> str:
    """The file that a module's name stands for, "" where there is none."""
    try:
        found = find_spec(module)
    except Exception:  # of what its packages do when they are imported
        return ""
    return (found.origin or "") if found else ""


def end_with_parent(stdin: int) -> None:
    """The command keeps our standard input open for as long as it lives: its end is ours."""
    while os.read(stdin, 1):
        pass
    os._exit(1)


def versions() -> dict[str, str]:
    """Versions of the frameworks that the implementation imported, and the memory at its peak."""
    found = {name: str(getattr(import_module(name), "__version__", "?")) for name in FRAMEWORKS if name in sys.modules}
    return {**found, "peak_memory_mb": str(peak_memory_mb())}


def peak_memory_mb() -> int:
    """The largest resident size of this process so far, in MB; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform != "darwin" else 1024**2)


if __name__ == "__main__":
    main()
