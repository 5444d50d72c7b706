"""Figures from public pages and documents, each with its address."""

from __future__ import annotations

from dataclasses import dataclass

# The contests ---------------------------------------------------------------------------------------------------------

ILSVRC_2010 = "image-net.org/challenges/LSVRC/2010/index"
ILSVRC_2012 = "image-net.org/challenges/LSVRC/2012/results.html"


@dataclass(frozen=True)
class Contest:
    """What the page of ILSVRC-2010 says of the contest; all counts are images, except `categories`."""

    year: int = 2010
    held_with: str = "PASCAL Visual Object Classes Challenge 2010"
    training: int = 1_200_000
    categories: int = 1000
    validation: int = 50_000
    validation_and_test: int = 200_000

    @property
    def test(self) -> int:
        return self.validation_and_test - self.validation


CONTEST_2010 = Contest()


@dataclass(frozen=True)
class Entry:
    """One line of the classification table of ILSVRC-2012: `error` is the top-5 error on the test set."""

    team: str
    file: str
    error: float
    about: str


ENTRIES_2012 = (
    Entry("SuperVision", "test-preds-141-146.2009-131-137-145-146.2011-145f", 0.15315, "extra data, Fall 2011"),
    Entry("SuperVision", "test-preds-131-137-145-135-145f", 0.16422, "supplied data only"),
    Entry("ISI", "pred_FVs_wLACs_weighted", 0.26172, "weighted sum of SIFT, LBP, GIST and CSIFT Fisher vector scores"),
    Entry("ISI", "pred_FVs_weighted", 0.26602, "weighted sum of Fisher vector classifiers"),
    Entry("ISI", "pred_FVs_summed", 0.26646, "plain sum of Fisher vector classifiers"),
    Entry("OXFORD_VGG", "test_adhocmix_classification", 0.26979, "mix of high-level SVM and baseline scores"),
)


def best(team: str = "", other_than: str = "") -> Entry:
    """The entry with the smallest error, of one team or of all but one."""
    entries = (e for e in ENTRIES_2012 if (not team or e.team == team) and e.team != other_than)
    return min(entries, key=lambda entry: entry.error)


# Public code beside the museum's release ------------------------------------------------------------------------------

# The layer types that cuda-convnet knew as published in 2012: mbrukman/cuda-convnet @ fb78b3d, the table of parsers at
# the end of layer.py. Its norms had no offset to set, and docs/Options.md says of --num-gpus to ignore it.
CUDA_CONVNET_TYPES = frozenset((
    "data", "fc", "conv", "local", "softmax", "eltsum", "eltmax", "neuron", "pool", "rnorm", "cnorm", "cmrnorm",
    "nailbed", "blur", "resize", "rgb2yuv", "rgb2lab", "rscale", "cost.logreg", "cost.sum2",
))  # fmt: skip

# The CIFAR-10 net with normalisation was published in two revisions. The earlier one: dnouri/cuda-convnet @ 3878e8f,
# example-layers/layers-conv-local-11pct.cfg and layer-params-conv-local-11pct.cfg. What it has beyond or unlike the net
# without normalisation (layers-conv-local-13pct.cfg), by layer; the later one is in the original code as `cifar-11pct`.
EARLIER_11PCT = "dnouri/cuda-convnet @ 3878e8f example-layers/layers-conv-local-11pct.cfg"
EARLIER_11PCT_DIFFERS = {"rnorm1": "added after conv1", "rnorm2": "added after conv2"}

# The hardware: one GeForce GTX 580 has 512 cores at 1.544 GHz, two operations per clock each; the paper used the model
# with 3 GB. bit-tech.net/reviews/tech/graphics/nvidia-geforce-gtx-580-review/2
GTX_580_FLOPS = 512 * 1.544e9 * 2
GTX_580_BYTES = 3 * 2**30

# Trials of normalisation constants in the authors' notes. CHM layers/layer-params-134.cfg, -100.cfg, -112.cfg, -120.cfg.
LRN_TRIALS = (
    "k = 0.25 was put on hold at epoch 13 (134)",
    "alpha = 0.001 with beta = 0.25 was judged slightly worse at epoch 43 (100)",
    "n = 5 was tried for 9 (112, 120)",
)
