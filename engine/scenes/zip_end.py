"""Reads what a zip archive says at its end of its table of contents, so that its length is known before the table is read.

Knows no scene format. Looks where Python's zipfile looks.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO

_END, _END_SIZE = b"PK\x05\x06", 22
_LOCATOR, _LOCATOR_SIZE = b"PK\x06\x07", 20
_LARGE_END, _LARGE_END_SIZE = b"PK\x06\x06", 56
_MAX_COMMENT_BYTES = 2**16


@dataclass(frozen=True)
class ZipEnd:
    """What an archive says of its table of contents.

    Attributes:
        members: Number of entries.
        directory_bytes: Length of the table.
        is_large: Whether the archive is in the form for more than 4 GB or 65,535 entries (zip64).
    """

    members: int
    directory_bytes: int
    is_large: bool


def read_end(file: IO[bytes]) -> ZipEnd | None:
    """Read the end of an archive, or return None if the file is no zip archive, or is cut short.

    Args:
        file: Opened for reading; where it stands is changed.

    Raises:
        OSError: If it cannot be read.
    """
    length = file.seek(0, 2)
    start = max(length - _MAX_COMMENT_BYTES - _END_SIZE - _LOCATOR_SIZE - _LARGE_END_SIZE, 0)
    file.seek(start)
    tail = file.read()
    at = len(tail) - _END_SIZE
    if not (at >= 0 and tail[at : at + 4] == _END and tail[-2:] == b"\0\0"):
        at = tail.rfind(_END)
    if at < 0 or len(tail) < at + _END_SIZE:
        return None
    members, directory_bytes = struct.unpack("<HL", tail[at + 10 : at + 16])
    locator = at - _LOCATOR_SIZE
    if locator < 0 or tail[locator : locator + 4] != _LOCATOR:
        return ZipEnd(members, directory_bytes, is_large=False)
    large = locator - _LARGE_END_SIZE
    if large < 0 or tail[large : large + 4] != _LARGE_END:
        return None
    members, directory_bytes = struct.unpack("<QQ", tail[large + 32 : large + 48])
    return ZipEnd(members, directory_bytes, is_large=True)
