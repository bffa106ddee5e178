"""Versions of masks: what is kept, which ids stay, and that nothing is lost, whatever goes wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import MaskgroupError, SceneError
from engine.scenes import open_scene
from engine.scenes.folders import SceneFolder
from engine.scenes.scene_settings import read_settings
from engine.segmenting import edits, versions
from engine.segmenting.versions import FOLDER, INDEX, MaskVersions, fault_of_editing
from engine.types import Int32Array
from tests.format_rooms import write_room, write_transforms
from tests.tiny_room import write_tiny_room

VIEW = "2"


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_room(tmp_path_factory.mktemp("room"))


@pytest.fixture
def scene(room: Path, tmp_path: Path) -> Path:
    """The room as posed masks."""
    return write_room(room, tmp_path / "scenes", "posed masks", "png")


def opened(folder: Path) -> MaskVersions:
    return MaskVersions(open_scene(folder))


def ids_of(ids: Int32Array) -> list[int]:
    return np.unique(ids[ids >= 0]).tolist()


def split_in_two(ids: Int32Array, mask: int) -> Int32Array:
    rows, columns = np.nonzero(ids == mask)
    middle = int(np.median(columns))
    return edits.split_by_line(ids, mask, [(middle, int(rows.min()) - 1), (middle, int(rows.max()) + 1)])


def test_unchanged_masks_keep_their_ids_and_new_ones_get_new_ids(scene: Path) -> None:
    masks = opened(scene)
    before = masks.read(VIEW)
    first, second = ids_of(before)
    saved = masks.save(VIEW, split_in_two(before, second), expected=before)
    assert saved.kept == {first}
    assert saved.gone == {second}
    assert sorted(saved.new) == [second + 1, second + 2]
    assert np.array_equal(opened(scene).read(VIEW), saved.ids)
    assert [one.n_masks for one in opened(scene).versions(VIEW)] == [2, 3]
    assert np.array_equal(opened(scene).read_version(VIEW, 1), before)
    others = [view for view in open_scene(scene).view_names if view != VIEW]
    assert all(opened(scene).versions(view) == () for view in others)


def test_an_id_is_never_given_twice_but_a_mask_that_comes_back_has_its_own(scene: Path) -> None:
    before = opened(scene).read(VIEW)
    first, second = ids_of(before)
    gone = opened(scene).save(VIEW, edits.remove_masks(before, [second]), expected=before).ids
    where = np.zeros(before.shape, bool)
    where[:3, :3] = True
    # Its working id is that of the mask that went; it is another one all the same.
    drawn = edits.add_mask(gone, where)
    assert ids_of(drawn) == [first, second]
    again = opened(scene).save(VIEW, drawn, expected=gone)
    assert ids_of(again.ids) == [first, second + 1]
    back = opened(scene).save(VIEW, before, expected=again.ids)
    assert np.array_equal(back.ids, before), "labels on it count again"
    assert len(opened(scene).versions(VIEW)) == 4


def test_a_mask_that_is_touched_up_is_the_same(scene: Path) -> None:
    before = opened(scene).read(VIEW)
    first, _ = ids_of(before)
    edge = edits.erase(before, np.arange(before.shape[1])[None, :] == np.nonzero(before == first)[1].min(), first)
    assert not np.array_equal(edge, before)
    saved = opened(scene).save(VIEW, edge, expected=before)
    assert first in saved.kept
    assert not saved.new


def test_what_somebody_else_saved_is_not_overwritten(scene: Path) -> None:
    before = opened(scene).read(VIEW)
    first, second = ids_of(before)
    theirs = opened(scene).save(VIEW, edits.remove_masks(before, [first]), expected=before).ids
    with pytest.raises(SceneError, match="by somebody else"):
        opened(scene).save(VIEW, edits.remove_masks(before, [second]), expected=before)
    assert np.array_equal(opened(scene).read(VIEW), theirs)


def test_nothing_changes_where_it_cannot_be_written(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = opened(scene).read(VIEW)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(versions, "save_ids", full)
    with pytest.raises(SceneError, match="No space left"):
        opened(scene).save(VIEW, edits.remove_masks(before, ids_of(before)[:1]), expected=before)
    assert np.array_equal(opened(scene).read(VIEW), before)
    assert not list(scene.rglob("*.part"))


def test_a_scene_without_masks_gets_them_in_one_view_and_empty_ones_in_the_others(room: Path, tmp_path: Path) -> None:
    folder = write_transforms(room, tmp_path / "photos")
    view = open_scene(folder).view_names[0]
    empty = opened(folder).read(view)
    where = np.zeros(empty.shape, bool)
    where[5:15, 5:15] = True
    saved = opened(folder).save(view, edits.add_mask(empty, where), expected=empty)
    scene = open_scene(folder)
    assert saved.new == {1}
    assert len(scene.view_names) == 3, "no view is left out for want of masks"
    for name in scene.view_names:
        masks = scene.stored_instance_map(name)
        assert masks is not None
        assert ids_of(masks) == ([1] if name == view else [])


def test_arrays_stay_arrays(scene: Path) -> None:
    file = scene / "masks" / f"{VIEW}.png"
    numbers = np.asarray(Image.open(file)).astype(np.int32)
    file.unlink()
    np.savez_compressed(file.with_suffix(".npz"), masks=numbers)
    before = opened(scene).read(VIEW)
    opened(scene).save(VIEW, edits.remove_masks(before, ids_of(before)[:1]), expected=before)
    assert sorted(path.name for path in (scene / "masks").iterdir() if path.stem == VIEW) == [f"{VIEW}.npz"]
    assert ids_of(opened(scene).read(VIEW)) == ids_of(before)[1:]


def test_ids_that_mean_nothing_here_are_written_down_before_a_view_loses_them(scene: Path) -> None:
    for path in (scene / "masks").iterdir():
        numbers = np.asarray(Image.open(path)).astype(np.uint16).copy()
        numbers[numbers == 0] = 255
        numbers[numbers > 7000] -= 7000
        Image.fromarray(numbers).save(path)
    (scene / "maskgroup.json").unlink(missing_ok=True)
    before = opened(scene).read(VIEW)
    assert 255 not in before
    saved = opened(scene).save(VIEW, edits.remove_masks(before, ids_of(before)[:1]), expected=before)
    assert read_settings(SceneFolder(scene)).ignore_ids == (255,)
    where = np.zeros(before.shape, bool)
    where[:4, :4] = True
    again = opened(scene).save(VIEW, edits.add_mask(saved.ids, where), expected=saved.ids)
    assert again.new == {256}
    for view in open_scene(scene).view_names:
        masks = open_scene(scene).stored_instance_map(view)
        assert masks is not None
        assert 255 not in masks


def test_only_so_many_versions_are_kept_and_the_first_always(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "MAX_KEPT", 3)
    first = masks = opened(scene).read(VIEW)
    corner = np.zeros(masks.shape, bool)
    corner[:2, :2] = True
    for _ in range(3):
        new = opened(scene).save(VIEW, edits.add_mask(masks, corner), expected=masks).ids
        masks = opened(scene).save(VIEW, edits.erase(new, corner), expected=new).ids
    assert [one.number for one in opened(scene).versions(VIEW)] == [1, 6, 7]
    assert sorted(path.name for path in (scene / FOLDER / VIEW).glob("*.png")) == ["0001.png", "0006.png", "0007.png"]
    assert np.array_equal(opened(scene).read_version(VIEW, 1), first)
    with pytest.raises(SceneError, match="no version 2"):
        opened(scene).read_version(VIEW, 2)


def test_masks_that_are_objects_of_ground_truth_or_not_files_of_their_own_are_not_edited(room: Path, scene: Path) -> None:
    assert "ground truth" in fault_of_editing(open_scene(room))
    (scene / "maskgroup.json").write_text(json.dumps({"mask_ids_are_instances": True}))
    assert "ground truth" in fault_of_editing(open_scene(scene))
    with pytest.raises(SceneError, match="make a copy, and edit that"):
        opened(scene)


def test_no_link_is_followed_out_of_the_scene(scene: Path, tmp_path: Path) -> None:
    before = opened(scene).read(VIEW)
    changed = edits.remove_masks(before, ids_of(before)[:1])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for link in (scene / FOLDER / VIEW, scene / FOLDER):
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(elsewhere)
        with pytest.raises(SceneError, match="found a link"):
            opened(scene).save(VIEW, changed, expected=before)
        link.unlink()
        shutil.rmtree(scene / FOLDER, ignore_errors=True)
    file = scene / "masks" / f"{VIEW}.png"
    shutil.move(file, scene / "real.png")
    file.symlink_to(scene / "real.png")
    with pytest.raises(SceneError, match="found a link"):
        opened(scene).save(VIEW, changed, expected=before)
    assert list(elsewhere.iterdir()) == [elsewhere / ".lock"] or list(elsewhere.iterdir()) == []
    assert np.array_equal(opened(scene).read(VIEW), before)


def test_a_broken_list_of_versions_is_one_sentence(scene: Path) -> None:
    before = opened(scene).read(VIEW)
    changed = edits.remove_masks(before, ids_of(before)[:1])
    opened(scene).save(VIEW, changed, expected=before)
    for content in ("{}", "[]", "x"):
        (scene / FOLDER / VIEW / INDEX).write_text(content)
        with pytest.raises(SceneError, match=r"versions\.json"):
            opened(scene).save(VIEW, before, expected=opened(scene).read(VIEW))
    with pytest.raises(MaskgroupError, match="no view"):
        opened(scene).read("../../etc")
