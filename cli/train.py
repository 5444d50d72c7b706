"""`train`: the same network on the same batches in every implementation and the oracle, and how far they are apart."""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import outputs, targets
from .evaluate import name, positive
from .main import BAD, GOOD, INTERRUPTED, Usage, named_variant, natural, say, seconds, told
from .progress import Progress

if TYPE_CHECKING:
    from ..impls.find import Target
    from ..train.data import Samples
    from ..train.recipe import Recipe
    from ..train.result import Outcome
    from ..train.run import Run

DIGITS = "digits"  # the data that needs no folder
PARITY, RELU_TANH, LRN = "parity", "relu-tanh", "lrn"
QUICK = ("torch", "keras", "tf_nn")  # on a CPU, the quickest first; without one of them, the oracle in float32
OF_EXPERIMENT = {
    PARITY: "cifar-18pct",
    RELU_TANH: "cifar-18pct",
    LRN: "cifar-brukman-pylearn2",
}  # where no variant is named


def add_parser(commands: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = commands.add_parser("train", help="train implementations and the oracle side by side, on real data")
    targets.add_option(parser)
    parser.add_argument(
        "--variant", metavar="V", help="default: cifar-18pct; for the lrn experiment cifar-brukman-pylearn2"
    )
    parser.add_argument(
        "--data",
        type=name,
        default=DIGITS,
        metavar="digits|DIR",
        help="scikit-learn's digits, enlarged, or a folder with CIFAR-10; default: digits",
    )
    parser.add_argument("--steps", type=positive, default=200, metavar="N", help="default: 200")
    parser.add_argument("--batch", type=positive, default=32, metavar="N", help="images a step; default: 32")
    parser.add_argument(
        "--rate", default="0.001", metavar="R[,R@STEP]", help="learning rate, later ones from a step on; default: 0.001"
    )
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="of all that is drawn; default: 0")
    parser.add_argument(
        "--dropout",
        default="inverted",
        choices=("inverted", "paper"),
        help="double what is kept in training, or halve at test; default: inverted",
    )
    parser.add_argument(
        "--draws", type=natural, default=3, metavar="N", help="of rounding, for the prediction; default: 3, at most 10"
    )
    parser.add_argument("--checkpoints", type=outputs.file, metavar="DIR", help="where checkpoints are kept")
    parser.add_argument("--every", type=positive, metavar="N", help="steps between checkpoints; default: a twentieth")
    parser.add_argument("--resume", action="store_true", help="go on from the latest checkpoints in --checkpoints")
    parser.add_argument(
        "--from", dest="begin", type=outputs.file, metavar="FILE", help="begin at a checkpoint, whoever wrote it"
    )
    parser.add_argument(
        "--experiment",
        action="append",
        default=[],
        choices=(PARITY, RELU_TANH, LRN),
        help="what is run; may be repeated; default: parity, all implementations side by side",
    )
    parser.add_argument("--seeds", type=positive, default=3, metavar="N", help="of an experiment; default: 3")
    parser.add_argument("--jobs", type=positive, metavar="N", help="processes at a time; default: one for each core")
    parser.add_argument(
        "--timeout", type=seconds, default=600.0, metavar="S", help="end what is silent for so long; default: 600"
    )
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda", "auto"), help="default: cpu")
    parser.add_argument("--json", type=outputs.file, metavar="FILE", help="what was found, step by step, as JSON")
    parser.add_argument("--report", type=outputs.file, metavar="FILE", help="a Markdown report with figures beside it")


def run(options: argparse.Namespace) -> int:
    """The command; returns the exit status: 0 done, 1 an implementation crashed or diverged."""
    from ..evaluate.errors import Failed, Unusable
    from ..train.result import Outcome

    data = "" if options.data == DIGITS else options.data
    inputs = (data, options.begin, *targets.read(options.impl))
    outputs.check([path for path in (options.json, options.report) if path], inputs, options.report)
    check_usage(options)
    try:
        outcome = Outcome()
        asked = [(one, *prepared(options, one)) for one in options.experiment or [PARITY]]
        for experiment, samples, recipe in asked:
            if experiment == PARITY:
                outcome.parity = side_by_side(options, samples, recipe)
            else:
                outcome.experiments[experiment] = of_seeds(options, experiment, samples, recipe)
    except Unusable as error:
        raise Usage(str(error)) from None
    except Failed as error:
        return told(f"{error}{kept(options)}", BAD)
    except KeyboardInterrupt:
        if not options.checkpoints:
            raise
        return told(f"interrupted{kept(options)}", INTERRUPTED)
    if options.checkpoints:
        outputs.WRITTEN.append(options.checkpoints)
    return finish(outcome, options)


def check_usage(options: argparse.Namespace) -> None:
    """Raise Usage for options that do not go together."""
    from ..train.prediction import STUDENT

    if options.resume and not options.checkpoints:
        raise Usage("--resume needs the folder of the run that it continues: add --checkpoints DIR")
    if options.draws > max(STUDENT) + 1:
        raise Usage(f"--draws {options.draws}: expected {max(STUDENT) + 1} at most")
    if (options.checkpoints or options.begin) and options.experiment and PARITY not in options.experiment:
        raise Usage("--checkpoints and --from are of the run side by side; add --experiment parity")
    if repeated := {one for one in options.experiment if options.experiment.count(one) > 1}:
        raise Usage(f"--experiment {', '.join(sorted(repeated))} is given twice")


def kept(options: argparse.Namespace) -> str:
    if not options.checkpoints:
        return ""
    return f"; checkpoints are kept in {options.checkpoints}: the same command with --resume goes on"


def prepared(options: argparse.Namespace, experiment: str) -> tuple[Samples, Recipe]:
    """The data and the recipe; raises Usage or Unusable before anything is trained."""
    from ..train import data, recipe

    network = named_variant(options.variant or OF_EXPERIMENT[experiment])
    rates = recipe.parse_rates(options.rate)
    samples = data.open_samples(options.data, network)
    return samples, recipe.Recipe(
        network.name,
        samples.digest,
        rates,
        options.batch,
        options.seed,
        options.dropout,
        flips=samples.flips,
    )


@contextlib.contextmanager
def folder(given: Path | None) -> Iterator[Path]:
    """The folder that was asked for, or one that is gone afterwards."""
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="alexnet-parity-") as scratch:
        yield Path(scratch)


def jobs(options: argparse.Namespace) -> int:
    return int(options.jobs or os.cpu_count() or 1)


# Side by side --------------------------------------------------------------------------------------------------------


def side_by_side(options: argparse.Namespace, samples: Samples, recipe: Recipe) -> dict[str, Any]:
    """Train everybody, with a line on a terminal; what was found."""
    from ..train import comparison, result
    from ..train import run as training

    chosen = tuple(targets.chosen(options.impl))
    every = options.every or max(1, options.steps // 20)
    asked = training.Request(
        recipe,
        samples,
        chosen,
        options.steps,
        every,
        options.draws,
        options.begin,
        options.resume,
        options.device,
        jobs(options),
        options.timeout,
    )
    with folder(options.checkpoints) as place, folder(None) as images, training.held(place):
        prepared_run = training.prepare(asked, place)
        samples.save(images)
        watch(prepared_run, images)
        for note in prepared_run.notes:
            told(f"note: {note}", GOOD)
        refuse_the_named(options, prepared_run)
        return result.parity(prepared_run, comparison.compare(prepared_run))


def watch(prepared_run: Run, images: Path) -> None:
    """Train, with a line on a terminal."""
    from ..train import run as training

    total, done = len(prepared_run.plans), 0
    with Progress(f"starting {', '.join(plan.name for plan in prepared_run.plans)}") as progress:
        for heard in training.train(prepared_run, images):
            done += heard.event.kind == "done"
            if heard.event.kind == "step" and heard.event.array is not None:
                loss = float(heard.event.array[0])
                progress.write(
                    f"[{done}/{total} done] {heard.plan.name}: step {heard.event.name} of {heard.plan.steps}, loss {loss:.4f}"
                )


def refuse_the_named(options: argparse.Namespace, prepared_run: Run) -> None:
    """An implementation that was asked for by name and cannot be trained is an error; of the default ones it is told."""
    for impl, (_, why) in prepared_run.ended.items():
        if impl in options.impl:
            raise Usage(f"{impl}: {why}")
        told(f"note: {impl}: {why}", GOOD)


# Experiments ---------------------------------------------------------------------------------------------------------


def of_seeds(options: argparse.Namespace, experiment: str, samples: Samples, recipe: Recipe) -> dict[str, Any]:
    """One experiment, with a line on a terminal; what was found."""
    from ..train import experiments

    asked = experiments.Asked(
        experiment,
        recipe,
        samples,
        trainer(options),
        options.steps,
        options.seeds,
        options.device,
        jobs(options),
        options.timeout,
    )
    found = None
    with folder(None) as scratch, Progress(f"{experiment}: starting") as progress:
        for so_far, heard in experiments.run(asked, scratch):
            found = so_far
            if heard.event.kind == "step":
                progress.write(f"{experiment}: {heard.plan.name}: step {heard.event.name} of {heard.plan.steps}")
    assert found is not None
    return found.as_dict()


def trainer(options: argparse.Namespace) -> Target | None:
    """The implementation that an experiment is run with: the first that was named, or the quickest that can run here."""
    from ..impls import find

    if options.impl:
        return targets.chosen(options.impl)[0]
    return next((find.find(impl) for impl in QUICK if impl in find.runnable()), None)


# The end -------------------------------------------------------------------------------------------------------------


def finish(outcome: Outcome, options: argparse.Namespace) -> int:
    """Write what was asked for, show what was found, return the exit status."""
    from ..reports import files

    with outputs.writing():
        if options.json:
            files.write(options.json, outcome.as_json())
        if options.report:
            from ..reports import training as report  # pandas and matplotlib, only where a report is wanted

            report.write(outcome, options.report)
    say(lines(outcome))
    return GOOD


def lines(outcome: Outcome) -> Iterator[str]:
    """What was found, for a terminal."""
    if outcome.parity:
        yield from of_parity(outcome.parity)
    for found in outcome.experiments.values():
        yield from of_experiment(found)


def of_parity(found: dict[str, Any]) -> Iterator[str]:
    from tabulate import tabulate

    from ..train.prediction import SHOWS
    from ..train.run import ORACLE, ROUNDING

    rows = []
    for who, losses in found["losses"].items():
        if who.startswith(f"{ROUNDING}-"):
            continue
        parts = found["parts"][who]
        rows.append(
            (
                who,
                f"{losses[-1]:.6f}",
                "" if who == ORACLE else f"{found['distance'][who][-1]:.2e}",
                "" if who == ORACLE else "never" if parts is None else f"step {parts + 1}",
                *(f"{error['wrong']} of {error['of']}" for error in found["errors"][who][-1:]),
            )
        )
    heads = ("", "last loss", "weights from float64", f"loss parts by {SHOWS:g}", "wrong in test")
    yield f"{found['recipe']['variant']} on {found['data']['about']}, {found['steps']} steps of {found['recipe']['batch']}"
    yield from (line.rstrip() for line in tabulate(rows, heads, disable_numparse=True).splitlines())
    prediction = found["prediction"]
    if prediction and prediction["interval"]:
        low, high = prediction["interval"]
        yield f"predicted from {len(prediction['parts'])} draws of rounding: parts between step {low:.0f} and {high:.0f}"


def of_experiment(found: dict[str, Any]) -> Iterator[str]:
    from tabulate import tabulate

    asked = found["asked"]
    rows = [
        (arm, f"{found['chosen'][arm]:g}", spread(of["steps_to_25"], 1, ".0f"), spread(of["test_error"], 100, ".1f"))
        for arm, of in found["summary"].items()
    ]
    heads = ("", "rate", "steps to 25 % training error", "% wrong in test")
    yield f"{found['name']}: {asked['variant']} on {asked['data']}, by {found['by']}, {asked['seeds']} seeds"
    yield from (line.rstrip() for line in tabulate(rows, heads, disable_numparse=True).splitlines())


def spread(value: dict[str, float] | None, scale: float, form: str) -> str:
    if value is None:
        return "not reached"
    return f"{scale * value['mean']:{form}} +- {scale * value['std']:{form}}"
