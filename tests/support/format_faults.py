"""Planted faults in saving and loading: a format whose reading changes the parameters in one named way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from alexnet_parity.checks.finding import Finding
from alexnet_parity.checks.recording import Feed
from alexnet_parity.checks.running import record
from alexnet_parity.checks.saved import causes, saved
from alexnet_parity.checks.truth import Truth
from alexnet_parity.reference import variants
from alexnet_parity.reference.spec import Network
from alexnet_parity.reference.stimuli import Stimulus

NETWORK = variants.variant("paper-thin").edit("fc7", units=37)  # square: a transposed fc7 has the right shape


@dataclass(frozen=True)
class FormatFault:
    """What a loader does to one parameter, and the words that must name it."""

    parameter: str
    change: Callable[[causes.Place, np.ndarray], np.ndarray]
    hint: str

    def applied(self, network: Network, params: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        place = causes.places(network)[self.parameter.rpartition(".")[0]]
        return {**params, self.parameter: np.ascontiguousarray(self.change(place, params[self.parameter]))}


FAULTS = {
    "fc7-transposed": FormatFault("fc7.weight", lambda _, w: w.T, "transposed"),
    "conv3-in-float16": FormatFault("conv3.weight", causes.in_float16, "float16"),
    "fc8-in-bfloat16": FormatFault("fc8.weight", causes.in_bfloat16, "bfloat16"),
    "fc6-without-minus-zero": FormatFault("fc6.weight", causes.zeros_unsigned, "-0 became 0"),
    "conv5-without-denormals": FormatFault("conv5.weight", causes.denormals_flushed, "denormal"),
    "conv2-groups-swapped": FormatFault("conv2.weight", causes.groups_swapped, "groups are swapped"),
    "conv4-bias-groups-swapped": FormatFault("conv4.bias", causes.groups_swapped, "groups are swapped"),
    "fc6-row-column-channel": FormatFault("fc6.weight", causes.row_column_channel, "order row, column, channel"),
    "conv1-rows-for-columns": FormatFault("conv1.weight", causes.rows_for_columns, "rows stand for its columns"),
    "conv4-nans-made-quiet": FormatFault("conv4.weight", causes.nans_quiet, "signalling NaNs"),
    "fc8-bias-not-loaded": FormatFault("fc8.bias", causes.not_loaded, "nothing was loaded"),
    "fc7-bias-not-ours": FormatFault("fc7.bias", lambda _, b: b[::-1], ""),
}


def with_fault(module: Any, format: str, fault: FormatFault) -> SimpleNamespace:
    """The implementation with this one format, the fault in its loader; reading the file is left right."""
    codec = module.formats.FORMATS[format]

    def load(module: Any, network: Network, path: Any) -> Any:
        return module.build(network, fault.applied(network, dict(codec.read(path, network))))

    return SimpleNamespace(**{**vars(module), "formats": SimpleNamespace(FORMATS={format: replace(codec, load=load)})})


def judged(module: Any, network: Network = NETWORK, seed: int = 0) -> list[Finding]:
    """What the check says of a module on a network that need not be a variant."""
    stimulus = Stimulus(saved.SAVED, network, {}, np.zeros(0, dtype=np.float32), seed)
    recording = record(module, stimulus, Feed("paper-thin", saved.SAVED, (saved.SAVED,), False))
    return list(saved.formats(recording, Truth(stimulus)))
