"""The label store: adds decisions, undoes them, and says which labels count now.

A label counts while no later row undoes it; of one annotator's labels on a pair the latest counts.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import Engine, and_, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from db.models import DecisionRow
from engine.errors import LabelError
from engine.types import Decision, MaskKey, MaskPair

MAX_NAME = 80
EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class NewLabel:
    """A decision to be stored.

    Attributes:
        annotator: Who decided, at most 80 characters.
        scene: Name of the scene.
        pair: The masks in the order in which they were shown.
        decision: What was decided.
        model: Name of the model whose verdict was shown, or None; `prompt`, `p_same`, `ambiguity` are its answer.
        seconds: Time from showing the pair to deciding, or None.
        queue: Where the pair came from.
        source: Which program wrote the label.
    """

    annotator: str
    scene: str
    pair: MaskPair
    decision: Decision
    model: str | None = None
    prompt: str | None = None
    p_same: float | None = None
    ambiguity: float | None = None
    seconds: float | None = None
    queue: str = "judge-page"
    source: str = "app"


@dataclass(frozen=True)
class Label(NewLabel):
    """A stored row of the history; an undo has `undoes` set to the id of the row that it takes back."""

    id: int = 0
    uuid: str = ""
    created_at: datetime = EPOCH
    undoes: int | None = None


class LabelStore:
    """Labels of one database; safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, label: NewLabel) -> Label:
        """Store a decision; when this returns it is on disk.

        Raises:
            LabelError: If the label is malformed or the database cannot be written.
        """
        if not 0 < len(label.annotator) <= MAX_NAME:
            raise LabelError(
                f"An annotator's name has 1 to {MAX_NAME} characters, this one has {len(label.annotator)}; shorten it."
            )
        return self._insert(_row(label))

    def undo(self, label_id: int, annotator: str) -> Label:
        """Take a label back by a row of its own; the row that is taken back stays in the history.

        Raises:
            LabelError: If there is no such label, or it was undone before.
        """
        with Session(self._engine) as session:
            row = session.get(DecisionRow, label_id)
            undone = session.scalar(select(func.count()).where(_column("undoes") == label_id))
        if row is None or row.undoes is not None:
            raise LabelError(f"There is no label {label_id} to undo.")
        if undone:
            raise LabelError(f"Label {label_id} was undone before.")
        label = _label(row)
        values = {name: getattr(label, name) for name in NewLabel.__dataclass_fields__ if name != "annotator"}
        undoing = _row(NewLabel(annotator=annotator, **cast("Any", values)))
        undoing.undoes = label_id
        return self._insert(undoing)

    def current(self, scene: str | None = None, annotator: str | None = None) -> list[Label]:
        """Return the labels that count, oldest first: each annotator's latest on each pair that is not undone."""
        undone = select(_column("undoes")).where(_column("undoes").is_not(None))
        newest = (
            select(func.max(_column("id")))
            .where(_column("undoes").is_(None), _column("id").not_in(undone))
            .group_by(_column("scene"), _column("pair_key"), _column("annotator"))
        )
        query = select(DecisionRow).where(_column("id").in_(newest), *_filters(scene, annotator)).order_by(_column("id"))
        return self._labels(query)

    def history(self, scene: str | None = None, *, pair: MaskPair | None = None) -> list[Label]:
        """Return all rows, undone ones and undos included, oldest first."""
        filters = _filters(scene, None)
        if pair is not None:
            filters.append(_column("pair_key") == _pair_key(pair))
        return self._labels(select(DecisionRow).where(*filters).order_by(_column("id")))

    def latest(self, count: int, scene: str | None = None) -> list[Label]:
        """Return the newest labels that count, newest first."""
        return self.current(scene)[::-1][:count]

    def pairs_labelled(self, scene: str) -> set[MaskPair]:
        """Return the pairs of a scene with a label that counts, in canonical order."""
        return {label.pair.canonical() for label in self.current(scene)}

    def counts(self, scene: str | None = None) -> dict[Decision, int]:
        """Return how many labels of each decision count."""
        counts: dict[Decision, int] = {"same": 0, "different": 0, "unsure": 0, "skip": 0}
        for label in self.current(scene):
            counts[label.decision] += 1
        return counts

    def _insert(self, row: DecisionRow) -> Label:
        try:
            with Session(self._engine) as session:
                session.add(row)
                session.commit()
                session.refresh(row)
                return _label(row)
        except SQLAlchemyError as error:
            raise LabelError(f"The label could not be saved ({type(error).__name__}); nothing was written, try again.") from error

    def _labels(self, query: Any) -> list[Label]:
        with Session(self._engine) as session:
            return [_label(row) for row in session.scalars(query)]


def _column(name: str) -> Any:
    return getattr(DecisionRow, name)


def _filters(scene: str | None, annotator: str | None) -> list[Any]:
    wanted = {"scene": scene, "annotator": annotator}
    return [and_(_column(name) == value) for name, value in wanted.items() if value is not None]


def _pair_key(pair: MaskPair) -> str:
    ordered = pair.canonical()
    return json.dumps([[key.view, key.mask] for key in (ordered.a, ordered.b)])


def _row(label: NewLabel) -> DecisionRow:
    return DecisionRow(
        uuid=str(uuid.uuid4()),
        created_at=datetime.now(UTC),
        annotator=label.annotator,
        scene=label.scene,
        pair_key=_pair_key(label.pair),
        view_a=label.pair.a.view,
        mask_a=label.pair.a.mask,
        view_b=label.pair.b.view,
        mask_b=label.pair.b.mask,
        decision=label.decision,
        model=label.model,
        prompt=label.prompt,
        p_same=label.p_same,
        ambiguity=label.ambiguity,
        seconds=label.seconds,
        queue=label.queue,
        source=label.source,
    )


def _label(row: DecisionRow) -> Label:
    # SQLite gives times back without their zone; they were stored in UTC.
    created_at = row.created_at if row.created_at.tzinfo else row.created_at.replace(tzinfo=UTC)
    assert row.id is not None
    return Label(
        annotator=row.annotator,
        scene=row.scene,
        pair=MaskPair(MaskKey(row.view_a, row.mask_a), MaskKey(row.view_b, row.mask_b)),
        decision=cast("Decision", row.decision),
        model=row.model,
        prompt=row.prompt,
        p_same=row.p_same,
        ambiguity=row.ambiguity,
        seconds=row.seconds,
        queue=row.queue,
        source=row.source,
        id=row.id,
        uuid=row.uuid,
        created_at=created_at,
        undoes=row.undoes,
    )
