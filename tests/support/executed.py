"""Claims of Section 3 that are decided by running: on the oracle, and on every implementation."""

EXECUTED = (
    "relu-definition",
    "relu-positive-input-learns",
    "gpu-l3-all-l2",
    "gpu-l4-same-gpu",
    "lrn-formula",
    "lrn-window-bounds",
    "lrn-n-total-kernels",
    "lrn-after-relu",
    "lrn-no-mean-subtraction",
    "pool-window-centred",
    "arch-stride-rf-centres",
    "arch-extra-within-map-norm",
    "arch-relu-every-layer",
    "arch-objective",
)
