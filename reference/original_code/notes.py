"""The authors' run notes: comments at the end of a parameter file, as events and results.

A paragraph of comments is one run: which log it wrote, at which epoch which learning rates or the colour noise were
changed, where it stopped, and what it scored (`logprob:` lines: negative log-probability, top-1, top-5 error).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

KINDS = ("start", "rate", "noise", "pause", "stop")


@dataclass(frozen=True)
class Event:
    """Something changed at `epoch` (None: at the start, or after so many batches, not epochs).

    kind: "start" (a first rate), "rate" (weights' learning rate `was` -> `to`; 0 freezes), "noise" (colour noise's
    standard deviation), "pause", "stop". `where`: the layers, by the notes' names ("conv1" is conv1a and conv1b);
    () is everywhere, or everywhere else.
    """

    line: int
    kind: str
    epoch: float | None = None
    to: float | None = None
    was: float | None = None
    where: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """One `logprob:` line. split: "test", "validation" or "" (not said); views: "multiview", "centre" or "" (not said)."""

    line: int
    logprob: float
    top1: float
    top5: float
    split: str = ""
    views: str = ""


@dataclass(frozen=True)
class Run:
    """One training run. data: the set it names ("2010", "2012", "2012-full", "2011", "2009") or ""; log: its log's name."""

    lines: tuple[int, int]
    log: str = ""
    data: str = ""
    started: str = ""
    events: tuple[Event, ...] = ()
    results: tuple[Result, ...] = ()

    def reductions(self) -> tuple[Event, ...]:
        """Where the rate of the whole network (or of all but the frozen layers) was lowered and not to 0."""
        rates = (e for e in self.events if e.kind == "rate" and not e.where and e.to)
        return tuple(e for e in rates if e.was is None or e.to < e.was)  # type: ignore[operator]

    def rates(self, layer: str) -> tuple[Event, ...]:
        """Changes that name a layer."""
        return tuple(event for event in self.events if event.kind in ("rate", "start") and layer in event.where)

    def frozen(self, layer: str) -> float | None:
        """The epoch at which a layer's rate became 0, if it did."""
        return next((event.epoch for event in self.rates(layer) if event.to == 0), None)

    def noise(self) -> tuple[Event, ...]:
        return tuple(event for event in self.events if event.kind == "noise")

    def stopped(self) -> float | None:
        """The last epoch, if the notes say that the run was ended."""
        return next((event.epoch for event in reversed(self.events) if event.kind == "stop"), None)

    def first_rate(self) -> float | None:
        """The rate before the first reduction, as that reduction (or the start) tells it."""
        rates = [
            e.was if e.kind == "rate" else e.to for e in self.events if e.kind in ("rate", "start") and not e.where
        ]
        return next((rate for rate in rates if rate is not None), None)


@dataclass(frozen=True)
class Notes:
    """All runs in one parameter file. runs[0] is the one that the file begins with; `run` finds others."""

    name: str
    runs: tuple[Run, ...]
    stated_parameters: int | None = None  # "... params (incl biases)", where the authors wrote it

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(event for run in self.runs for event in run.events)

    @property
    def results(self) -> tuple[Result, ...]:
        return tuple(result for run in self.runs for result in run.results)

    def run(self, data: str = "", log: str = "") -> Run:
        """The first run on a set of images, or with a log of this name; KeyError with what there is."""
        for run in self.runs:
            if (not data or run.data == data) and (not log or run.log == log):
                return run
        known = "; ".join(f"log {run.log or '?'} on {run.data or '?'}" for run in self.runs)
        raise KeyError(f"notes {self.name}: no run with data={data!r}, log={log!r}. There are: {known}")

    def result(self, split: str | None = None, views: str | None = None, data: str | None = None) -> Result:
        """The first result so labelled; KeyError with what there is."""
        wanted = {"split": split, "views": views}
        for run in self.runs:
            for result in run.results if data is None or run.data == data else ():
                if all(value is None or getattr(result, key) == value for key, value in wanted.items()):
                    return result
        known = "; ".join(f"line {r.line}: split={r.split!r}, views={r.views!r}" for r in self.results)
        raise KeyError(f"notes {self.name}: no result with {wanted}, data={data!r}. There are: {known or 'none'}")

    def edit(self, line: int, **fields: Any) -> Notes:
        """A copy in which the event or result at `line` (the first there that has these fields) says something else."""
        runs, done = [], False
        for run in self.runs:
            events, hit = replace_at(run.events, line, fields) if not done else (run.events, False)
            done = done or hit
            results, hit = replace_at(run.results, line, fields) if not done else (run.results, False)
            done = done or hit
            runs.append(dataclasses.replace(run, events=events, results=results))
        if not done:
            raise KeyError(f"notes {self.name}: nothing at line {line} with the fields {', '.join(fields)}")
        return dataclasses.replace(self, runs=tuple(runs))


def replace_at(things: tuple[Any, ...], line: int, fields: dict[str, Any]) -> tuple[tuple[Any, ...], bool]:
    """The tuple with the first thing at `line` changed, and whether one was."""
    for index, thing in enumerate(things):
        if thing.line == line and all(hasattr(thing, name) for name in fields):
            return (*things[:index], dataclasses.replace(thing, **fields), *things[index + 1 :]), True
    return things, False


# Reading ---------------------------------------------------------------------------------------------------------------

NUMBER = r"(\d+\.\d+|\d+|\.\d+)"
EPOCH = re.compile(rf"^epoch {NUMBER}:\s*(.*)$")
RATE = re.compile(rf"\bset (?:(\w+) )?ep\w*w (?:to|ot) {NUMBER}(?: from {NUMBER})?(?: on (\w+(?:,\w+)*))?")
START = re.compile(rf"^(?:init|start) ep\w*w {NUMBER}(?: on (\w+)(?: layers)?)?")
REST = re.compile(rf",\s*{NUMBER} (?:elsewhere|on (\w+))")  # "..., 0.001 elsewhere" after either
NOISE = re.compile(rf"\bset color (?:\(brightness\) )?noise to {NUMBER}(?: from {NUMBER})?")
NOISE_BACK = re.compile(rf"^color noise put back to {NUMBER}")
RESULT = re.compile(rf"logprob:\s*{NUMBER},\s*{NUMBER},\s*{NUMBER}(.*)$")
LOG = re.compile(r"\blogs/([\w-]+?)(?:-cont)?\.log")
STARTED = re.compile(r"ConvNet__(\d{4}-\d{2}-\d{2})_")
PARAMETERS = re.compile(r"^(\d+) params")
DATA = re.compile(r"\bon (?:lsvrc-)?(20\d\d(?:-full)?)\b")


def read(name: str, text: str) -> Notes:
    """The notes in the comments of a parameter file (its text). Comments that say nothing of this kind are passed over."""
    runs, stated = [], None
    for paragraph in paragraphs(text):
        numbers = [match.group(1) for _, comment in paragraph if (match := PARAMETERS.match(comment))]
        stated = int(numbers[0]) if numbers else stated
        run = read_run(paragraph)
        if run.events or run.results:
            runs.append(run)
    return Notes(name, tuple(runs), stated)


def paragraphs(text: str) -> list[list[tuple[int, str]]]:
    """Consecutive comment lines, numbered, without their marks."""
    found: list[list[tuple[int, str]]] = [[]]
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            found[-1].append((number, line.strip().lstrip("#").strip()))
        elif found[-1]:
            found.append([])
    return [paragraph for paragraph in found if paragraph]


def read_run(paragraph: list[tuple[int, str]]) -> Run:
    """One paragraph as a run; an epoch holds for the lines that follow it without one of their own."""
    events: list[Event] = []
    results: list[Result] = []
    epoch: float | None = None
    before = ""
    for line, comment in paragraph:
        if found := EPOCH.match(comment):
            epoch = float(found.group(1))
        elif re.match(rf"^{NUMBER} batches:", comment):
            epoch = None
        events += read_events(line, comment, epoch)
        if found := RESULT.search(comment):
            results.append(read_result(line, comment, before, found))
        before = comment
    said = " ".join(comment for _, comment in paragraph)
    return Run(
        (paragraph[0][0], paragraph[-1][0]),
        first(LOG, said),
        data_set(said),
        first(STARTED, said),
        tuple(events),
        tuple(results),
    )


def first(pattern: re.Pattern[str], said: str) -> str:
    found = pattern.search(said)
    return found.group(1) if found else ""


def data_set(said: str) -> str:
    """The set of images that the run says it trains on: the last one named ("pretrained on 2011, now training on 2012")."""
    named = re.search(r"(?:now )?train(?:ing|ed) on (20\d\d)(?!.*now training)", said)
    return named.group(1) if named else first(DATA, said)


def read_events(line: int, comment: str, epoch: float | None) -> Iterable[Event]:
    """What one line says has changed."""
    for pattern, kind in ((RATE, "rate"), (START, "start")):
        for found in pattern.finditer(comment):
            yield rate(line, kind, epoch, found)
            if rest := REST.match(comment, found.end()):
                yield Event(line, kind, epoch, float(rest.group(1)), where=names(rest.group(2)))
    for pattern in (NOISE, NOISE_BACK):
        if changed := pattern.search(comment):
            was = changed.group(2) if pattern is NOISE else None
            yield Event(line, "noise", epoch, float(changed.group(1)), number(was))
    for word, kind in (("killed", "stop"), ("paused", "pause")):
        if re.search(rf"^epoch {NUMBER}: {word}", comment):
            yield Event(line, kind, epoch)


def rate(line: int, kind: str, epoch: float | None, found: re.Match[str]) -> Event:
    """A change of rate, from either pattern: the layer may stand before the rate or after it."""
    if kind == "start":
        value, where = found.groups()
        return Event(line, kind, None, float(value), where=names(where))
    before, to, was, after = found.groups()
    return Event(line, kind, epoch, float(to), number(was), names(after or before))


def names(text: str | None) -> tuple[str, ...]:
    return tuple(text.strip(",").split(",")) if text else ()


def number(text: str | None) -> float | None:
    return None if text is None else float(text)


def read_result(line: int, comment: str, before: str, found: re.Match[str]) -> Result:
    """A `logprob:` line with the label beside it or, ending with a colon, above it."""
    label = comment[: found.start()] + found.group(4) if comment[: found.start()].strip() else ""
    if not label and before.endswith(":"):
        label = before
    split = next((word for word in ("validation", "test") if word in label), "")
    views = "centre" if "center" in label else "multiview" if re.search(r"mul\w*view", label) else ""
    logprob, top1, top5 = (float(value) for value in found.groups()[:3])
    return Result(line, logprob, top1, top5, split, views)
