"""Tables. Rows leave this package only as the frozen dataclasses of `db.labels.store`.

Decisions are append-only: an undo or a change of mind is a new row, so nothing acknowledged is ever lost or overwritten.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, DateTime, Dialect, Index, MetaData, Text, TypeDecorator, UniqueConstraint, false
from sqlmodel import Field, SQLModel

from db.schema.checks import shown
from db.schema.faults import StoredValueError

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Every constraint has a name, without which SQLite tables cannot be migrated."""

metadata = MetaData(naming_convention=NAMING)


class StoredTime(TypeDecorator[datetime]):
    """A time with its zone, read from a column that holds text in SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[..., Any] | None:
        """Return what reads a stored value; it raises `StoredValueError` for one that is no time."""
        read = super().result_processor(dialect, coltype)
        if read is None:
            return None

        def read_time(value: Any) -> datetime | None:
            try:
                return read(value)
            except (ValueError, TypeError) as error:
                raise StoredValueError(f"{shown(value)} is no time") from error

        return read_time


class DecisionRow(SQLModel, table=True):
    """One decision of one person on one pair, or the undoing of an earlier row (then `undoes` names it)."""

    metadata = metadata
    __tablename__ = "decisions"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        CheckConstraint("decision IN ('same', 'different', 'unsure', 'skip')", name="known_decision"),
        CheckConstraint("p_same IS NULL OR (p_same >= 0 AND p_same <= 1)", name="p_same_is_probability"),
        Index(None, "scene", "pair_key", "annotator", "created_at", "id"),
        Index(None, "undoes", unique=True),
    )

    id: int | None = Field(default=None, primary_key=True)
    uuid: str = Field(max_length=36, unique=True)
    created_at: datetime = Field(sa_type=StoredTime)
    annotator: str = Field(max_length=80)
    scene: str = Field(max_length=200)
    pair_key: str = Field(max_length=500, description="Both masks in canonical order: (a, b) and (b, a) are one pair.")
    view_a: str = Field(max_length=200, description="The first mask as it was shown.")
    mask_a: int
    view_b: str = Field(max_length=200)
    mask_b: int
    decision: str = Field(max_length=16)
    undoes: int | None = Field(default=None, foreign_key="decisions.id")
    model: str | None = Field(default=None, max_length=200)
    prompt: str | None = Field(default=None, max_length=80)
    p_same: float | None = None
    ambiguity: float | None = None
    seconds: float | None = None
    queue: str = Field(max_length=80)
    source: str = Field(max_length=80)
    beside: str | None = Field(default=None, sa_type=Text, description="JSON: what other models said that stood beside it.")
    is_gold: bool = Field(default=False, sa_column_kwargs={"server_default": false()})


class LeaseRow(SQLModel, table=True):
    """One pair that a queue has lent to one page until `expires_at` (seconds since 1970, UTC)."""

    metadata = metadata
    __tablename__ = "leases"  # pyright: ignore[reportAssignmentType]

    scene: str = Field(max_length=200, primary_key=True)
    pair_key: str = Field(max_length=500, primary_key=True)
    annotator: str = Field(max_length=80)
    expires_at: float


class ChoiceRow(SQLModel, table=True):
    """A choice that holds for everybody who labels in this database; `value` is JSON."""

    metadata = metadata
    __tablename__ = "choices"  # pyright: ignore[reportAssignmentType]

    name: str = Field(max_length=80, primary_key=True)
    value: str = Field(sa_type=Text)


class RunRow(SQLModel, table=True):
    """One run of long work; `config` and `result` are JSON objects."""

    metadata = metadata
    __tablename__ = "runs"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        CheckConstraint("kind IN ('grouping', 'training', 'comparison')", name="known_kind"),
        CheckConstraint("status IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="known_status"),
        UniqueConstraint("kind", "name", name="uq_runs_kind"),
    )

    id: int | None = Field(default=None, primary_key=True)
    uuid: str = Field(max_length=36, unique=True)
    kind: str = Field(max_length=20)
    name: str = Field(max_length=120)
    status: str = Field(max_length=16)
    created_at: datetime = Field(sa_type=StoredTime)
    updated_at: datetime = Field(sa_type=StoredTime)
    scene: str | None = Field(default=None, max_length=200)
    config: str = Field(sa_type=Text)
    result: str = Field(sa_type=Text)
    note: str | None = Field(default=None, sa_type=Text)
