"""Each framework's own optimiser against the printed rule, and faults planted in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from harness import bad, verified

from alexnet_parity.checks.finding import Status
from alexnet_parity.checks.training import updates
from alexnet_parity.reference import stimuli, update_setups, variants
from alexnet_parity.reference.update_rules import PAPER, follow

pytestmark = [pytest.mark.once, pytest.mark.offers("step")]

FRAMEWORK = {"torch": "torch", "tf_nn": "tf", "keras": "keras", "keras_ops": "keras"}


@pytest.fixture
def optimisers(impl, module):
    """The framework's set-ups; those of keras_ops are Keras' own, and tested there."""
    if impl == "keras_ops":
        pytest.skip("the same module as keras has")
    if not hasattr(module, "optimisers"):
        pytest.skip("it has no optimisers")
    return module.optimisers


@pytest.mark.offers("optimisers")
def test_keras_ops_has_the_optimisers_of_keras(impl, module):
    assert module.optimisers.__name__.endswith(f"optimisers.{impl.removesuffix('_ops')}")


@pytest.mark.offers("optimisers")
def test_set_ups_are_those_that_are_described(impl, module):
    assert list(module.optimisers.SETUPS) == [setup.id for setup in update_setups.of(FRAMEWORK[impl])]


def test_who_equals_the_paper_and_who_parts_from_it(impl, module, optimisers):
    found = {finding.layer: finding for finding in verified(module, checks=("update-rule",), seed=1)}
    assert list(found) == [setup.id for setup in update_setups.of(FRAMEWORK[impl])]
    for setup in update_setups.of(FRAMEWORK[impl]):
        finding = found[setup.id]
        assert finding.status == (Status.PASS if setup.printed else Status.KNOWN), finding.line()
        if setup.rule.late or (setup.rule.outside and setup.why == update_setups.OUTSIDE):
            assert finding.numbers["parts_at_step"] == update_setups.DROP + 1


def test_step_is_the_papers_update_of_the_models_own_gradients(module):
    found = verified(module, checks=("update-step",), seed=1)
    assert len(found) == 16
    assert not bad(found), [finding.line() for finding in bad(found)]


# Velocities ----------------------------------------------------------------------------------------------------------


def trained(module: Any, steps: int, interrupted: int | None = None) -> tuple[Any, list[dict[str, np.ndarray]]]:
    """A thin network after some steps with a change of rate; `interrupted`: read and continued in another model there."""
    network = variants.variant("cifar-18pct-thin")
    start = stimuli.paper_init(network, 0)
    x, labels = stimuli.noise(network, 0, "optimisers"), np.array([1, 3])
    model, path = module.build(network, start), []
    for number in range(steps):
        if number == interrupted:
            held, speed = {n: v.copy() for n, v in model.params().items()}, model.velocities()
            model = module.build(network, held)
            model.restore(speed)
        model.step(x, labels, 0.001 if number < 2 else 0.0001)
        path.append({n: np.array(v) for n, v in model.params().items()})
    return model, path


def test_velocities_are_zero_at_first_and_then_what_is_added_to_the_weights(module):
    network = variants.variant("cifar-18pct-thin")
    model = module.build(network, stimuli.paper_init(network, 0))
    speed = model.velocities()
    shapes = network.param_shapes()
    assert {name: value.shape for name, value in speed.items()} == shapes
    assert all(
        value.dtype == np.float32 and not value.any() and not np.signbit(value).any() for value in speed.values()
    )
    model, path = trained(module, 3)
    for name, value in model.velocities().items():
        moved = path[2][name].astype(np.float64) - path[1][name]
        assert value.any()
        np.testing.assert_allclose(value, moved, rtol=0, atol=2.0**-23 * np.abs(path[2][name]).max())


def test_what_is_restored_continues_with_the_same_bits(module):
    straight, resumed = trained(module, 4), trained(module, 4, interrupted=2)
    for one, other in ((straight[1][-1], resumed[1][-1]), (straight[0].velocities(), resumed[0].velocities())):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_restored_velocities_come_back_as_they_were(module):
    network = variants.variant("cifar-18pct-thin")
    given = stimuli.large(network, 5)  # any numbers
    given = {name: np.where(np.abs(v) < 0.01, np.float32(0), v) for name, v in given.items()}
    model = module.build(network, stimuli.paper_init(network, 0))
    model.restore({name: value.copy() for name, value in given.items()})
    for name, value in model.velocities().items():
        assert np.array_equal(value.view(np.uint32), given[name].view(np.uint32)), name


# Faults, planted in the framework's own optimiser --------------------------------------------------------------------


def nesterov(optimiser: Any) -> None:
    """The switch that each framework's optimiser has."""
    if hasattr(optimiser, "param_groups"):
        for group in optimiser.param_groups:
            group["nesterov"] = True
    elif hasattr(optimiser, "_use_nesterov"):
        optimiser._use_nesterov = True
    else:
        optimiser.nesterov = True


def faulty(paper: type, step: Callable[..., None]) -> type:
    """The recipe with another step(self, super's step, gradients, rate)."""

    class Faulty(paper):  # type: ignore[misc]
        last: Any = None

        def step(self, gradients: Any, rate: float) -> None:
            step(self, super().step, gradients, rate)

    return Faulty


def times(factor: float, only: str = "") -> Callable[..., None]:
    def step(_: Any, proceed: Callable[..., None], gradients: Any, rate: float) -> None:
        proceed({n: g * factor if n.endswith(only) else g for n, g in gradients.items()}, rate)

    return step


def with_nesterov(self: Any, proceed: Callable[..., None], gradients: Any, rate: float) -> None:
    nesterov(self.optimiser)
    proceed(gradients, rate)


def started_over(self: Any, proceed: Callable[..., None], gradients: Any, rate: float) -> None:
    if rate != self.last:
        self.load({name: value * 0 for name, value in self.velocities().items()})
    self.last = rate
    proceed(gradients, rate)


def never_kept(self: Any, proceed: Callable[..., None], gradients: Any, rate: float) -> None:
    self.load({name: value * 0 for name, value in self.velocities().items()})
    proceed(gradients, rate)


def rate_outside(self: Any, proceed: Callable[..., None], gradients: Any, rate: float) -> None:
    """As if the buffer were in another unit: old velocities shrink with the rate."""
    if self.last not in (None, rate):
        self.load({name: value * (rate / self.last) for name, value in self.velocities().items()})
    self.last = rate
    proceed(gradients, rate)


def a_step_late(self: Any, proceed: Callable[..., None], gradients: Any, rate: float) -> None:
    now, self.last = self.last or rate, rate
    proceed(gradients, now)


def not_cleared(self: Any, proceed: Callable[..., None], gradients: Any, rate: float) -> None:
    self.last = gradients if self.last is None else {n: g + self.last[n] for n, g in gradients.items()}
    proceed(self.last, rate)


def undecayed_biases(self: Any, proceed: Callable[..., None], gradients: Any, rate: float) -> None:
    decay = PAPER.decay
    proceed({n: g - decay * self.variables[n] if n.endswith("bias") else g for n, g in gradients.items()}, rate)


def as_an_l2_term(self: Any, proceed: Callable[..., None], gradients: Any, rate: float) -> None:
    """2 l w of a term l w^2 in the loss, l = 0.0005, where l w is meant."""
    decay = PAPER.decay
    proceed({n: g + decay * self.variables[n] for n, g in gradients.items()}, rate)


FAULTS: dict[str, tuple[Callable[..., None], str]] = {
    "nesterov": (with_nesterov, "[nesterov]"),
    "gradients doubled": (times(2.0), "gradient times 2 (not 1) [fitted]"),
    "gradients halved": (times(0.5), "gradient times 0.5 (not 1) [fitted]"),
    "ascent": (times(-1.0), "[ascent]"),
    "gradients of biases lost": (times(0.0, only="bias"), "unexplained"),
    "restarted at the drop": (started_over, "[restarted]"),
    "velocity never kept": (never_kept, "[no-momentum]"),
    "rate outside": (rate_outside, "[rate-outside]"),
    "rate late": (a_step_late, "[rate-late]"),
    "gradients not cleared": (not_cleared, "[accumulated]"),
    "no decay on biases": (undecayed_biases, "[no-bias-decay]"),
    "decay doubled": (as_an_l2_term, "[decay-doubled]"),
}


def judged_recipe(impl: str, optimisers: Any) -> Any:
    name, given = f"{FRAMEWORK[impl]}-paper", update_setups.problem(0)
    return updates.set_up(update_setups.BY_ID[name], optimisers.SETUPS[name](given), given)


@pytest.mark.parametrize("step,named", FAULTS.values(), ids=FAULTS)
def test_a_fault_in_the_recipe_is_caught_and_named(impl, optimisers, monkeypatch, step, named):
    assert judged_recipe(impl, optimisers).status == Status.PASS
    monkeypatch.setattr(optimisers, "Paper", faulty(optimisers.Paper, step))
    finding = judged_recipe(impl, optimisers)
    assert finding.status == Status.FAIL
    assert named in finding.hint


CONSTANTS = {
    "no decay": ("DECAY", 0.0, "[no-decay]"),
    "decay 0.005": ("DECAY", 0.005, "[decay-10-times]"),
    "momentum 0.95": ("MOMENTUM", 0.95, "[momentum-0.95]"),
}


@pytest.mark.parametrize("constant,value,named", CONSTANTS.values(), ids=CONSTANTS)
def test_another_constant_is_caught_and_named(impl, optimisers, monkeypatch, constant, value, named):
    monkeypatch.setattr(optimisers, constant, value)
    finding = judged_recipe(impl, optimisers)
    assert finding.status == Status.FAIL
    assert named in finding.hint


@pytest.mark.parametrize("fault", ["nesterov", "rate late"])
def test_a_fault_in_a_models_step_is_caught_and_named(module, optimisers, monkeypatch, fault):
    step, named = FAULTS[fault]
    monkeypatch.setattr(optimisers, "Paper", faulty(optimisers.Paper, step))
    wrong = bad(verified(module, checks=("update-step",)))
    assert wrong
    assert all(named in finding.hint for finding in wrong), {finding.hint for finding in wrong}


def test_the_recipe_with_a_rate_that_changes_at_every_step(impl, optimisers):
    """Fifty rates, up and down: the rate is inside the velocity at each."""
    given = update_setups.problem(4)
    rates = tuple(0.01 * (1 + step % 7) for step in range(update_setups.STEPS))
    run = optimisers.SETUPS[f"{FRAMEWORK[impl]}-paper"](given._replace(rates=rates))
    for name, start in given.start.items():
        want, _ = follow(PAPER, start, given.gradients[name], rates)
        np.testing.assert_allclose(run[name], want, rtol=0, atol=5e-6)
