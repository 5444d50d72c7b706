"""One audit in a process of its own: `python -m alexnet_parity.checks.audit.worker`, a job on standard input.

What happens goes out on standard output, a JSON line each: {"kind": "progress" or "refused", "text": ...}, and at the end
{"kind": "result", "audit": ...}. Whatever the model and its framework print goes to standard error.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from ...impls.foreign import load as loading
from ...impls.foreign.graph import Refused
from ..worker import job_and_output, peak_memory_mb
from . import audit as auditing
from .blame import blamed
from .result import Audit

FRAMEWORKS = ("numpy", "torch", "torchvision", "tensorflow", "keras", "jax", "jaxlib", "onnx", "onnxruntime")

Send = Callable[[dict[str, Any]], None]


def main() -> None:
    job, out = job_and_output()

    def send(event: dict[str, Any]) -> None:
        out.write(json.dumps(event).encode() + b"\n")
        out.flush()

    work(job, send)


def work(job: dict[str, Any], send: Send) -> None:
    """Load, audit and send what came of it; nothing that the model's own code raises gets past this."""
    try:
        send({"kind": "result", "audit": audited(job, send).as_dict()})
    except Refused as refusal:
        send({"kind": "refused", "text": " ".join(str(refusal).split())})
    except BaseException as error:  # SystemExit as well: it is the model's
        send({"kind": "refused", "text": f"{job['target']}: {blamed(error)}"})


def audited(job: dict[str, Any], send: Send) -> Audit:
    target, shape = job["target"], job["input_shape"]
    send({"kind": "progress", "text": f"loading {target}"})
    variant = "" if job["variant"] == "nearest" else job["variant"]
    subject = loading.load(target, job["weights"], tuple(shape[1:]) if shape else None, variant)
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


if __name__ == "__main__":
    main()
