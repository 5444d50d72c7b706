"""What verification costs: `verify` over three frameworks, full size, against bare processes that only run once.

The floor is one bare process for each framework that imports it, builds the paper's network, sets the weights and runs
one forward pass, one process after another. Both are measured in turn, several rounds in one run, and reported as a
ratio: times by themselves say more about the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..reports import files
from .findings_file import processor
from .markdown import table

FRAMEWORKS = ("keras", "tf_nn", "torch")
TARGET_RATIO, TARGET_MB = 1.5, 3000

BARE = """
import importlib, sys
from alexnet_parity.checks.worker import peak_memory_mb
from alexnet_parity.reference import stimuli, variants
module = importlib.import_module(f"alexnet_parity.impls.{sys.argv[1]}")
stimulus = stimuli.stimulus(variants.variant("paper"), "large", 0)
dict(module.build(stimulus.network, stimulus.params).activations(stimulus.x))
print(peak_memory_mb())
"""


@dataclass(frozen=True)
class Cost:
    """Wall seconds, CPU seconds of all processes, and each process' peak memory in MB."""

    wall: float
    cpu: float
    memory: dict[str, int]


def measured(run: Callable[[], dict[str, int]]) -> Cost:
    wall, before = time.perf_counter(), os.times()
    memory = run()
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(time.perf_counter() - wall, cpu, memory)


def bare() -> dict[str, int]:
    """Every framework once, one after another."""
    memory = {}
    for name in FRAMEWORKS:
        done = subprocess.run([sys.executable, "-c", BARE, name], capture_output=True, text=True, check=True)
        memory[name] = int(done.stdout.split()[-1])
    return memory


def verify() -> dict[str, int]:
    """The whole verification of the paper's network, as a person would run it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "findings.json")
        impls = [word for name in FRAMEWORKS for word in ("--impl", name)]
        command = [sys.executable, "-c", VERIFY, "verify", *impls, "--variant", "paper", "--json", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        (run,) = json.loads(file.read_text())["environment"]["runs"]
    memory = {name: int(flags["peak_memory_mb"]) for name, flags in run["implementations"].items()}
    return {**memory, "oracle and checks": int(done.stdout.split()[-1])}


VERIFY = """
import sys
from alexnet_parity.cli.main import main
status = main()
from alexnet_parity.checks.worker import peak_memory_mb
print(peak_memory_mb())
sys.exit(status)
"""


def document(rounds: list[tuple[Cost, Cost]]) -> str:
    floors, ours = [f for f, _ in rounds], [o for _, o in rounds]
    ratio = statistics.median(o.wall / f.wall for f, o in rounds)
    cpu = statistics.median(o.cpu / f.cpu for f, o in rounds)
    most = max(mb for o in ours for mb in o.memory.values())
    times = [
        (str(n), f"{f.wall:.1f}", f"{o.wall:.1f}", f"{o.wall / f.wall:.2f}", f"{f.cpu:.1f}", f"{o.cpu:.1f}")
        for n, (f, o) in enumerate(rounds, 1)
    ]
    memory = [
        (name, str(max(f.memory.get(name, 0) for f in floors) or ""), str(max(o.memory[name] for o in ours)))
        for name in ours[0].memory
    ]
    return "\n\n".join(
        [
            "# What verification costs",
            f"`alexnet-parity verify --impl {' --impl '.join(FRAMEWORKS)} --variant paper` against the floor: one bare process "
            "for each framework that imports it, builds the network, sets the weights and runs one forward pass, one after "
            f"another. {os.cpu_count()} cores, {processor()}. Measured in turn, {len(rounds)} rounds.",
            f"**Wall time: {ratio:.2f} x the floor** (median; target {TARGET_RATIO}). CPU time of all processes: {cpu:.2f} x. "
            f"**Largest process: {most:,} MB** (target {TARGET_MB:,}).",
            table(times, ("round", "floor (s)", "verify (s)", "ratio", "floor CPU (s)", "verify CPU (s)")),
            "Peak memory (MB):",
            table(memory, ("process", "bare", "in verify")),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path, default=Path("reports/benchmark.md"))
    options = parser.parse_args()
    files.check_writable(options.output)
    bare()  # not counted: the first reads the frameworks from disk
    rounds = []
    for number in range(options.rounds):
        rounds.append((measured(bare), measured(verify)))
        floor, ours = rounds[-1]
        print(f"round {number + 1}: floor {floor.wall:.1f} s, verify {ours.wall:.1f} s", file=sys.stderr)
    files.write(options.output, document(rounds) + "\n")
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
