"""The spec as JSON, for programs in other languages."""

from __future__ import annotations

import dataclasses
from typing import Any

from .spec import Network

SCHEMA = "alexnet-parity/spec/1"


def as_dict(network: Network) -> dict[str, Any]:
    """Every layer with its fields, input and output shape, parameters, multiply-adds and receptive field, and totals."""
    counts, products, fields = network.param_counts(), network.multiply_adds(), network.receptive_fields()
    layers = []
    for layer, before, after in network.walk():
        own = {k: v for k, v in dataclasses.asdict(layer).items() if k not in ("name", "source")}
        field = dict(zip(("size", "step", "start"), fields[layer.name], strict=True)) if layer.name in fields else None
        layers.append(
            {"name": layer.name, "kind": layer.kind}
            | own
            | {
                "input": list(before),
                "output": list(after),
                "parameter_shapes": {name: list(shape) for name, shape in layer.param_shapes(before).items()},
                "parameters": counts[layer.name],
                "multiply_adds": products[layer.name],
                "receptive_field": field,
                "source": layer.source,
            }
        )
    totals = {
        "parameters": network.parameter_count(),
        "multiply_adds": sum(products.values()),
        "neurons": network.neurons(),
    }
    return {
        "schema": SCHEMA,
        "name": network.name,
        "about": network.about,
        "layout": "N,C,H,W; kernels O,I,H,W; dense (out, in); flattened in the order C, H, W",
        "input": list(network.input_shape),
        "layers": layers,
        "totals": totals,
    }


HEADERS = ("layer", "what it does", "output", "parameters", "multiply-adds", "sees (pixels)", "source")


def rows(network: Network) -> list[tuple[str, ...]]:
    """The layer table, a row a layer, in HEADERS' order."""
    counts, products, fields = network.param_counts(), network.multiply_adds(), network.receptive_fields()
    table = []
    for layer, _, after in network.walk():
        sees = str(fields[layer.name][0]) if layer.name in fields else "all"
        numbers = [f"{n[layer.name]:,}" if n[layer.name] else "" for n in (counts, products)]
        table.append((layer.name, describe(layer), " x ".join(map(str, after)), *numbers, sees, layer.source))
    total = f"{network.parameter_count():,}", f"{sum(products.values()):,}"
    return [*table, ("total", f"{network.neurons():,} neurons", "", *total, "", "")]


def padding(layer: Any) -> str:
    before, after = layer.padding
    if before == after:
        return f", padding {before}" if before else ""
    return f", padding {before} before and {after} after"


def rounding(layer: Any) -> str:
    return ", sizes rounded up" if layer.ceil else ""


def describe(layer: Any) -> str:
    """A layer's fields in a few words."""
    match layer.kind:
        case "conv":
            groups = f", {layer.groups} groups" if layer.groups > 1 else ""
            window = f"{layer.kernel} x {layer.kernel}, stride {layer.stride}{padding(layer)}"
            return f"{layer.channels} kernels {window}{rounding(layer)}{groups}"
        case "local":
            window = f"{layer.kernel} x {layer.kernel}, stride {layer.stride}{padding(layer)}"
            return f"{layer.channels} kernels {window}, not shared between positions"
        case "lrn":
            towers = f", within {layer.towers} towers" if layer.towers > 1 else ""
            return f"LRN k={layer.k:g} n={layer.n} alpha={layer.alpha:.3g} beta={layer.beta:g}{towers}"
        case "spatiallrn":
            window = f"n={layer.n} x {layer.n}"
            return f"LRN within each map k={layer.k:g} {window} alpha={layer.alpha:.3g} beta={layer.beta:g}"
        case "pool":
            what = "mean" if layer.average else "max"
            return f"{what} {layer.kernel} x {layer.kernel}, stride {layer.stride}{padding(layer)}{rounding(layer)}"
        case "dense":
            return f"{layer.units} units" + (f", {layer.groups} groups" if layer.groups > 1 else "")
        case "dropout":
            return f"rate {layer.rate:g} in training, identity here"
        case "relu":
            return "max(0, x)"
        case "flatten":
            return "order channel, row, column"
    return str(layer.kind)
