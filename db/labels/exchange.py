"""The history as text and back: JSON Lines and CSV, one row of `decisions` a line. `docs/labels.md` documents the fields.

Rows refer to each other by `uuid`, so a file means the same in every database, and importing it twice changes nothing.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

from sqlalchemy import Engine, insert, select
from sqlmodel import Session, col

from db.labels.lines import TRUTH, csv_records, decimal_number, json_records, read_lines, split_lines, whole_number
from db.labels.rows import EPOCH, Label, NewLabel, ShownVerdict, check_label, is_number, label_of, read_beside, read_pair, row_of
from db.schema.checks import is_whole, shown, shown_name
from db.schema.models import DecisionRow, metadata
from db.schema.session import write_session
from engine.errors import LabelError
from engine.strict_json import as_object, to_json_text
from engine.types import MaskKey, MaskPair

FileFormat = Literal["jsonl", "csv"]
TEXTS = ("annotator", "scene", "view_a", "view_b", "decision", "queue", "source")
OPTIONAL_TEXTS = ("model", "prompt")
OPTIONAL_NUMBERS = ("p_same", "ambiguity", "seconds")
FIELDS = (
    *("uuid", "created_at", "annotator", "scene", "view_a", "mask_a", "view_b", "mask_b", "decision", "undoes"),
    *("model", "prompt", "p_same", "ambiguity", "seconds", "queue", "source", "is_gold", "beside"),
)
MAY_BE_MISSING = (*OPTIONAL_TEXTS, *OPTIONAL_NUMBERS, "undoes", "is_gold", "beside")
MAX_UUID = 36
MAX_BAD = 10_000
"""Bad lines after which a file is given up: it is another sort of file."""
BATCH_ROWS = 1000
"""Rows that are written at once."""
DECISIONS = metadata.tables["decisions"]
"""As a table: SQLite writes objects one at a time."""
LATEST = datetime(3000, 1, 1, tzinfo=UTC)
"""The store dates a new label after the one that it replaces: there must be room for that in what a time can be."""


FORMULA_STARTS = "=+-@＝＋－＠"
"""What a formula begins with in a spreadsheet; the wide forms count too."""
BLANKS = " \t\r\n\v\f\x00\u00a0\u3000\ufeff"
"""Skipped before a formula."""
CELL_STARTS = "'\t\r\n"


@dataclass(frozen=True)
class BadLine:
    """A line of a file that could not be imported; lines count from 1."""

    line: int
    reason: str


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        added: Rows that are new in the database.
        known: Rows that were already in it with the same content.
        bad: Lines that were refused.
    """

    added: int
    known: int
    bad: tuple[BadLine, ...]


def export_rows(rows: Iterable[Label], file_format: FileFormat) -> Iterator[str]:
    """Yield the lines (with their ends) of a file with all `rows`, in order; an undo must come after what it takes back.

    Raises:
        LabelError: If an undo's row is not among the rows before it.
    """
    uuids: dict[int, str] = {}
    if file_format == "csv":
        yield ",".join(FIELDS) + "\n"
    for row in rows:
        if row.undoes is not None and row.undoes not in uuids:
            raise LabelError(f"Row {row.uuid} undoes a row that is not exported with it; export the whole history.")
        uuids[row.id] = row.uuid
        record = as_record(row, uuids[row.undoes] if row.undoes is not None else None)
        if file_format == "jsonl":
            yield to_json_text(record, escape=False) + "\n"
        else:
            line = io.StringIO()
            beside = record["beside"] and to_json_text(record["beside"], escape=False)
            cells = {name: as_cell(value) for name, value in (record | {"beside": beside}).items()}
            csv.DictWriter(line, FIELDS, lineterminator="\n").writerow(cells)
            yield line.getvalue()


def as_cell(value: object) -> object:
    """Return a value as a cell of CSV: text that a spreadsheet would run as a formula gets an apostrophe before it.

    A text that begins with an apostrophe gets another one, so that `from_cell` gives every text back.
    """
    if not isinstance(value, str) or not value:
        return value
    begins = value.lstrip(BLANKS)[:1]
    return f"'{value}" if value[0] in CELL_STARTS or (begins and begins in FORMULA_STARTS) else value


def from_cell(cell: str) -> str:
    """Return the text of a cell that `as_cell` wrote."""
    return cell[1:] if cell.startswith("'") and as_cell(cell[1:]) != cell[1:] else cell


def as_record(row: Label, undoes: str | None) -> dict[str, Any]:
    """Return a row as the fields of the file; `undoes` is the uuid of the row that it takes back."""
    values: dict[str, Any] = {
        "view_a": row.pair.a.view,
        "mask_a": row.pair.a.mask,
        "view_b": row.pair.b.view,
        "mask_b": row.pair.b.mask,
    }
    values |= {"created_at": row.created_at.isoformat(), "undoes": undoes}
    values["beside"] = [asdict(verdict) for verdict in row.beside] or None
    return {name: values[name] if name in values else getattr(row, name) for name in FIELDS}


def import_rows(engine: Engine, source: str | Path, file_format: FileFormat, *, strict: bool = False) -> ImportReport:
    """Add the rows of a file to a database in one transaction; bad rows are left out and reported.

    Args:
        engine: The database that the rows are added to.
        source: The file, or its content as text.
        file_format: Whether its lines are JSON or CSV.
        strict: Add nothing if any row is bad.

    Raises:
        LabelError: If the file cannot be read or is another sort of file, or the database cannot be written; then nothing was.
    """
    bad: list[BadLine] = []
    added = known = 0
    with write_session(engine) as session:
        stored = {row.uuid: row for row in session.scalars(select(DecisionRow).order_by(col(DecisionRow.id)))}
        undone = {row.undoes for row in stored.values()}
        waiting: list[DecisionRow] = []

        def find(uuid: str) -> DecisionRow | None:
            row = stored.get(uuid)
            if row is not None and row.id is None:
                # A row gets its number when it is written; only one that a later line names needs it.
                _write(session, waiting)
                row.id = session.scalar(select(col(DecisionRow.id)).where(col(DecisionRow.uuid) == uuid))
            return row

        for line, record in _records(source, file_format):
            try:
                if isinstance(record, str):
                    raise LabelError(record)
                row = read_record(record, find)
                same = find(row.uuid)
                if same is not None:
                    _check_equal(row, same)
                    known += 1
                    continue
                if row.undoes is not None and row.undoes in undone:
                    raise LabelError(f"The row {record['undoes']} was undone before; a row is undone once.")
            except LabelError as error:
                bad.append(BadLine(line, str(error)))
                if len(bad) > MAX_BAD:
                    raise LabelError(
                        f"More than {MAX_BAD} lines are no rows, the last one {line}: {error} Nothing was imported; give a file "
                        "written by `maskgroup labels export`."
                    ) from error
                continue
            stored[row.uuid] = row
            undone |= {row.undoes}
            added += 1
            waiting.append(row)
            if len(waiting) == BATCH_ROWS:
                _write(session, waiting)
        if strict and bad:
            session.rollback()
            return ImportReport(0, known, tuple(bad))
        _write(session, waiting)
        session.commit()
    return ImportReport(added, known, tuple(bad))


def _write(session: Session, waiting: list[DecisionRow]) -> None:
    """Write rows in their order, many with one statement, and take them off the list."""
    if waiting:
        session.connection().execute(insert(DECISIONS), [row.model_dump(exclude={"id"}) for row in waiting])
    waiting.clear()


def read_record(record: dict[str, Any], find: Callable[[str], DecisionRow | None]) -> DecisionRow:
    """Return the row of a record.

    Args:
        record: The fields of a line.
        find: Gives a row that the record may undo, by its uuid; None if there is none.

    Raises:
        LabelError: If a field is missing, unknown or malformed.
    """
    missing = [name for name in FIELDS if name not in record and name not in MAY_BE_MISSING]
    unknown = [shown_name(name) for name in record if name not in FIELDS]
    if missing or unknown:
        raise LabelError(f"Fields missing: {', '.join(missing) or 'none'}; fields not known: {', '.join(unknown[:5]) or 'none'}.")
    for name in ("uuid", "created_at", *TEXTS):
        if not isinstance(record[name], str):
            raise LabelError(f"{name} is {shown(record[name])}, expected text.")
    for name in (*OPTIONAL_TEXTS, "undoes"):
        if not isinstance(record.get(name), str | None):
            raise LabelError(f"{name} is {shown(record[name])}, expected text or null.")
    for name in OPTIONAL_NUMBERS:
        if record.get(name) is not None and not is_number(record[name]):
            raise LabelError(f"{name} is {shown(record[name])}, expected a number or null.")
    for name in ("mask_a", "mask_b"):
        if not is_whole(record[name]):
            raise LabelError(f"{name} is {shown(record[name])}, expected a whole number.")
    # Files from versions without gold labels lack this field.
    is_gold = record.get("is_gold", False)
    if not isinstance(is_gold, bool):
        raise LabelError(f"is_gold is {shown(is_gold)}, expected true or false.")
    if not 0 < len(record["uuid"]) <= MAX_UUID or not record["uuid"].isprintable():
        raise LabelError(f"uuid is {shown(record['uuid'])}, expected 1 to {MAX_UUID} printable characters.")
    undone = record.get("undoes")
    taken_back = None if undone is None else find(undone)
    if undone is not None and (taken_back is None or taken_back.undoes is not None):
        raise LabelError(f"It undoes the row {shown(undone)}, which is no label of this file before it or of the database.")
    label = NewLabel(
        pair=MaskPair(MaskKey(record["view_a"], record["mask_a"]), MaskKey(record["view_b"], record["mask_b"])),
        **{name: record[name] for name in TEXTS if not name.startswith("view")},
        **{name: record.get(name) for name in OPTIONAL_TEXTS},
        is_gold=is_gold,
        beside=_read_beside(record.get("beside")),
        **cast("Any", {name: None if record.get(name) is None else float(record[name]) for name in OPTIONAL_NUMBERS}),
    )
    check_label(label)
    row = row_of(label, _moment(record["created_at"]), identity=record["uuid"])
    if taken_back is not None:
        row.undoes = taken_back.id
        if (row.scene, row.pair_key) != (taken_back.scene, taken_back.pair_key):
            raise LabelError(f"It undoes the row {undone!r}, which is about another pair.")
    return row


def _read_beside(values: object) -> tuple[ShownVerdict, ...]:
    if values is None:
        return ()
    listed = cast("list[object]", values) if isinstance(values, list) else [values]
    beside: list[ShownVerdict] = []
    for entry in listed:
        told = as_object(entry) or {"model": None}
        model, prompt, numbers = told.get("model"), told.get("prompt"), (told.get("p_same"), told.get("ambiguity"))
        is_known = set(told) <= set(ShownVerdict.__dataclass_fields__) and all(n is None or is_number(n) for n in numbers)
        if not is_known or not isinstance(model, str) or not isinstance(prompt, str | None):
            raise LabelError(f"beside holds {shown(entry)}, expected an object with model, prompt, p_same and ambiguity.")
        beside.append(ShownVerdict(model, prompt, *(None if number is None else float(number) for number in numbers)))
    return tuple(beside)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None and EPOCH <= moment < LATEST:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise LabelError(
        f"created_at is {shown(text)}, expected a time with its zone such as 2026-01-31T12:00:00+00:00, from 1970 to 2999."
    )


def _check_equal(row: DecisionRow, stored: DecisionRow) -> None:
    stored_label = label_of(stored)
    for name in (*NewLabel.__dataclass_fields__, "created_at", "undoes"):
        ours = getattr(stored_label, name)
        theirs = row.created_at if name == "created_at" else row.undoes if name == "undoes" else _field(row, name)
        if ours != theirs:
            raise LabelError(f"The row {row.uuid} is in the database with another {name}: {ours!r} there, {theirs!r} here.")


def _field(row: DecisionRow, name: str) -> object:
    if name == "pair":
        return read_pair(row.view_a, row.mask_a, row.view_b, row.mask_b)
    return read_beside(row.beside) if name == "beside" else getattr(row, name)


def _records(source: str | Path, file_format: FileFormat) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield (line number, record or what is wrong with the line)."""
    lines = read_lines(source) if isinstance(source, Path) else split_lines(source)
    if file_format != "csv":
        yield from json_records(lines)
        return
    required = [name for name in FIELDS if name not in MAY_BE_MISSING]
    for number, cells in csv_records(lines, required=required, known=FIELDS):
        yield number, cells if isinstance(cells, str) else _of_cells(cells)


def _of_cells(cells: dict[str, str]) -> dict[str, Any] | str:
    record: dict[str, Any] = dict(cells)
    for name in (*OPTIONAL_TEXTS, *OPTIONAL_NUMBERS, "undoes", "beside"):
        if record.get(name) == "":
            record[name] = None
    for name in ("uuid", "created_at", "undoes", "beside", *TEXTS, *OPTIONAL_TEXTS):
        if isinstance(record.get(name), str):
            record[name] = from_cell(record[name])
    if record.get("beside") is not None:
        try:
            record["beside"] = json.loads(record["beside"])
        except (ValueError, RecursionError):
            return f"beside is {shown(record['beside'])}, expected JSON or nothing."
    if "is_gold" in record:
        record["is_gold"] = TRUTH.get(record["is_gold"].strip().lower(), record["is_gold"])
    for names, read, what in (
        (("mask_a", "mask_b"), whole_number, "a whole number"),
        (OPTIONAL_NUMBERS, decimal_number, "a number or nothing"),
    ):
        for name in names:
            if record.get(name) is not None:
                try:
                    record[name] = read(record[name])
                except ValueError:
                    return f"{name} is {shown(record[name])}, expected {what}."
    return record
