"""Finds rows of the history: by scene, person, decision, queue and text; says of each whether it counts now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, func, or_, select

from db.labels.rows import Label, label_of
from db.labels.store import counts_now
from db.schema.checks import check_limit, check_text
from db.schema.models import DecisionRow
from db.schema.session import read_session, reading
from engine.types import Decision

MAX_FOUND = 500


@dataclass(frozen=True)
class Filter:
    """What to look for; None and "" match everything.

    Attributes:
        scene: Name of the scene.
        annotator: Who decided.
        decision: What was decided.
        text: Part of a scene's, view's, person's, queue's or model's name, in either case, or the number of a row.
        only_counting: Leave out what was undone or replaced, and undos.
        limit: Rows at most.
    """

    scene: str | None = None
    annotator: str | None = None
    decision: Decision | None = None
    text: str = ""
    only_counting: bool = False
    limit: int = 200


@dataclass(frozen=True)
class Found:
    """A row, and whether it is a label that counts now."""

    label: Label
    counts: bool


def search(engine: Engine, wanted: Filter) -> list[Found]:
    """Return the newest rows that fit, newest first.

    Raises:
        LabelError: If a text or the limit is malformed, or the database cannot be read.
    """
    row: Any = DecisionRow
    for name in ("scene", "annotator", "decision", "text"):
        if getattr(wanted, name) is not None:
            check_text(getattr(wanted, name), f"The {name} to look for")
    check_limit(wanted.limit, "The limit")
    fits = [
        getattr(row, name) == value
        for name, value in (("scene", wanted.scene), ("annotator", wanted.annotator), ("decision", wanted.decision))
        if value
    ]
    if wanted.only_counting:
        fits.append(counts_now())
    text = wanted.text.strip()
    if text:
        # The text is a value, not a pattern, so its % and _ are escaped.
        columns = (row.scene, row.view_a, row.view_b, row.annotator, row.queue, row.model)
        hits = [func.lower(column).contains(text.lower(), autoescape=True) for column in columns]
        if text.isdecimal() and len(text) < 10:
            hits.append(row.id == int(text))
        fits.append(or_(*hits))
    newest = select(DecisionRow).where(*fits).order_by(row.id.desc()).limit(min(wanted.limit, MAX_FOUND))
    with read_session(engine) as session:
        labels = [label_of(found) for found in session.scalars(newest)]
        counting = set(session.scalars(select(row.id).where(row.id.in_([label.id for label in labels]), counts_now())))
    return [Found(label, label.id in counting) for label in labels]


def names_in_use(engine: Engine) -> tuple[list[str], list[str]]:
    """Return the scenes and the people that labels name, in order."""
    row: Any = DecisionRow
    with reading(engine) as connection:
        scenes = list(connection.scalars(select(row.scene).distinct().order_by(row.scene)))
        return scenes, list(connection.scalars(select(row.annotator).distinct().order_by(row.annotator)))
