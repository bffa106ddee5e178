"""Reads text files of numbers as people and programs write them. Text with more than one meaning is refused, with the reason.

Handles byte order marks, line ends of every system, comments, spreadsheets' semicolons and decimal commas. Knows no scene format.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import SceneError
from engine.scenes.names import printable
from engine.scenes.regular_files import read_bytes
from engine.types import Float64Array

MATRIX_BYTES = 64 * 1024
"""A pose or a camera takes some hundred bytes."""
CHUNK_CHARACTERS = 4_000_000
LARGEST_INTEGER_DIGITS = 18

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eEdD][+-]?[0-9]{1,9})?")
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity|[0-9]\.#(?:inf|ind|qnan|snan)[0-9]*|nan\(ind\))", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+(?:[eEdD][+-]?[0-9]{1,9})?")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+")
_COMMENT = re.compile(r"(?:^|(?<=[\s,;]))#.*")
"""A comment's "#" is not part of a word: the one in 1.#IND, which Windows writes for NaN, starts no comment."""
_LINE_END = re.compile(r"\r\n|\r|\n")
_BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def read_text(path: Path, what: str, *, limit: int) -> str:
    """Read a text file of at most `limit` bytes: UTF-8, UTF-16 or UTF-32 by its byte order mark, else Latin-1.

    Raises:
        SceneError: If it is missing, too large, or no text.
    """
    data = read_bytes(path, what, limit=limit)
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    try:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            if encoding != "utf-8":
                raise
            text = data.decode("latin-1")  # comments of older programs; a number never needs it
    except UnicodeDecodeError as error:
        raise SceneError(f"{path}: cannot be read as text ({error}), expected {what}; write it again.") from error
    if "\0" in text:
        raise SceneError(f"{path}: cannot be read as text (it holds zero bytes), expected {what}; write it again.")
    return text


def read_matrix(path: Path, what: str, shapes: tuple[tuple[int, int], ...]) -> Float64Array:
    """Read a text file of numbers, (rows, columns) float64, all finite and of one of `shapes`.

    Raises:
        SceneError: If the file is missing, is not a table of numbers, has another shape, or holds NaN or infinity.
    """
    expected = f"{what} of " + " or ".join(f"{rows}x{columns}" for rows, columns in shapes) + " finite numbers"
    lines = [
        (number, content)
        for number, line in enumerate(_LINE_END.split(read_text(path, expected, limit=MATRIX_BYTES)), start=1)
        if (content := _COMMENT.sub("", line).replace("[", " ").replace("]", " ").strip().strip(";,").strip())
    ]
    table = _choose_table(path, expected, lines, shapes)
    values = [[_number(path, number, word, expected) for word in words] for number, words in table]
    widths = sorted({len(row) for row in values})
    if len(widths) != 1 or (len(values), widths[0]) not in shapes:
        columns = " or ".join(str(width) for width in widths) or "0"
        raise SceneError(f"{path}: found {len(values)} rows of {columns} columns, expected {expected}; correct the file.")
    matrix = np.array(values, np.float64)
    if not np.isfinite(matrix).all():
        raise SceneError(f"{path}: found NaN or infinity, expected {expected}; correct the file or remove this view.")
    return matrix


Table = list[tuple[int, list[str]]]
"""Lines that hold something: their number in the file, from 1, and their words."""


def _choose_table(path: Path, expected: str, lines: list[tuple[int, str]], shapes: tuple[tuple[int, int], ...]) -> Table:
    """Decide what commas mean, by which reading gives a table of the expected shape."""
    text = " ".join(content for _, content in lines)
    if "," not in text:
        return [(number, content.replace(";", " ").split()) for number, content in lines]
    separated: Table = [(number, re.split(r"\s*[,;]\s*|\s+", content)) for number, content in lines]
    decimal: Table = []
    comma_words: list[str] = []
    for number, content in lines:
        words = content.replace(";", " ").split()
        comma_words += [word for word in words if "," in word]
        decimal.append((number, [word.replace(",", ".") if _DECIMAL_COMMA.fullmatch(word) else word for word in words]))
    is_decimal = all(_DECIMAL_COMMA.fullmatch(word) for word in comma_words) and "." not in text
    fits_decimal = is_decimal and _shape(decimal) in shapes
    fits_separated = _shape(separated) in shapes and ";" not in text
    if fits_decimal and all(_THOUSANDS.fullmatch(word) for word in comma_words):
        raise SceneError(
            f"{path}: line {lines[0][0]}: found a ',' in {printable(comma_words[0])} that may mark thousands or decimals, "
            f"expected {expected} with '.' for decimals; write it again."
        )
    if fits_decimal and fits_separated:
        raise SceneError(
            f"{path}: found ',' that may separate numbers or mark decimals, expected {expected} with '.' for decimals; "
            "write it again."
        )
    return decimal if fits_decimal or (is_decimal and ";" in text) else separated


def _shape(table: Table) -> tuple[int, int] | None:
    widths = {len(words) for _, words in table}
    return (len(table), widths.pop()) if len(widths) == 1 else None


def _number(path: Path, line: int, word: str, expected: str) -> float:
    if _NUMBER.fullmatch(word):
        return float(word.replace("d", "e").replace("D", "e"))  # Fortran writes 1.0D+00
    if _NOT_FINITE.fullmatch(word):
        return float("nan")
    raise SceneError(
        f"{path}: line {line}: found text that is no number ({name_fault(word)}), expected {expected}; correct the file."
    )


def name_fault(word: str) -> str:
    """Say which character keeps a word from being a number, e.g. "the character '_' in '1_000'"."""
    shown = printable(word)
    for character in word:
        if not (character.isascii() and (character.isdigit() or character in "+-.eE")):
            name = unicodedata.name(character, f"U+{ord(character):04X}")
            called = repr(character) if character.isascii() else f"{printable(character)} ({name})"
            return f"the character {called} in {shown}"
    return shown


def read_integers(path: Path, what: str, *, limit: int) -> NDArray[np.int64]:
    """Read whole numbers separated by spaces or line ends, (N,) int64; 1.001e+03 is one, 100.7 and 1_000 are not.

    Raises:
        SceneError: If a word is not a whole number; it names the line, the word and the character.
    """
    text = read_text(path, what, limit=limit)
    parts: list[NDArray[np.int64]] = []
    start, line = 0, 1
    while start < len(text):
        end = min(start + CHUNK_CHARACTERS, len(text))
        while end < len(text) and text[end - 1] not in "\r\n":
            end += 1
        chunk = text[start:end]
        parts.append(_parse_integers(path, what, chunk, line))
        line += chunk.count("\n") or chunk.count("\r")
        start = end
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


_PLAIN_INTEGERS = re.compile(r"[0-9+\-\s]*")
_PLAIN_NUMBERS = re.compile(r"[0-9+\-.eE\s]*")
_LONG_DIGITS = re.compile(rf"[0-9]{{{LARGEST_INTEGER_DIGITS},}}")


def _parse_integers(path: Path, what: str, chunk: str, first_line: int) -> NDArray[np.int64]:
    kind = np.int64 if _PLAIN_INTEGERS.fullmatch(chunk) and not _LONG_DIGITS.search(chunk) else np.float64
    if chunk.isascii() and _PLAIN_NUMBERS.fullmatch(chunk):
        try:
            values = np.array(chunk.split(), kind)
            if kind is np.int64:
                return values.astype(np.int64)
            if np.isfinite(values).all() and (values == np.rint(values)).all() and (abs(values) < 2.0**62).all():
                return values.astype(np.int64)
        except (ValueError, OverflowError):
            pass  # the slow way below finds out where and why
    found: list[int] = []
    for number, line in enumerate(_LINE_END.split(chunk), start=first_line):
        for word in _COMMENT.sub("", line).strip().strip(";,").split():
            found.append(_integer(path, number, word, what))
    return np.array(found, np.int64)


def _integer(path: Path, line: int, word: str, what: str) -> int:
    value = float(word) if _NUMBER.fullmatch(word) and "d" not in word.lower() else None
    if value is None:
        raise SceneError(
            f"{path}: line {line}: found a label that is no integer ({name_fault(word)}), expected {what}; correct the file."
        )
    if not (abs(value) < 2.0**62 and value == round(value)):
        raise SceneError(
            f"{path}: line {line}: found a label that is no integer ({printable(word)}), expected {what}, below 2^31; "
            "correct the file."
        )
    return int(word) if word.lstrip("+-").isdigit() else int(value)
