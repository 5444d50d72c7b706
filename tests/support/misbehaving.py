"""Implementations that go wrong in every way that a stranger's may: the name of the way is in ALEXNET_MISBEHAVES."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import numpy_alexnet

WAY = os.environ.get("ALEXNET_MISBEHAVES", "")

if WAY == "raises on import":
    raise ValueError("no luck today")
if WAY == "exits on import":
    sys.exit(3)
if WAY == "ends on import":
    os._exit(3)
if WAY == "has a wrong import":
    from numpy import nonesuch  # noqa: F401
if WAY == "imports what is missing":
    import a_framework_that_nobody_has  # noqa: F401


if WAY == "is fixed to an unknown variant":
    variant = "alexnet"


class Model(numpy_alexnet.Model):
    def activations(self, x):
        if WAY == "prints":
            print("hello from the framework", flush=True)
            os.write(1, b'{"kind": "done"}\n')
        if WAY == "overwrites its input":
            x[:] = np.maximum(x, 0)
        if WAY == "returns nothing":
            return None
        if WAY == "returns a list of arrays":
            return [x]
        return self.one_by_one(x)

    def one_by_one(self, x):
        for name, array in super().activations(x).items():
            if name == "fc6":
                stop()
            yield from changed(name, array)

    def params(self):
        given = super().params()
        if WAY == "a parameter is missing" and "fc7.bias" in given:
            del given["fc7.bias"]
        if WAY == "a parameter too many":
            given["norm1.gamma"] = np.ones(3, np.float32)
        if WAY == "params raises":
            raise RuntimeError("no weights for you")
        if WAY == "a parameter is no array" and "fc7.bias" in given:
            given["fc7.bias"] = "one"
        return given


def stop():
    match WAY:
        case "raises at fc6":
            raise RuntimeError("matrix sizes\ndo not match")
        case "raises in a library":
            np.reshape(np.zeros(3), (2,))
        case "says what terminals obey":
            raise RuntimeError("\x1b]0;owned\x07\x00all \x1b[32mis\x1b[0m\twell\x1b[3")
        case "exits at fc6":
            sys.exit(0)
        case "crashes at fc6":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "is killed at fc6":
            os.kill(os.getpid(), signal.SIGKILL)
        case "leaves a child that holds the pipe":
            if os.fork() == 0:
                time.sleep(3600)
            os._exit(1)
        case "leaves a child in a session of its own":
            if os.fork() == 0:
                os.setsid()
                time.sleep(60)
            os._exit(1)
        case "writes to every file":
            for number in range(3, 12):
                with contextlib.suppress(OSError):
                    os.write(number, b"garbage\n")
        case "hangs at fc6":
            if path := os.environ.get("ALEXNET_PID_FILE"):
                Path(path).write_text(str(os.getpid()))
            time.sleep(3600)


def changed(name, array):
    if name != "conv3":
        yield name, array
        return
    match WAY:
        case "conv3 is missing":
            return
        case "conv3 is misnamed":
            yield "conv_3", array
        case "conv3 is named in colours":
            yield "\x1b[32mconv3\x1b[0m", array
        case "conv3 is channels last":
            yield name, array.transpose(0, 2, 3, 1)
        case "conv3 is float64":
            yield name, array.astype(np.float64)
        case "conv3 is NaN":
            array[0, 1, 2, 3] = np.nan
            yield name, array
        case "conv3 is infinite":
            array[1, 0, 0, 0] = np.inf
            yield name, array
        case "conv3 is a list":
            yield name, array.tolist()
        case "conv3 is complex":
            yield name, array.astype(np.complex64)
        case "conv3 is empty":
            yield name, array[:, :, :0]
        case "conv3 is given twice":
            yield from [(name, array)] * 2
        case "activations never end":
            while True:
                name += "_"
                yield name, array[:1, :1]
        case "conv3 has one image":
            yield name, array[:1]
        case _:
            yield name, array


def build(network, params):
    if WAY == "build raises":
        raise RuntimeError("out of luck")
    if WAY == "build is unsupported":
        from alexnet_parity.impls.interface import Unsupported

        raise Unsupported("this engine has no LRN")
    if WAY == "build changes the given weights":
        for value in params.values():
            value *= 2
    return Model(network, params)
