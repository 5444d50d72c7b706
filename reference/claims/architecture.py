"""Claims of Section 3.5 and Figure 2: every layer, its size and its place."""

from __future__ import annotations

from .claim import Claim, How

A, X, L = How.ARITHMETIC, How.EXECUTED, How.ORIGINAL
SPEC = "counted by reference/spec.py"
NET = "CHM layers/layers-145.cfg"

LAYERS = (
    Claim(
        "arch-input-224",
        "3.5, Figure 2",
        "The input is 224 x 224 x 3.",
        (A, L),
        f"{NET} (partialSum); CHM shownet.py:464-485",
    ),
    Claim("arch-conv1", "3.5", "Layer 1 has 96 kernels of 11 x 11 x 3, 4 pixels apart.", (L, A), f"{NET}:9-33"),
    Claim(
        "arch-conv1-55",
        "3.5, Figure 2",
        "The maps of layer 1 are 55 x 55.",
        (A, L),
        f"Figure 2, {SPEC}; CHM layer.py:1004, layers/layers-153.cfg; CC1 src/cudaconv2/filter_acts.cu:131; {NET}:18,31",
    ),
    Claim(
        "arch-stride-rf-centres",
        "3.5",
        "The stride is the distance between the centres of neighbouring receptive fields.",
        (A, X),
        "Section 3.5, run by checks/claims/architecture.py; CC2 cudaconv3/src/filter_acts.cu:65-66",
    ),
    Claim("arch-conv2", "3.5", "Layer 2 has 256 kernels of 5 x 5 x 48.", (L, A), f"{NET}:65-93"),
    Claim("arch-conv3", "3.5", "Layer 3 has 384 kernels of 3 x 3 x 256.", (L, A), f"{NET}:135-161"),
    Claim("arch-conv4", "3.5", "Layer 4 has 384 kernels of 3 x 3 x 192.", (L, A), f"{NET}:163-189"),
    Claim("arch-conv5", "3.5", "Layer 5 has 256 kernels of 3 x 3 x 192.", (L, A), f"{NET}:192-218"),
    Claim(
        "arch-conv2-5-padding",
        "3.5, Figure 2",
        "The maps of layers 2 to 5 are 27, 13, 13 and 13 wide (no padding is mentioned).",
        (A, L),
        f"Figure 2, {SPEC}; {NET}:69,84,139,153,167,181,196,210",
    ),
    Claim(
        "arch-no-pool-norm-3-5",
        "3.5",
        "Nothing pools or normalises between layers 3, 4 and 5.",
        (L,),
        f"{NET}:135-218",
    ),
    Claim("arch-fc-4096", "3.5", "The two hidden dense layers have 4096 neurons each.", (L, A), f"{NET}:238-282"),
    Claim(
        "arch-fc-all-to-all",
        "3.5",
        "Neurons of the dense layers are connected to all neurons of the layer before.",
        (L,),
        f"{NET}:238-299",
    ),
    Claim(
        "arch-lrn-positions",
        "3.5",
        "Response normalisation follows layers 1 and 2.",
        (L,),
        f"{NET}:35-45,95-105",
    ),
    Claim(
        "arch-extra-within-map-norm",
        "3.5",
        "(Implied by a list that seems complete) There is no other normalisation.",
        (L, X),
        f"{NET}:107-117; CHM layers/layer-params-145.cfg:157-163, layer.py:1183",
    ),
    Claim(
        "arch-pool-positions",
        "3.5",
        "Max-pooling follows both normalisations and layer 5.",
        (L,),
        f"{NET}:47-63,119-133,220-236",
    ),
    Claim(
        "arch-relu-every-layer",
        "3.5",
        "A ReLU is applied to the output of every convolutional and dense layer.",
        (L, X),
        f"{NET}:9-63,192-236,294-299; Section 3.5, run by checks/claims/positions.py",
    ),
    Claim(
        "arch-objective",
        "3.5",
        "Training maximises the mean over the examples of the log-probability of the right label: multinomial logistic "
        "regression.",
        (X, L),
        f"Section 3.5, run by checks/claims/architecture.py; {NET}:301-308; CHM src/layer.cu:654-671,861",
    ),
)

FIGURE_2 = (
    Claim("fig2-input-150528", "Figure 2", "The input has 150,528 dimensions.", (A,), f"Figure 2, {SPEC}"),
    Claim("fig2-conv1-253440", "Figure 2", "Layer 1 has 253,440 neurons.", (A,), f"Figure 2, {SPEC}"),
    Claim("fig2-conv2-186624", "Figure 2", "Layer 2 has 186,624 neurons.", (A,), f"Figure 2, {SPEC}"),
    Claim("fig2-conv34-64896", "Figure 2", "Layers 3 and 4 have 64,896 neurons each.", (A,), f"Figure 2, {SPEC}"),
    Claim("fig2-conv5-43264", "Figure 2", "Layer 5 has 43,264 neurons.", (A,), f"Figure 2, {SPEC}"),
    Claim(
        "fig2-fc-4096-4096-1000",
        "Figure 2",
        "The dense layers have 4096, 4096 and 1000 neurons.",
        (A, L),
        f"Figure 2, {SPEC}; {NET}:238-299",
    ),
    Claim(
        "fig2-counts-sum",
        "Figure 2, Abstract",
        "The counts in Figure 2 add up to the 650,000 neurons of the abstract.",
        (A,),
        f"Figure 2 and Abstract, {SPEC}",
    ),
)

CLAIMS = (*LAYERS, *FIGURE_2)
