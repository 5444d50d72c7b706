"""What becomes of the logits."""

from __future__ import annotations

from ...reference.mistaken import Activation, LogSoftmax, SoftmaxOver
from ...reference.spec import Network, Softmax
from .chain import another, behind, words
from .trap import Trap, nothing, removed


def doubled(network: Network, name: str) -> Network:
    return behind(network, name, another(network[name], "again"))


TRAPS: tuple[Trap, ...] = (
    Trap(
        "softmax-missing",
        "the softmax is left out (logits are returned)",
        (Softmax,),
        nothing,
        network=removed,
        convention="logits: the softmax is in the loss",
        words=words(
            "logits are returned, for nn.CrossEntropyLoss, which takes them: torch.softmax(x, dim=1) gives probabilities",
            "the last Dense has no activation, for CategoricalCrossentropy(from_logits=True): activation='softmax'",
            "logits are returned, for tf.nn.softmax_cross_entropy_with_logits: tf.nn.softmax gives probabilities",
        ),
    ),
    Trap(
        "softmax-doubled",
        "the softmax is applied twice",
        (Softmax,),
        network=doubled,
        words=words(
            "nn.Softmax in the model and F.softmax once more: nn.CrossEntropyLoss has its own, too",
            "activation='softmax' in the last Dense and a Softmax layer behind it: one will do",
            "tf.nn.softmax is applied twice: tf.nn.softmax_cross_entropy_with_logits has its own, too",
        ),
    ),
    Trap(
        "softmax-over-batch",
        "the softmax goes over the images of the batch, not over the classes",
        (Softmax,),
        lambda s: SoftmaxOver(s.name, 0, source=s.source),
        words=words(
            "F.softmax(x, dim=0) goes over the batch: dim=1",
            "Softmax(axis=0) goes over the batch: leave axis at -1",
            "tf.nn.softmax(x, axis=0) goes over the batch: leave axis at -1",
            onnx="Softmax with axis=0 goes over the batch: axis=1",
            jax="jax.nn.softmax(x, axis=0) goes over the batch: leave axis at -1",
        ),
    ),
    Trap(
        "log-softmax",
        "the logarithm of the softmax is returned",
        (Softmax,),
        lambda s: LogSoftmax(s.name, source=s.source),
        convention="log-probabilities, for the loss",
        words=words(
            "F.log_softmax is returned, for nn.NLLLoss, which takes it: torch.exp of it gives probabilities",
            "keras.ops.log_softmax is returned: activation='softmax' gives probabilities",
            "tf.nn.log_softmax is returned: tf.nn.softmax gives probabilities",
        ),
    ),
    Trap(
        "sigmoid-instead-of-softmax",
        "each class has a sigmoid of its own in the place of the softmax",
        (Softmax,),
        lambda s: Activation(s.name, "sigmoid", source=s.source),
        words=words(
            "torch.sigmoid stands at the end: torch.softmax(x, dim=1)",
            "activation='sigmoid' in the last Dense: activation='softmax'",
            "tf.nn.sigmoid stands at the end: tf.nn.softmax",
        ),
    ),
)
