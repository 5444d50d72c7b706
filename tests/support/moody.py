"""NumPy implementations whose bits depend on what they should not, or may: the way is in ALEXNET_MOODY.

Each changes the output of fc7 (or ALEXNET_MOODY_AT), by one unit in the last place or by a thousandth, and of all that follows;
a way that begins with "back, " changes one gradient instead, conv2.weight's (or ALEXNET_MOODY_AT's).
"""

from __future__ import annotations

import os

import numpy as np
import numpy_alexnet

GIVEN = os.environ.get("ALEXNET_MOODY", "")
BACK, WAY = GIVEN.startswith("back, "), GIVEN.removeprefix("back, ")
PLACE = os.environ.get("ALEXNET_MOODY_AT", "conv2.weight" if BACK else "fc7")


def started():
    """How many processes have come here before this one, itself among them: a line each in a file."""
    with open(os.environ["ALEXNET_MOODY_FILE"], "a+", encoding="utf-8") as file:
        file.write("here\n")
        file.seek(0)
        return len(file.readlines())


NUMBER = started() if WAY.startswith("process") else 0


def nudged(y):
    """The next float32 of every number but 0, whose bound may be nothing."""
    return np.where(y == 0, y, np.nextafter(y, np.float32(np.inf), dtype=np.float32))


class Model(numpy_alexnet.Model):
    def __init__(self, network, params):
        super().__init__(network, params)
        self.calls = self.calls_back = 0
        self.aligned = all(value.ctypes.data % 16 == 0 for value in params.values())

    def activations(self, x):
        self.calls += 1
        moved = not BACK and self.moved(x, self.calls)
        for name, y in super().activations(x).items():
            yield name, self.other(y) if name == PLACE and moved else y

    def backward(self, x, **given):
        self.calls_back += 1
        done = super().backward(x, **given)
        if not (BACK and self.moved(x, self.calls_back)):
            return done
        return done._replace(gradients={**done.gradients, PLACE: self.other(done.gradients[PLACE])})

    def other(self, y):
        if "/exact" not in self.network.name:
            return y * np.float32(1.001) if WAY.endswith(", by far") else nudged(y)
        return nudged(y) if WAY.endswith(", even exactly") else y

    def moved(self, x, calls):
        if WAY.startswith("second call"):
            return calls > 1
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
