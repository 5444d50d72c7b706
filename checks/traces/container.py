"""The safetensors container, read and written with NumPy alone, and sealed: every bit of it counts.

Eight bytes with the length of the header, little-endian; the header, JSON; the arrays' bytes, little-endian, one after the
other. The header names each array with its dtype, shape and place, and has texts under "__metadata__". Source:
huggingface/safetensors, README.md, "Format". Any safetensors reader reads these files.

The seal is two of the texts, which come first: SHA-256 over the arrays' bytes, and over the length and the header as they
stand, the seal's own digits read as zeros. A file with a byte changed, missing or added is not the file that was sealed.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import whole

Array = np.ndarray

SUFFIX = ".safetensors"
DTYPES = {
    "BOOL": "|b1",
    "I8": "|i1",
    "U8": "|u1",
    "I16": "<i2",
    "U16": "<u2",
    "F16": "<f2",
    "I32": "<i4",
    "U32": "<u4",
    "F32": "<f4",
    "I64": "<i8",
    "U64": "<u8",
    "F64": "<f8",
}
CODES = {code: name for name, code in DTYPES.items()}
LENGTH = struct.Struct("<Q")
LONGEST = 100_000_000  # bytes of a header that other readers of the format take, and far more than any trace has
METADATA = "__metadata__"
HEADER, DATA = "header_sha256", "data_sha256"  # the seal, and where it stands in the header
OPENING = f'{{"{METADATA}":{{"{HEADER}":"'.encode()
BLANK = "0" * 64


class BadTrace(Exception):
    """A file that cannot be read as what it should be; the message says which, what was found, and what to do."""


@dataclass(frozen=True)
class Contents:
    """Arrays by name, in the file's order, and texts by name, without the seal. The arrays cannot be written to."""

    arrays: dict[str, Array]
    metadata: dict[str, str]


def write(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write to a temporary file beside `path`, then rename it: the file is whole or not there.

    Raises BadTrace for an array of a dtype that the format does not have or for a reserved name, OSError where the disk fails.
    """
    path = path.resolve()
    with whole.part(path) as part:
        with part.open("wb") as stream:
            stream.writelines(pieces(arrays, metadata))
        whole.put(part, path)


def pieces(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """The bytes of a sealed file, the header first."""
    if METADATA in arrays or {HEADER, DATA} & set(metadata):
        raise BadTrace(
            f"found an array or text called {METADATA}, {HEADER} or {DATA}, which are the format's; rename it"
        )
    stored = {name: little(name, array) for name, array in arrays.items()}
    data, entries, end = hashlib.sha256(), {}, 0
    for name, array in stored.items():
        data.update(raw(array))
        start, end = end, end + array.nbytes
        entries[name] = {"dtype": CODES[array.dtype.str], "shape": list(array.shape), "data_offsets": [start, end]}
    texts = {HEADER: BLANK, DATA: data.hexdigest(), **metadata}
    header = json.dumps({METADATA: texts, **entries}, separators=(",", ":"), allow_nan=False).encode()
    header += b" " * (-len(header) % 8)  # the arrays begin at a multiple of eight
    length = LENGTH.pack(len(header))
    yield length
    yield header.replace(BLANK.encode(), seal(length, header).encode(), 1)
    yield from map(raw, stored.values())


def little(name: str, array: Array) -> Array:
    """The array contiguous and little-endian; BadTrace for a dtype that the format does not have."""
    array = np.asarray(array, order="C")
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    if array.dtype.str not in CODES:
        raise BadTrace(f"array {name!r}: found dtype {array.dtype}, expected one of {', '.join(DTYPES)}")
    return array


def raw(array: Array) -> memoryview | bytes:
    """The bytes of a contiguous array, without a copy."""
    return array.reshape(-1).view(np.uint8).data if array.size else b""


def seal(length: bytes, header: bytes | memoryview) -> str:
    """SHA-256, hex, over length and header, the digits of the seal itself as zeros."""
    start = len(OPENING)
    total = hashlib.sha256(length)
    total.update(header[:start])
    total.update(BLANK.encode())
    total.update(header[start + len(BLANK) :])
    return total.hexdigest()


def read(path: Path, sealed: bool = True) -> Contents:
    """Read a file whole; raises BadTrace for anything but a safetensors file as `write` seals it.

    With sealed=False one that somebody else wrote is read too, and its seal, if it has any, is not looked at.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise BadTrace(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    try:
        return parse(content, sealed)
    except BadTrace as error:
        raise BadTrace(f"{path}: {error}") from None


def parse(content: bytes, sealed: bool = True) -> Contents:
    """The same of bytes in memory, the messages without the file's name."""
    start, header = split(content)
    if sealed:
        check_header(content[: LENGTH.size], header)
    entries = as_json(header)
    texts = entries.pop(METADATA, {})
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise BadTrace(f"found {METADATA} that does not map texts to texts; make it again")
    data = memoryview(content)[start:]
    arrays = placed(entries, data)
    if sealed and hashlib.sha256(data).hexdigest() != texts.get(DATA):
        raise BadTrace("its arrays are not those that were written (their SHA-256 differs); copy it or record it again")
    return Contents(arrays, {name: text for name, text in texts.items() if name not in (HEADER, DATA)})


def split(content: bytes) -> tuple[int, bytes]:
    """Where the arrays begin, and the header."""
    if len(content) < LENGTH.size:
        raise BadTrace(f"found {len(content)} bytes, too few for a safetensors file; was it cut short? copy it again")
    (length,) = LENGTH.unpack_from(content)
    if length > min(LONGEST, len(content) - LENGTH.size):
        raise BadTrace(
            f"found a header of {length} bytes announced in a file of {len(content)}; no safetensors file, or one "
            "that was cut short: copy it again"
        )
    start = LENGTH.size + length
    return start, content[LENGTH.size : start]


def check_header(length: bytes, header: bytes) -> None:
    """Raise BadTrace unless the header is sealed and as it was written."""
    start = len(OPENING)
    if not header.startswith(OPENING):
        raise BadTrace(
            "found no seal at the head of it; it was not written by `alexnet-parity record`, or was changed since"
        )
    if header[start : start + len(BLANK)] != seal(length, header).encode():
        raise BadTrace("its header is not the one that was written (its SHA-256 differs); copy it or record it again")


def as_json(header: bytes) -> dict[str, Any]:
    """The header's entries; BadTrace for what is no JSON object, names anything twice or holds NaN."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name that stands there twice")
        return found

    def no_number(text: str) -> float:
        raise ValueError(f"{text}, which is no JSON")

    try:
        found = json.loads(header.decode("utf-8"), object_pairs_hook=once, parse_constant=no_number)
    except (ValueError, RecursionError) as error:
        raise BadTrace(f"found a header that is no JSON ({error}); copy it or record it again") from None
    if not isinstance(found, dict):
        raise BadTrace(f"found a header that is a {type(found).__name__}, expected an object; record it again")
    return found


def placed(entries: dict[str, Any], data: memoryview) -> dict[str, Array]:
    """The arrays, which must lie one after the other and fill the data to its end."""
    fields = {name: fields_of(name, entry) for name, entry in entries.items()}
    place, arrays = 0, {}
    for name, (dtype, shape, start, end) in sorted(fields.items(), key=lambda item: item[1][2:]):
        if start != place:
            how = "a gap before" if start > place else "an overlap at"
            raise BadTrace(f"found {how} array {name!r}: it begins at {start}, expected {place}; record it again")
        if end - start != dtype.itemsize * math.prod(shape):
            raise BadTrace(
                f"array {name!r}: found {end - start} bytes for {dtype} of shape {shape}, "
                f"expected {dtype.itemsize * math.prod(shape)}; record it again"
            )
        if end > len(data):
            raise BadTrace(f"array {name!r} ends beyond the file: it was cut short; copy it again")
        arrays[name] = shaped(name, data[start:end], dtype, shape)
        place = end
    if place != len(data):
        raise BadTrace(f"found {len(data) - place} bytes behind the last array; copy it or record it again")
    return {name: arrays[name] for name in entries}


def shaped(name: str, data: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> Array:
    try:
        return np.frombuffer(data, dtype).reshape(shape)
    except ValueError:  # no numbers along one axis, and too many along another
        raise BadTrace(f"array {name!r}: found shape {shape}, more than can be held; record it again") from None


def fields_of(name: str, entry: Any) -> tuple[np.dtype, tuple[int, ...], int, int]:
    """An array's dtype, shape, start and end; BadTrace unless they are well formed."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise BadTrace(f"array {name!r}: expected dtype, shape and data_offsets, and nothing else; record it again")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise BadTrace(f"array {name!r}: found dtype {dtype!r}, expected one of {', '.join(DTYPES)}")
    if not naturals(shape) or len(shape) > 32:  # NumPy 1 has no more axes
        raise BadTrace(f"array {name!r}: found shape {str(shape)[:80]}, expected a list of sizes; record it again")
    if not naturals(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise BadTrace(f"array {name!r}: found data_offsets {str(offsets)[:80]}, expected its start and end")
    return np.dtype(DTYPES[dtype]), tuple(shape), offsets[0], offsets[1]


def naturals(value: Any) -> bool:
    """A list of whole numbers, none negative or beyond what a file can hold?"""
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)
