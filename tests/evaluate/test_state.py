"""The state file: what is in it is never done again, what is half in it is, and another run's is refused."""

from __future__ import annotations

import json

import pytest

from alexnet_parity.evaluate.errors import Unusable
from alexnet_parity.evaluate.state import SCHEMA, State

RUN = {"weights": "abc", "views": 1, "batch": 4, "implementations": {"torch": "x"}}
PLAN = {0: 4, 4: 8, 8: 10}


def batch(start, image="an image"):
    return {"start": start, "stop": PLAN[start], "images": [image], "unreadable": [], "flags": {}}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.jsonl"


def filled(path, *starts):
    with State(path, RUN, PLAN) as state:
        for start in starts:
            state.add(batch(start))
    return path.read_bytes()


def test_a_new_state_has_everything_to_do(path):
    with State(path, RUN, PLAN) as state:
        assert state.to_do() == [(0, 4), (4, 8), (8, 10)]
    assert json.loads(path.read_text()) == {"schema": SCHEMA, "run": RUN}


def test_what_is_done_is_not_to_do(path):
    filled(path, 4)
    with State(path, RUN, PLAN) as state:
        assert state.to_do() == [(0, 4), (8, 10)]
        state.add(batch(8))
        state.add(batch(0))
        assert [row["start"] for row in state.batches()] == [0, 4, 8]  # in order of the images, not of the file


def test_every_way_to_cut_a_file_short_loses_the_cut_batch_only(path):
    whole = filled(path, 0, 4)
    ends = [end + 1 for end, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        with State(path, RUN, PLAN) as state:
            assert [row["start"] for row in state.batches()] == [0, 4][: sum(end <= length for end in ends[1:])]
            for start, _ in state.to_do()[:-1]:
                state.add(batch(start))
        assert path.read_bytes() == whole  # exactly as if it had never been cut


def test_nothing_is_counted_twice(path):
    whole = filled(path, 0)
    path.write_bytes(whole + whole.splitlines(keepends=True)[1].replace(b"an image", b"another"))
    with State(path, RUN, PLAN) as state:
        state.add(batch(0, "again"))
        assert [row["images"] for row in state.batches()] == [["an image"]]


@pytest.mark.parametrize(
    "change, words",
    [
        ({"views": 10}, "views is 1 there, 10 here"),
        ({"weights": "abd"}, "weights is abc there, abd here"),
        ({"implementations": {"torch": "x", "keras": "y"}}, "implementations is"),
        ({"more": 1}, "more is None there, 1 here"),
    ],
    ids=range(4),
)
def test_the_state_of_another_run_is_refused_with_what_differs(path, change, words):
    before = filled(path, 0)
    with pytest.raises(Unusable, match=words):
        State(path, RUN | change, PLAN)
    assert path.read_bytes() == before


OTHERS = [
    b"my diary",
    b"my diary\nof today\n",
    b"#!/bin/sh\nrm -f x\n",
    b"\xff\xfe\n",
    b"[]\n",
    b"{}\n",
    b'{\n "schema": "alexnet-parity/evaluation/1"\n}\n',
    b'{"schema": "x"}',
    b"\0" * 99,
]


@pytest.mark.parametrize("content", OTHERS, ids=range(len(OTHERS)))
def test_somebodys_own_file_is_refused_and_left_alone(path, content):
    path.write_bytes(content)
    with pytest.raises(Unusable, match="another kind of file") as error:
        State(path, RUN, PLAN)
    assert "delete" not in str(error.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "line, words",
    [
        (b"{broken\n", "line 2: damaged"),
        (b"[]\n", "line 2: damaged"),
        (b'{"start": 1, "stop": 4, "images": [], "unreadable": []}\n', "line 2: no batch of this run"),
        (b'{"start": 0, "stop": 5, "images": [], "unreadable": []}\n', "line 2: no batch of this run"),
        (b'{"start": 0, "stop": 4}\n', "line 2: no batch of this run"),
    ],
    ids=range(5),
)
def test_a_damaged_line_in_the_middle_is_refused(path, line, words):
    header, *rest = filled(path, 0, 4).splitlines(keepends=True)
    path.write_bytes(b"".join([header, line, *rest]))
    with pytest.raises(Unusable, match=words):
        State(path, RUN, PLAN)


def test_two_runs_cannot_write_one_state(path):
    with State(path, RUN, PLAN), pytest.raises(Unusable, match="another run is writing it"):
        State(path, RUN, PLAN)
    with State(path, RUN, PLAN):
        pass


def test_a_state_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(Unusable, match="cannot open it"):
        State(tmp_path / "no" / "state", RUN, PLAN)
    with pytest.raises(Unusable, match="cannot open it"):
        State(tmp_path, RUN, PLAN)
