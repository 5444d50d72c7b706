"""`evaluate`: accuracy and agreement of implementations on a data set and weights that the user has."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from . import outputs, targets
from .main import BAD, GOOD, INTERRUPTED, Usage, named_variant, natural, say, told
from .progress import Progress

NAMED = 5  # images that could not be decoded


def add_parser(commands: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = commands.add_parser("evaluate", help="accuracy and agreement on your data, with your weights")
    targets.add_option(parser)
    parser.add_argument("--variant", default="paper", metavar="V", help="default: paper")
    parser.add_argument("--weights", type=name, required=True, metavar="FILE", help=".npz, .safetensors or .caffemodel")
    parser.add_argument(
        "--data",
        type=name,
        required=True,
        metavar="DIR",
        help="CIFAR-10 (python or binary version), a folder of images for each class, or images with a file of labels",
    )
    parser.add_argument("--split", default="", choices=("test", "train"), help="of CIFAR-10; default: test")
    parser.add_argument("--labels", type=name, metavar="FILE", help="a label, or a name and a label, a line; from 0")
    parser.add_argument(
        "--views", type=int, default=1, choices=(1, 10), help="the centre, or the paper's ten patches; default: 1"
    )
    parser.add_argument("--batch", type=positive, default=32, metavar="N", help="images at a time; default: 32")
    parser.add_argument(
        "--mean",
        default="",
        metavar="FILE|R,G,B",
        help="subtracted, in grey levels: an image (.npy in R, G, B, or .binaryproto) or a number for each channel; "
        "default: the data set's published channel means",
    )
    parser.add_argument(
        "--mean-rule",
        default="aligned",
        choices=("aligned", "central"),
        help="of a mean image, subtract the part that a view shows (the paper), or always its centre (the authors' code)",
    )
    parser.add_argument("--std", default="1,1,1", metavar="R,G,B", help="divided by, after the mean; default: 1,1,1")
    parser.add_argument("--limit", type=positive, metavar="N", help="the first N images only")
    parser.add_argument(
        "--ties",
        default="fractional",
        choices=("fractional", "against", "index"),
        help="equally probable classes: share the place (the authors' code), count against (Caffe), or by index",
    )
    parser.add_argument(
        "--state", type=outputs.file, metavar="FILE", help="finished batches; the same command goes on from it"
    )
    parser.add_argument("--json", type=outputs.file, metavar="FILE", help="the outcome, image by image, as JSON")
    parser.add_argument("--report", type=outputs.file, metavar="FILE", help="a Markdown report")
    parser.add_argument("--engine", default="local", choices=("local", "dask"), help="default: local")
    parser.add_argument("--scheduler", default="", metavar="ADDRESS", help="of a running Dask cluster")
    parser.add_argument("--workers", type=positive, metavar="N", help="of a Dask cluster on this machine; default: 1")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda", "auto"), help="default: cpu")


def name(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("found '', expected a name")
    return text


def positive(text: str) -> int:
    value = natural(text)
    if value == 0:
        raise argparse.ArgumentTypeError("found 0, expected a whole number above 0")
    return value


def run(options: argparse.Namespace) -> int:
    """The command; returns the exit status: 0 done, 1 an implementation crashed or an image could not be decoded."""
    from ..evaluate import evaluation
    from ..evaluate.errors import Failed, Unusable

    written = [path for path in (options.json, options.report, options.state) if path]
    inputs = (options.weights, options.data, options.labels, options.mean, *targets.read(options.impl))
    outputs.check(written, inputs)
    try:
        asked = evaluation.prepare(request(options))
        with evaluation.state_of(asked, options.state) as state:
            try:
                watch(options, asked, state)
            except KeyboardInterrupt:
                if not options.state:
                    raise
                return told(f"interrupted; {kept(options)}", INTERRUPTED)
            except Failed as error:
                return told(f"{error}{f'; {kept(options)}' if options.state else ''}", BAD)
            if options.state:
                outputs.WRITTEN.append(options.state)
            return finish(evaluation.outcome(asked, options.ties, state), options)
    except Unusable as error:
        raise Usage(str(error)) from None


def kept(options: argparse.Namespace) -> str:
    return f"finished batches are kept in {options.state}: the same command goes on"


def request(options: argparse.Namespace) -> Any:
    """What the options ask for; every unknown name is told before anything is read."""
    from ..evaluate import mean
    from ..evaluate.dataset import Source
    from ..evaluate.evaluation import Request

    if options.engine != "dask" and (options.scheduler or options.workers):
        raise Usage("--scheduler and --workers are Dask's; add --engine dask")
    if options.scheduler and options.workers:
        raise Usage("--workers is of a cluster on this machine, --scheduler names another; give one of them")
    network = named_variant(options.variant)
    chosen = targets.at_least_one(options.impl)
    std = mean.three(options.std, "--std")
    if min(std) <= 0:
        raise Usage(f"--std: found {options.std}, expected three numbers above 0")
    data = Source(options.data, options.split, options.labels or "")
    return Request(
        chosen,
        network,
        options.weights,
        data,
        views=options.views,
        batch=options.batch,
        mean=options.mean,
        mean_rule=options.mean_rule,
        std=std,
        limit=options.limit,
        device=options.device,
    )


def watch(options: argparse.Namespace, asked: Any, state: Any) -> None:
    """Run what is not done yet, with a line on a terminal."""
    from ..evaluate import engines, evaluation

    if not state.to_do():
        return
    local = options.engine == "local"
    chosen = engines.Local(asked.jobs) if local else engines.Dask(asked.jobs, options.scheduler, options.workers or 1)
    progress = Progress(f"starting {', '.join(target.name for target in asked.targets)}")
    with progress, chosen as engine, closing(evaluation.evaluate(asked, engine, state)) as steps:
        for done in steps:
            progress.write(f"[{done}/{len(state.plan)} batches] {', '.join(job.target.name for job in asked.jobs)}")


def finish(outcome: Any, options: argparse.Namespace) -> int:
    """Write what was asked for, show the outcome, return the exit status."""
    from ..reports import files

    with outputs.writing():
        if options.json:
            files.write(options.json, outcome.as_json())
        if options.report:
            from ..reports import evaluation as report  # pandas, only where a report is wanted

            report.write(outcome, options.report)
    found = outcome.summary
    say(lines(found))
    if lost := [image["name"] for image in found["unreadable"]]:
        more = f" and {len(lost) - NAMED:,} more (the JSON has them)" if len(lost) > NAMED else ""
        names = f"{', '.join(lost[:NAMED])}{more}"
        return told(f"could not decode {len(lost):,} images, which are not counted: {names}", BAD)
    return GOOD


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The data, a line for each implementation, and the agreement."""
    run = found["run"]
    yield (
        f"{run['variant']} on {found['images_evaluated']:,} images ({run['data']['format']}), {run['views']} view(s), "
        f"ties: {found['ties']['rule']}"
    )
    for impl, counts in found["accuracy"].items():
        top1, top5 = counts["top1"], counts["top5"]
        right = [
            f"{name} {top['share']:.3%} ({top['right']:,g} right)" for name, top in (("top-1", top1), ("top-5", top5))
        ]
        yield f"{impl:<22} {'  '.join(right)}"
    same = found["agreement"]
    if len(found["accuracy"]) > 1:
        largest = same["largest_difference"]
        yield (
            f"agreement: top-1 on {same['top1']:,}, top-5 on {same['top5']:,} of {same['images']:,} images; probabilities "
            f"differ by at most {largest['difference']:.3g} ({largest['name']})"
        )
