"""The header of a NumPy array as .npy and .npz hold it, checked before anything else of the array is read."""

from __future__ import annotations

import struct
import tokenize
from typing import IO, Any

import numpy as np

MAX_HEADER_BYTES = 64 * 1024
MAGIC = b"\x93NUMPY"
BROKEN = (
    OSError,
    ValueError,
    EOFError,
    SyntaxError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    MemoryError,
    RecursionError,
    struct.error,
    tokenize.TokenError,
)
"""What reading a broken array may raise: NumPy evaluates the header as Python's literals."""


def read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read an array's header; the stream stands at its values then.

    Returns:
        Its shape, whether it is in Fortran's order, and its type.

    Raises:
        ValueError: If it is no header, longer than 64 KB, or of an array of pickled objects; of a broken one, any of `BROKEN`.
    """
    start = stream.read(len(MAGIC) + 2)
    if start[: len(MAGIC)] != MAGIC or len(start) < len(MAGIC) + 2:
        raise ValueError("its array begins with other bytes")
    is_first_version = start[len(MAGIC) :] == b"\x01\x00"
    length = stream.read(2 if is_first_version else 4)
    if int.from_bytes(length, "little") > MAX_HEADER_BYTES:
        raise ValueError("its header is longer than 64 KB")
    read = np.lib.format.read_array_header_1_0 if is_first_version else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read(_Again(length, stream))
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, which are never loaded: allow_pickle is off")
    return shape, is_fortran, dtype


class _Again:
    """A stream of which the first bytes, which were read already, are read once more."""

    def __init__(self, first: bytes, rest: IO[bytes]) -> None:
        self._first, self._rest = first, rest

    def read(self, size: int = -1, /) -> bytes:
        taken, self._first = self._first[:size], self._first[size:]
        return taken + (self._rest.read(size - len(taken)) if size > len(taken) else b"")
