"""Claims of Section 3 and Figures 1 and 2: ReLU, two GPUs, normalisation, pooling, the architecture."""

from __future__ import annotations

from . import architecture, lrn
from .claim import Claim, How

A, X, L = How.ARITHMETIC, How.EXECUTED, How.ORIGINAL

RELU = (
    Claim(
        "relu-definition",
        "3.1",
        "A neuron's output is max(0, x).",
        (X, L),
        "Section 3.1, run by checks/claims/relu.py; CHM include/neuron.cuh:160-172",
    ),
    Claim(
        "relu-cifar-six-times",
        "3.1, Figure 1",
        "On CIFAR-10 a four-layer network reaches 25% training error six times faster with ReLU than with tanh.",
        (How.CIFAR,),
        "CHM layers/, example-layers/; CC2 layers/ (the configurations at hand; none is of Figure 1)",
        "CIFAR-10, the network of Figure 1, which is not identified, and a search for each one's learning rate",
    ),
    Claim(
        "relu-fig1-setup",
        "3.1, Figure 1",
        "The two networks of Figure 1 are alike but for the neuron, each with its own best learning rate and without "
        "regularisation.",
        (L,),
        "CHM layers/, example-layers/; CC2 layers/ (the configurations at hand)",
    ),
    Claim(
        "relu-several-times",
        "3.1",
        "Networks of ReLU learn several times faster than those of saturating neurons, consistently.",
        (How.IMAGENET, A),
        "Section 3.1; no run with tanh has been published",
        "the same network trained with ReLU and with tanh, to the same error, on the paper's data",
    ),
    Claim(
        "relu-positive-input-learns",
        "3.3",
        "A ReLU learns if at least some training examples give it a positive input.",
        (X, L),
        "Section 3.3, run by checks/claims/relu.py; CHM include/neuron.cuh:167-172",
    ),
)

GPU = (
    Claim(
        "gpu-half-each",
        "3.2",
        "Each of the two GPUs has half of the kernels.",
        (L,),
        "CHM layers/layers-145.cfg:9-33,65-93,135-218,238-282",
    ),
    Claim(
        "gpu-l3-all-l2",
        "3.2, 3.5",
        "The kernels of layer 3 read all maps of layer 2.",
        (L, X),
        "CHM layers/layers-145.cfg:135-161; Section 3.5, run by checks/claims/gpu.py",
    ),
    Claim(
        "gpu-l4-same-gpu",
        "3.2, 3.5",
        "The kernels of layers 2, 4 and 5 read only the maps that are on their own GPU.",
        (L, X),
        "CHM layers/layers-145.cfg:65-93,163-218; Section 3.5, run by checks/claims/gpu.py",
    ),
    Claim(
        "gpu-comm-only-some-layers",
        "3.2, Figure 2",
        "The GPUs communicate at certain layers only.",
        (L,),
        "CHM layers/layers-145.cfg:135-161,238-299",
    ),
    Claim(
        "gpu-columns-not-independent",
        "3.2",
        "The two columns are not independent, unlike those of Ciresan et al.",
        (L,),
        "CHM layers/layers-145.cfg:135-161; layers/layers-150.cfg, layers/layer-params-150.cfg:179 (independent columns)",
    ),
    Claim(
        "gpu-gain-1p7-1p2",
        "3.2",
        "Two GPUs lower the errors by 1.7 (top-1) and 1.2 (top-5) points, against a one-GPU network with half the kernels.",
        (L, A),
        "CHM layers/layer-params-145-half.cfg:100, layers/layer-params-145-2010.cfg:178",
    ),
    Claim(
        "gpu-onegpu-footnote",
        "3.2, footnote 2",
        "The one-GPU network keeps the last convolution and the dense layers as they are, and so has about as many "
        "parameters.",
        (L, A),
        "CHM layers/layers-145-half.cfg",
    ),
    Claim(
        "gpu-most-params-fc1",
        "3.2, footnote 2",
        "Most of the parameters are in the first fully connected layer.",
        (A,),
        "Section 3.5, counted by reference/spec.py",
    ),
    Claim(
        "gpu-two-slightly-faster",
        "3.2",
        "The two-GPU network takes slightly less time to train than the one-GPU network.",
        (How.HARDWARE, A),
        "CHM layers/layers-145.cfg, layers/layers-145-half.cfg (no times in the notes)",
        "two GTX 580 3GB and the CUDA kernels of 2012",
    ),
)

POOL = (
    Claim(
        "pool-s2-z3",
        "3.4",
        "All pools overlap: windows of 3 x 3, 2 pixels apart.",
        (L,),
        "CHM layers/layers-145.cfg:47-63,119-133,220-236",
    ),
    Claim(
        "pool-gain-0p4-0p3",
        "3.4",
        "Overlapping pools lower the errors by 0.4 (top-1) and 0.3 (top-5) points.",
        (L, A),
        "CHM layers/layer-params-147.cfg:174, layers/layer-params-145.cfg:182",
    ),
    Claim(
        "pool-equivalent-dims",
        "3.4",
        "Pools of 2 x 2, 2 pixels apart, give outputs of equivalent dimensions.",
        (A, L),
        "Section 3.4, counted by reference/spec.py; CHM layers/layers-147.cfg",
    ),
    Claim(
        "pool-less-overfitting",
        "3.4",
        "A network with overlapping pools is slightly harder to overfit.",
        (How.IMAGENET,),
        "CHM layers/layer-params-147.cfg (validation errors only)",
        "training errors of both networks on ILSVRC, over several trainings each",
    ),
    Claim(
        "pool-window-centred",
        "3.4",
        "A pooling unit's window is centred on the place of the unit.",
        (X, L),
        "Section 3.4, run by checks/claims/pool.py; CC2 cudaconv3/include/conv_util.cuh:146-166",
    ),
)

ORDER = (
    Claim(
        "arch-order-of-importance",
        "3",
        "Sections 3.1 to 3.4 are in the order of their importance, as the authors estimate it.",
        (L, A),
        "CHM layers/layer-params-145-half.cfg:100, -148.cfg:148, -147.cfg:174 against -145-2010.cfg:178, -145.cfg:182",
        reread="holds, for the three gains in accuracy; what ReLU gains can't be compared with them",
    ),
)

CLAIMS = (*ORDER, *RELU, *GPU, *lrn.CLAIMS, *POOL, *architecture.CLAIMS)
