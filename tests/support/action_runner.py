"""Runs the steps of a composite action as GitHub's runner would: inputs to `env`, the script in bash, files for what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail")  # what `shell: bash` means to the runner


def action() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))


def evaluated(expression: str, inputs: dict[str, str], outputs: dict[str, str] | None = None) -> str:
    """The few expressions that the action uses: `inputs.x` and `steps.judge.outputs.x`."""
    kind, _, name = expression.rpartition(".")
    return {"inputs": inputs, "steps.judge.outputs": outputs or {}}[kind].get(name, "")


def filled(text: str, inputs: dict[str, str]) -> str:
    return EXPRESSION.sub(lambda found: evaluated(found[1], inputs), str(text))


def holds(condition: str, inputs: dict[str, str]) -> bool:
    """`inputs.x == 'y'` or `inputs.x != 'y'`."""
    left, operator, right = re.fullmatch(r"(inputs\.[\w-]+) (==|!=) '(.*)'", condition).groups()
    return (evaluated(left, inputs) == right) is (operator == "==")


@dataclass
class Job:
    """What a job that used the action leaves behind. status: of the first step that failed, otherwise 0."""

    status: int = 0
    log: str = ""
    summary: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    pip: str = ""  # how pip was called
    used: list[str] = field(default_factory=list)  # other actions

    def annotations(self, level: str = "error") -> list[str]:
        return [line for line in self.log.splitlines() if line.startswith(f"::{level}")]


def job(repository: Path, work: Path, **given: str) -> Job:
    """Use the action in a repository. given: inputs, `_` for `-` in their names. work: a folder for the runner's own files."""
    described = action()
    asked = {name.replace("_", "-"): value for name, value in given.items()}
    assert asked.keys() <= described["inputs"].keys()
    inputs = {name: str(asked.get(name, about.get("default", ""))) for name, about in described["inputs"].items()}
    said = {name: work / name for name in ("summary", "output", "pip")}
    for path in said.values():
        path.write_text("")
    done = Job()
    for step in described["runs"]["steps"]:
        if not holds(step.get("if", "inputs.target != ''"), inputs):
            continue
        if "uses" in step:
            done.used.append(step["uses"])
            continue
        environment = {**os.environ, **{name: filled(value, inputs) for name, value in step.get("env", {}).items()}}
        environment |= {
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_WORKSPACE": str(repository),
            "GITHUB_STEP_SUMMARY": str(said["summary"]),
            "GITHUB_OUTPUT": str(said["output"]),
            "PATH": os.pathsep.join((str(no_pip(work)), str(Path(sys.executable).parent), os.environ["PATH"])),
            "PIP_CALLED": str(said["pip"]),
        }
        script = work / "script.sh"
        script.write_text(step["run"])
        where = repository / filled(step.get("working-directory", "."), inputs)
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        ran = subprocess.run([*BASH, script], cwd=where, env=environment, check=False, **piped)
        done.log += ran.stdout
        if ran.returncode:
            done.status = ran.returncode
            break
    done.summary, done.pip = said["summary"].read_text(), said["pip"].read_text().strip()
    lines = dict(line.split("=", 1) for line in said["output"].read_text().splitlines())
    for name, about in described["outputs"].items():
        done.outputs[name] = evaluated(EXPRESSION.fullmatch(about["value"])[1], inputs, lines)
    return done


def no_pip(work: Path) -> Path:
    """A folder with a `python` that notes how it was called and does nothing: what is tested is installed already."""
    folder = work / "bin"
    folder.mkdir(exist_ok=True)
    stub = folder / "python"
    stub.write_text('#!/bin/sh\necho "$PWD: $*" >> "$PIP_CALLED"\n')
    stub.chmod(0o755)
    return folder
