"""A folder of photos or a video becomes a scene with cameras, whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import SceneError
from engine.importing import ImportCancelled, import_photos, is_photos
from engine.importing import photos as importing
from engine.photos.placed import PlacedPhotos
from engine.scenes import open_scene
from engine.scenes.listed.colmap import read_sparse_points
from tests.photo_rooms import placed_views, textured_views, write_photos


def write_with_masks(folder: Path) -> Path:
    made = write_photos(folder.with_name("made"), textured_views(), masks=True)
    write_photos(folder, textured_views())
    shutil.move(made / "masks", folder / "masks")
    return folder


@pytest.fixture
def known_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cameras are those that pycolmap found for the same photos in another test."""

    def place(photos: object, **_: object) -> PlacedPhotos:
        return placed_views()

    monkeypatch.setattr(importing, "place_photos", place)


def test_photos_are_told_from_scenes(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", textured_views()[:2])
    assert is_photos(photos)
    assert not is_photos(write_photos(tmp_path / "scene", textured_views()[:2], masks=True))
    assert is_photos(tmp_path / "walk.MP4")
    assert not is_photos(tmp_path / "room.zip")


@pytest.mark.usefixtures("known_cameras")
def test_photos_with_masks_become_a_scene(tmp_path: Path) -> None:
    source = write_with_masks(tmp_path / "photos")
    imported, told = import_photos(source, tmp_path / "scenes", name="room")
    assert told == ()
    scene = open_scene(tmp_path / "scenes" / "room")
    assert scene.format == imported.format == "colmap"
    assert len(scene.view_names) == 10
    masks = scene.stored_instance_map("3")
    assert masks is not None
    assert len(np.unique(masks)) == len(textured_views()[3].mask_areas)
    points = read_sparse_points(scene)
    assert points is not None
    assert len(points) > 500
    assert (scene.folder / "photos.npz").is_file()
    assert imported.n_files == 10 + 10 + 3 + 1


def test_photos_alone_become_a_scene_and_the_missing_masks_are_told(tmp_path: Path) -> None:
    imported, told = import_photos(write_photos(tmp_path / "photos", textured_views()), tmp_path / "scenes")
    assert imported.name == "photos"
    assert "no masks yet" in told[0]
    assert open_scene(imported.folder).view("3").pose is not None


def test_photos_that_cannot_be_placed_leave_nothing(tmp_path: Path) -> None:
    source = write_photos(tmp_path / "photos", textured_views(3, plain=True))
    with pytest.raises(SceneError, match="No camera of the 3 photos could be placed"):
        import_photos(source, tmp_path / "scenes")
    assert list((tmp_path / "scenes").iterdir()) == []


@pytest.mark.usefixtures("known_cameras")
def test_a_broken_photo_or_mask_leaves_nothing(tmp_path: Path) -> None:
    source = write_with_masks(tmp_path / "photos")
    Image.fromarray(np.ones((10, 10), np.uint16)).save(source / "masks" / "4.png")
    with pytest.raises(SceneError, match="expected 320x216"):
        import_photos(source, tmp_path / "scenes")
    (source / "3.jpg").write_bytes(b"broken")
    with pytest.raises(SceneError, match=r"3\.jpg"):
        import_photos(source, tmp_path / "scenes")
    assert list((tmp_path / "scenes").iterdir()) == []


def test_it_can_be_stopped(tmp_path: Path) -> None:
    asked = iter([False] * 13)
    with pytest.raises(ImportCancelled):
        import_photos(
            write_photos(tmp_path / "photos", textured_views()), tmp_path / "scenes", is_cancelled=lambda: next(asked, True)
        )
    assert list((tmp_path / "scenes").iterdir()) == []
