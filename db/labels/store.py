"""The label store: adds decisions, undoes them, and says which labels count now.

A label counts until a row undoes it. Of one annotator's labels on a pair, the latest counts; gold and ordinary ones are separate.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, Engine, and_, func, or_, select
from sqlalchemy.orm import aliased
from sqlmodel import Session

from db.labels.rows import (
    MAX_NAME,
    Label,
    NewLabel,
    ShownVerdict,
    check_identity,
    check_label,
    check_pair,
    in_utc,
    label_of,
    pair_key,
    read_pair,
    row_of,
)
from db.labels.settling import Settled, settle
from db.schema.checks import check_limit, check_text, is_row_id, shown
from db.schema.faults import ConflictError
from db.schema.models import DecisionRow
from db.schema.session import read_session, reading, write_session
from engine.errors import LabelError
from engine.types import Decision, MaskPair

__all__ = ["MAX_NAME", "Label", "LabelStore", "NewLabel", "Settled", "ShownVerdict"]


_DECIDED = ("annotator", "scene", "pair", "decision", "is_gold")
"""What makes a decision that is sent again the same one."""


class LabelStore:
    """Labels of one database; safe to share between threads.

    Args:
        engine: The database.
        on_written: Is told of each row once it is on disk, undos among them.
    """

    def __init__(self, engine: Engine, *, on_written: Callable[[Label], None] = lambda _: None) -> None:
        self._engine, self._on_written = engine, on_written

    @property
    def database(self) -> Engine:
        """The database, for the package's other stores."""
        return self._engine

    def has_any(self) -> bool:
        """Return whether there is a label at all, undone ones included: the least that shows that the database answers.

        Raises:
            DatabaseError: If it does not answer, or has no such table.
        """
        with read_session(self._engine) as session:
            return session.scalar(select(_column("id")).limit(1)) is not None

    def add(self, label: NewLabel, *, identity: str | None = None) -> Label:
        """Store a decision; when this returns it is on disk.

        Args:
            label: Who decided what about which pair, and what was on the screen.
            identity: A UUID that the sender made for it, so that it is stored once even if it is sent again; None = a new one.

        Raises:
            LabelError: If the label is malformed, or the identity is that of another decision.
            NotSavedError: If the database cannot be written.
        """
        check_label(label)
        if identity is not None:
            check_identity(identity)
        try:
            with write_session(self._engine) as session:
                stored = self._sent_before(session, identity)
                if stored is None:
                    return self._insert(session, row_of(label, datetime.now(UTC), identity=identity))
        except ConflictError:
            # The same label was sent twice at once, on a database that lets both look first.
            stored = None if identity is None else self.find(identity)
            if stored is None:
                raise
        if stored.undoes is not None or any(getattr(stored, name) != getattr(label, name) for name in _DECIDED):
            raise _another(stored)
        return stored

    def undo(self, label_id: int, annotator: str, *, identity: str | None = None) -> Label:
        """Undo a label by adding a row; the undone row stays in the history.

        Args:
            label_id: Number of the label.
            annotator: Who undoes it.
            identity: As for `add`.

        Raises:
            LabelError: If there is no such label, it was undone before, or the identity is that of another decision.
            NotSavedError: If the database cannot be written.
        """
        check_text(annotator, "An annotator's name", MAX_NAME)
        if identity is not None:
            check_identity(identity)
        if not is_row_id(label_id):
            raise LabelError(f"There is no label {shown(label_id)} to undo; look its number up in the history.")
        try:
            with write_session(self._engine) as session:
                stored = self._sent_before(session, identity)
                if stored is not None:
                    if stored.undoes != label_id:
                        raise _another(stored)
                    return stored
                row = session.get(DecisionRow, label_id)
                if row is None or row.undoes is not None:
                    raise LabelError(f"There is no label {label_id} to undo; look its number up in the history.")
                undo = session.scalar(select(DecisionRow).where(_column("undoes") == label_id))
                if undo is not None and undo.uuid == identity:
                    # By the same request, since we looked.
                    return label_of(undo)
                if undo is not None:
                    raise _undone_before(label_id)
                label = label_of(row)
                values = {name: getattr(label, name) for name in NewLabel.__dataclass_fields__ if name != "annotator"}
                undoing = NewLabel(annotator=annotator, **cast("Any", values))
                check_label(undoing)
                return self._insert(session, row_of(undoing, datetime.now(UTC), identity=identity, undoes=label_id))
        except ConflictError as error:
            stored = None if identity is None else self.find(identity)
            if stored is not None and stored.undoes == label_id:
                return stored
            # Two people undid it at once, on a database that lets both look first.
            raise _undone_before(label_id) from error

    def current(self, scene: str | None = None, annotator: str | None = None) -> list[Label]:
        """Return the labels that count, oldest first: each annotator's latest on each pair that is not undone.

        `settled` gives one decision a pair, whoever labelled it.
        """
        return self._labels(select(DecisionRow).where(counts_now(), *_filters(scene, annotator)).order_by(_column("id")))

    def settled(self, scene: str | None = None) -> list[Settled]:
        """Return one decision for each labelled pair: gold before majority before latest; see `db.labels.settling`."""
        return settle(self.current(scene))

    def history(self, scene: str | None = None, *, pair: MaskPair | None = None, limit: int | None = None) -> list[Label]:
        """Return rows, undone ones and undos included, oldest first; with `limit` the newest so many."""
        filters = _filters(scene, None)
        if limit is not None:
            check_limit(limit, "The limit")
        if pair is not None:
            check_pair(pair)
            filters.append(_column("pair_key") == pair_key(pair))
        newest_first = select(DecisionRow).where(*filters).order_by(_column("id").desc()).limit(limit)
        return self._labels(newest_first)[::-1]

    def latest(self, count: int, scene: str | None = None) -> list[Label]:
        """Return the labels that count and were stored last, newest first."""
        check_limit(count, "The count")
        query = select(DecisionRow).where(counts_now(), *_filters(scene, None))
        return self._labels(query.order_by(_column("id").desc()).limit(count))

    def pairs_labelled(self, scene: str) -> set[MaskPair]:
        """Return the pairs of a scene with a label that counts, in canonical order."""
        return set(self.people_by_pair(scene))

    def people_by_pair(self, scene: str) -> dict[MaskPair, set[str]]:
        """Return who has a label that counts on each pair of a scene; pairs in canonical order."""
        columns = [_column(name) for name in ("view_a", "mask_a", "view_b", "mask_b", "annotator")]
        people: dict[MaskPair, set[str]] = {}
        with reading(self._engine) as connection:
            for *pair, annotator in connection.execute(select(*columns).where(counts_now(), *_filters(scene, None))):
                people.setdefault(read_pair(*pair).canonical(), set()).add(annotator)
        return people

    def newest_id(self) -> int:
        """Return the number of the newest row, 0 if there is none. It grows with every change to labels."""
        with reading(self._engine) as connection:
            return connection.scalar(select(func.max(_column("id")))) or 0

    def get(self, label_id: int) -> Label | None:
        """Return one row of the history, None if there is none of this number."""
        if not is_row_id(label_id):
            return None
        found = self._labels(select(DecisionRow).where(_column("id") == label_id))
        return found[0] if found else None

    def find(self, identity: str) -> Label | None:
        """Return the row that a UUID names, None if there is none."""
        found = self._labels(select(DecisionRow).where(_column("uuid") == identity))
        return found[0] if found else None

    def counts(self, scene: str | None = None) -> dict[Decision, int]:
        """Return how many labels of each decision count."""
        counts: dict[Decision, int] = {"same": 0, "different": 0, "unsure": 0, "skip": 0}
        query = select(_column("decision"), func.count()).where(counts_now(), *_filters(scene, None)).group_by(_column("decision"))
        with reading(self._engine) as connection:
            for decision, count in connection.execute(query):
                counts[cast("Decision", decision)] = count
        return counts

    def _sent_before(self, session: Session, identity: str | None) -> Label | None:
        row = None if identity is None else session.scalar(select(DecisionRow).where(_column("uuid") == identity))
        return None if row is None else label_of(row)

    def _insert(self, session: Session, row: DecisionRow) -> Label:
        # A clock that was set back must not make a new decision older than the one it replaces.
        same = [_column(name) == getattr(row, name) for name in ("scene", "pair_key", "annotator", "is_gold")]
        before = session.scalar(select(func.max(_column("created_at"))).where(*same))
        if before is not None:
            row.created_at = max(row.created_at, in_utc(before) + timedelta(microseconds=1))
        session.add(row)
        session.flush()
        label = label_of(row)
        session.commit()
        self._on_written(label)
        return label

    def _labels(self, query: Any) -> list[Label]:
        with read_session(self._engine) as session:
            return [label_of(row) for row in session.scalars(query)]


def counts_now() -> ColumnElement[bool]:
    """Return the condition under which a row of `decisions` is a label that counts now."""
    later: Any = aliased(DecisionRow)
    newer = or_(
        later.created_at > _column("created_at"),
        and_(later.created_at == _column("created_at"), later.id > _column("id")),
    )
    replaced = (
        select(later.id)
        .where(
            later.scene == _column("scene"),
            later.pair_key == _column("pair_key"),
            later.annotator == _column("annotator"),
            later.is_gold == _column("is_gold"),
            newer,
            _is_decision(later),
            ~_undone(later),
        )
        .correlate(DecisionRow)
        .exists()
    )
    return and_(_is_decision(DecisionRow), ~_undone(DecisionRow), ~replaced)


def _is_decision(row: Any) -> ColumnElement[bool]:
    # Not "IS NULL": SQLite would look that up in the unique index and scan all decisions for each row.
    return func.coalesce(row.undoes, 0) == 0


def _undone(row: Any) -> ColumnElement[bool]:
    undo: Any = aliased(DecisionRow)
    return select(undo.id).where(undo.undoes == row.id).correlate(row).exists()


def _column(name: str) -> Any:
    return getattr(DecisionRow, name)


def _filters(scene: str | None, annotator: str | None) -> list[Any]:
    wanted = {"scene": scene, "annotator": annotator}
    for name, value in wanted.items():
        if value is not None:
            check_text(value, f"The {name} to look for")
    return [_column(name) == value for name, value in wanted.items() if value is not None]


def _another(stored: Label) -> LabelError:
    return LabelError(f"The id {stored.uuid} is that of another decision, row {stored.id}; make a fresh one for each.")


def _undone_before(label_id: int) -> LabelError:
    return LabelError(f"Label {label_id} was undone before; there is nothing left to take back.")
