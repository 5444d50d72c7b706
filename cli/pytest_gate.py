"""Tests of an AlexNet: one for each check of an implementation, three for a model that is audited. Nothing runs at collection.

All checks that are left after -k run together when the first of their tests begins (pytest_run.py); each test then reads what
was found for it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ..checks import catalogue, departure
from ..checks.audit.result import ANOTHER, CONVENTION, DEVIATION, UNEXPLAINED
from ..checks.catalogue import Scope
from ..checks.finding import Finding, Status
from ..impls import find
from ..reference import variants
from ..reports import audit_words, places
from ..reports.audit_words import line
from .pytest_run import Asked, Run

if TYPE_CHECKING:
    from ..checks.catalogue import Check

MOST = 5  # wrong layers that a failing test tells of
GROUP = "alexnet-parity"


class Gate:
    """The plugin, while there is something to judge. Raises pytest.UsageError for what nobody here knows."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        names = list(dict.fromkeys(config.getoption("alexnet_parity")))
        models = [name for name in names if places.is_model(name)]
        self.asked = Asked(
            targets=tuple(self.target(name) for name in names if name not in models),
            models=tuple(models),
            variants=tuple(dict.fromkeys(self.networks())),
            model_variant=self.model_variant(models),
            checks=tuple(self.checks()),
            device=config.getoption("alexnet_parity_device"),
            timeout=config.getoption("alexnet_parity_timeout"),
            path=tuple(map(str, config.getini("pythonpath"))),
        )
        if not self.asked.timeout > 0:
            raise pytest.UsageError("--alexnet-parity-timeout: expected a number of seconds above 0")
        self.run = Run(self.asked, shared_folder(config))
        self.made: Path | None = None

    def target(self, name: str) -> find.Target:
        if name.endswith(find.TRACE):
            raise pytest.UsageError(
                f"--alexnet-parity: {name} is a trace: alexnet-parity verify --impl {name} judges it"
            )
        try:
            return find.find(name)
        except find.Unknown as error:
            raise pytest.UsageError(f"--alexnet-parity: {error}") from None

    def networks(self) -> Iterator[str]:
        try:
            for pattern in self.config.getoption("alexnet_parity_variant") or ["paper"]:
                yield from variants.matching(pattern)
        except KeyError as error:
            raise pytest.UsageError(f"--alexnet-parity-variant: {error.args[0]}") from None

    def model_variant(self, models: list[str]) -> str:
        """What models are audited against."""
        names = self.config.getoption("alexnet_parity_variant") or ["nearest"]
        if models and (len(names) > 1 or names[0] not in ("nearest", *variants.names())):
            raise pytest.UsageError("--alexnet-parity-variant: a model is audited against one variant; name one")
        return str(names[0])

    def checks(self) -> list[Check]:
        try:
            return catalogue.select(self.config.getoption("alexnet_parity_check"))
        except KeyError as error:
            raise pytest.UsageError(f"--alexnet-parity-check: {error.args[0]}") from None

    # Before -k and its like choose among the tests.
    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        root = Folder.from_parent(session, name=GROUP, nodeid=GROUP, path=self.config.rootpath)
        made = [*self.of_checks(root), *self.of_models(root)]
        session.ihook.pytest_collectreport(
            report=pytest.CollectReport(GROUP, "passed", None, made)
        )  # counted as collected
        items += made

    def of_checks(self, root: Folder) -> Iterator[pytest.Item]:
        targets, networks = self.asked.targets, {name: variants.variant(name) for name in self.asked.variants}
        for variant, network in networks.items():
            for check in self.asked.checks if targets else ():
                if check.stimuli(network):
                    for impl in judged_by(check, [target.name for target in targets]):
                        who = f"{impl.replace(' ~ ', ' and ')} pass" if " ~ " in impl else f"{impl} passes"
                        name = f"{who} {check.name} on {variant}"
                        rest = {"run": self.run, "check": check, "variant": variant, "impl": impl}
                        yield CheckItem.from_parent(root, name=name, **rest)

    def of_models(self, root: Folder) -> Iterator[pytest.Item]:
        for model in self.asked.models:
            for about, kind in (
                ("is an AlexNet", ANOTHER),
                ("has nothing unexplained", UNEXPLAINED),
                ("deviates nowhere", DEVIATION),
            ):
                yield AuditItem.from_parent(root, name=f"{model} {about}", run=self.run, model=model, kind=kind)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """What is left to be judged, -k and its like considered."""
        items = [item for item in session.items if isinstance(item, CheckItem)]
        self.run.checks = tuple(dict.fromkeys(item.check.name for item in items))
        self.run.variants = tuple(dict.fromkeys(item.variant for item in items))

    # pytest-xdist: its workers share one run, in a folder that the controller makes and removes.
    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        if self.made is None:
            self.made = Path(tempfile.mkdtemp(prefix="alexnet-parity-"))
        node.workerinput["alexnet_parity"] = str(self.made)

    def pytest_unconfigure(self) -> None:
        if self.made is not None:
            shutil.rmtree(self.made, ignore_errors=True)


def shared_folder(config: pytest.Config) -> Path | None:
    """Where the workers of pytest-xdist leave what one of them found; None without them."""
    given = getattr(config, "workerinput", {}).get("alexnet_parity")
    return Path(given) if given else None


def judged_by(check: Check, names: list[str]) -> list[str]:
    """Whom a check judges: each implementation, all of them together, or the oracle."""
    match check.scope:
        case Scope.ALL:
            return [" ~ ".join(sorted(names))] if len(names) > 1 else []
        case Scope.ORACLE:
            return ["oracle"]
    return names


class Folder(pytest.Collector):
    """What the tests stand under in the output of --collect-only."""

    def collect(self) -> list[pytest.Item]:
        return []


class Item(pytest.Item):
    """A test that reads its verdict from the run."""

    def __init__(self, *, run: Run, target: str, **rest: Any) -> None:
        super().__init__(**rest)
        self.run, self.place = run, places.place(target)
        if self.config.pluginmanager.hasplugin("xdist"):
            self.add_marker(pytest.mark.xdist_group(GROUP))  # with --dist loadgroup no worker waits for another

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.place.file or self.config.rootpath, self.place.line - 1 if self.place.file else None, self.name


class CheckItem(Item):
    """One check of one implementation on one variant."""

    def __init__(self, *, check: Check, variant: str, impl: str, **rest: Any) -> None:
        super().__init__(target=impl.partition(" ~ ")[0], **rest)
        self.check, self.variant, self.impl = check, variant, impl

    def runtest(self) -> None:
        found = self.run.findings_for(self.check.name, self.variant, self.concerns)
        if not found:
            pytest.skip(f"{self.check.name} has nothing to ask of it")
        wrong = departure.in_order(found)
        if wrong:
            pytest.fail(told(self.check, wrong, len(found)), pytrace=False)
        if all(finding.status is Status.UNSUPPORTED for finding in found):
            pytest.skip(line(found[0].got))
        known = dict.fromkeys(line(f.hint or f.got) for f in found if f.status is Status.KNOWN)
        if known:
            pytest.xfail("deviates as recorded: " + "; ".join(known))

    def concerns(self, finding: Finding) -> bool:
        """Is it about this test's implementation? What implementations agree on together is about all of them."""
        together = self.check.scope is Scope.ALL
        return finding.impl == self.impl or (together and finding.impl != "oracle")


def told(check: Check, wrong: list[Finding], judged: int) -> str:
    """What failed: the layers in order, causes before consequences, each with found, expected, hint and how to see it again."""
    layers: dict[str, Finding] = {}
    for finding in wrong:
        layers.setdefault(finding.layer, finding)
    first = next(iter(layers.values()))
    where = f" at {first.layer}" if first.layer else ""
    lines = [f"{check.name} {first.status}{where}: {line(first.hint or first.got)}", check.about, ""]
    for layer, finding in list(layers.items())[:MOST]:
        facts = (("found", finding.got), ("expected", finding.expected), ("hint", finding.hint))
        lines += [f"{layer or 'the network'} ({finding.status})"]
        lines += [f"  {name:<10}{line(text)}" for name, text in (*facts, ("source", finding.source)) if text]
    if len(layers) > MOST:
        lines.append(f"and {len(layers) - MOST} more layers")
    return "\n".join([*lines, "", f"{len(wrong)} of {judged} findings are wrong; again: {line(first.replay)}"])


class AuditItem(Item):
    """One question about a model that is audited."""

    def __init__(self, *, model: str, kind: str, **rest: Any) -> None:
        super().__init__(target=model, **rest)
        self.model, self.kind = model, kind

    def runtest(self) -> None:
        audit = self.run.audit_of(self.model)
        if audit.verdict == ANOTHER:
            if self.kind == ANOTHER:
                pytest.fail(audit_words.verdict_line(audit), pytrace=False)
            pytest.skip("it is no AlexNet")
        for note in audit.notes:
            self.add_report_section("call", "notes", line(note))
        deviations = audit_words.told_once(audit.deviations)
        chosen = [one for one in deviations if one.one.kind == CONVENTION]
        if self.kind == DEVIATION and chosen:
            self.add_report_section("call", "conventions", "\n".join(map(in_full, chosen)))
        if wrong := [one for one in deviations if one.one.kind == self.kind]:
            head = f"{line(wrong[0].where)} [{wrong[0].one.trap or self.kind}], nearest variant {audit.nearest_variant}"
            text = "\n".join([head, "", *map(in_full, wrong), "", f"again: alexnet-parity audit {line(self.model)}"])
            pytest.fail(text, pytrace=False)


def in_full(told: audit_words.Told) -> str:
    """One deviation as `alexnet-parity audit` tells it."""
    from .audit import in_full

    return "\n".join(in_full(told))
