"""Reads a file of labels, JSON Lines or CSV, line by line. Knows fields only as names; runs no query."""

from __future__ import annotations

import csv
import json
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from db.schema.checks import has_half_character, shown, shown_name
from engine.errors import LabelError

MAX_LINE = 1_000_000
"""Bytes of a line that are read at most: a row has fields of some hundred characters."""
HEAD = 4096
SIGNATURES = {b"\xff\xfe": "UTF-16 or UTF-32", b"\xfe\xff": "UTF-16", b"\x00\x00\xfe\xff": "UTF-32"}
WHOLE = re.compile(r"\s*[+-]?[0-9]{1,4000}\s*")
DECIMAL = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")
TRUTH: dict[Any, bool] = {"true": True, "false": False, "": False}
"""What a cell of CSV may hold for yes and no, in either case."""
Lines = Iterable[tuple[int, str]]


def read_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yield a file's lines with their numbers, from 1. Bytes that are not UTF-8 become lone surrogates, which no field may contain.

    A line longer than `MAX_LINE` is cut, but stays too long, so that the caller sees it.

    Raises:
        LabelError: If it cannot be read, is not an ordinary file, or is not UTF-8 text.
    """
    expected = "expected a file written by `maskgroup labels export`"
    try:
        # Checked before it is opened: a pipe would block, a device would never end.
        if not stat.S_ISREG(file.stat().st_mode):
            raise LabelError(f"{file} cannot be read: it is no ordinary file; {expected}.")
        with file.open("rb") as stream:
            _refuse_binary(file, stream.read(HEAD), expected)
            stream.seek(0)
            number = 0
            while line := stream.readline(MAX_LINE + 1):
                number += 1
                kept = line
                while line and not line.endswith(b"\n"):
                    line = stream.readline(MAX_LINE)
                yield number, kept.decode("utf-8-sig" if number == 1 else "utf-8", errors="surrogateescape")
    except OSError as error:
        raise LabelError(f"{file} cannot be read: {error.strerror or error}; {expected}.") from error
    except ValueError as error:
        raise LabelError(f"{str(file)[:200]!r} is no file's name ({error}); {expected}.") from error


def split_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text as `read_lines` yields those of a file."""
    # Not splitlines: JSON may hold other line separators inside its strings.
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        yield number, line + "\n"


def json_records(lines: Lines) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield (line number, record or what is wrong with the line) of JSON Lines."""
    for number, line in lines:
        if not line.strip():
            continue
        wrong = _wrong_text(line)
        if wrong:
            yield number, wrong
            continue
        try:
            record = json.loads(line, object_pairs_hook=_without_repeats)
        except (ValueError, RecursionError) as error:
            yield number, f"The line is no JSON ({str(error)[:200]})."
            continue
        yield number, record if isinstance(record, dict) else f"The line holds {shown(line.strip())}, expected a JSON object."


def csv_records(lines: Lines, *, required: Sequence[str], known: Sequence[str]) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Yield (line number, cells by column or what is wrong with the line) of CSV with a header.

    Args:
        lines: The lines; a quoted cell may go over several.
        required: The columns without which no row can be read.
        known: All columns.
    """
    reader = csv.reader((line for _, line in _until_too_long(lines)), strict=True)
    header: list[str] | None = None
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, f"The line is no CSV ({error}); what follows it was not read."
            return
        if not cells:
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            wrong = _wrong_header(header, required, known)
            if wrong:
                yield number, wrong
                return
            continue
        if any(_wrong_text(cell) for cell in cells):
            yield number, "The line is no text in UTF-8."
        elif len(cells) != len(header):
            yield number, f"The line has {len(cells)} cells, another number than the header, which has {len(header)}."
        else:
            yield number, dict(zip(header, cells, strict=True))


def whole_number(cell: str) -> int:
    """Return the whole number in a cell of CSV.

    Raises:
        ValueError: If it is not a whole number; `1_000`, which Python accepts, is not.
    """
    if not WHOLE.fullmatch(cell):
        raise ValueError(cell)
    return int(cell)


def decimal_number(cell: str) -> float:
    """Return the number in a cell of CSV.

    Raises:
        ValueError: If it is not a finite number.
    """
    if not DECIMAL.fullmatch(cell):
        raise ValueError(cell)
    return float(cell)


def _refuse_binary(file: Path, head: bytes, expected: str) -> None:
    for mark, name in SIGNATURES.items():
        if head.startswith(mark):
            raise LabelError(f"{file} is {name} text; save it as UTF-8.")
    controls = sum(byte < 32 and byte not in b"\t\n\r" for byte in head)
    if controls > len(head) // 10:
        raise LabelError(f"{file} is no text in UTF-8, but binary or UTF-16; {expected}.")


def _until_too_long(lines: Lines) -> Iterator[tuple[int, str]]:
    for number, line in lines:
        if len(line) > MAX_LINE:
            raise csv.Error(f"it is longer than {MAX_LINE} characters")
        yield number, line


def _wrong_text(line: str) -> str | None:
    if len(line) > MAX_LINE:
        return f"The line is longer than {MAX_LINE} characters, which no row is."
    return "The line is no text in UTF-8." if has_half_character(line) else None


def _wrong_header(header: list[str], required: Sequence[str], known: Sequence[str]) -> str | None:
    repeated = sorted({name for name in header if header.count(name) > 1})
    missing = [name for name in required if name not in header]
    unknown = [shown_name(name) for name in header if name not in known]
    if not (repeated or missing or unknown):
        return None
    hint = " The cells are parted by other characters than commas?" if len(header) == 1 else ""
    parts = (("missing", missing), ("not known", unknown[:5]), ("repeated", repeated[:5]))
    faults = "; ".join(f"{what}: {', '.join(names)}" for what, names in parts if names)
    return f"The header is wrong: {faults}; what follows it was not read.{hint}"


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("a field stands there twice")
    return record
