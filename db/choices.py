"""Choices that hold for everybody who labels in a database, such as the share of pairs that several people get."""

from __future__ import annotations

import json

from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlmodel import Session

from db.models import ChoiceRow
from db.session import for_reading
from engine.errors import LabelError
from engine.strict_json import to_json_text

OVERLAP_SHARE = "overlap_share"


class ChoiceStore:
    """Choices of one database; safe to share between threads and processes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def number(self, name: str, default: float) -> float:
        """Return a number, `default` where nobody chose one."""
        with Session(for_reading(self._engine)) as session:
            row = session.get(ChoiceRow, name)
            return default if row is None else float(json.loads(row.value))

    def set_number(self, name: str, value: float) -> None:
        """Choose a number, for everybody from now on.

        Raises:
            LabelError: If the database cannot be written.
        """
        try:
            try:
                self._put(name, value)
            except IntegrityError:
                # Somebody else made the row between our look and our write; now it is there to be changed.
                self._put(name, value)
        except SQLAlchemyError as error:
            raise LabelError(f"The choice could not be saved ({type(error).__name__}); try again.") from error

    def _put(self, name: str, value: float) -> None:
        with Session(self._engine) as session:
            session.merge(ChoiceRow(name=name, value=to_json_text(value)))
            session.commit()
