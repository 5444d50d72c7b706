"""Files gone wrong, drawn by hypothesis: any bytes, and whole files with a few edits, in their bytes or in what they say."""

from __future__ import annotations

import copy
import re
import struct
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

WORDS = (0, 1, 2**31 - 1, 2**32, 2**40, 2**63 - 1, 2**64 - 1)
NUMBERS = (b"-1", b"0", b"1e999", b"NaN", b"1.5", b"9" * 20, b"9" * 5000, b"true", b"", b"0x1", b"2147483648")
NUMBER = re.compile(rb"-?\d[\d.e+-]*")

# What stands where something else is expected.
DEEP: list[Any] = []
for _ in range(200):
    DEEP = [DEEP]
ODD = (
    None,
    True,
    0,
    -1,
    1.5,
    1e308,
    -0.0,
    2**31,
    2**63,
    10**400,
    float("nan"),
    float("inf"),
    "",
    "x",
    "a\nb",
    "\x00\x1b[2J",
)
ODD = (*ODD, "\ud800", "9" * 3000, [], {}, [0], {"a": 1}, [[], []], DEEP, ["a", "b"], [1, 2, 3], [-1], [2**40, 2**40])


def arbitrary(magic: bytes = b"") -> st.SearchStrategy[bytes]:
    """Any bytes, some behind the file's own beginning, and any text."""
    text = st.text(max_size=100).map(lambda drawn: drawn.encode("utf-8", "surrogatepass"))
    return st.one_of(st.binary(max_size=200), st.binary(max_size=200).map(lambda drawn: magic + drawn), text)


# Bytes ------------------------------------------------------------------------------------------------------------------


def flip(content: bytearray, place: int, other: int, value: int) -> None:
    content[place] ^= 1 << value % 8


def cut(content: bytearray, place: int, other: int, value: int) -> None:
    del content[place:]


def lose(content: bytearray, place: int, other: int, value: int) -> None:
    del content[place : place + 1 + value]


def insert(content: bytearray, place: int, other: int, value: int) -> None:
    content[place:place] = bytes([value]) * (1 + other % 9)


def splice(content: bytearray, place: int, other: int, value: int) -> None:
    content[place:place] = content[other : other + 1 + 2 * value]


def overwrite(content: bytearray, place: int, other: int, value: int) -> None:
    content[place : place + 8] = struct.pack("<Q", WORDS[value % len(WORDS)])[: len(content) - place]


def number(content: bytearray, place: int, other: int, value: int) -> None:
    """The next number in a text becomes another, or none."""
    if found := NUMBER.search(content, place):
        content[found.start() : found.end()] = NUMBERS[value % len(NUMBERS)]


EDITS = (flip, cut, lose, insert, splice, overwrite, number)


def parts(drawn: int) -> tuple[int, int, int, int]:
    """One number, which is quick to draw, as four: what to do, two places as shares of 2^16 of the length, and with what."""
    return drawn >> 40, drawn >> 24 & 0xFFFF, drawn >> 8 & 0xFFFF, drawn & 0xFF


NUMBERED = st.lists(st.integers(0, 2**48 - 1), min_size=1, max_size=3)


def edited(content: bytes, edits: list[int]) -> bytes:
    """The bytes with the edits done to them."""
    found = bytearray(content)
    for kind, place, other, value in map(parts, edits):
        if found:
            EDITS[kind % len(EDITS)](found, place * len(found) >> 16, other * len(found) >> 16, value)
    return bytes(found)


def damaged(*valid: bytes) -> st.SearchStrategy[bytes]:
    """One of these files with up to three edits of its bytes."""
    return st.builds(edited, st.sampled_from(valid), NUMBERED)


# What a JSON document says ----------------------------------------------------------------------------------------------


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key or index) of every value within."""
    keys = list(document) if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    for key in keys:
        yield document, key
        yield from places(document[key])


def changed(document: Any, edits: list[int]) -> Any:
    """The document with a few of its values replaced, left out, repeated or put into each other's place."""
    found = copy.deepcopy(document)
    for kind, place, other, value in map(parts, edits):
        there = list(places(found))
        if not there:
            break
        holder, key = there[place * len(there) >> 16]
        match KINDS[kind % len(KINDS)]:
            case "replace":
                holder[key] = copy.deepcopy(ODD[value % len(ODD)])
            case "leave out":
                del holder[key]
            case "repeat":
                holder.append(holder[key]) if isinstance(holder, list) else holder.update({f"{key} again": holder[key]})
            case "exchange":
                theirs, name = there[other * len(there) >> 16]
                holder[key] = copy.deepcopy(theirs[name])
    return found


KINDS = ("replace", "replace", "leave out", "repeat", "exchange")


def reworded(*documents: Any) -> st.SearchStrategy[Any]:
    """One of these documents with up to three edits of its values."""
    return st.builds(changed, st.sampled_from(documents), NUMBERED)
