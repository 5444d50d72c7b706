"""Claims of Section 3.3: local response normalisation, on ImageNet and on CIFAR-10."""

from __future__ import annotations

from .claim import Claim, How
from .published import EARLIER_11PCT

A, X, L = How.ARITHMETIC, How.EXECUTED, How.ORIGINAL

CLAIMS = (
    Claim(
        "lrn-formula",
        "3.3",
        "An activity is divided by (k + alpha * the sum of squares over n maps)^beta: alpha multiplies the sum itself.",
        (X, L),
        "Section 3.3, run by checks/claims/lrn.py; CHM layer.py:1183, CC1 src/cudaconv2/conv_util.cu:1068-1087",
    ),
    Claim(
        "lrn-constants",
        "3.3",
        "The constants are k = 2, n = 5, alpha = 1e-4, beta = 0.75.",
        (L,),
        "CHM layers/layer-params-145.cfg:137-155, layers/layers-145.cfg:35-45,95-105",
    ),
    Claim(
        "lrn-window-bounds",
        "3.3",
        "The sum for map i runs from max(0, i - n/2) to min(N - 1, i + n/2).",
        (X, L),
        "Section 3.3, run by checks/claims/lrn.py; CC1 src/cudaconv2/conv_util.cu:1068-1087",
    ),
    Claim(
        "lrn-n-total-kernels",
        "3.3",
        "N, where the window ends, is the number of all kernels in the layer.",
        (X, L),
        "CHM layers/layers-145.cfg:35-45,95-105; Section 3.3, run by checks/claims/lrn.py",
    ),
    Claim(
        "lrn-after-relu",
        "3.3",
        "The normalisation comes after the ReLU.",
        (L, X),
        "CHM layers/layers-145.cfg:9-63,65-105; Section 3.3, run by checks/claims/lrn.py",
    ),
    Claim(
        "lrn-no-mean-subtraction",
        "3.3",
        "It normalises brightness, not contrast: no mean activity is subtracted.",
        (X, L),
        "Section 3.3, run by checks/claims/lrn.py; CC1 src/cudaconv2/conv_util.cu (convResponseNormCrossMap)",
    ),
    Claim(
        "lrn-hyperparams-by-validation",
        "3.3",
        "k, n, alpha and beta were chosen on a validation set.",
        (L,),
        "CHM layers/layer-params-131.cfg, layers/layer-params-135.cfg, layers/layer-params-134.cfg, "
        "layers/layer-params-100.cfg, layers/layer-params-112.cfg, layers/layer-params-120.cfg (notes)",
    ),
    Claim(
        "lrn-gain-1p4-1p2",
        "3.3",
        "The normalisation lowers the errors by 1.4 (top-1) and 1.2 (top-5) points.",
        (L, A),
        "CHM layers/layer-params-148.cfg:148, layers/layer-params-145.cfg:182",
    ),
    Claim(
        "lrn-cifar-13pct",
        "3.3",
        "On CIFAR-10 a four-layer network without normalisation has 13% test error.",
        (How.CIFAR, L),
        "CC1 docs/Methodology.md",
    ),
    Claim(
        "lrn-cifar-11pct",
        "3.3",
        "The same network with normalisation has 11%.",
        (How.CIFAR,),
        "dnouri/cuda-convnet, CC2: first line of layer-params-*11pct.cfg",
        "CIFAR-10 and about 500 epochs of cuda-convnet's training procedure",
    ),
    Claim(
        "lrn-cifar-same-net",
        "3.3",
        "The CIFAR-10 networks of 13% and 11% are the same but for the normalisation.",
        (L, A),
        f"CHM example-layers/*-conv-local-13pct.cfg; {EARLIER_11PCT}; CC2 layers/*-cifar10-11pct.cfg",
        reread="contradicted, from the later revision of the net alone; the earlier one differs by its normalisations only",
    ),
    Claim(
        "lrn-cifar-specified",
        "3.3, footnote 3",
        "Public code and parameter files specify the CIFAR-10 network.",
        (L,),
        f"CHM example-layers/layers-conv-local-13pct.cfg; {EARLIER_11PCT}; CC2 layers/layers-cifar10-11pct.cfg",
        reread="holds, before the revisions of the net with normalisation were compared",
    ),
)
