"""Section 6, Table 2: the two entries of ILSVRC-2012, what they were made of, and the entry after them."""

from __future__ import annotations

from ...reference.claims import published, published_results
from .verdict import Facts, Outcome, Verdict, decides, holds_if


def percent(share: float) -> float:
    """As the paper prints an error: percent, one digit."""
    return round(100 * share, 1)


def parts(entry: published.Entry) -> list[str]:
    """The nets in an entry's file name: test-preds-141-146.2009-131 -> 141, 146.2009, 131."""
    return entry.file.removeprefix("test-preds-").split("-")


def ours() -> tuple[published.Entry, published.Entry]:
    """The authors' two entries: (with extra data, with the supplied data only)."""
    first, second = sorted(
        (e for e in published.ENTRIES_2012 if e.team == "SuperVision"), key=lambda entry: entry.error
    )
    return first, second


def test_error(entry: published.Entry, printed: float, count: int) -> Outcome:
    nets = parts(entry)
    says = (
        f"The contest's page has {entry.error:.5f} for {entry.file} ({len(nets)} nets), rounded {percent(entry.error)}%"
    )
    return holds_if(percent(entry.error) == printed and len(nets) == count, f"{says}; the paper: {printed}%.")


@decides("res-2012-5cnn-test")
def five_nets(_: Facts) -> Outcome:
    return test_error(ours()[1], 16.4, 5)


@decides("res-2012-7cnn-test")
def seven_nets(_: Facts) -> Outcome:
    return test_error(ours()[0], 15.3, 7)


def logged(facts: Facts, net: str) -> float | None:
    """The ten-view top-5 error on the 2012 validation set that was logged for a net of the entries."""
    recorded = {
        "131": "logged-131",
        "135": "logged-135",
        "141": "logged-141-2012-2009",
        "146.2009": "logged-146-2012-2009",
    }
    if net in recorded:
        return facts.original.fact(recorded[net])["top5"]
    if net == "145":
        return facts.original.notes("145").runs[0].results[0].top5
    if net == "146.2011":
        return facts.original.notes("146-2012-2011").result("validation", "multiview").top5
    if net == "137":
        return facts.original.notes("137").run("2012").results[0].top5
    return None


def validation_of(facts: Facts, entry: published.Entry, printed: float) -> Outcome:
    """Not logged. Known: the single nets' errors, and the test error, which the validation error is near."""
    alone = {net: error for net in parts(entry) if (error := logged(facts, net)) is not None}
    best = min(alone.values())
    says = (
        f"Not logged. Of its nets {', '.join(alone)} logged {100 * best:.2f}% to {100 * max(alone.values()):.2f}% alone; "
        f"together {100 * entry.error:.2f}% on the test set, near the {printed}% of the claim."
    )
    return Outcome(Verdict.NOT_CHECKABLE, says)


@decides("res-2012-5cnn-val")
def five_nets_validation(facts: Facts) -> Outcome:
    return validation_of(facts, ours()[1], 16.4)


@decides("res-2012-7cnn-val")
def seven_nets_validation(facts: Facts) -> Outcome:
    return validation_of(facts, ours()[0], 15.4)


@decides("res-2012-5cnn-similar")
def similar_nets(facts: Facts) -> Outcome:
    """Three of the five are of the family of 137, which has a second, low-resolution path."""
    paper, sibling = facts.original.net("145"), facts.original.net("137")
    first = [
        sum(layer.filters or 0 for layer in net.of_type("conv") if "conv1" in layer.name) for net in (paper, sibling)
    ]
    counts = [net.parameter_count() for net in (paper, sibling)]
    extra = sorted({layer.type for layer in sibling.layers} - {layer.type for layer in paper.layers})
    nets = ", ".join(parts(ours()[1]))
    if counts[0] == counts[1] and not extra:
        return Outcome(Verdict.HOLDS, f"The five are {nets}; 137 has the {counts[0]:,} parameters of 145.")
    says = (
        f"The five are {nets}. 137, like 131 and 135, has {' and '.join(extra) or 'other'} layers, {first[1]} instead of "
        f"{first[0]} conv1 maps, {counts[1]:,} instead of {counts[0]:,} parameters; avg-test.py takes any weights. The paper "
        "does not say how similar."
    )
    return Outcome(Verdict.UNDERSPECIFIED, says)


@decides("res-7cnn-composition")
def composition(_: Facts) -> Outcome:
    seven, five = (parts(entry) for entry in ours())
    missing = [net for net in five if net not in seven]
    added = [net for net in seven if net not in five]
    fall_2011 = [net for net in added if published_results.PRETRAINED.get(net) == "Fall 2011"]
    pretrained = {net: published_results.PRETRAINED.get(net) for net in added}
    origin = ", ".join(
        f"{net} (by the notes {f'on {on}' if on else 'not'} pre-trained)" for net, on in pretrained.items()
    )
    says = f"The winning file's name adds {origin} to the five nets and lacks {', '.join(missing) or 'none'} of them."
    return holds_if(not missing and len(fall_2011) == len(added) == 2, says)


@decides("res-second-method")
def second_entry(_: Facts) -> Outcome:
    entry = published.best(other_than="SuperVision")
    features = [
        name for name in ("SIFT", "LBP", "GIST", "CSIFT", "HOG") if name in entry.about.replace(",", " ").split()
    ]
    says = f"The page says of {entry.team}'s entry ({entry.error:.5f}): {entry.about}"
    return holds_if(len(features) > 1 and "sum" in entry.about and "Fisher vector" in entry.about, f"{says}.")
