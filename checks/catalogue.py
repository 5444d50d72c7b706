"""Every check by name: what it feeds, how often, and the function that judges. The family is the part before the dash."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from ..impls.describe import describe
from ..reference import stimuli
from ..reference.spec import Network, nearest
from . import decision, exact, padding, real, sensitivity, stability, structure, together
from .finding import Finding, Status
from .gradients import exact as gradients_exact
from .gradients import real as gradients_real
from .gradients import together as gradients_together
from .passes import PASSES
from .precision import judge as precision
from .recording import AGAIN, BATCH, FIRST, GRADIENTS, UNRECORDED, Feed
from .saved import saved
from .special import judge as special
from .training import augmented, dropout, dropout_own, initial, losses, steps, towers, update_steps, updates

Judge = Callable[..., Iterator[Finding]]


class Scope(Enum):
    ONE = "one recording of one implementation"
    BOTH = "two stimuli of one implementation"
    ALL = "one stimulus of all implementations"
    ORACLE = "the oracle alone"


@dataclass(frozen=True)
class Check:
    """`feeds` are stimuli; one that ends in a dot stands for every stimulus that begins so."""

    name: str
    judge: Judge
    feeds: tuple[str, ...]
    runs: tuple[str, ...] = (BATCH,)
    scope: Scope = Scope.ONE
    reads_params: bool = False
    on: Callable[[Network], bool] = lambda network: True  # for which networks
    fallback: bool = False  # only for modules fixed to one network, unless asked for by its own name

    @property
    def about(self) -> str:
        return (self.judge.__doc__ or "").partition("\n")[0]

    def stimuli(self, network: Network) -> list[str]:
        """The stimuli of this network that the check needs; none if one of them does not exist for it."""
        known = stimuli.names(network) if self.on(network) else []
        found = [[name for name in known if name == f or (f.endswith(".") and name.startswith(f))] for f in self.feeds]
        return [name for names in found for name in names] if all(found) else []


CHECKS: tuple[Check, ...] = (
    Check("structure-shapes", structure.shapes, ("large",)),
    Check("structure-parameters", structure.parameters, ("large",), reads_params=True),
    Check("structure-readback", structure.readback, ("large",), reads_params=True),
    Check("exact-chain", exact.chain, ("exact",)),
    Check("exact-local", exact.local, ("exact",)),
    Check("exact-dense", exact.dense, ("dense.",)),
    Check("exact-one-tap", exact.one_tap, ("one-tap",), fallback=True),
    Check("local-large", real.local, ("large",)),
    Check("local-photograph", real.local, ("photograph",)),
    Check("chain-large", real.chain, ("large",)),
    Check("chain-photograph", real.chain, ("photograph",)),
    Check("decision-top5", decision.top5, ("photograph",)),
    Check("decision-probabilities", decision.probabilities, ("photograph",)),
    Check("repeat-large", stability.twice, ("large",), (BATCH, AGAIN)),
    Check("repeat-unrecorded", stability.unrecorded, ("large",), (BATCH, UNRECORDED)),
    Check("batch-exact", stability.batch_exact, ("exact",), (BATCH, FIRST)),
    Check("batch-large", stability.batch_real, ("large",), (BATCH, FIRST)),
    Check("padding-impulse", padding.impulse, ("impulse",)),
    Check("padding-227-exact", padding.as_227_exact, ("exact", "enlarged-exact"), scope=Scope.BOTH),
    Check("padding-227-photograph", padding.as_227_photograph, ("photograph", "enlarged-photograph"), scope=Scope.BOTH),
    Check("together-exact", together.exact, ("exact",), scope=Scope.ALL),
    Check("together-large", together.real, ("large",), scope=Scope.ALL),
    Check("together-photograph", together.real, ("photograph",), scope=Scope.ALL),
    Check("gradient-exact-chain", gradients_exact.chain, ("gradient-exact",), (GRADIENTS,)),
    Check("gradient-exact-local", gradients_exact.local, ("gradient-exact",), (GRADIENTS,)),
    Check("gradient-dense", gradients_exact.dense, ("dense.",), (GRADIENTS,), on=stimuli.bare),
    Check("gradient-ties", gradients_exact.ties, ("gradient-exact",), (GRADIENTS,)),
    Check("gradient-loss", gradients_real.of_loss, ("large",), (GRADIENTS,)),
    Check("gradient-local-large", gradients_real.local, ("large",), (GRADIENTS,)),
    Check("gradient-chain-large", gradients_real.chain, ("large",), (BATCH, GRADIENTS)),
    Check("gradient-together-exact", gradients_together.exact, ("gradient-exact",), (GRADIENTS,), Scope.ALL),
    Check("gradient-together-large", gradients_together.real, ("large",), (BATCH, GRADIENTS), Scope.ALL),
    Check("precision-inputs", precision.inputs, ("probe.",)),
    Check("precision-accumulator", precision.accumulator, ("probe.",)),
    Check("precision-chain-inputs", precision.chain_inputs, ("probe",), fallback=True),
    Check("precision-chain-accumulator", precision.chain_accumulator, ("probe",), fallback=True),
    Check("special-nan", special.nan, special.feeds("nan"), (special.SPECIAL,)),
    Check("special-infinity", special.infinity, special.feeds("infinity"), (special.SPECIAL,)),
    Check("special-zero-sign", special.zero_sign, special.feeds("zero-sign"), (special.SPECIAL,)),
    Check("special-denormals", special.denormals, special.feeds("denormals"), (special.SPECIAL,)),
    Check("special-overflow", special.overflow, special.feeds("overflow"), (special.SPECIAL,)),
    Check("dropout-shared-paper", dropout.shared_paper, ("dropout-paper",), (GRADIENTS,)),
    Check("dropout-shared-inverted", dropout.shared_inverted, ("dropout-inverted",), (GRADIENTS,)),
    Check("dropout-own", dropout_own.own, (dropout_own.OWN,), (dropout_own.OWN,)),
    Check("dropout-conventions", dropout.conventions, ("dropout-paper",), scope=Scope.ORACLE),
    Check("update-rule", updates.rule, ("update",), (updates.RULE,)),
    Check("update-step", update_steps.step, ("update",), (update_steps.STEP,)),
    Check("init-weights", initial.weights, (initial.DRAWN,), (initial.DRAWN,)),
    Check("init-biases", initial.biases, (initial.DRAWN,), (initial.DRAWN,)),
    Check("train-augmentation", augmented.parity, (augmented.AUGMENTED,), (augmented.AUGMENTED,)),
    Check("train-loss", losses.parity, (losses.LOSS,), (losses.LOSS,)),
    Check("train-steps", steps.steps, (steps.STIMULUS,), (steps.STEPS,)),
    Check("train-checkpoint", steps.checkpoint, (steps.STIMULUS,), (steps.CUT,)),
    Check("init-seeds", initial.seeds, (initial.SEEDS,), (initial.SEEDS,)),
    Check("towers-traffic", towers.traffic, (towers.TRAIN,), (towers.TRAFFIC,)),
    Check("towers-exact", towers.exact, (towers.STEPS,), (towers.EXACT,)),
    Check("towers-bounds", towers.steps, (towers.STEPS,), (towers.BOUNDS,)),
    Check("saved-formats", saved.formats, (saved.SAVED,), (saved.SAVED,)),
    Check("sensitivity-fields", sensitivity.fields, ("large",), scope=Scope.ORACLE),
)

NAMES = [check.name for check in CHECKS]
FAMILIES = list(dict.fromkeys(name.partition("-")[0] for name in NAMES))


def select(wanted: Iterable[str]) -> list[Check]:
    """The checks called so, or of a family called so; all for none. KeyError says the nearest right name."""
    chosen: list[str] = []
    wanted = list(wanted)
    for name in wanted:
        matching = [n for n in NAMES if n == name or n.partition("-")[0] == name]
        if not matching:
            known = [*FAMILIES, *NAMES]
            raise KeyError(f"unknown check {name!r}{nearest(name, known)} Families: {', '.join(FAMILIES)}")
        chosen += matching
    selected = [check for check in CHECKS if check.name in chosen or not chosen]
    return [replace(check, fallback=check.fallback and check.name not in wanted) for check in selected]


def feeds(checks: Iterable[Check], networks: dict[str, Network]) -> list[Feed]:
    """Everything that an implementation has to be fed for these checks, variant by variant, nothing twice."""
    checks, found = list(checks), []
    for variant, network in networks.items():
        for name in stimuli.names(network):
            users = [c for c in checks if c.scope is not Scope.ORACLE and name in c.stimuli(network)]
            runs = [run for run in PASSES if any(run in c.runs for c in users)]
            if users:
                reads = any(c.reads_params for c in users)
                found.append(Feed(variant, name, tuple(runs), reads, all(c.fallback for c in users)))
    return found


def judge(check: Check, *given: Any) -> Iterator[Finding]:
    """Run a check: an exception becomes an ERROR, and so does a check that finds nothing to say."""
    count = 0
    try:
        for finding in check.judge(*given):
            count += 1
            yield finding
    except Exception as error:
        yield Finding(Status.ERROR, expected="a verdict", got=f"the check itself raised {describe(error)}")
        return
    if not count:
        yield Finding(Status.ERROR, expected="a verdict", got="nothing to judge")
