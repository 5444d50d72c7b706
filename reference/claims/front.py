"""Claims of the abstract, the introduction and Section 2: headline figures, cost, data."""

from __future__ import annotations

from .claim import Claim, How
from .published import ILSVRC_2010, ILSVRC_2012

A, X, L, P = How.ARITHMETIC, How.EXECUTED, How.ORIGINAL, How.PUBLISHED

HEADLINE = (
    Claim(
        "abs-train-1p2m",
        "Abstract",
        "The training set of ILSVRC-2010 has 1.2 million images in 1000 classes.",
        (P, A),
        ILSVRC_2010,
    ),
    Claim(
        "abs-2010-test-errors",
        "Abstract, 6, Table 1",
        "On the test set of ILSVRC-2010 the network errs on 37.5% (top-1) and 17.0% (top-5).",
        (L, A),
        "CHM layers/layer-params-145-2010.cfg:177-178",
    ),
    Claim(
        "abs-60m-params",
        "Abstract, 4",
        "The network has 60 million parameters.",
        (A,),
        "Section 3.5, counted by reference/spec.py; CHM layers/layers-145.cfg",
    ),
    Claim(
        "abs-650k-neurons",
        "Abstract",
        "The network has 650,000 neurons.",
        (A,),
        "Section 3.5, counted by reference/spec.py; CHM layers/layers-145.cfg",
    ),
    Claim(
        "abs-layer-inventory",
        "Abstract, 3",
        "Eight layers learn: five convolutions, some with max-pooling behind them, and three fully connected layers; the "
        "last feeds a softmax over 1000 classes.",
        (L, A),
        "CHM layers/layers-145.cfg",
    ),
    Claim(
        "abs-2012-15p3",
        "Abstract, 6",
        "A variant won ILSVRC-2012 with a top-5 test error of 15.3%.",
        (P,),
        ILSVRC_2012,
    ),
    Claim(
        "abs-2012-second-26p2",
        "Abstract, 6, Table 2",
        "The second-best entry of ILSVRC-2012 had 26.2%.",
        (P,),
        ILSVRC_2012,
    ),
)

COST = (
    Claim(
        "intro-conv-max-1pct",
        "1",
        "Each convolutional layer holds at most 1% of the parameters.",
        (A,),
        "Section 3.5, counted by reference/spec.py",
    ),
    Claim(
        "intro-remove-conv-hurts",
        "1, 7",
        "Taking out any one convolutional layer makes the results worse.",
        (How.IMAGENET,),
        "CHM layers/ (no such run in the notes)",
        "five trainings on ILSVRC-2010, each with one convolution left out",
    ),
    Claim(
        "intro-public-code",
        "1",
        "The GPU convolution and everything else that training needs has been made public (cuda-convnet).",
        (L,),
        "CC1 layer.py (table of layer parsers), src/cudaconv2/conv_util.cu:1084, docs/Options.md",
    ),
    Claim(
        "time-5-6-days",
        "1, 5",
        "Training takes five to six days on two GTX 580 with 3 GB each.",
        (How.HARDWARE, A),
        "Sections 1 and 5; CHM deviceQuery.txt lists four Tesla S2050 instead",
        "two GTX 580 3GB, the CUDA kernels of 2012 and the training set of ILSVRC-2010",
    ),
    Claim(
        "gpu-memory-limit",
        "1, 3.2",
        "The 3 GB of a GTX 580 limit the size of a network; this one is too large for one card.",
        (How.HARDWARE, A),
        "CHM example-layers/layers-example.cfg:5 (mentions the card)",
        "a GTX 580 3GB and the CUDA kernels of 2012, whose buffers count too",
    ),
)

DATA = (
    Claim(
        "data-imagenet-15m-22k",
        "1, 2, 6",
        "ImageNet has over 15 million images in roughly (Section 2) or over (Section 1) 22,000 categories; the release of "
        "Fall 2011 has 15 million in 22,000.",
        (L,),
        "CHM layers/layers-146-2011.cfg:360,367; layers/layer-params-146-2012-2011.cfg (notes)",
    ),
    Claim(
        "data-ilsvrc-pascal",
        "2",
        "ILSVRC has been held every year since 2010, as part of the PASCAL visual object challenge.",
        (P,),
        f"{ILSVRC_2010}; Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 2015, acknowledgements",
    ),
    Claim(
        "data-1000-per-class",
        "2",
        "ILSVRC has roughly 1000 images in each of 1000 categories.",
        (P, A),
        ILSVRC_2010,
    ),
    Claim(
        "data-split-sizes",
        "2",
        "About 1.2 million training, 50,000 validation and 150,000 test images.",
        (P, L, A),
        f"{ILSVRC_2010}; CHM layers/layer-params-*.cfg (error rates); CHM test.sh:3, verify-test-preds.py:17",
    ),
    Claim(
        "data-most-on-2010",
        "2",
        "Most experiments were on ILSVRC-2010, the one year whose test labels are public.",
        (L,),
        "CHM layers/layer-params-145-2010.cfg, -145-half.cfg, -147.cfg, -148.cfg (notes)",
    ),
    Claim(
        "data-top5-definition",
        "2",
        "The top-5 error is the share of test images whose label is not among the five that the model finds most probable.",
        (X, L),
        "Section 2, run by checks/claims/data.py; CHM src/layer_kernels.cu:108-117",
    ),
    Claim(
        "data-256-short-side",
        "2",
        "Images are rescaled so that the shorter side is 256, and cropped to the central 256 x 256.",
        (X, L),
        "Section 2, run by reference/preprocessing.py; CC2 make-data/make-data.py:32-41; CHM convdata_jpeg.py:31-39",
    ),
    Claim(
        "data-mean-subtraction",
        "2",
        "The mean over the training set is subtracted from each pixel.",
        (X, L),
        "Section 2, run by reference/preprocessing.py; CHM convdata_jpeg.py:95,209-211; CC2 make-data/input_meta",
    ),
    Claim(
        "data-no-other-preprocessing",
        "2",
        "Nothing else is done to the images.",
        (L, X),
        "CHM convdata_jpeg.py:179, convdata.py:205, layers/layer-params-145-2010.cfg:173",
    ),
    Claim(
        "data-raw-rgb",
        "2",
        "The network is trained on the centred raw RGB values, not on values scaled to 0..1.",
        (X, L),
        "Section 2, run by reference/preprocessing.py; CHM convdata_jpeg.py:34",
    ),
)

CLAIMS = (*HEADLINE, *COST, *DATA)
