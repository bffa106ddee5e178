"""How much one person has labelled: for the progress that the Review page shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, func, select

from db.labels.store import counts_now
from db.schema.checks import check_text
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
    mine = (counts_now(), person == annotator)
    with reading(engine) as connection:
        total = connection.scalar(select(func.count()).select_from(DecisionRow).where(*mine)) or 0
        today = connection.scalar(select(func.count()).select_from(DecisionRow).where(*mine, created >= midnight)) or 0
        recent = (*mine, created >= now - RATE_WINDOW)
        count, first = connection.execute(select(func.count(), func.min(created)).select_from(DecisionRow).where(*recent)).one()
    if count < 2:
        return Tally(today, total, 0.0)
    first = first if first.tzinfo else first.replace(tzinfo=UTC)
    minutes = max((now - first).total_seconds(), 1.0) / 60
    # The first label only starts the interval, so it is not counted.
    return Tally(today, total, (count - 1) / minutes)
