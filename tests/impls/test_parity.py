"""Each framework against the oracle: no check fails where nothing is wrong.

Seed 0 of the paper in full size and of three small networks: `alexnet-parity verify`, in the same environment of tox.ini.
"""

from __future__ import annotations

import pytest
from harness import bad, run, verified

from alexnet_parity.reference import variants

SEEDS = 100
CHUNK = 10
THIN = [name for name in variants.names() if name.endswith("-thin")]
PAPERS = ("paper-thin", "paper-224-thin", "single-tower-thin")
FAMILIES = ("structure", "exact", "local", "chain", "decision", "batch", "repeat")


@pytest.mark.once
@pytest.mark.parametrize("start", range(1, SEEDS + 1, CHUNK), ids=lambda s: f"seeds {s} to {s + CHUNK - 1}")
def test_no_false_alarm(module, start):
    """All single-implementation checks, seed after seed: sharp bounds that never cry wolf."""
    for seed in range(start, start + CHUNK):
        # On a thin network two of eleven classes can lie closer than the bound by chance; then top-5 says BLIND.
        wrong = [f for f in bad(verified(module, "paper-thin", FAMILIES, seed)) if f.check != "decision-top5"]
        assert not wrong, (seed, [finding.line() for finding in wrong])


def test_no_false_alarm_at_a_few_seeds(module):
    for seed in (1, 2, 3):
        wrong = [f for f in bad(verified(module, "paper-thin", FAMILIES, seed)) if f.check != "decision-top5"]
        assert not wrong, (seed, [finding.line() for finding in wrong])


@pytest.mark.thorough
@pytest.mark.parametrize("variant", [name for name in THIN if name not in PAPERS])
def test_no_false_alarm_on_the_other_variants(module, variant):
    for seed in (1, 2):
        wrong = bad(verified(module, variant, ("exact-chain", "exact-local", "local", "chain"), seed))
        assert not wrong, (seed, [finding.line() for finding in wrong])


@pytest.mark.once
@pytest.mark.parametrize("variant", ["cifar-18pct", "cifar-13pct"])
def test_full_size_network_for_small_images_is_exact_and_within_its_bounds(module, variant):
    """Only at full size does a mean see a corner of four pixels, and are the maps under unshared kernels square."""
    assert not bad(verified(module, variant, ("structure", "exact-chain", "exact-local", "local-large", "chain-large")))


@pytest.mark.thorough
def test_full_size_paper_uses_a_share_of_its_bounds_that_means_something(module):
    found = verified(module, "paper", ("structure", "local-large"))
    assert not bad(found)
    affine = [f for f in found if f.check == "local-large" and f.layer[:2] in ("co", "fc")]
    assert len(affine) == 8
    assert 0.003 <= max(f.error_over_bound for f in affine) <= 1  # a bound that means something


@pytest.mark.once
@pytest.mark.parametrize("variant", ["paper-224", "single-tower"])
def test_full_size_variant_is_exact_and_within_its_bounds(module, variant):
    assert not bad(verified(module, variant, ("exact-chain", "local-large", "padding")))


def test_a_missing_gpu_is_one_line_and_status_2(impl, module, capsys):
    """Where there is a GPU, the same command runs on it."""
    status = run("verify", "--impl", impl, "--variant", "paper-thin", "--check", "exact-chain", "--device", "cuda")
    said = capsys.readouterr().err.strip()
    assert status in (0, 2)
    assert (status == 2) == ("run with --device cpu" in said)
    assert len(said.splitlines()) == status // 2


def test_device_auto_runs(module):
    from alexnet_parity.checks.recording import Feed
    from alexnet_parity.checks.running import record
    from alexnet_parity.reference import stimuli

    stimulus = stimuli.stimulus(variants.variant("paper-thin"), "exact", 0)
    recording = record(module, stimulus, Feed("paper-thin", "exact"), device="auto")
    assert not recording.errors
    assert recording.flags["tf32"] == "False"
    assert recording.flags["deterministic"] in ("True", "requested")  # TensorFlow cannot be asked
