"""The chapter "224 or 227": every reading, what follows from it, what the authors' code did, and what is measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from ..reference import oracle, stimuli, variants
from ..reference.input_size import HYPOTHESES, PADDINGS_OF_224, Hypothesis, padded_like, sizes_of_2012
from .markdown import table


def chapter(rows: pd.DataFrame, figure: str) -> str:
    parts = [
        "## 224 or 227",
        "The paper says 224 x 224 inputs, 11 x 11 kernels, stride 4, and draws 55 x 55 maps. Without padding, (224 - 11) / 4 + 1 "
        "= 54.25. **What happened: the authors' own code took 224 x 224, rounded the number of windows up to 55 and read the "
        "missing three rows and columns, at the bottom and the right only, as zeros.**",
        f"![Both ends of an input row under each reading]({figure})",
        "### Every reading",
        readings(),
        "B and the SAME readings still give 6 x 6 into fc6 when the pools round up or pad, so a parameter count, or the shape "
        "of fc6, settles nothing. Only the size of conv1's map (54, 55, 56, 57) or the values do.",
        "### What the authors' code did, and how that is known",
        AUTHORS.replace("SIZES", " and ".join(map(str, sizes_of_2012()))),
        "### The common explanations",
        EXPLANATIONS,
        "### Measured: one lit pixel",
        "An image that is zero but for its first pixel, through conv1 with its kernels' taps numbered: where the first window "
        "starts decides which tap meets the pixel. (row, column) of the tap that the first output sees:",
        impulse_table(),
        measured(rows, "padding-impulse", "gave the answer of zeros at the right and bottom only, to the bit"),
        "### Measured: 224 with its zeros is 227 with the same zeros",
        same_zeros(rows),
    ]
    return "\n\n".join(part for part in parts if part)


def readings() -> str:
    lines = [row(h) for h in HYPOTHESES]
    headers = (
        "",
        "reading",
        "zeros before, after",
        "conv1",
        "pools down: to pool5",
        "pools up: to pool5",
        "55 / 13 / 6",
        "inputs",
        "could run in 2012",
        "who",
    )
    note = (
        "Sizes after conv1, pool1, pool2, pool5. A negative number of zeros: pixels never read. Fig. 2 of the paper draws "
        "55, 13 and 6 and counts 150,528 inputs. *Could run in 2012*: the authors' code crops a border off 256 on both "
        "sides, so sizes are even, and its configurations demand 55 x 55."
    )
    return f"{table(lines, headers)}\n\n{note}"


def row(h: Hypothesis) -> tuple[str, ...]:
    before, after = h.zeros
    return (
        h.id,
        h.says,
        f"{before}, {after}",
        str(h.conv1),
        "-".join(map(str, h.sizes(False))),
        "-".join(map(str, h.sizes(True))),
        "yes" if h.fits_figure_2() else "no",
        f"{h.neurons_in:,}",
        "yes" if h.possible_in_2012() else "no",
        h.who,
    )


AUTHORS = """The museum's release of the 2012 code ([computerhistory/AlexNet-Source-Code](https://github.com/computerhistory/AlexNet-Source-Code)
at 2f8b81f) decides it, with the public cuda-convnet and cuda-convnet2, from which we read what GPU kernels do, since the release lacks them:

- `layer.py`, line 1004, computes a convolution's number of windows with a ceiling; `layers/layers-145.cfg` (the paper's network) says
  `padding=0`. So conv1 makes ceil((224 - 11) / 4) + 1 = 55 windows, the last of which needs 3 pixels that are not there.
- A window starts at padding + 4 x its number ([akrizhevsky/cuda-convnet2](https://github.com/akrizhevsky/cuda-convnet2) at 3238bf0, `filter_acts.cu`,
  lines 65-66), so with padding 0 the first starts at pixel 0; pixels outside the image are read as zero
  ([mbrukman/cuda-convnet](https://github.com/mbrukman/cuda-convnet) at fb78b3d, `filter_acts.cu`, line 131). Hence zeros at the right and the bottom, none at the left and the top.
- `shownet.py`, lines 464-485, writes 224 x 224 x 3 patches into the data layer's rows.
- The crop is 256 minus a border on each side, so sizes are even and **227 is impossible**. The configuration's `partialSum` (5 for conv1, 3 for
  conv2, 13 for conv3 to conv5) must divide the number of positions of its layer's map: of all sizes from 256 down, computed here, only
  **SIZES** do."""

EXPLANATIONS = """| reference | what it says | where it holds | where it falls short of the authors' code |
|---|---|---|---|
| [Andrew Ng, Classic Networks](https://youtu.be/dZVkygnKh1M?t=421) | "the numbers only make sense if they are 227 x 227 x 3" | 227 without padding gives 55, 27, 13, 6 and every parameter count; it is what Caffe uses | 224 makes sense too, rounded up; the code could not crop 227 out of 256; Fig. 2 counts 150,528 = 3 x 224 x 224 inputs |
| [Stanford CS231n](https://cs231n.github.io/convolutional-networks/) | 224 "is surely incorrect", perhaps "zero-padding of 3 extra pixels that he does not mention" | three extra pixels of zeros per axis it is, and unmentioned | 224 is correct; the zeros are on one side only (0 before, 3 after), not a frame of 3, and came from rounding up, not from a padding setting |
| [Data Science SE](https://datascience.stackexchange.com/questions/29245/what-is-the-input-size-of-alex-net) | the size is not an integer, so 224 must be an error | the arithmetic, if sizes must divide exactly | they need not: the 2012 code rounds up |

A frame of three pixels on every side (L) also gives 55, but its last window ends at the last real pixel: the zeros that
count lie at the left and top, so every output sees another part of the image. 227 real pixels (A) and 224 with three
zeros (C) agree in all outputs but those of the last row and column of conv1: 109 of 3,025 positions."""


def impulse_table() -> str:
    """By the oracle: the tap of conv1 that meets the first pixel in the first output, for each padding."""
    stimulus = stimuli.stimulus(variants.variant("paper-224"), "impulse", 0)
    conv1 = replace(stimulus.network.layers[0], channels=1)  # type: ignore[call-arg]
    params = {name: value[:1] for name, value in stimulus.params.items()}
    lines = []
    for padding in PADDINGS_OF_224:
        seen = oracle.apply(padded_like(conv1, padding), params, stimulus.x.astype(np.float64))
        first, last = (int(seen[image, 0, at, at]) for image, at in ((0, 0), (1, -1)))
        lines.append((f"{padding[0]} before, {padding[1]} after", tap(first), tap(last)))
    return table(lines, ("zeros", "tap on the first pixel, first output", "tap on the last pixel, last output"))


def tap(number: int) -> str:
    return str(divmod(number - 1, 11)) if number else "none"


def measured(rows: pd.DataFrame, check: str, what: str) -> str:
    mine = rows[rows.check == check]
    if not len(mine):
        return "Not run in these findings: verify `--variant paper-224`."
    good, bad = (sorted(set(mine[mine.good == side].impl)) for side in (True, False))
    lines = [f"{', '.join(f'`{n}`' for n in good)} {what}."] if good else []
    return " ".join([*lines, *(f"**`{n}` did not.**" for n in bad)])


def same_zeros(rows: pd.DataFrame) -> str:
    exact = measured(rows, "padding-227-exact", "gave the same bits at every layer in exact arithmetic")
    real = rows[(rows.check == "padding-227-photograph") & rows.bits_differ.notna()]
    lines = []
    for (variant, impl), group in real.groupby(["variant", "impl"], sort=False):
        differ = group[group.bits_differ > 0]
        lines.append((variant, impl, f"{len(differ)} of {len(group)}", differ.layer.iloc[0] if len(differ) else "none"))
    if not lines:
        return exact
    note = (
        "On the photograph, where rounding depends on the order of summation, padding inside the operation may take another "
        "path through the library than zeros given as pixels. (At the size of `paper-224-thin` it does in TensorFlow: oneDNN "
        "sums in another order; with `TF_ENABLE_ONEDNN_OPTS=0` the bits agree.) Layers whose bits differ between the two:"
    )
    return "\n\n".join([exact, note, table(lines, ("variant", "implementation", "layers that differ", "the first"))])
