"""Section 4.1: patches and flips, ten views, colour noise."""

from __future__ import annotations

import numpy as np

from ...reference import augmentation, draws, oracle, preprocessing
from ...reference.claims import published_results as published
from ...reference.original_code.notes import Run
from .verdict import Facts, Outcome, Verdict, decides, holds_if

SEED = 2012


def paper_runs(facts: Facts) -> dict[str, Run]:
    """The authors' runs of the paper's network, by the year of the data."""
    return {"2010": facts.original.notes("145-2010").runs[0], "2012": facts.original.notes("145").runs[0]}


def sizes(facts: Facts) -> tuple[int, int]:
    """(side of a stored image, side of a patch)."""
    return facts.original.fact("image-side"), facts.paper.input_shape[1]


def numbered(stored: int) -> np.ndarray:
    """An image whose pixels are all different: (1, stored, stored)."""
    return np.arange(stored**2).reshape(1, stored, stored)


@decides("aug-cpu-python-parallel")
def prepares_while_the_gpu_works(_: Facts) -> Outcome:
    steps = published.STEPS_OF_A_BATCH
    start, prepare, wait = (
        next(i for i, step in enumerate(steps) if word in step) for word in ("start", "prepare", "wait")
    )
    threads = " and ".join(published.PREPARED_IN_THREADS)
    order = ", ".join(steps)
    return holds_if(start < prepare < wait, f"Each turn of the Python loop: {order}; {threads} in threads.")


@decides("aug-patches-flips")
def patches_and_flips(facts: Facts) -> Outcome:
    """Draw places as the authors' code does and see what is drawn."""
    stored, crop = sizes(facts)
    drawn = stored - 2 * facts.original.fact("crop-border")
    places = augmentation.draw_places(SEED, "patches", 4096, stored, crop)
    flipped = places.flipped.mean()
    rows, columns = ((int(starts.min()), int(starts.max())) for starts in (places.top, places.left))
    image = numbered(stored)
    cut = augmentation.patch(image, places.top[0], places.left[0], places.flipped[0], crop)
    says = (
        f"The code's border leaves {drawn} of {stored} pixels; 4096 draws begin at rows {rows[0]} to {rows[1]} and columns "
        f"{columns[0]} to {columns[1]}, and {flipped:.0%} are flipped."
    )
    whole = rows == columns == (0, stored - crop)
    return holds_if(drawn == crop and cut.shape == (1, crop, crop) and whole and abs(flipped - 0.5) < 0.05, says)


@decides("aug-independent-per-image")
def one_patch_for_several_images(facts: Facts) -> Outcome:
    batch, chunk = facts.original.fact("minibatch"), facts.original.fact("crop-and-flip-shared-by")
    places = augmentation.draw_places(SEED, "chunks", batch, *sizes(facts), chunk)
    different = len(set(zip(places.top, places.left, places.flipped, strict=True)))
    says = f"The code cuts {chunk} consecutive images alike: a batch of {batch} has {different} different patches and flips."
    shared = "The paper does not say whether images share one." if chunk > 1 else ""
    return Outcome(Verdict.UNDERSPECIFIED if chunk > 1 else Verdict.HOLDS, f"{says} {shared}".strip())


@decides("aug-factor-2048")
def times_larger(facts: Facts) -> Outcome:
    stored, crop = sizes(facts)
    per_axis = len(preprocessing.offsets(stored, crop))
    count = augmentation.distinct_patches(stored, crop)
    says = f"{stored} - {crop} = {stored - crop} leaves {per_axis} places on each axis: {per_axis} x {per_axis} x 2 = {count}"
    return holds_if(
        count == 2048, f"{says} different patches, counted on an image whose pixels all differ; 32 x 32 x 2 = 2048."
    )


@decides("aug-ten-patches")
def ten_patches(facts: Facts) -> Outcome:
    """The suite's ten views against where the authors' code begins its crops (in units of its border: 0, 1, 2)."""
    stored, crop = sizes(facts)
    border = facts.original.fact("crop-border")
    image = numbered(stored)
    starts = [(border * row, border * column) for row, column in ((0, 0), (0, 2), (1, 1), (2, 0), (2, 2))]
    authors = {
        augmentation.patch(image, *at, flip, stored - 2 * border).tobytes() for at in starts for flip in (False, True)
    }
    ours = {view.tobytes() for view in preprocessing.ten_views(image, crop)}
    count = facts.original.fact("test-patches")
    says = f"The code's {count} views begin at {', '.join(map(str, starts))}, each with its reflection: "
    return holds_if(
        ours == authors and len(ours) == count == 10,
        f"{says}{len(ours & authors)} of them are the four corners and the centre and their reflections.",
    )


@decides("aug-average-softmax")
def average_of_probabilities(facts: Facts) -> Outcome:
    scores = draws.normal(SEED, "view-scores", (10, 7), 3.0).astype(np.float64)  # ten views, seven classes
    mean_probability = oracle.softmax(scores).mean(axis=0)
    mean_score = oracle.softmax(scores.mean(axis=0, keepdims=True))[0]
    apart = np.abs(mean_probability - mean_score).max()
    code = facts.original.fact("views-averaged")
    says = f"The code adds up the {code} of the views and divides by their number"
    return holds_if(
        code == "probabilities" and apart > 0.01,
        f"{says}; averaging before the softmax would differ by {apart:.2f} on ten random views of seven classes.",
    )


@decides("aug-pca-3x3")
def three_components(facts: Facts) -> Outcome:
    """Principal colours of correlated random pixels are three orthonormal directions; as many values are recorded."""
    mixing = np.array([[60.0, 10.0, 5.0], [55.0, -5.0, 9.0], [50.0, -12.0, -14.0]])  # bright, then two weaker colours
    images = np.einsum("cd,ndhw->nchw", mixing, draws.normal(SEED, "pixels", (4, 3, 16, 20), 1.0).astype(np.float64))
    variances, components = augmentation.principal_colours(images)
    error = np.abs(components.T @ components - np.eye(3)).max()
    recorded = facts.original.fact("colour-pca-values")
    says = f"The data's record has {len(recorded)} values, one for each component; on random pixels the covariance is"
    return holds_if(
        len(recorded) == 3 and components.shape == (3, 3) and error < 1e-12 and (variances > 0).all(),
        f"{says} {components.shape[0]} x {components.shape[1]} and its components are orthonormal to {error:.0e}.",
    )


@decides("aug-pca-eigenvalue")
def eigenvalue_or_deviation(facts: Facts) -> Outcome:
    """The recorded values are standard deviations: as variances they would make ImageNet nearly grey."""
    values = np.array(facts.original.fact("colour-pca-values"))
    as_deviations, as_variances = np.sqrt(np.sum(values**2) / 3), np.sqrt(np.sum(values) / 3)
    known = 255 * np.sqrt(np.mean(np.square(published.CHANNEL_STD)))
    are_deviations = abs(np.log(as_deviations / known)) < abs(np.log(as_variances / known))
    eigenvalues = values**2 if are_deviations else values
    noise = [augmentation.colour_noise(np.eye(3), by, np.full((1, 3), 0.1)).max() for by in (values, eigenvalues)]
    factor = facts.original.fact("colour-noise-multiplies")
    says = (
        f"The code multiplies by {factor}: the largest, {values.max():.2f}, gives noise of {noise[0]:.1f} grey levels; "
        f"the eigenvalue {eigenvalues.max():.0f} would give {noise[1]:.0f}. That the recorded values are deviations: a channel "
        f"of ImageNet then deviates by {as_deviations:.0f} grey levels, by {as_variances:.0f} were they eigenvalues; "
        f"{known:.0f} is published."
    )
    return holds_if(factor == "eigenvalues" or not are_deviations, says)


@decides("aug-pca-sigma-0p1")
def noise_deviation(facts: Facts) -> Outcome:
    """What the noise was set from when it was switched off."""
    found = {year: run.noise()[0].was for year, run in paper_runs(facts).items() if run.noise()}
    says = "; ".join(f"{value} in the run on {year}" for year, value in found.items())
    return holds_if(
        found and set(found.values()) == {0.1}, f"Colour noise by the run notes: {says or 'not mentioned'}."
    )


@decides("aug-pca-once-per-image")
def noise_once_per_image(_: Facts) -> Outcome:
    """Shift grey images and see how many different shifts there are, within an image and from use to use."""
    images = np.zeros((5, 3, 6, 7))

    def shifted(use: str) -> np.ndarray:
        alpha = augmentation.draw_alpha(SEED, use, len(images))
        return augmentation.add_noise(images, augmentation.colour_noise(np.eye(3), np.ones(3), alpha))

    first, second = shifted("first use"), shifted("second use")
    within = max(len(np.unique(image.reshape(3, -1), axis=1).T) for image in first)
    between = len(np.unique(first[:, :, 0, 0], axis=0))
    again = int((first != second).any(axis=(1, 2, 3)).sum())
    says = (
        f"The code draws one row of three numbers for each image of a batch: executed on {len(images)} images, {within} shift "
        f"within an image, {between} among them, {again} of them changed at the next use."
    )
    return holds_if(within == 1 and between == again == len(images), says)


@decides("aug-pca-always-on")
def noise_throughout(facts: Facts) -> Outcome:
    off = {year: next((e.epoch for e in run.noise() if e.to == 0), None) for year, run in paper_runs(facts).items()}
    ends = {year: run.stopped() for year, run in paper_runs(facts).items()}
    says = "; ".join(
        f"run on {year}: switched off at epoch {epoch:.0f} of {ends[year]:.0f}"
        if epoch
        else f"run on {year}: never switched off"
        for year, epoch in off.items()
    )
    return holds_if(not any(off.values()), f"{says[0].upper()}{says[1:]}.")


@decides("aug-without-overfits")
def without_patches(facts: Facts) -> Outcome:
    stored, crop = sizes(facts)
    count, parameters = augmentation.distinct_patches(stored, crop), facts.paper.parameter_count()
    bits = 1.2e6 * np.log2(1000)
    says = (
        f"No such run was logged. Known: 1.2 million labels carry {bits / 1e6:.0f} million bits for {parameters / 1e6:.0f} "
        f"million parameters; patches show each image in {count} ways."
    )
    return Outcome(Verdict.NOT_CHECKABLE, says)


@decides("aug-pca-gain-1pct")
def noise_gain(facts: Facts) -> Outcome:
    run = facts.original.notes("145").runs[0]
    off = next((event.epoch for event in run.noise() if event.to == 0), None)
    says = f"the run on 2012 had noise until epoch {off:.0f}" if off else "the notes do not say when the noise ended"
    return Outcome(Verdict.NOT_CHECKABLE, f"No run without colour noise was logged; {says}.")
