"""Events over a pipe: whole or not at all, and an end that comes when the process ends."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest

from alexnet_parity.checks import pipe
from alexnet_parity.checks.recording import Event

EVENTS = [
    Event("activation", "batch", "conv1", array=np.arange(24, dtype=np.float32).reshape(2, 3, 4)),
    Event("activation", "batch", "empty", array=np.zeros((2, 0), np.float32)),
    Event("param", name="zero\n dimensions", array=np.array(1.5)),
    Event("error", "first", text="a line\nand another, \udce9"),
    Event("done"),
]


def sent(events):
    stream = io.BytesIO()
    for event in events:
        pipe.send(stream, event)
    return stream.getvalue()


def same(a, b):
    arrays = (a.array is None) == (b.array is None) and (a.array is None or np.array_equal(a.array, b.array))
    return arrays and (a.kind, a.run, a.name, a.text) == (b.kind, b.run, b.name, b.text)


def test_what_is_sent_is_received():
    stream = io.BytesIO(sent(EVENTS))
    assert all(same(event, pipe.receive(stream)) for event in EVENTS)
    assert pipe.receive(stream) is None


def test_a_stream_cut_anywhere_ends_and_gives_only_whole_events():
    whole = sent(EVENTS)
    for size in range(len(whole)):
        stream, count = io.BytesIO(whole[:size]), 0
        while (event := pipe.receive(stream)) is not None:
            assert same(event, EVENTS[count])
            count += 1
        assert count < len(EVENTS)


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 3_000_000], ids=lambda n: f"{n} bytes")
def test_the_output_of_a_process_is_read_to_its_end(size):
    code = f"import sys; sys.stdout.write('head\\n' + 'x' * {size})"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        output = pipe.Output(process)
        assert output.readline() == b"head\n"
        assert output.read(size) == b"x" * size
        assert output.readline() == b""
