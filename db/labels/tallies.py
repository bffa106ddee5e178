"""How much one person has labelled: for the progress that the Review page shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, func, select

from db.labels.store import counts_now
from db.schema.checks import check_text, in_utc
from db.schema.models import DecisionRow
from db.schema.session import reading

RATE_WINDOW = timedelta(minutes=5)


@dataclass(frozen=True)
class Tally:
    """Labels of one person that count.

    Attributes:
        today: Labels since midnight, UTC.
        total: Labels of all days.
        per_minute: Over the last five minutes, or since the first label in them; 0 before the second label.
    """

    today: int
    total: int
    per_minute: float


def tally(engine: Engine, annotator: str, *, now: datetime | None = None) -> Tally:
    """Count a person's labels.

    Args:
        engine: The database.
        annotator: Whose labels are counted.
        now: The time to count for; None = the present.
    """
    check_text(annotator, "The annotator to look for")
    now = now or datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    created: Any = DecisionRow.created_at
    person: Any = DecisionRow.annotator
    is_recent = created >= now - RATE_WINDOW
    # Which labels count is what takes long to find, so it is asked once for all the figures.
    figures = select(
        func.count(),
        func.count().filter(created >= midnight),
        func.count().filter(is_recent),
        func.min(created).filter(is_recent),
    ).select_from(DecisionRow)
    with reading(engine) as connection:
        total, today, count, first = connection.execute(figures.where(counts_now(), person == annotator)).one()
    if count < 2:
        return Tally(today, total, 0.0)
    minutes = max((now - in_utc(first)).total_seconds(), 1.0) / 60
    # The first label only starts the interval, so it is not counted.
    return Tally(today, total, (count - 1) / minutes)
