"""Section 6: logged error rates against the paper's. It binds the checks of `ensembles.py` and `discussion.py` too."""

from __future__ import annotations

from ...reference.claims import published_results
from ...reference.original_code.notes import Result
from . import discussion, logged  # noqa: F401  (discussion binds its checks)
from .ensembles import percent
from .verdict import Facts, Outcome, Verdict, decides, holds_if

FALL_2009 = 8.9e6  # images, by the paper


def both(top1: float, top5: float) -> str:
    return f"{100 * top1:.2f}% and {100 * top5:.2f}%"


def agrees(result: Result, top1: float, top5: float, where: str) -> Outcome:
    """A logged result against two printed figures."""
    printed = (percent(result.top1), percent(result.top5))
    says = f"{where} (line {result.line}) log {both(result.top1, result.top5)}, rounded {printed[0]}% and {printed[1]}%"
    return holds_if(printed == (top1, top5), f"{says}; the paper: {top1}% and {top5}%.")


# Table 1 -----------------------------------------------------------------------------------------------------------------


@decides("res-2010-centre-patch")
def centre_patch(facts: Facts) -> Outcome:
    notes = facts.original.notes("145-2010")
    return agrees(notes.result("test", "centre", "2010"), 39.0, 18.3, "The notes of 145 on 2010")


def half_known(known: float, printed: float, says: str, missing: str) -> Outcome:
    """One of two figures can be compared: wrong there is wrong, right there is not yet right."""
    if percent(known) != printed:
        return Outcome(Verdict.CONTRADICTED, f"{says} {percent(known)}%, the paper {printed}%.")
    return Outcome(
        Verdict.UNDERSPECIFIED, f"{says} {percent(known)}%, as the paper has it; {missing} could not be compared."
    )


@decides("res-2010-sparse-coding")
def sparse_coding(_: Facts) -> Outcome:
    """The abstract of the next record says by how much it improved on the one before."""
    after, gain = published_results.SIGNATURES_TOP5, published_results.SIGNATURES_IMPROVEMENT
    says = f"The next record was {100 * after:.1f}% top-5 accuracy, {100 * gain:.1f} points better. The one before: an error of"
    return half_known(1 - after + gain, 28.2, says, "the top-1 error")


@decides("res-2010-fisher")
def fisher_vectors(_: Facts) -> Outcome:
    accuracy = published_results.SIGNATURES_TOP5
    says = f"Its abstract gives {100 * accuracy:.1f}% top-5 accuracy, an error of"
    return half_known(1 - accuracy, 25.7, says, "the top-1 error")


# Table 2 -----------------------------------------------------------------------------------------------------------------


@decides("res-2012-1cnn")
def one_net(facts: Facts) -> Outcome:
    """The line of the run is not labelled; that it is the validation set rests on the figures' agreement."""
    runs = facts.original.notes("145").runs
    outcome = agrees(runs[0].results[0], 40.7, 18.2, "The notes of 145 on 2012")
    later = runs[-1].results[-1]
    says = f"{outcome.evidence} Resumed to epoch {runs[-1].stopped():g} it logged {both(later.top1, later.top5)}, not used. "
    says += (
        "The line names neither set nor views: that it is this one rests on the agreement itself, and on the note of 148, "
        "which calls 148 1.4 points worse than 145."
    )
    return Outcome(outcome.verdict, says)


@decides("res-2012-1cnn-star")
def pretrained_net(facts: Facts) -> Outcome:
    result = facts.original.notes("146-2012-2011").result("validation", "multiview")
    return agrees(result, 39.0, 16.6, "The notes of 146 on 2012 after Fall 2011")


@decides("res-star-pretraining-path")
def pretraining_path(facts: Facts) -> Outcome:
    path, batch = published_results.PRETRAINING, facts.original.fact("largest-batch-146-2011")
    run = facts.original.notes("146-2012-2011").run("2011")
    outputs = sum(facts.original.fact("outputs-146-2011"))
    bottleneck = " + ".join(map(str, facts.original.fact("bottleneck-146-2011")))
    says = (
        f"By the notes: {', then '.join(path)}. The Fall 2011 net has {outputs:,} outputs behind a linear layer of {bottleneck} "
        f"units and was stopped in epoch {int(run.stopped() or 0)}, at batch {batch:,}; the paper tells of two steps."
    )
    return Outcome(Verdict.HOLDS if path == ("Fall 2011", "ILSVRC-2012") else Verdict.UNDERSPECIFIED, says)


@decides("res-sixth-conv")
def sixth_convolution(facts: Facts) -> Outcome:
    net = facts.original.net("146-2012-2011")
    levels = logged.levels(net.of_type("conv"))
    last = [layer for layer in net.of_type("conv") if layer.name[:-1] == levels[-1]]
    read = sorted({name for layer in last for name in layer.inputs})
    pools = sorted(layer.name for layer in net.of_type("pool"))[-2:]
    says = "; ".join(f"{x.name}: {x.filters} kernels of {x.filterSize[0]} x {x.filterSize[0]}" for x in last)
    return holds_if(
        len(levels) == 6 and read == pools,
        f"{len(levels)} levels of convolutions; {says}, reading {', '.join(read)}.",
    )


# Both sets -----------------------------------------------------------------------------------------------------------

TABLE_2 = {"5 CNNs": (16.4, 16.4), "7 CNNs*": (15.4, 15.3)}  # top-5 error on the validation and the test set


@decides("res-val-test-within-0p1")
def validation_and_test(facts: Facts) -> Outcome:
    """Table 2 has only top-5 errors on both; the notes of 137 on 2010 have both errors on both sets."""
    table = max(abs(validation - test) for validation, test in TABLE_2.values())
    notes = facts.original.notes("137")
    pair = [notes.result(split, "multiview", "2010") for split in ("validation", "test")]
    top1, top5 = (100 * abs(getattr(pair[0], field) - getattr(pair[1], field)) for field in ("top1", "top5"))
    says = f"Table 2: up to {table:.1f} points (top-5). Net 137 on 2010, validation against test: {top1:.2f} points of top-1"
    verdict = (
        Verdict.CONTRADICTED if table > 0.1001 else Verdict.HOLDS if max(top1, top5) <= 0.1 else Verdict.UNDERSPECIFIED
    )
    return Outcome(verdict, f"{says} and {top5:.2f} of top-5.")


# Fall 2009 ---------------------------------------------------------------------------------------------------------------


@decides("res-2009-10184")
def categories_2009(facts: Facts) -> Outcome:
    outputs = facts.original.fact("outputs-146-2009")
    return holds_if(outputs == 10184, f"The net for Fall 2009 has {outputs:,} outputs.")


@decides("res-2009-8p9m")
def images_2009(facts: Facts) -> Outcome:
    """The batch files bound the number from above; the last one may be part full."""
    files, each = facts.original.fact("largest-batch-2009"), facts.original.fact("images-per-batch-file")
    says = f"The notes call the set batches 1 to {files}: {files} x {each} = {files * each / 1e6:.2f} million images at most"
    if files * each < FALL_2009:
        return Outcome(Verdict.CONTRADICTED, f"{says}.")
    return Outcome(Verdict.NOT_CHECKABLE, f"{says}, which agrees, but does not say how many.")


WHICH = (
    "The first is noted as trained on half; the second gave other nets their first weights. Which net has the 67.4%, and on "
    "what it was tested, is not logged."
)


@decides("res-2009-half-split")
def half_split(facts: Facts) -> Outcome:
    """A net trained on half of the images never reads a batch file beyond the middle."""
    middle = FALL_2009 / facts.original.fact("images-per-batch-file") / 2
    largest = {net: facts.original.fact(f"largest-batch-{net}") for net in ("141-2009-half", "146-2009")}
    within = [net for net, batch in largest.items() if batch <= middle]
    says = " and ".join(f"{net} read batch {batch}" for net, batch in largest.items())
    verdict = {0: Verdict.CONTRADICTED, len(largest): Verdict.HOLDS}.get(len(within), Verdict.UNDERSPECIFIED)
    return Outcome(verdict, f"Half of 8.9 million images end at batch {middle:.0f}: {says}. {WHICH}")


@decides("res-2009-67p4-40p9")
def errors_2009(_: Facts) -> Outcome:
    said = "; ".join(f"{net} {both(*errors)}" for net, errors in published_results.LOGGED_2009.items())
    best = min(top1 for top1, _ in published_results.LOGGED_2009.values())
    says = (
        "No figure is logged for a net of six convolutions; the note of 141-2009-half, which is not the net described, calls its "
        f"test error a bit worse than that of 131. Logged for nets of five: {said}; the claim is"
    )
    return Outcome(Verdict.NOT_CHECKABLE, f"{says} {100 * best - 67.4:.1f} points of top-1 better.")


@decides("res-2009-best-published")
def best_published(_: Facts) -> Outcome:
    before = 100 * (1 - published_results.SIGNATURES_10K_TOP1)
    says = f"Not found on a public page. In 2011 a top-1 error of {before:.1f}% was published on some 10,000 classes of"
    return Outcome(Verdict.NOT_CHECKABLE, f"{says} ImageNet, {before - 78.1:.1f} points more.")
