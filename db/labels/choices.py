"""Choices that hold for everybody who labels in a database, such as the share of pairs that several people get."""

from __future__ import annotations

import json
import math

from sqlalchemy import Engine

from db.schema.checks import check_text, is_a, shown
from db.schema.faults import ConflictError, StoredValueError
from db.schema.models import ChoiceRow
from db.schema.session import read_session, write_session
from engine.errors import LabelError
from engine.strict_json import to_json_text

OVERLAP_SHARE = "overlap_share"
INSTRUCTIONS = "instructions"
MAX_INSTRUCTIONS = 2_000
MAX_CHOICE_NAME = 80


class ChoiceStore:
    """Choices of one database; safe to share between threads and processes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def number(self, name: str, default: float) -> float:
        """Return a chosen number, or `default` if nobody chose one.

        Raises:
            LabelError: If the name is malformed or the database cannot be read.
        """
        check_text(name, "A choice's name", MAX_CHOICE_NAME)
        with read_session(self._engine) as session:
            row = session.get(ChoiceRow, name)
            return default if row is None else _read_number(row.value)

    def set_number(self, name: str, value: float) -> None:
        """Choose a number, for everybody from now on.

        Raises:
            LabelError: If name or value is malformed, or the database cannot be written.
        """
        check_text(name, "A choice's name", MAX_CHOICE_NAME)
        if not is_a(value, int, float) or not math.isfinite(value):
            raise LabelError(f"The choice {name} is {shown(value)}, expected a number; correct it.")
        self._keep(name, value)

    def text(self, name: str) -> str:
        """Return a chosen text, "" if nobody chose one.

        Raises:
            LabelError: If the name is malformed or the database cannot be read.
        """
        check_text(name, "A choice's name", MAX_CHOICE_NAME)
        with read_session(self._engine) as session:
            row = session.get(ChoiceRow, name)
            return "" if row is None else _read_text(row.value)

    def set_text(self, name: str, value: str, *, most: int) -> None:
        """Choose a text, for everybody from now on.

        Args:
            name: What is chosen.
            value: The text; "" takes it away.
            most: Characters that it may have.

        Raises:
            LabelError: If name or value is malformed, or the database cannot be written.
        """
        check_text(name, "A choice's name", MAX_CHOICE_NAME)
        if value:
            check_text(value, f"The text of {name}", most)
        self._keep(name, value)

    def _keep(self, name: str, value: float | str) -> None:
        try:
            self._put(name, value)
        except ConflictError:
            # Somebody else added the row after we looked; now it can be changed.
            self._put(name, value)

    def _put(self, name: str, value: float | str) -> None:
        with write_session(self._engine) as session:
            session.merge(ChoiceRow(name=name, value=to_json_text(value)))
            session.commit()


def _read_text(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise StoredValueError(f"{shown(text)} is no text") from error
    if not isinstance(value, str):
        raise StoredValueError(f"{shown(text)} is no text")
    return value


def _read_number(text: str) -> float:
    try:
        return float(json.loads(text))
    except (ValueError, TypeError) as error:
        raise StoredValueError(f"{shown(text)} is no number") from error
