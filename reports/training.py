"""The report of training: what was run, losses and distances, where rounding parts the runs, and the experiments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..train.prediction import SHOWS
from ..train.result import Outcome
from ..train.run import ORACLE, SINGLE
from . import files, plots, training_plots
from .markdown import short, table


def write(outcome: Outcome, path: Path) -> None:
    """The Markdown report, and its figures in a folder beside it; raises files.Unwritable."""
    folder = files.folder(path.parent / "figures")
    stem = path.stem
    if outcome.parity:
        plots.save(training_plots.losses(outcome.parity), folder / f"{stem}-losses.svg")
        plots.save(training_plots.distances(outcome.parity), folder / f"{stem}-distances.svg")
    for name, found in outcome.experiments.items():
        plots.save(training_plots.experiment(found), folder / f"{stem}-{name}.svg")
    files.write(path, document(outcome, stem))


def document(outcome: Outcome, stem: str) -> str:
    parts = ["# Training, side by side"]
    if outcome.parity:
        parts += [side_by_side(outcome.parity, stem), parting(outcome.parity, stem), recipe(outcome.parity)]
    for name, found in outcome.experiments.items():
        parts.append(EXPERIMENTS[name](found, stem))
    return "\n\n".join(parts) + "\n"


# Side by side --------------------------------------------------------------------------------------------------------


def side_by_side(found: dict[str, Any], stem: str) -> str:
    own = found["implementations"]
    asked = found["recipe"]
    return "\n\n".join(
        (
            f"**`{asked['variant']}`, trained {trained(found)} from the same weights on the same batches by "
            f"{', '.join(f'`{name}`' for name in own) or 'the oracle alone'} and the oracle in float64.** {verdict(found)}",
            f"The data is {found['data']['about']}; {found['data']['train']:,} images for training, "
            f"{found['data']['test']:,} for testing. It shows that implementations train alike; it says nothing about CIFAR-10 "
            "or ImageNet.",
            f"![Loss curves of {', '.join(own)} on that of the oracle, and their differences](figures/{stem}-losses.svg)",
            table(rows(found), HEADS),
        )
    )


def trained(found: dict[str, Any]) -> str:
    count = found["steps"] - found["start"]
    begin = f" from step {found['start']}" if found["start"] else ""
    return f"for {counted(count, 'step')} of {counted(found['recipe']['batch'], 'image')}{begin}"


HEADS = (
    "run",
    "last loss",
    "test errors",
    f"loss parts from the oracle's by {SHOWS:g}",
    "weights from the oracle's at the end",
    "furthest",
)


def rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """The oracle, its float32, and each implementation."""
    return [row(found, name) for name in (ORACLE, SINGLE, *found["implementations"]) if name in found["losses"]]


def row(found: dict[str, Any], name: str) -> tuple[str, ...]:
    error = found["errors"][name][-1] if found["errors"][name] else None
    wrong = f"{error['wrong']} of {error['of']}" if error else ""
    if name == ORACLE:
        return "oracle, float64", f"{found['losses'][name][-1]:.6f}", wrong, "", "", ""
    far, share = found["worst"][name][-1]
    label = "oracle, float32" if name == SINGLE else f"`{name}`"
    last, away = f"{found['losses'][name][-1]:.6f}", f"{found['distance'][name][-1]:.2e}"
    return label, last, wrong, at(found["parts"][name]), away, f"{far}: {share:.2e}"


def at(part: int | None) -> str:
    """The step in which the losses part, counted from 1."""
    return "not in these steps" if part is None else f"step {part + 1}"


def where_all(parts: Sequence[int | None]) -> str:
    """Where the losses of several runs part: "part at step 3, step 5; 1 of them not in these steps"."""
    steps = [at(part) for part in parts if part is not None]
    if not steps:
        return "do not part in these steps"
    rest = len(parts) - len(steps)
    return f"part at {', '.join(steps)}" + (f"; {rest} of them not in these steps" if rest else "")


def counted(number: int, what: str, ending: str = "s") -> str:
    """1 step, 2 steps."""
    return f"{number:,} {what}{'' if number == 1 else ending}"


def verdict(found: dict[str, Any]) -> str:
    """What came of the prediction, in one sentence."""
    parts = [found["parts"][name] for name in found["implementations"]]
    prediction = found["prediction"]
    if not parts:
        return ""
    if all(part is None for part in parts):
        return f"No loss curve parts from the oracle's by more than {SHOWS:g}."
    steps = sorted(part + 1 for part in parts if part is not None)
    span = f"step {steps[0]}" if steps[0] == steps[-1] else f"steps {steps[0]} to {steps[-1]}"
    said = f"Up to then one curve, their losses part from the oracle's by {SHOWS:g} at {span}"
    if not prediction or not prediction["interval"]:
        return f"{said}."
    low, high = prediction["interval"]
    inside = all(low <= step <= high for step in steps) and len(steps) == len(parts)
    held = "rounding alone was foretold to do that" if inside else "rounding alone was foretold to do that elsewhere,"
    return f"{said}; {held} between step {low:.0f} and step {high:.0f}."


# Where rounding parts them -------------------------------------------------------------------------------------------


def parting(found: dict[str, Any], stem: str) -> str:
    prediction = found["prediction"]
    text = ["## Where rounding drives them apart", METHOD]
    if prediction:
        text.append(foretold(found, prediction))
    text += [
        f"![Distance of the weights from the oracle's and from one another](figures/{stem}-distances.svg)",
        decided(found),
        table(distance_rows(found), ("step", *columns(found))),
        CAPTION,
    ]
    return "\n\n".join(part for part in text if part)


METHOD = (
    "All runs have the same numbers to begin with, in the last bit. Sums are taken in another order in each implementation, "
    "and each new weight is rounded. What becomes of that is foretold without any framework: the oracle's own arithmetic in "
    "float32 is trained several times more, each time with every new weight and velocity rounded up or down at random and the "
    "sums of the forward pass up to one unit in the last place off, as another order leaves them. Nothing but rounding differs "
    "between these draws. Their distances from the oracle in float64 are the band below; the mean and the "
    "standard deviation of the logarithm of the steps at which their losses part give an interval that holds one more with 95 % "
    "probability (Student's distribution; normal logarithms assumed)."
)


def foretold(found: dict[str, Any], prediction: dict[str, Any]) -> str:
    """The prediction beside what was measured."""
    parts = prediction["parts"]
    lines = [f"The losses of {counted(len(parts), 'draw')} {where_all(parts)}"]
    if prediction["interval"]:
        low, high = prediction["interval"]
        lines[0] += f": **foretold between step {low:.0f} and step {high:.0f}**"
    measured = ", ".join(f"`{name}` {at(found['parts'][name])}" for name in found["implementations"])
    lines[0] += f". Measured: {measured}." if measured else "."
    if prediction["rate"]:
        rate = prediction["rate"]
        lines.append(
            f"Until it passes 1e-3 the draws' median distance grows by a factor of ten in {2.302585 / rate:.0f} steps (a "
            f"finite-time Lyapunov exponent of {rate:.2f} a step)."
        )
    lines.append(
        f"Were nothing to grow, the roundings of the weights would come to {prediction['walk'][-1]:.1e} at the end; the draws "
        f"are {prediction['low'][-1]:.1e} to {prediction['high'][-1]:.1e} from the oracle."
    )
    lines.append(in_band(found, prediction))
    return " ".join(line for line in lines if line)


def in_band(found: dict[str, Any], prediction: dict[str, Any]) -> str:
    """How many of the measured distances lie in the band of the draws, and how far the others are from it."""
    bands = list(zip(prediction["low"], prediction["high"], strict=True))[1:]
    measured = [
        pair for name in found["implementations"] for pair in zip(found["distance"][name][1:], bands, strict=True)
    ]
    if not measured:
        return ""
    outside = [max(d / high, low / d) if d else float("inf") for d, (low, high) in measured if not low <= d <= high]
    inside = f"Of {len(measured)} distances measured, {len(measured) - len(outside)} lie between those of the draws"
    return f"{inside}, the others within a factor of {max(outside):.2g} of them." if outside else f"{inside}."


def decided(found: dict[str, Any]) -> str:
    """What makes distances jump."""
    counts = {int(step): count for step, count in found["decided"].items()}
    if not counts:
        return ""
    total, batches = counted(sum(counts.values()), "time"), counted(len(counts), "batch", "es")
    return (
        "The growth is not smooth. Where the two largest pixels of a pooling window, or a ReLU's input and zero, are nearer to "
        "each other than the last bit, float32 decides otherwise than float64, and all of a gradient goes to another pixel. With "
        f"the same weights and images that happened {total} in the {batches} that were looked at"
        f"{first_decided(counts)}. Of hundreds of thousands of decisions a step, one is enough to move the weights by 1e-5 of "
        "their norm while they are small."
    )


def first_decided(counts: dict[int, int]) -> str:
    first = next((step for step, count in counts.items() if count), None)
    return "" if first is None else f", for the first time in step {first + 1}"


def columns(found: dict[str, Any]) -> list[str]:
    names = ["foretold"] if found["prediction"] else []
    return [*names, "oracle, float32", *(f"`{name}`" for name in found["implementations"])]


def distance_rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    lines = []
    for number, step in enumerate(found["kept"]):
        if number:
            line = [str(step)]
            if found["prediction"]:
                low, high = found["prediction"]["low"][number], found["prediction"]["high"][number]
                line.append(f"{low:.1e} to {high:.1e}")
            line += [f"{found['distance'][name][number]:.2e}" for name in (SINGLE, *found["implementations"])]
            lines.append(tuple(line))
    return lines


CAPTION = "The Euclidean distance of all weights from those of the float64 oracle after so many steps, as a share of their norm."


# What was run --------------------------------------------------------------------------------------------------------


def recipe(found: dict[str, Any]) -> str:
    asked = found["recipe"]
    rates = ", ".join(f"{rate:g} from step {step}" if step else f"{rate:g}" for step, rate in asked["rates"])
    flips = "with reflections" if asked["flips"] else "without reflections, which would make other signs of digits"
    lines = [
        ("recipe", short(found["recipe_digest"])),
        ("data", short(asked["data"])),
        ("update", f"Section 5's, momentum 0.9, decay 0.0005, rate {rates}"),
        ("weights", f"Section 5's initialisation, seed {asked['seed']}"),
        (
            "batches",
            f"{asked['batch']} images, a permutation for each epoch; patches at places drawn for each step, {flips}",
        ),
        ("processes", "one for each run, of one thread each unless `OMP_NUM_THREADS` and the like say otherwise"),
        ("dropout", f"masks shared, {asked['dropout']} convention, where the network has dropout layers"),
        *((f"`{name}`", said(found["flags"].get(name, {}))) for name in found["implementations"]),
    ]
    ended = [f"`{name}` took no part: {why}." for name, (_, why) in found["ended"].items()]
    return "\n\n".join(["## What was run", table(lines, ("what", "value")), *ended])


def said(flags: dict[str, str]) -> str:
    return ", ".join(f"{name} {text}" for name, text in flags.items() if name != "peak_memory_mb")


# Experiments ---------------------------------------------------------------------------------------------------------


def relu_tanh(found: dict[str, Any], stem: str) -> str:
    relu, tanh = (found["summary"][arm]["steps_to_25"] for arm in ("ReLU", "tanh"))
    if relu and tanh:
        times = tanh["mean"] / relu["mean"]
        headline = (
            f"**On digits, this network comes to 25 % training error after {spread(relu)} steps with ReLU and after "
            f"{spread(tanh)} with tanh, {times:.1f} times as many**; the paper's Figure 1 has six times as many, on CIFAR-10 and "
            "with another network. Digits are an easier task than the paper's: this shows how the experiment is run, and is no "
            "evidence for or against the claim."
        )
    else:
        headline = "**Not every run came to 25 % training error in these steps.**"
    about = "Weight decay and crops stay on, unlike in the paper."
    return experiment(found, stem, "ReLU against tanh, as in Figure 1", headline, about)


def lrn(found: dict[str, Any], stem: str) -> str:
    with_it, without = (found["summary"][arm]["test_error"] for arm in found["summary"])
    headline = (
        f"**On digits, {spread(with_it, 100, '.1f')} % test error with response normalisation and "
        f"{spread(without, 100, '.1f')} % without**, {apart(with_it, without)}; the paper has 11 % and 13 % on CIFAR-10 "
        "(Section 3.3)."
        if with_it and without
        else "**Not every run came to an end.**"
    )
    about = (
        "What this network on these few digits shows of the paper's claim is whether normalisation hurts or helps here, after "
        "so few steps; no more."
    )
    return experiment(found, stem, "With and without response normalisation", headline, about)


def apart(one: dict[str, float], other: dict[str, float]) -> str:
    """Is there a difference at all?"""
    if abs(one["mean"] - other["mean"]) <= one["std"] + other["std"]:
        return "no more apart than the seeds are"
    return "further apart than the seeds are"


def experiment(found: dict[str, Any], stem: str, title: str, headline: str, about: str) -> str:
    arms = " and ".join(found["summary"])
    return "\n\n".join(
        (
            f"## {title}",
            headline,
            f"{setting(found)} The rate of each was chosen independently, to come to 25 % training error first: of "
            f"{grid(found)}, on a seed that takes no part in the result. Errors are counted on 256 training images every 5 "
            f"steps. {about}",
            f"![Training error over the steps: {arms}](figures/{stem}-{found['name']}.svg)",
            experiment_table(found),
            choice_table(found),
        )
    )


EXPERIMENTS = {"relu-tanh": relu_tanh, "lrn": lrn}


def setting(found: dict[str, Any]) -> str:
    asked = found["asked"]
    return (
        f"`{asked['variant']}` on {asked['data']}, {counted(asked['train'], 'image')} for training and {asked['test']:,} for "
        f"testing; by `{found['by']}`, {counted(asked['seeds'], 'seed')} (other weights, batches and crops), "
        f"{counted(asked['steps'], 'step')} of {counted(asked['batch'], 'image')}."
    )


def grid(found: dict[str, Any]) -> str:
    return ", ".join(f"{rate:g}" for rate in sorted({course["rate"] for course in found["choosing"]}))


def spread(value: dict[str, float], scale: float = 1, form: str = ".0f") -> str:
    return f"{scale * value['mean']:{form}} ± {scale * value['std']:{form}}"


def experiment_table(found: dict[str, Any]) -> str:
    lines = []
    for arm, of in found["summary"].items():
        steps = spread(of["steps_to_25"]) if of["steps_to_25"] else "not reached by all"
        wrong = f"{spread(of['test_error'], 100, '.1f')} %" if of["test_error"] else ""
        lines.append((arm, f"{found['chosen'][arm]:g}", steps, wrong, str(of["seeds"])))
    heads = ("", "rate", "steps to 25 % training error", "test error at the end", "seeds")
    return f"{table(lines, heads)}\n\nMean and standard deviation over the seeds."


def choice_table(found: dict[str, Any]) -> str:
    """How the rates were chosen: steps to 25 % at each, or why not."""
    rates = sorted({course["rate"] for course in found["choosing"]})
    lines = []
    for arm in found["summary"]:
        by_rate = {course["rate"]: course for course in found["choosing"] if course["arm"] == arm}
        lines.append((arm, *(chosen(by_rate[rate]) for rate in rates)))
    edge = [arm for arm, rate in found["chosen"].items() if len(rates) > 1 and rate in (rates[0], rates[-1])]
    told = f"At the edge of what was tried: {', '.join(edge)}; another rate might be quicker yet." if edge else ""
    rows = table(lines, ("steps to 25 % at a rate of", *(f"{rate:g}" for rate in rates)))
    return "\n\n".join(part for part in (rows, told) if part)


def chosen(course: dict[str, Any]) -> str:
    if course["end"]:
        return "diverges"
    reached = next((step for step, share in course["curve"] if share <= training_plots.REACHED), None)
    return "not reached" if reached is None else str(reached)
