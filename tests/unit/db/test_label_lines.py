"""Files of labels as other programs, spreadsheets, broken disks and attackers leave them: bad lines are named, the rest is kept."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from db.labels.exchange import FIELDS, MAX_BAD, ImportReport, import_rows
from db.labels.lines import MAX_LINE
from db.labels.store import LabelStore, NewLabel
from db.schema.session import open_database
from engine.errors import LabelError
from engine.types import MaskKey, MaskPair
from tests.label_records import label_record
from tests.that_ends import that_ends

GOOD = label_record()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LabelStore]:
    engine = open_database(str(tmp_path / "labels.db"))
    yield LabelStore(engine)
    engine.dispose()


def line(**changes: Any) -> bytes:
    return json.dumps(GOOD | changes, ensure_ascii=False).encode() + b"\n"


def bring_in(store: LabelStore, tmp_path: Path, content: bytes, name: str = "labels.jsonl") -> ImportReport:
    file = tmp_path / name
    file.write_bytes(content)
    return import_rows(store.database, file, "csv" if name.endswith(".csv") else "jsonl")


ODD_VALUES: list[Any] = [
    None,
    True,
    False,
    10**30,
    -(10**30),
    10**4000,
    1e300,
    -1,
    0.5,
    "",
    "x" * 1000,
    "\0",
    [],
    [1],
    {},
    {"a": 1},
]
BAD_JSON = {
    "number beyond all bounds": b'{"uuid": ' + b"9" * 5000 + b"}",
    "a number": b"7",
    "true": b"true",
    "null": b"null",
    "NaN": b"NaN",
    "a list": b"[1, 2]",
    "text": b'"same"',
    "half an object": b'{"uuid": "u',
    "field twice": b'{"uuid": "a", ' + line()[1:-1],
    "nested too deep": b"[" * 200_000,
    "no UTF-8": b'{"uuid": "\xff\xfe"}',
    "NULs": b'{"uuid": "\x00\x00"}',
    "long": b'{"uuid": "' + b"x" * (MAX_LINE + 10) + b'"}',
    "not finite": line(p_same=float("inf"))[:-1],
    "no field": b"{}",
}


@pytest.mark.parametrize("kind", BAD_JSON)
def test_bad_line_between_good_ones(store: LabelStore, tmp_path: Path, kind: str) -> None:
    report = bring_in(store, tmp_path, line() + BAD_JSON[kind] + b"\n" + line(uuid="u2"))
    assert [bad.line for bad in report.bad] == [2]
    assert len(report.bad[0].reason) < 600
    assert (report.added, [row.uuid for row in store.history()]) == (2, ["u1", "u2"])


@pytest.mark.parametrize("field", FIELDS)
def test_odd_values_in_every_field(store: LabelStore, tmp_path: Path, field: str) -> None:
    odd = [value for value in ODD_VALUES if not fits(field, value)]
    content = line() + b"".join(line(**{"uuid": f"odd {i}", "mask_a": 100 + i, field: value}) for i, value in enumerate(odd))
    report = bring_in(store, tmp_path, content)
    assert [bad.line for bad in report.bad] == list(range(2, len(odd) + 2))
    assert all(len(bad.reason) < 600 and "\n" not in bad.reason for bad in report.bad)
    assert [row.uuid for row in store.history()] == ["u1"]


def fits(field: str, value: Any) -> bool:
    """Return whether a value is right in a field, by what `docs/labels.md` says of it."""
    if field in ("model", "prompt", "undoes", "p_same", "ambiguity", "seconds", "beside") and value is None:
        return True
    if field in ("p_same", "ambiguity"):
        return value == 0.5
    if field == "seconds":
        return value in (0.5, 1e300)
    if field in ("mask_a", "mask_b"):
        return value == -1 and not isinstance(value, bool)
    if field == "beside":
        return value == []
    return field == "is_gold" and isinstance(value, bool)


def test_file_with_a_mark_of_utf_8_and_other_line_ends(store: LabelStore, tmp_path: Path) -> None:
    report = bring_in(store, tmp_path, b"\xef\xbb\xbf" + line()[:-1] + b"\r\n\r\n" + line(uuid="u2")[:-1])
    assert (report.added, report.bad) == (2, ())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_that_is_not_in_utf_8(store: LabelStore, tmp_path: Path, encoding: str) -> None:
    for name in ("labels.jsonl", "labels.csv"):
        with pytest.raises(LabelError, match="UTF-8"):
            bring_in(store, tmp_path, line().decode().encode(encoding), name)


def test_files_that_are_no_labels_at_all(store: LabelStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "random").write_bytes(os.urandom(100_000))
    with (tmp_path / "zeros").open("wb") as zeros:
        zeros.truncate(3 * 2**30)
    (tmp_path / "words").write_bytes(b"these are words\n" * (MAX_BAD + 5))
    places = [tmp_path, tmp_path / "pipe", Path("/dev/zero"), Path("/dev/null"), tmp_path / "missing", Path("a\0b")]
    places += [tmp_path / name for name in ("labels.db", "random", "zeros", "words")]
    for place in places:
        for file_format in ("jsonl", "csv"):
            if (place.name, file_format) == ("words", "csv"):
                continue
            with pytest.raises(LabelError) as caught:
                that_ends(partial(import_rows, store.database, place, file_format), place)  # pyright: ignore[reportArgumentType]
            assert "\n" not in str(caught.value), place
    assert store.history() == []


def test_line_of_300_megabytes_takes_little_memory(store: LabelStore, tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    with file.open("wb") as stream:
        stream.write(line())
        for _ in range(300):
            stream.write(b"x" * 2**20)
        stream.write(b"\n" + line(uuid="u2"))
    tracemalloc.start()
    try:
        report = import_rows(store.database, file, "jsonl")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert ([bad.line for bad in report.bad], report.added) == ([2], 2)
    assert peak < 100_000_000


# CSV


def cells(**changes: Any) -> dict[str, str]:
    return dict.fromkeys(FIELDS, "") | {name: str(value) for name, value in (GOOD | changes).items()}


def table(*rows: dict[str, str], parted_by: str = ",") -> bytes:
    return "\n".join([parted_by.join(FIELDS), *(parted_by.join(row.values()) for row in rows)]).encode()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mask_a": "1_000"}, "expected a whole number"),
        ({"mask_a": "１２"}, "expected a whole number"),
        ({"mask_a": "1.0"}, "expected a whole number"),
        ({"mask_a": "True"}, "expected a whole number"),
        ({"mask_a": "9" * 3000}, "is no 32-bit number"),
        ({"mask_a": "9" * 5000}, "expected a whole number"),
        ({"mask_b": ""}, "expected a whole number"),
        ({"p_same": "nan"}, "expected a number"),
        ({"p_same": "inf"}, "expected a number"),
        ({"p_same": "0_1.5"}, "expected a number"),
        ({"p_same": "1e999"}, "expected 0 to 1"),
        ({"is_gold": "1"}, "expected true or false"),
        ({"is_gold": "yes"}, "expected true or false"),
        ({"decision": "SAME"}, "expected one of"),
        ({"annotator": "\ud800"}, "UTF-8"),
        ({"annotator": '"a\0b"'}, "NUL"),
    ],
)
def test_bad_cells(store: LabelStore, tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    rows = [cells(), cells(uuid="bad", **changes), cells(uuid="u2")]
    content = "\n".join([",".join(FIELDS), *(",".join(row.values()) for row in rows)]).encode(errors="surrogatepass")
    report = bring_in(store, tmp_path, content, "labels.csv")
    assert [bad.line for bad in report.bad] == [3]
    assert reason in report.bad[0].reason
    assert [row.uuid for row in store.history()] == ["u1", "u2"]


def test_what_a_spreadsheet_makes_of_yes_and_no(store: LabelStore, tmp_path: Path) -> None:
    report = bring_in(
        store, tmp_path, b"\xef\xbb\xbf" + table(cells(is_gold="TRUE"), cells(uuid="u2", is_gold="FALSE")), "labels.csv"
    )
    assert (report.added, report.bad) == (2, ())
    assert [row.is_gold for row in store.history()] == [True, False]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (table(cells(), parted_by=";"), "parted by other characters"),
        (table(cells()).replace(b"queue", b"uuid"), "repeated: uuid"),
        (table(cells()).replace(b"queue", b"colour"), "missing: queue; not known: colour"),
        (b"just words\nand more words\n", "missing: uuid"),
    ],
)
def test_bad_header_is_said_once(store: LabelStore, tmp_path: Path, content: bytes, reason: str) -> None:
    report = bring_in(store, tmp_path, content, "labels.csv")
    assert [bad.line for bad in report.bad] == [1]
    assert reason in report.bad[0].reason
    assert report.added == 0


def test_quote_that_never_ends_and_line_that_is_too_long(store: LabelStore, tmp_path: Path) -> None:
    for end in (b'\n"' + b"x\n" * 100, b"\n" + b"x" * (MAX_LINE + 1) + b"\n" + b"more,words\n"):
        report = bring_in(store, tmp_path, table(cells()) + end, "labels.csv")
        assert [bad.line for bad in report.bad] == [3]
        assert "what follows it was not read" in report.bad[0].reason
    assert [row.uuid for row in store.history()] == ["u1"]


# What was read in must not spoil what comes after.


def test_times_that_no_label_has(store: LabelStore, tmp_path: Path) -> None:
    times = [
        "9999-12-31T23:59:59.999999+00:00",
        "3000-01-01T00:00:00+00:00",
        "1969-12-31T23:59:59+00:00",
        "0001-01-01T00:00:00+23:59",
    ]
    report = bring_in(store, tmp_path, b"".join(line(uuid=f"u{i}", created_at=moment) for i, moment in enumerate(times)))
    assert [bad.line for bad in report.bad] == [1, 2, 3, 4]
    report = bring_in(store, tmp_path, line(created_at="2999-12-31T23:59:59.999999+00:00"))
    assert report.added == 1
    # The newer decision counts all the same.
    store.add(NewLabel("Zoë", "room", MaskPair(MaskKey("1", 5), MaskKey("2", 6)), "different"))
    assert [row.decision for row in store.current()] == ["different"]
