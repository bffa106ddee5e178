"""Checks of what callers hand to the stores: numbers of rows, names, limits. Runs no query."""

from __future__ import annotations

from collections.abc import Sized
from datetime import UTC, datetime
from typing import TypeGuard, cast

from engine.errors import LabelError, MaskgroupError

MAX_ID = 2**31 - 1
MAX_LENGTHS = {"scene": 200, "model": 200, "prompt": 80, "queue": 80, "source": 80}
"""Characters of the texts that go with labels and runs."""


def is_whole(value: object) -> TypeGuard[int]:
    """Return whether a value is a whole number; True is not 1."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_row_id(value: object) -> bool:
    """Return whether a value can be the number of a row: True is not 1, and row numbers have at most 31 bits."""
    return is_whole(value) and 0 < value <= MAX_ID


def check_text(value: object, what: str, longest: int | None = None, *, error: type[MaskgroupError] = LabelError) -> None:
    """Refuse a value that is not text, or not text that every database can store.

    Args:
        value: The value.
        what: What it is, for the message, such as "An annotator's name".
        longest: Most characters; then at least one is needed. None = any number.
        error: Class of the error that is raised.
    """
    if not isinstance(value, str):
        raise error(f"{what} is {shown(value)}, expected text; correct it.")
    if longest is not None and not 0 < len(value) <= longest:
        raise error(f"{what} has 1 to {longest} characters, this one has {len(value)}; shorten it.")
    if not is_storable(value):
        raise error(f"{what} holds a NUL or half a character, which no database keeps; remove it.")


def is_storable(text: str) -> bool:
    """Return whether every database keeps a text: PostgreSQL refuses NUL, and all refuse lone surrogates."""
    return "\0" not in text and not has_half_character(text)


def has_half_character(text: str) -> bool:
    """Return whether a text holds a lone surrogate: half a character, or a byte that was no UTF-8."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def check_limit(value: object, what: str) -> None:
    """Refuse a limit that is not a number of rows.

    Raises:
        LabelError: If it is not a whole number, or negative.
    """
    if not is_whole(value) or not 0 <= value <= MAX_ID:
        raise LabelError(f"{what} is {shown(value)}, expected a whole number from 0; correct it.")


def is_a(value: object, *kinds: type) -> bool:
    """Whether a value is of one of some types, whatever its annotation promises; a bool is not a number.

    Callers may be untyped, and so is what SQLite holds.
    """
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def shown(value: object) -> str:
    """Return a value as a message may show it, shortened if it is long."""
    kind = type(value).__name__
    if isinstance(value, str):
        return repr(value) if len(value) <= 60 else f"{value[:50]!r}... ({len(value)} characters)"
    if is_whole(value) and value.bit_length() > 200:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, list | dict | tuple | set | bytes):
        return f"a {kind} of {len(cast('Sized', value))}"
    return repr(value)[:60]


def shown_name(name: object) -> str:
    """Return a field's name as a message may show it; a plain name is unchanged."""
    return name if isinstance(name, str) and name.isidentifier() and len(name) <= 60 else shown(name)


def in_utc(moment: datetime) -> datetime:
    """Return a stored time in UTC: SQLite returns times without a zone, PostgreSQL in the server's zone."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
