"""With what and where something was measured: the code, the system, the GPU. Nothing is imported for it."""

from __future__ import annotations

import contextlib
import hashlib
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from .. import impls, reference

HERE = Path(__file__).parent
DRIVER = Path("/proc/driver/nvidia/version")  # "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.82.07  ..."


def sources() -> str:
    """SHA-256 of the code that decides what is found: runs of different code are not merged."""
    total = hashlib.sha256()
    for root in (*(Path(package.__path__[0]) for package in (reference, impls)), HERE):
        for path in sorted(root.rglob("*.py")):
            total.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return total.hexdigest()


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def machine() -> dict[str, str]:
    """Python, system, processor, and where there is one the GPU's driver and the libraries that pip installed for it."""
    found = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
    }
    card = gpu()
    return found | card | (libraries() if card else {})


def gpu() -> dict[str, str]:
    """The names of the GPUs and their driver's version, as the driver says; nothing where there is none."""
    asked = ["nvidia-smi", "--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True).stdout
        rows = [[cell.strip() for cell in line.split(",")] for line in said.splitlines() if line.count(",") == 2]
        if rows:
            names, drivers, capabilities = (", ".join(dict.fromkeys(cells)) for cells in zip(*rows, strict=True))
            return {"gpu": names, "driver": drivers, "compute capability": capabilities}
    with contextlib.suppress(OSError):
        return {"driver": DRIVER.read_text(encoding="utf-8").splitlines()[0].strip()}
    return {}


def libraries() -> dict[str, str]:
    """Versions of CUDA's libraries that were installed as Python packages: nvidia-cudnn-cu13, nvidia-cublas ..."""
    return {
        name: distribution.version
        for distribution in metadata.distributions()
        if (name := str(distribution.metadata["Name"] or "")).startswith("nvidia-")
    }
