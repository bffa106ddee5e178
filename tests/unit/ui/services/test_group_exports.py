"""Exports for download: real runs of a tiny room in real threads, stopped, repeated and too large."""

from __future__ import annotations

import json
import threading
import zipfile
from pathlib import Path

import pytest

from db.labels.store import LabelStore
from db.runs import RunStore
from db.schema.session import open_database
from engine.errors import MaskgroupError
from tests.stub_judge import StubJudge
from tests.tiny_room import NAME
from ui.pages.grouping import corrections, words
from ui.pages.grouping.handlers import Pick
from ui.services import group_exports
from ui.services.group_exports import ExportState, GroupExports
from ui.services.grouping_runs import GroupingRuns
from ui.services.workbench import Workbench
from ui.stores.groupings import GroupingStore
from ui.web.uploads import EXPORTS, UploadQuota

WAIT_S = 480


@pytest.fixture
def runs(tiny_room: Path, tmp_path: Path) -> GroupingRuns:
    database = open_database(str(tmp_path / "labels.db"))
    made = GroupingRuns(Workbench(tiny_room.parent, LabelStore(database), StubJudge), GroupingStore(RunStore(database)))
    worker = made.start(NAME)
    assert worker is not None
    worker.join(WAIT_S)
    return made


@pytest.fixture
def served(tmp_path: Path) -> Path:
    (tmp_path / "served").mkdir()
    return tmp_path / "served"


def finished(exports: GroupExports, worker: threading.Thread) -> ExportState:
    worker.join(WAIT_S)
    state = exports.state(NAME)
    assert state is not None
    assert not state.is_running
    return state


def read(path: Path | None, name: str) -> bytes:
    assert path is not None
    with zipfile.ZipFile(path) as archive:
        return archive.read(f"{path.stem}/{name}")


def exports_of(runs: GroupingRuns) -> GroupExports:
    return GroupExports(runs._bench, runs)


def test_a_zip_holds_the_groups_as_they_are_now(runs: GroupingRuns, served: Path) -> None:
    exports = exports_of(runs)
    assert exports.state(NAME) is None
    first = finished(exports, exports.start(NAME, "json", served))
    assert first.status == "done", first.message
    assert first.path is not None
    assert first.path.name == "tiny-json.zip"
    assert len(json.loads(read(first.path, "groups.json"))["groups"]) == 2
    one, two = runs.result(NAME).grouping.groups
    corrections.merge(runs, Pick(NAME, latest=one.best_masks[0], before=two.best_masks[0]))
    state = runs.state(NAME)
    assert state is not None
    assert "before the groups changed" in words.show_export(exports.state(NAME), version=state.version)
    second = finished(exports, exports.start(NAME, None, served))
    assert "before the groups changed" not in words.show_export(second, version=state.version)
    assert not first.path.exists(), "the one before it is gone"
    assert len(json.loads(read(second.path, "groups.json"))["groups"]) == 1
    manifest = json.loads(read(second.path, "manifest.json"))
    assert len(manifest["corrections"]) == 5
    assert manifest["commands"]["export"] == "maskgroup export 1 --out out"
    assert "folder" not in manifest["scene"]
    assert [path.name for path in (served / EXPORTS).rglob("*.zip")] == ["tiny-all.zip"]
    assert [path for path in (served / EXPORTS).rglob("*") if path.is_dir() and path.parent != served / EXPORTS] == []


def test_group_numbers_are_those_of_the_page(runs: GroupingRuns, served: Path) -> None:
    """After a mask is taken out, the largest group may have another row than number."""
    result = runs.result(NAME)
    mask = result.grouping.groups[0].masks[0]
    corrections.reject_mask(runs._bench, runs, Pick(NAME, latest=mask, mask=mask))
    exports = exports_of(runs)
    state = finished(exports, exports.start(NAME, "json", served))
    shown = {
        result.name(group.id): set(map(str, group.masks)) for result in [runs.result(NAME)] for group in result.grouping.groups
    }
    told: dict[str, set[str]] = {}
    for entry in json.loads(read(state.path, "groups.json"))["masks"]:
        told.setdefault(f"group {entry['group']}", set()).add(f"{entry['view']}:{entry['mask']}")
    assert told == shown


def test_an_export_is_stopped_and_leaves_nothing(runs: GroupingRuns, served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exports = exports_of(runs)
    reached, go_on = threading.Event(), threading.Event()
    real = group_exports.write_export

    def held(*args: object, **kwargs: object) -> object:
        reached.set()
        assert go_on.wait(WAIT_S)
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(group_exports, "write_export", held)
    worker = exports.start(NAME, None, served)
    assert reached.wait(WAIT_S)
    with pytest.raises(MaskgroupError, match="is under way"):
        exports.start(NAME, "json", served)
    exports.cancel(NAME)
    go_on.set()
    state = finished(exports, worker)
    assert (state.status, state.path) == ("cancelled", None)
    assert "was stopped" in words.show_export(state, version=1)
    assert list((served / EXPORTS).iterdir()) == []


def test_a_failure_is_said_and_leaves_nothing(runs: GroupingRuns, served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exports = exports_of(runs)
    monkeypatch.setattr(group_exports, "pack", lambda *args, **kwargs: (_ for _ in ()).throw(OSError(28, "No space left")))
    state = finished(exports, exports.start(NAME, "json", served))
    assert state.status == "failed"
    assert "No space left" in state.message
    monkeypatch.setattr(group_exports, "pack", lambda *args, **kwargs: 1 / 0)
    state = finished(exports, exports.start(NAME, "json", served))
    assert "mistake of the program" in state.message
    assert list((served / EXPORTS).iterdir()) == []


def test_what_is_too_large_for_a_page_names_the_command(runs: GroupingRuns, served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_exports, "MAX_BYTES", 1000)
    exports = exports_of(runs)
    with pytest.raises(MaskgroupError, match="run `maskgroup export 1 --out out --format scene`"):
        exports.start(NAME, "scene", served)
    assert exports.state(NAME) is None
    assert finished(exports, exports.start(NAME, "json", served)).status == "done"


def test_a_zip_that_was_deleted_is_no_longer_offered(runs: GroupingRuns, served: Path) -> None:
    exports = exports_of(runs)
    state = finished(exports, exports.start(NAME, "json", served))
    assert state.path is not None
    state.path.unlink()
    assert exports.state(NAME) is None


def test_exports_take_no_room_from_uploads(served: Path) -> None:
    (served / EXPORTS / "groups-x").mkdir(parents=True)
    (served / EXPORTS / "groups-x" / "large.zip").write_bytes(b"x" * 5000)
    quota = UploadQuota(served, max_bytes=1000, max_files=2, keep_s=0)
    assert quota.make_room(object(), 900) is None
    assert (served / EXPORTS / "groups-x" / "large.zip").exists()


def test_scenes_without_groups_and_odd_names(runs: GroupingRuns, served: Path) -> None:
    exports = GroupExports(runs._bench, GroupingRuns(runs._bench))
    with pytest.raises(MaskgroupError, match="has no groups yet"):
        exports.start(NAME, None, served)
    assert group_exports._file_name("../a b/ü\0.") == "_a_b_"
    assert group_exports._file_name("...") == "scene"
