"""The trial: each claim goes to its check, and none leaves without a verdict, evidence and a source, or an error."""

from __future__ import annotations

import importlib
import pkgutil
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...reference.claims import ledger
from ...reference.claims.claim import Claim
from .verdict import CHECKS, Check, Facts, Outcome, Verdict

ERROR = "error"


@dataclass(frozen=True)
class Judged:
    """A claim with what its check said, or with the reason why that is no verdict. `check`: file and name of the check."""

    claim: Claim
    outcome: Outcome | None
    error: str = ""
    check: str = ""

    @property
    def verdict(self) -> str:
        """One of the four verdicts, or "error"."""
        return ERROR if self.error or self.outcome is None else self.outcome.verdict.value

    @property
    def evidence(self) -> str:
        return self.error or (self.outcome.evidence if self.outcome else "")

    @property
    def good(self) -> bool:
        return self.verdict != ERROR


def bound() -> Mapping[str, Check]:
    """All checks by the claim that they decide; importing the modules of this folder binds them."""
    package = __package__ or ""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"{package}.{module.name}")
    return CHECKS


def verdicts(facts: Facts, ids: Sequence[str] | None = None) -> list[Judged]:
    """Every claim (or those named) judged on these facts; an unknown id raises KeyError with the nearest."""
    return list(judge(facts, chosen(ids)))


def chosen(ids: Sequence[str] | None = None) -> tuple[Claim, ...]:
    """The claims named, in the paper's order and each once; all where none is. Raises KeyError for an unknown id."""
    if ids is None:
        return ledger.CLAIMS
    wanted = {ledger.claim(name) for name in ids}
    return tuple(claim for claim in ledger.CLAIMS if claim in wanted)


def judge(facts: Facts, claims: Iterable[Claim], checks: Mapping[str, Check] | None = None) -> Iterator[Judged]:
    """Each claim judged. A check that decides several claims runs once. Checks of no known claim come last, as errors."""
    checks = bound() if checks is None else checks
    said: dict[Check, Outcome | str] = {}
    for claim in claims:
        check = checks.get(claim.id)
        if check is None:
            yield Judged(claim, None, "no check decides it; bind one with @decides in checks/claims/")
            continue
        if check not in said:
            said[check] = tried(check, facts)
        yield sound(claim, said[check], place(check))


def tried(check: Check, facts: Facts) -> Outcome | str:
    """What a check says, or what went wrong in it."""
    try:
        outcome = check(facts)
    except Exception as error:  # a check that breaks off has said nothing: that must show
        last = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(str(error).split()) or "no message"
        return f"its check broke off: {type(error).__name__}: {text} ({Path(last.filename).name}:{last.lineno})"
    if not isinstance(outcome, Outcome) or not isinstance(outcome.verdict, Verdict):
        return f"its check gave {type(outcome).__name__}, expected an Outcome with a Verdict"
    return outcome


def sound(claim: Claim, said: Outcome | str, check: str) -> Judged:
    """A verdict only where there is evidence, a source and, if it can't be checked here, what that would need."""
    if isinstance(said, str):
        return Judged(claim, None, said, check)
    lacks = [
        (not said.evidence.strip(), "its check gave no evidence"),
        (not claim.source.strip(), "the ledger names no source"),
        (
            said.verdict is Verdict.NOT_CHECKABLE and not claim.needs.strip(),
            "not checkable here, but the ledger does not say what a check would need",
        ),
    ]
    return Judged(claim, said, "; ".join(text for missing, text in lacks if missing), check)


def orphans(checks: Mapping[str, Check] | None = None) -> list[str]:
    """Ids that have a check but are no claims of the ledger."""
    return sorted(set(bound() if checks is None else checks) - set(ledger.ids()))


def place(check: Check) -> str:
    """Where a check is: "checks/claims/front.py: parameters"."""
    function = getattr(check, "func", check)  # a functools.partial stands for the function in it
    return f"checks/claims/{function.__module__.rpartition('.')[2]}.py: {function.__name__}"
