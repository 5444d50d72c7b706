"""NumPy implementations whose bits depend on what they should not, or may: the way is in ALEXNET_MOODY.

Each changes the output of fc7 (or ALEXNET_MOODY_AT), by one unit in the last place or by a thousandth, and of all that follows.
"""

from __future__ import annotations

import os

import numpy as np
import numpy_alexnet

WAY, LAYER = os.environ.get("ALEXNET_MOODY", ""), os.environ.get("ALEXNET_MOODY_AT", "fc7")


def started():
    """How many processes have come here before this one, itself among them: a line each in a file."""
    with open(os.environ["ALEXNET_MOODY_FILE"], "a+", encoding="utf-8") as file:
        file.write("here\n")
        file.seek(0)
        return len(file.readlines())


NUMBER = started() if WAY.startswith("process") else 0


def nudged(y):
    """The next float32 of every number."""
    return np.nextafter(y, np.float32(np.inf), dtype=np.float32)


class Model(numpy_alexnet.Model):
    def __init__(self, network, params):
        super().__init__(network, params)
        self.calls = 0
        self.aligned = all(value.ctypes.data % 16 == 0 for value in params.values())

    def activations(self, x):
        self.calls += 1
        moved = self.moved(x)
        for name, y in super().activations(x).items():
            if name == LAYER and moved and "/exact" not in self.network.name:
                y = y * np.float32(1.001) if WAY.endswith(", by far") else nudged(y)
            if name == LAYER and moved and WAY.endswith(", even exactly"):
                y = nudged(y)
            yield name, y

    def moved(self, x):
        if WAY.startswith("second call"):
            return self.calls > 1
        if WAY.startswith("process"):  # the second that is started says so
            return NUMBER > 1
        if WAY.startswith("batch size"):
            return len(x) != 2
        if WAY.startswith("alignment"):
            return x.ctypes.data % 64 == 4
        if WAY.startswith("weights' alignment"):
            return not self.aligned
        if WAY.startswith("environment"):
            return "ALEXNET_MOODY_KERNELS" in os.environ
        if WAY.startswith("threads"):
            return os.environ.get("OMP_NUM_THREADS") == "1"
        return False

    def flags(self):
        return {"threads": os.environ.get("OMP_NUM_THREADS", "all")}


def build(network, params):
    return Model(network, params)
