"""Each implementation recorded, the file judged: the findings are those of the live one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from harness import bad

from alexnet_parity.checks import catalogue
from alexnet_parity.checks.finding import Finding
from alexnet_parity.checks.traces import container, taking, trace
from alexnet_parity.checks.verify import Session
from alexnet_parity.impls import find

VARIANT = "paper-thin"
PASSES = ("exact", "large", "photograph", "probe", "special")


@pytest.fixture(scope="module")
def taken(impl, tmp_path_factory) -> Path:
    """Recorded in a process of its own, as the command does."""
    asked = taking.Taking(find.find(impl), VARIANT, PASSES)
    path = tmp_path_factory.mktemp(impl) / "t.safetensors"
    trace.write(path, asked.trace(asked.recordings()))
    return path


def held_by(path: Path) -> list[str]:
    """The checks all of whose stimuli and runs a trace holds."""
    held = trace.read(path).recordings
    runs = {(name, run) for name, recording in held.items() for run in (*recording.runs, *recording.refused)}
    network = taking.variants.variant(VARIANT)
    return [
        check.name
        for check in catalogue.CHECKS
        if check.scope is catalogue.Scope.ONE and (names := check.stimuli(network)) and not check.fallback
        if {(name, run) for name in names for run in check.runs} <= runs
    ]


def judged(name: str, checks: list[str]) -> list[Finding]:
    session = Session([find.find(name)], [VARIANT], catalogue.select(checks))
    return [replace(finding, impl="", replay="") for finding in session.in_order(session.findings())]


def test_a_recorded_implementation_has_the_findings_of_the_live_one(impl, taken):
    checks = held_by(taken)
    assert {"exact-chain", "exact-local", "local-large", "chain-photograph", "structure-readback"} <= set(checks)
    recorded, live = judged(str(taken), checks), judged(impl, checks)
    assert recorded == live
    assert not bad(recorded)


def test_the_trace_says_with_what_it_was_made(impl, taken):
    held = trace.read(taken)
    assert (held.impl, held.device, held.variant) == (impl, "cpu", VARIANT)
    assert held.flags["device"]
    installed = find.versions(find.requires(find.own()[impl]))
    assert installed
    for package, version in installed.items():
        assert held.flags[package].startswith(version.partition("+")[0])  # 2.13.0+cpu, 2026.4.1-22982-...


def test_it_is_as_small_as_the_outputs(taken):
    texts = container.read(taken).metadata
    outputs = sum(array.nbytes for array in container.read(taken).arrays.values())
    assert taken.stat().st_size < outputs + 200_000
    assert json.loads(texts["stimuli"])["large"]["digests"]["params"]


@pytest.mark.once
def test_on_a_gpu_its_libraries_are_named(impl, module, monkeypatch):
    if impl != "torch":
        pytest.skip("of PyTorch's own flags")
    monkeypatch.setattr(module.torch.cuda, "get_device_name", lambda: "ACME H1000")
    monkeypatch.setattr(module.torch.version, "cuda", "13.0")
    monkeypatch.setattr(module.torch.backends.cudnn, "version", lambda: 91900)
    found = module.flags(module.torch.device("cuda"))
    assert (found["device"], found["cuda"], found["cudnn"]) == ("cuda ACME H1000", "13.0", "91900")
