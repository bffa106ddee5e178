"""Runs of long work (groupings, trainings, comparisons): what was asked, how far it came, what came out."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, cast, get_args

from sqlalchemy import Engine, delete, insert, select, update
from sqlmodel import col

from db.schema.checks import MAX_LENGTHS, check_text, in_utc, is_row_id, shown
from db.schema.faults import ConflictError, StoredValueError
from db.schema.models import RunRow
from db.schema.session import reading, writing
from engine.errors import RunError
from engine.strict_json import as_object, to_json_text

RunKind = Literal["grouping", "training", "comparison"]
RunOutcome = Literal["done", "failed", "cancelled"]
RunStatus = Literal["queued", "running", RunOutcome]
KINDS: tuple[RunKind, ...] = get_args(RunKind)
STATUSES: tuple[RunStatus, ...] = get_args(RunStatus)
FINISHED: tuple[RunOutcome, ...] = get_args(RunOutcome)
RESUMABLE: tuple[RunStatus, ...] = ("failed", "cancelled")
"""Runs that ended before they were done, so that they can go on."""
MAX_RUN_NAME = 120
_COLUMNS = (
    col(RunRow.id),
    col(RunRow.uuid),
    col(RunRow.kind),
    col(RunRow.name),
    col(RunRow.status),
    col(RunRow.created_at),
    col(RunRow.updated_at),
    col(RunRow.scene),
    col(RunRow.config),
    col(RunRow.result),
    col(RunRow.note),
)


@dataclass(frozen=True)
class Run:
    """One run as it stands in the database.

    Attributes:
        kind: What sort of work; names are unique within a kind.
        scene: The scene it is about, or None if it is about several or none.
        config: What was asked, as JSON values.
        result: What came out so far, as JSON values.
        note: A sentence for people: why it failed, or what somebody wrote about it.
    """

    id: int
    uuid: str
    kind: RunKind
    name: str
    status: RunStatus
    created_at: datetime
    updated_at: datetime
    scene: str | None
    config: dict[str, Any]
    result: dict[str, Any]
    note: str | None


class RunStore:
    """The runs of one database; safe to share between threads and processes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(
        self,
        kind: RunKind,
        name: str,
        *,
        scene: str | None = None,
        config: Mapping[str, Any] | None = None,
        status: RunStatus = "queued",
    ) -> Run:
        """Write a new run.

        Raises:
            RunError: If the name is empty, too long or taken, another value malformed, or the database cannot be written.
        """
        check_text(name, "A run's name", MAX_RUN_NAME, error=RunError)
        _check_known(kind, KINDS, "kind")
        _check_known(status, STATUSES, "status")
        if scene is not None:
            check_text(scene, "The scene of a run", MAX_LENGTHS["scene"], error=RunError)
        now = datetime.now(UTC)
        values = {
            "uuid": str(uuid.uuid4()),
            "kind": kind,
            "name": name,
            "status": status,
            "created_at": now,
            "updated_at": now,
            "scene": scene,
            "config": _to_json(config or {}),
            "result": "{}",
        }
        try:
            with writing(self._engine) as connection:
                connection.execute(insert(RunRow).values(**values))
        except ConflictError as error:
            raise RunError(f"There is a {kind} run named {name!r} already; give another name.") from error
        run = self.find(kind, name)
        assert run is not None
        return run

    def update(
        self,
        run_id: int,
        *,
        status: RunStatus | None = None,
        config: Mapping[str, Any] | None = None,
        result: Mapping[str, Any] | None = None,
        note: str | None = None,
    ) -> Run:
        """Replace the given fields of a run; None leaves a field unchanged.

        Raises:
            RunError: If there is no such run, a value is malformed, or the database cannot be written.
        """
        if status is not None:
            _check_known(status, STATUSES, "status")
        if note is not None:
            check_text(note, "The note of a run", error=RunError)
        given = {
            "status": status,
            "config": None if config is None else _to_json(config),
            "result": None if result is None else _to_json(result),
            "note": note,
        }
        values = {key: value for key, value in given.items() if value is not None}
        changed = 0
        if is_row_id(run_id):
            with writing(self._engine) as connection:
                statement = update(RunRow).where(col(RunRow.id) == run_id)
                changed = connection.execute(statement.values(**values, updated_at=datetime.now(UTC))).rowcount
        run = self.get(run_id) if changed else None
        if run is None:
            raise RunError(f"There is no run {shown(run_id)}; it may have been deleted; reload the list.")
        return run

    def get(self, run_id: int) -> Run | None:
        """Return a run by its number."""
        if not is_row_id(run_id):
            return None
        found = self._select(col(RunRow.id) == run_id)
        return found[0] if found else None

    def find(self, kind: RunKind, name: str) -> Run | None:
        """Return a run by its name."""
        check_text(name, "A run's name", error=RunError)
        found = self._select(col(RunRow.kind) == kind, col(RunRow.name) == name)
        return found[0] if found else None

    def list(self, kind: RunKind, *, scene: str | None = None) -> list[Run]:
        """Return all runs of a kind, newest first; with `scene` only those about it."""
        if scene is not None:
            check_text(scene, "The scene to look for", error=RunError)
        return self._select(col(RunRow.kind) == kind, *([] if scene is None else [col(RunRow.scene) == scene]))

    def delete(self, run_id: int) -> bool:
        """Delete a run; returns whether there was one."""
        if not is_row_id(run_id):
            return False
        with writing(self._engine) as connection:
            return connection.execute(delete(RunRow).where(col(RunRow.id) == run_id)).rowcount > 0

    def _select(self, *where: Any) -> list[Run]:
        query = select(*_COLUMNS).where(*where).order_by(col(RunRow.id).desc())
        with reading(self._engine) as connection:
            return [_run_of(row) for row in connection.execute(query).mappings()]


def _run_of(row: Any) -> Run:
    if row["kind"] not in KINDS or row["status"] not in STATUSES or not isinstance(row["name"], str):
        raise StoredValueError(f"row {row['id']} of runs holds what is no run")
    return Run(
        id=row["id"],
        uuid=row["uuid"],
        kind=cast("RunKind", row["kind"]),
        name=row["name"],
        status=cast("RunStatus", row["status"]),
        created_at=in_utc(row["created_at"]),
        updated_at=in_utc(row["updated_at"]),
        scene=row["scene"],
        config=_from_json(row["config"]),
        result=_from_json(row["result"]),
        note=row["note"],
    )


def _check_known(value: object, known: Sequence[str], what: str) -> None:
    if not isinstance(value, str) or value not in known:
        raise RunError(f"The {what} of a run is {shown(value)}, expected one of {', '.join(known)}; correct it.")


def _from_json(text: str) -> dict[str, Any]:
    try:
        values = as_object(json.loads(text))
    except (ValueError, TypeError):
        values = None
    if values is None:
        raise StoredValueError(f"{shown(text)} is no JSON object")
    return values


def _to_json(values: Mapping[str, Any]) -> str:
    # NaN is not JSON: PostgreSQL would store text that no reader opens, so it is refused here.
    try:
        return to_json_text(dict(values), nan_as_null=False)
    except (TypeError, ValueError) as error:
        raise RunError(f"A run's values must be plain JSON, but {error}; convert them first.") from error
