"""Verdicts on Section 2: the data and what is done to it."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from ...reference import draws, preprocessing
from ...reference.claims import published
from ...reference.original_code.notes import Result
from ...reference.spec import Softmax
from . import frameworks, logged
from .verdict import Facts, Outcome, Verdict, decides, holds_if

Array = np.ndarray
IMAGES, CATEGORIES = 15_000_000, 22_000  # of ImageNet, as the paper has them
SPLITS = (1_200_000, 50_000, 150_000)
SIDE, TOP = 256, 5


@decides("data-imagenet-15m-22k")
def imagenet(facts: Facts) -> Outcome:
    outputs = sum(facts.original.fact("outputs-146-2011"))
    per_file = facts.original.fact("images-per-batch-file")
    images = facts.original.fact("largest-batch-146-2011") * per_file
    rounded = round(outputs, -3) == CATEGORIES
    evidence = (
        f"The authors' net for the release of Fall 2011 has {outputs:,} outputs: "
        f"{'22,000 when rounded' if rounded else 'not 22,000 even when rounded'}, "
        f"{'over' if outputs > CATEGORIES else 'not over'} 22,000. The last batch file that its notes name ends "
        f"at image {images:,} if each holds {per_file:,}, {'consistent with' if images <= IMAGES else 'beyond'} "
        f"{IMAGES / 1e6:.0f} million."
    )
    if not rounded:
        return Outcome(Verdict.CONTRADICTED, evidence)
    return Outcome(Verdict.HOLDS if outputs > CATEGORIES else Verdict.UNDERSPECIFIED, evidence)


@decides("data-ilsvrc-pascal")
def contest(_: Facts) -> Outcome:
    page = published.CONTEST_2010
    evidence = (
        f"The page of ILSVRC-{page.year} says that it was held as a taster competition with the {page.held_with}; the "
        "organisers thank PASCAL VOC for its partnership from 2010 to 2012."
    )
    return holds_if(page.year == 2010 and "PASCAL" in page.held_with, evidence)


@decides("data-1000-per-class")
def images_per_class(_: Facts) -> Outcome:
    page = published.CONTEST_2010
    each = page.training / page.categories
    evidence = (
        f"{page.training:,} training images in {page.categories} categories are {each:,.0f} each on average, "
        f"{100 * (each / 1000 - 1):.0f}% above the round number."
    )
    return holds_if(page.categories == 1000 and round(each, -3) == 1000, evidence)


def rates(facts: Facts) -> dict[int, list[float]]:
    """Every logged error rate over ten views by the number of images that it was measured on, as far as the notes say."""
    found: dict[int, set[Result]] = {logged.TEST_2010: set(), logged.VALIDATION: set()}
    for notes in facts.original.notes_by_name.values():
        for run in notes.runs:
            for result in (r for r in run.results if r.views == "multiview"):
                if result.split == "test" and run.data == "2010":
                    found[logged.TEST_2010].add(result)
                elif result.split == "validation":
                    found[logged.VALIDATION].add(result)
    return {images: [rate for r in results for rate in (r.top1, r.top5)] for images, results in found.items()}


@decides("data-split-sizes")
def splits(facts: Facts) -> Outcome:
    page = published.CONTEST_2010
    found = rates(facts)
    whole = {images: sum(logged.whole(rate, images) for rate in logs) for images, logs in found.items()}
    first, last = facts.original.fact("test-batches-2010")
    per_file = facts.original.fact("images-per-batch-file")
    files = last - first + 1
    evidence = (
        f"The page of ILSVRC-2010 states {page.training:,}, {page.validation:,} and {page.test:,}. "
        + " and ".join(
            f"{whole[images]} of {len(logs)} logged ten-view error rates are whole numbers of {images:,} images"
            for images, logs in found.items()
        )
        + f"; the {files} batch files of the 2010 test set hold up to {files * per_file:,}. "
        f"(The test set of 2012 was smaller: {facts.original.fact('test-batches-2012')} files.)"
    )
    logs_agree = all(whole[images] == len(logs) > 0 for images, logs in found.items())
    return holds_if(
        (page.training, page.validation, page.test) == SPLITS
        and logs_agree
        and files == math.ceil(SPLITS[2] / per_file),
        evidence,
    )


EXPERIMENTS = {"headline": "145-2010", "one GPU": "145-half", "no normalisation": "148", "pooling": "147"}


@decides("data-most-on-2010")
def year_of_experiments(facts: Facts) -> Outcome:
    split = {name: logged.error(facts.original, notes).split for name, notes in EXPERIMENTS.items()}
    on_test = [name for name, where in split.items() if where == "test"]
    elsewhere = [name for name in split if name not in on_test]
    if not elsewhere:
        return Outcome(Verdict.HOLDS, f"All {len(split)} experiments were scored on the test set of ILSVRC-2010.")
    evidence = (
        f"Scored on the test set of ILSVRC-2010: {', '.join(on_test) or 'none'}. On the validation set of 2012, "
        f"which the text does not say: {', '.join(elsewhere)}."
    )
    evidence += " (Their notes name no year; the figures are those of 2012.)"
    return Outcome(Verdict.UNDERSPECIFIED if on_test else Verdict.CONTRADICTED, evidence)


def credit(scores: Array, label: int, ties: str) -> float:
    """How right a label is among the TOP largest scores: 1, 0, or with `ties` "shared" a part of 1."""
    above, equal = int((scores > scores[label]).sum()), int((scores == scores[label]).sum())
    left = TOP - above
    match ties:
        case "shared":  # the authors': the places left are shared among all that are equal
            return min(1.0, max(0.0, left / equal))
        case "against":  # Caffe's: all equal ones come before
            return float(equal <= left)
    return float(label in np.argsort(-scores, kind="stable")[:TOP])  # the smallest index first


@decides("data-top5-definition")
def top5(facts: Facts) -> Outcome:
    rules = ("shared", "against", "index")
    network = frameworks.chain((23,), Softmax("prob"))
    logits = draws.normal(0, "claims/top5", (7, 23), 2.0)
    runs = frameworks.run(facts, network, logits)
    ranked = [np.argsort(-row) for row in logits]
    right = [
        who
        for who, probabilities in runs.of("prob").items()
        if all(
            credit(p, order[TOP - 1], rule) == 1 and credit(p, order[TOP], rule) == 0
            for p, order in zip(probabilities, ranked, strict=True)
            for rule in rules
        )
    ]
    wrong = [who for who in runs.outputs if who not in right]
    tied = np.array([9, 8, 7, 6, 5, 5, 4.0])  # two labels share the fifth place
    tie = {rule: [credit(tied, label, rule) for label in (4, 5)] for rule in rules}
    k = facts.original.net("145").layer("logprob").topk
    evidence = (
        f"The label ranked fifth counts as right and the sixth as wrong, ranked by softmax: {runs.said(wrong)}. The "
        f"authors score the top {k}. Ties are not mentioned: two labels sharing the fifth place get {tie['shared'][0]:g} "
        f"each in the authors' code, {tie['against'][0]:g} in Caffe, {tie['index'][0]:g} and {tie['index'][1]:g} by index."
    )
    return holds_if(k == TOP and not wrong, evidence)


def ramps(width: int, height: int) -> Image.Image:
    """Red rises from left to right, green from top to bottom, both from 0 to 255."""
    across, down = np.linspace(0, 255, width), np.linspace(0, 255, height)
    red, green = np.broadcast_to(across, (height, width)), np.broadcast_to(down[:, None], (height, width))
    return Image.fromarray(np.stack([red, green, np.zeros_like(red)], axis=2).round().astype(np.uint8))


@decides("data-256-short-side")
def shorter_side(facts: Facts) -> Outcome:
    pixels = preprocessing.shorter_side(ramps(3 * SIDE, SIDE // 2))  # twice as large in both directions, then cropped
    same_size = preprocessing.shorter_side(ramps(SIDE + 100, SIDE))
    middle = np.asarray(ramps(SIDE + 100, SIDE), np.float32)[:, 50:-50].transpose(2, 0, 1)
    slopes = [np.polyfit(np.arange(SIDE), pixels[c].mean(axis=axis), 1)[0] for c, axis in ((0, 0), (1, 1))]
    before = [255 / (3 * SIDE - 1), 255 / (SIDE // 2 - 1)]
    scales = [b / s if s else math.inf for b, s in zip(before, slopes, strict=True)]
    side = facts.original.fact("image-side")
    aspect_kept = all(abs(scale - 2) < 0.02 for scale in scales)
    evidence = (
        f"A synthetic image of {3 * SIDE} x {SIDE // 2} pixels becomes {pixels.shape[2]} x {pixels.shape[1]}, scaled by "
        f"{scales[0]:.1f} across and {scales[1]:.1f} down; one that is {SIDE} high already keeps its central pixels "
        f"{'bit for bit' if np.array_equal(same_size, middle) else 'not even then'}. The authors' later script has {side} too."
    )
    return holds_if(
        pixels.shape == (3, SIDE, SIDE) and aspect_kept and np.array_equal(same_size, middle) and side == SIDE, evidence
    )


@decides("data-mean-subtraction")
def mean(facts: Facts) -> Outcome:
    image = np.broadcast_to(np.float32(128), (3, SIDE, SIDE))
    away = np.hypot(*np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j])
    falling = np.broadcast_to((120 - 20 * away).astype(np.float32), image.shape)  # brightest in the middle
    views = preprocessing.ten_views(image)
    rules = (preprocessing.ALIGNED, preprocessing.CENTRAL)
    aligned, central = (preprocessing.subtract_mean(views, falling, rule) for rule in rules)
    apart = np.abs(aligned - central)
    crop = facts.original.fact("mean-crop")
    evidence = (
        f"A mean image is subtracted pixel by pixel, but the authors subtract its {crop} crop from every view, whatever "
        f"its offset or reflection. On a mean image that falls off by 20 grey levels towards the edge, the two readings "
        f"differ by {apart[0].mean():.1f} levels on average and {apart.max():.1f} at most in a corner view."
    )
    if crop != "centre" or not apart.any():
        return Outcome(
            Verdict.HOLDS, f"The authors subtract the {crop} part of the mean image, the one each view shows."
        )
    return Outcome(Verdict.UNDERSPECIFIED, evidence)


@decides("data-no-other-preprocessing")
def other_preprocessing(facts: Facts) -> Outcome:
    run = facts.original.notes("145-2010").runs[0]
    divisor = facts.original.fact("noisy-input-divisor")
    off = next((event for event in run.noise() if event.to == 0), None)
    if divisor == 1 or off is None or not off.was:
        return Outcome(Verdict.HOLDS, "Nothing else is done to the pixels in the authors' code.")
    evidence = (
        f"While the colour noise of {off.was:g} is on, until epoch {off.epoch:g} of {run.stopped():g}, each training input "
        f"is divided by {divisor:g} after the noise is added; test inputs are not, and so are "
        f"{100 * (divisor - 1):.0f}% larger."
    )
    return Outcome(Verdict.CONTRADICTED, evidence)


@decides("data-raw-rgb")
def raw_rgb(_: Facts) -> Outcome:
    values = np.arange(3 * SIDE * SIDE).reshape(SIDE, SIDE, 3) * 7919 % 256  # each of 0 to 255, channels unlike
    pixels = preprocessing.shorter_side(Image.fromarray(values.astype(np.uint8)))
    centred = preprocessing.subtract_mean(
        preprocessing.views(pixels, preprocessing.CROP, 1), np.array([120, 115, 100], np.float32)
    )
    same = np.array_equal(pixels, values.transpose(2, 0, 1))
    evidence = (
        f"An RGB image of {SIDE} x {SIDE} comes through {'bit for bit' if same else 'changed'}, red first, as "
        f"{pixels.min():g} to {pixels.max():g}; less a mean it spans {centred.min():g} to {centred.max():g}. The authors "
        "convert to RGB and keep the bytes (but see data-no-other-preprocessing: divided by 1.1 in training while the colour "
        "noise is on)."
    )
    return holds_if(same, evidence)
