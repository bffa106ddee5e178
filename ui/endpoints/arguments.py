"""Reads what a program gave as arguments, which may be anything that JSON can say."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from engine.errors import MaskgroupError
from engine.strict_json import as_items
from ui.components.pairs import shorten

MAX_TEXT, MAX_NAMES = 1000, 500


class ArgumentError(MaskgroupError):
    """An argument of a call cannot be used."""


def read_text(value: object, name: str, *, default: str = "") -> str:
    """Return a text; `default` for None.

    Raises:
        ArgumentError: If it is none, or too long.
    """
    if value is None:
        return default
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise ArgumentError(f"{name} is {shorten(value)}, expected text of at most {MAX_TEXT} characters.")
    return value


def read_choice(value: object, name: str, choices: Collection[str]) -> Any:
    """Return one of some words.

    Raises:
        ArgumentError: If it is none of them.
    """
    if not isinstance(value, str) or value not in choices:
        raise ArgumentError(f"{name} is {shorten(value)}, expected one of {', '.join(choices)}.")
    return value


def read_whole(value: object, name: str, *, least: int, most: int = 10**6) -> int:
    """Return a whole number.

    Raises:
        ArgumentError: If it is none, or out of range.
    """
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
        raise ArgumentError(f"{name} is {shorten(value)}, expected a whole number from {least} to {most}.")
    return number


def read_names(value: object, name: str) -> list[str]:
    """Return a list of names.

    Raises:
        ArgumentError: If it is none, or too long.
    """
    listed, words = as_items(value), shorten(value)
    names = [one for one in listed if isinstance(one, str)]
    if not isinstance(value, list) or len(names) != len(listed) or len(names) > MAX_NAMES:
        raise ArgumentError(f"{name} is {words}, expected a list of at most {MAX_NAMES} names.")
    return names
