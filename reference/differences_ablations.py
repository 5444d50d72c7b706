"""The authors' ablations are not single changes: all that differs from the network they are compared with, from the specs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from .differences import Source
from .spec import Network


@dataclass(frozen=True)
class Ablation:
    """name: what it is meant to show. besides: what changes with it, in words. outside: changes that are in no network."""

    name: str
    variant: str
    against: str
    besides: str
    outside: str
    sources: tuple[Source, ...]

    def changes(self) -> tuple[str, ...]:
        from . import variants

        return changes(variants.variant(self.against), variants.variant(self.variant))

    def as_dict(self) -> dict[str, object]:
        return {
            "name": self.name,
            "variant": self.variant,
            "against": self.against,
            "changes": list(self.changes()),
            "besides": self.besides,
            "outside": self.outside,
            "sources": [{"label": source.label, "address": source.address} for source in self.sources],
        }


def changes(one: Network, other: Network) -> tuple[str, ...]:
    """Every layer and field in which `other` differs from `one`, in words: "conv2 channels 256 to 320".

    How layers begin (init_*) and where they are specified is left out; moved layers are named.
    """
    found = [f"without {name}" for name in one.names() if name not in other.names()]
    found += [f"with {name}" for name in other.names() if name not in one.names()]
    shared = [name for name in one.names() if name in other.names()]
    if shared != [name for name in other.names() if name in one.names()]:
        found.append("layers in another order")
    for name in shared:
        old, new = one[name], other[name]
        if type(old) is not type(new):
            found.append(f"{name} is a {new.kind}, not a {old.kind}")
            continue
        for field in dataclasses.fields(old):
            before, after = getattr(old, field.name), getattr(new, field.name)
            if before != after and field.name != "source" and not field.name.startswith("init_"):
                found.append(f"{name} {field.name} {plain(before)} to {plain(after)}")
    return tuple(found)


def plain(value: object) -> str:
    """A field's value; equal padding on both sides as one number."""
    if isinstance(value, tuple) and len(set(value)) == 1:
        return str(value[0])
    return f"{value:g}" if isinstance(value, float) else str(value)


def original(name: str) -> Source:
    return Source("original", f"layers/layers-{name}.cfg")


ABLATIONS: tuple[Ablation, ...] = (
    Ablation(
        "one GPU",
        "original-one-tower",
        "original-2012",
        "conv5 keeps its 256 maps and the dense layers their units (the paper's footnote 2 says so)",
        "",
        (original("145-half"),),
    ),
    Ablation(
        "no response normalisation",
        "original-no-lrn",
        "original-2012",
        "the normalisation within maps, of which the paper does not speak, goes too",
        "",
        (original("148"),),
    ),
    Ablation(
        "pooling without overlap",
        "original-non-overlapping",
        "original-2012",
        "conv2 and conv5 lose a pixel of padding, and maps change size on the way to the same 6 x 6",
        "",
        (original("147"),),
    ),
    Ablation(
        "no communication between the GPUs (not in the paper)",
        "original-no-communication",
        "original-2012",
        "conv2 and fc6 grow to make up for it",
        "",
        (original("150"),),
    ),
    Ablation(
        "CIFAR-10 with normalisation",
        "cifar-11pct",
        "cifar-13pct",
        "local3 is twice as wide",
        "weight decay of the last layer 0.01, not 0.004; about 520 epochs, not 160",
        (
            Source("original", "example-layers/layers-conv-local-13pct.cfg"),
            Source("cuda-convnet2", "layers/layers-cifar10-11pct.cfg"),
        ),
    ),
)
