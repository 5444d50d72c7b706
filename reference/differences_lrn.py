"""What LRN's arguments mean in each implementation, and how to get the paper's formula and the authors' code from it.

The paper: a / (k + alpha * sum of squares over n maps)^beta, with k = 2, n = 5, alpha = 1e-4, beta = 0.75. The authors'
code: the same with alpha / n, inside each of two towers.
"""

from __future__ import annotations

from dataclasses import dataclass

from .differences import NOTHING, Source, paper
from .original_2012 import original
from .paper import paper as paper_network
from .spec import Lrn, Network


@dataclass(frozen=True)
class Call:
    """Arguments as a person writes them: the window's, the offset's and alpha's."""

    size: int
    k: float
    alpha: float


@dataclass(frozen=True)
class Convention:
    """How one implementation reads its arguments.

    offset: what it calls k, and the default. divides: whether alpha is divided by the number of maps. radius: whether the
    size is taken for a radius. form: how to write the call, with {size}, {k}, {alpha}; "" where no call is possible.
    """

    name: str
    offset: str
    divides: bool
    radius: bool
    span: str
    form: str
    sources: tuple[Source, ...]
    note: str = ""
    own_towers: bool = False  # normalises a tower by itself without being told

    def means(self, call: Call) -> Lrn:
        """The formula that a call stands for, over one tower."""
        n = 2 * call.size + 1 if self.radius else call.size
        return Lrn("norm", n=n, k=call.k, alpha=call.alpha / n if self.divides else call.alpha)

    def call(self, wanted: Lrn) -> Call:
        """The arguments for a formula."""
        size = wanted.n // 2 if self.radius else wanted.n
        return Call(size, wanted.k, wanted.alpha * wanted.n if self.divides else wanted.alpha)

    def write(self, wanted: Lrn) -> str:
        """How to write it; "-" where the implementation has no such freedom."""
        call = self.call(wanted)
        if not self.form:
            return NOTHING
        return self.form.format(size=call.size, k=f"{call.k:g}", alpha=f"{call.alpha:.4g}", beta=f"{wanted.beta:g}")

    def as_dict(self) -> dict[str, object]:
        return {
            "name": self.name,
            "offset": self.offset,
            "divides_alpha_by_n": self.divides,
            "size_is_a_radius": self.radius,
            "span": self.span,
            "for_the_paper": self.write(PAPER),
            "for_the_original": self.write(ORIGINAL),
            "note": self.note,
            "sources": [{"label": source.label, "address": source.address} for source in self.sources],
        }


def first_norm(network: Network) -> Lrn:
    norm = network["norm1"]
    assert isinstance(norm, Lrn)
    return norm


PAPER, ORIGINAL = first_norm(paper_network()), first_norm(original())

CONFIG = "size={size}, scale={alpha}, pow={beta}"
TF = "tf.nn.local_response_normalization(x, depth_radius={size}, bias={k}, alpha={alpha}, beta={beta})"
LAYER = "whole tensor"

CONVENTIONS: tuple[Convention, ...] = (
    Convention("the paper", "k", False, False, "whole layer", "n = {size}, k = {k}, alpha = {alpha}, beta = {beta}",
               (paper("Section 3.3"),)),
    Convention("the authors' code, 2012", "minDiv", True, False, "layer object: a tower", CONFIG + ", minDiv={k}",
               (Source("original", "layer.py", "1183"), Source("original", "layers/layer-params-145.cfg", "137-155")),
               own_towers=True),
    Convention("cuda-convnet", "fixed at 1", True, False, "layer object", "",
               (Source("cuda-convnet", "src/cudaconv2/conv_util.cu", "1084"),
                Source("cuda-convnet", "layer.py", "1036")), note="k = 2 cannot be said"),
    Convention("cuda-convnet2", "minDiv, default 1", True, False, "layer object", CONFIG + ", minDiv={k}",
               (Source("cuda-convnet2", "layer.py", "1331"),)),
    Convention("Caffe", "k, default 1", True, False, LAYER,
               "lrn_param {{ local_size: {size} alpha: {alpha} beta: {beta} k: {k} }}",
               (Source("caffe", "src/caffe/layers/lrn_layer.cpp", "115-120"),), note="odd sizes only"),
    Convention("PyTorch", "k, default 1", True, False, LAYER,
               "nn.LocalResponseNorm({size}, alpha={alpha}, beta={beta}, k={k})(x)",
               (Source("pytorch", "torch/nn/functional.py"),)),
    Convention("TensorFlow", "bias, default 1", False, True, LAYER, TF,
               (Source("tensorflow", "tensorflow/core/kernels/lrn_op.cc"),),
               note="the size is a radius: 5, its default, is a window of 11 maps"),
    Convention("Keras 3", "bias, default 1", False, True, LAYER, TF,
               (Source("", "impls/keras.py"), Source("", "impls/keras_ops.py")),
               note="has no such layer: one of your own around TensorFlow's, or a sum of shifted squares over keras.ops"),
    Convention("Paddle", "k, default 1", True, False, LAYER,
               "paddle.nn.LocalResponseNorm({size}, alpha={alpha}, beta={beta}, k={k})(x)",
               (Source("paddle", "python/paddle/nn/functional/norm.py"),),
               note="its documentation writes the sum; its code takes the mean over the window (read, not run here)"),
    Convention("mbrukman, local_response_normalization.py", "k, default 2", False, True, LAYER,
               "LocalResponseNormalization(k={k}, n={size}, alpha={alpha}, beta={beta})(x)",
               (Source("reimplementing-ml-papers", "alexnet/local_response_normalization.py"),),
               note="hands n to TensorFlow as the radius: its own n = 5 is a window of 11 maps"),
    Convention("mbrukman, Pylearn2's LRN2D", "k, default 2", False, False, LAYER,
               "LRN2D(alpha={alpha}, k={k}, beta={beta}, n={size})",
               (Source("reimplementing-ml-papers", "third_party/pylearn2/local_response_normalization.py"),),
               note="written for the Keras of 2015; channels first"),
)  # fmt: skip
