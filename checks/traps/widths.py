"""Numbers of maps, units and classes."""

from __future__ import annotations

from dataclasses import replace

from ...reference.spec import Conv, Dense, Network
from .chain import hidden_dense, last_dense, where, words
from .trap import Trap, value

OTHER_CLASSES = (10, 17)  # the second where the network has as many as the first already


def maps_of(maps: int) -> Trap:
    return Trap(
        f"maps-{maps}",
        f"it has {maps} maps",
        (Conv,),
        value("channels", maps),
        words=words(
            f"nn.Conv2d's out_channels is {maps} at {{layer}}; expected: {{expected}}",
            f"Conv2D's filters is {maps} at {{layer}}; expected: {{expected}}",
            f"the filters' last axis is {maps} at {{layer}}; expected: {{expected}}",
        ),
    )


def units_of(units: int) -> Trap:
    def edit(network: Network, name: str) -> Network:
        return network.edit(name, units=units)

    return Trap(
        f"units-{units}",
        f"it has {units} units",
        (Dense,),
        network=where(hidden_dense, edit),
        words=words(
            f"nn.Linear's out_features is {units} at {{layer}}; expected: {{expected}}",
            f"Dense's units is {units} at {{layer}}; expected: {{expected}}",
            f"the weight's second axis is {units} at {{layer}}; expected: {{expected}}",
        ),
    )


def of_another_task(network: Network, name: str) -> Network:
    layer = network[name]
    assert isinstance(layer, Dense)
    usual, other = OTHER_CLASSES
    return network.swap(name, replace(layer, units=usual if layer.units != usual else other))


TRAPS: tuple[Trap, ...] = (
    *(maps_of(maps) for maps in (32, 48, 64, 96, 128, 192, 256, 384, 512)),
    *(units_of(units) for units in (256, 512, 1024, 2048, 4096)),
    Trap(
        "classes",
        "it has another number of classes",
        (Dense,),
        network=where(last_dense, of_another_task),
        convention="the number of classes is the task's",
        words=words(
            "the last nn.Linear's out_features is the number of classes of the task (num_classes)",
            "the last Dense's units is the number of classes of the task (classes)",
            "the last weight's second axis is the number of classes of the task",
        ),
    ),
)
