"""What checks compare with and nothing here can compute: abstracts, results pages, remarks in notes not parsed here.

Errors are shares, not percent. Facts about the original code that are recorded with it lie in `original_code/`.
"""

from __future__ import annotations

from dataclasses import dataclass

# Sanchez and Perronnin, "High-dimensional signature compression for large-scale image classification", CVPR 2011, in
# the abstract: top-5 accuracy on ILSVRC-2010, the improvement over the state of the art until then, and the top-1
# accuracy on about 10,000 classes of ImageNet.
SIGNATURES_TOP5, SIGNATURES_IMPROVEMENT, SIGNATURES_10K_TOP1 = 0.743, 0.025, 0.167

# The standard deviation of each channel over ImageNet, on the scale of 0 to 1, as commonly published (for instance in
# PyTorch's documentation of its ImageNet models).
CHANNEL_STD = (0.229, 0.224, 0.225)

# CC1 gpumodel.py:143-148, CHM convdata_jpeg.py:15-66: in this order, with loading and colour noise in threads.
STEPS_OF_A_BATCH = ("start batch on the GPU", "prepare the next batch", "wait for the GPU")
PREPARED_IN_THREADS = ("JPEGs decoded", "colour noise drawn")

# CHM layers/layer-params-146-2012-2011.cfg:181-204 and layers/layer-params-146-2011.cfg: what the net of "1 CNN*" was
# trained on, in order (the net of 145, from which the convolutions come, on ILSVRC-2012).
PRETRAINING = ("ILSVRC-2012", "Fall 2009", "Fall 2011", "ILSVRC-2012")

# Which nets of the winning entry were pre-trained on what. CHM layers/layer-params-141-2009.cfg,
# layers/layer-params-146-2012-2009.cfg, layers/layer-params-146-2012-2011.cfg.
PRETRAINED = {"141": "Fall 2009", "146.2009": "Fall 2009", "146.2011": "Fall 2011"}

# Top-1 and top-5 error on Fall 2009, logged for nets of five convolutions. CHM layers/layer-params-131-2009.cfg,
# layers/layer-params-2009-101.cfg.
LOGGED_2009 = {"131": (0.694209, 0.437308), "101": (0.693822, 0.436466)}

# CHM layers/layer-params-109.cfg: when dropout was switched on in its third fully connected layer, and its end.
DROPOUT_109 = {"on": 26, "killed": 27, "because": "overfitting"}


@dataclass(frozen=True)
class Larger:
    """A net that the authors made larger than one before it, and whether their note says that it did better."""

    net: str
    how: str
    better: bool
    remark: str


# CHM layers/layer-params-114.cfg:187, -120-4gpu.cfg, -130.cfg, -141.cfg (before its pre-training).
LARGER = (
    Larger("114", "a third hidden layer", False, "worse than with two at epoch 40"),
    Larger("120-4gpu", "four GPUs", False, "overfitting"),
    Larger("130", "four GPUs, wider conv2", False, "hardly better, if at all"),
    Larger("141", "a sixth convolution", False, "overfitting"),
)
