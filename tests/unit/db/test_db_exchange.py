"""Export and import give the same database; bad rows are named by line; audit and backup."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from db.backup import back_up
from db.labels.audit import audit
from db.labels.exchange import FIELDS, FileFormat, export_rows, import_rows
from db.labels.store import LabelStore, NewLabel, ShownVerdict
from db.schema.session import open_database
from engine.errors import LabelError
from engine.types import Decision, MaskKey, MaskPair
from tests.label_records import label_record

pytest_plugins = ["tests.databases"]

BESIDE = (ShownVerdict('a "second", Zoë', "original", 0.1 + 0.7, 0.0), ShownVerdict("third"))


def make_store(folder: Path, name: str = "labels.db") -> LabelStore:
    return LabelStore(open_database(str(folder / name)))


def pair(a: int, b: int) -> MaskPair:
    return MaskPair(MaskKey("1", a), MaskKey("2", b))


def add(store: LabelStore, a: int, b: int, decision: Decision, annotator: str = "Ada", **more: Any) -> int:
    return store.add(NewLabel(annotator=annotator, scene="room", pair=pair(a, b), decision=decision, **more)).id


def fill(store: LabelStore) -> None:
    first = add(store, 1, 2, "same", model="base", prompt="original", p_same=0.1 + 0.2, ambiguity=1e-9, seconds=2.5, beside=BESIDE)
    add(store, 1, 2, "different", annotator='Zoë, "the\nsecond"\u2028')
    store.undo(first, "Bob")
    add(store, 1, -7, "skip")


def as_lines(*records: dict[str, Any]) -> str:
    return "\n".join(map(json.dumps, records))


@pytest.mark.parametrize("file_format", ["jsonl", "csv"])
def test_export_then_import_gives_the_same_database(tmp_path: Path, file_format: FileFormat) -> None:
    old, new = make_store(tmp_path), make_store(tmp_path, "new.db")
    fill(old)
    exported = "".join(export_rows(old.history(), file_format))
    report = import_rows(new.database, exported, file_format, strict=True)
    assert (report.added, report.known, report.bad) == (4, 0, ())
    assert new.history() == old.history()
    again = import_rows(new.database, exported, file_format)
    assert (again.added, again.known, again.bad) == (0, 4, ())
    assert new.history() == old.history()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"decision": "maybe"}, "expected one of"),
        ({"mask_a": "5"}, "mask_a is '5', expected a whole number"),
        ({"mask_a": True}, "expected a whole number"),
        ({"mask_a": 2**31}, "int32"),
        ({"p_same": 1.01}, "0 to 1"),
        ({"p_same": float("nan")}, "0 to 1"),
        ({"seconds": 10**400}, "expected a number"),
        ({"annotator": None}, "expected text"),
        ({"annotator": ""}, "1 to 80"),
        ({"annotator": "\ud800"}, "half a character"),
        ({"created_at": "2026-01-31T12:00:00"}, "with its zone"),
        ({"created_at": "yesterday"}, "with its zone"),
        ({"uuid": ""}, "1 to 36"),
        ({"view_b": "1", "mask_b": 5}, "no comparison with itself"),
        ({"undoes": "nobody"}, "no label of this file before it"),
        ({"undoes": "good"}, "another pair"),
        ({"colour": 1}, "not known: colour"),
    ],
)
def test_bad_row_is_named_and_the_good_ones_are_kept(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    store = make_store(tmp_path)
    file = as_lines(label_record(uuid="good", mask_a=1), label_record(**changes), label_record(uuid="last"))
    strict = import_rows(store.database, file, "jsonl", strict=True)
    assert (strict.added, store.history()) == (0, [])
    report = import_rows(store.database, file, "jsonl")
    assert [bad.line for bad in report.bad] == [2]
    assert reason in report.bad[0].reason
    assert [row.uuid for row in store.history()] == ["good", "last"]


@pytest.mark.parametrize("line", ["{", "[]", "null", '{"uuid": 1}', "[" * 100_000])
def test_line_that_is_no_row(tmp_path: Path, line: str) -> None:
    report = import_rows(make_store(tmp_path).database, f"\n{line}\n{json.dumps(label_record())}\n", "jsonl")
    assert (report.added, [bad.line for bad in report.bad]) == (1, [2])


def test_csv_lines_are_counted_with_the_header(tmp_path: Path) -> None:
    cells = {**dict.fromkeys(FIELDS, ""), **{name: str(value) for name, value in label_record().items()}}
    good, bad = ",".join(cells.values()), ",".join({**cells, "uuid": "u2", "mask_a": "x"}.values())
    report = import_rows(make_store(tmp_path).database, "\n".join([",".join(FIELDS), good, bad, "too,few"]), "csv")
    assert (report.added, [bad.line for bad in report.bad]) == (1, [3, 4])


def test_row_undone_in_the_file_and_the_database_is_undone_once(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    import_rows(store.database, as_lines(label_record()), "jsonl", strict=True)
    store.undo(store.history()[0].id, "Ada")
    report = import_rows(store.database, as_lines(label_record(), label_record(uuid="u2", undoes="u1")), "jsonl")
    assert (report.added, report.known, [bad.line for bad in report.bad]) == (0, 1, [2])


def test_known_row_with_other_content_is_bad(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    import_rows(store.database, as_lines(label_record()), "jsonl")
    report = import_rows(store.database, as_lines(label_record(decision="different")), "jsonl")
    assert "another decision" in report.bad[0].reason
    assert [row.decision for row in store.current()] == ["same"]


def test_rows_are_written_many_at_a_time_in_the_order_of_the_file(database: str) -> None:
    store = LabelStore(open_database(database))
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(store.database, "before_cursor_execute", note)
    rows = [label_record(uuid=f"u{i:03}", mask_a=i) for i in range(300)]
    # Row 200 takes back a row that is just before it, row 250 one that has waited long, and row 260 stands there twice.
    rows[200] |= {"mask_a": 199, "undoes": "u199"}
    rows[250] |= {"mask_a": 210, "undoes": "u210"}
    report = import_rows(store.database, as_lines(*rows, rows[260], rows[260] | {"decision": "different"}), "jsonl")
    assert (report.added, report.known, [bad.line for bad in report.bad]) == (300, 1, [302])
    assert 0 < len([statement for statement in statements if statement.startswith("INSERT")]) < 10
    history = store.history()
    assert [row.uuid for row in history] == [row["uuid"] for row in rows]
    assert {row.uuid: history[row.undoes - history[0].id].uuid for row in history if row.undoes is not None} == {
        "u200": "u199",
        "u250": "u210",
    }
    store.database.dispose()


def test_imported_older_label_does_not_replace_a_newer_one(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    add(store, 5, 6, "different")
    import_rows(store.database, as_lines(label_record(annotator="Ada")), "jsonl")
    assert [row.decision for row in store.current()] == ["different"]


def test_part_of_a_history_without_what_it_undoes_is_not_exported(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    fill(store)
    with pytest.raises(LabelError, match="whole history"):
        list(export_rows(store.history()[1:], "jsonl"))


def test_audit_shows_the_shortest_cycle(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    # 1:1 = 2:1 = 1:2 = 2:2 is a chain of three; a longer way round and an unrelated "different" must not be shown.
    links = [add(store, a, b, "same") for a, b in ((1, 1), (2, 1), (2, 2))]
    for a, b in ((1, 8), (9, 8), (9, 7), (2, 7)):
        add(store, a, b, "same")
    add(store, 1, 99, "different")
    parting = add(store, 1, 2, "different")
    (found,) = audit(store.current(), store.history()).contradictions
    assert found.cycle == (MaskKey("1", 1), MaskKey("2", 1), MaskKey("1", 2), MaskKey("2", 2))
    assert found.label_ids == (*links, parting)
    store.undo(links[1], "Ada")
    longer = audit(store.current(), store.history()).contradictions[0]
    assert len(longer.cycle) == 6
    store.undo(parting, "Ada")
    assert audit(store.current(), store.history()).is_clean


def test_audit_lists_disagreements_and_repeats_but_not_undone_ones(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    ids = [add(store, 1, 2, "same"), add(store, 1, 2, "different", annotator="Bob"), add(store, 1, 2, "same")]
    undone = add(store, 3, 4, "same")
    store.undo(undone, "Ada")
    add(store, 3, 4, "different")
    report = audit(store.current(), store.history())
    assert [found.label_ids for found in report.disagreements] == [(ids[1], ids[2])]
    assert [(found.annotator, found.label_ids) for found in report.duplicates] == [("Ada", (ids[0], ids[2]))]
    assert report.contradictions == ()


def test_backup_made_during_a_write_is_a_whole_database(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    fill(store)
    rows = store.history()
    target = tmp_path / "copies" / "backup.db"
    with store.database.begin() as writer:
        writer.execute(text("update decisions set queue = 'not committed'"))
        back_up(store.database, target)
        writer.rollback()
    assert [path.name for path in target.parent.iterdir()] == ["backup.db"]
    assert LabelStore(open_database(str(target))).history() == rows
    with pytest.raises(LabelError, match="not overwritten"):
        back_up(store.database, target)


FORMULAS = [
    *("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "'", "'=1", "''=1", "'ann", "-", "a=b"),
    "=cmd|' /C calc'!A0",
]


@pytest.mark.parametrize("name", FORMULAS)
def test_cells_are_no_formulas_and_come_back_as_they_were(name: str, tmp_path: Path) -> None:
    import csv
    import io

    from db.labels.exchange import as_cell, from_cell

    cell = str(as_cell(name))
    assert cell.strip()[:1] not in "=+-@＝＋－＠"
    assert from_cell(cell) == name
    if not name.isprintable() or name != name.strip():
        return
    store = LabelStore(open_database(str(tmp_path / "a.db")))
    store.add(NewLabel(annotator=name, scene=name, pair=MaskPair(MaskKey(name, 1), MaskKey("2", 1)), decision="same", model=name))
    text = "".join(export_rows(store.history(), "csv"))
    for row in csv.DictReader(io.StringIO(text)):
        assert not [value for value in row.values() if value.strip()[:1] in ("=", "+", "-", "@")]
    copy = LabelStore(open_database(str(tmp_path / "b.db")))
    assert import_rows(copy.database, text, "csv").bad == ()
    assert [(row.annotator, row.scene, row.pair, row.model) for row in copy.history()] == [
        (row.annotator, row.scene, row.pair, row.model) for row in store.history()
    ]


@pytest.mark.parametrize(
    "beside",
    ["tuned", {}, [{}], ["tuned"], [{"model": 5}], [{"model": "m", "p_same": "x"}], [{"model": "m", "p_same": 2}],
     [{"model": "m", "who": 1}], [[]], 5, [{"model": "m", "prompt": 5}], [{"model": "m", "ambiguity": True}]],
)  # fmt: skip
def test_malformed_verdicts_are_named_and_left_out(tmp_path: Path, beside: Any) -> None:
    store = make_store(tmp_path)
    report = import_rows(store.database, as_lines(label_record(beside=beside), label_record(uuid="u2", beside=None)), "jsonl")
    assert [bad.line for bad in report.bad] == [1]
    assert report.added == 1


def test_files_of_versions_without_second_verdicts_are_read(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    assert import_rows(store.database, as_lines(label_record()), "jsonl").added == 1
    assert store.current()[0].beside == ()
