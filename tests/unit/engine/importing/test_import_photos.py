"""A folder of photos or a video becomes a scene with cameras, whole or not at all."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import SceneError
from engine.importing import ImportCancelled, import_scene
from engine.importing import photos as importing
from engine.importing.photos import find_video
from engine.photos.folder import MAX_PHOTOS
from engine.photos.placed import PlacedPhotos
from engine.scenes import open_scene
from engine.scenes.listed.colmap import read_sparse_points
from tests.photo_rooms import placed_views, textured_views, write_photos


def write_with_masks(folder: Path) -> Path:
    made = write_photos(folder.with_name("made"), textured_views(), masks=True)
    write_photos(folder, textured_views())
    shutil.move(made / "masks", folder / "masks")
    shutil.rmtree(made)
    return folder


@pytest.fixture
def known_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cameras are those that pycolmap found for the same photos in another test."""

    def place(photos: object, **_: object) -> PlacedPhotos:
        return placed_views()

    monkeypatch.setattr(importing, "place_photos", place)


def pack(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for file in sorted(folder.rglob("*")):
            packed.write(file, file.relative_to(folder).as_posix())
    return path


def refused(source: Path, folder: Path, match: str) -> None:
    with pytest.raises(SceneError, match=match) as caught:
        import_scene(source, folder)
    assert "\n" not in str(caught.value)
    assert ".import." not in str(caught.value)
    assert list(folder.glob("*")) == []


@pytest.mark.usefixtures("known_cameras")
@pytest.mark.parametrize("kind", ["folder", "folder in a folder", "zip", "zip of a folder", "masks beside"])
def test_photos_with_masks_become_a_scene(tmp_path: Path, kind: str) -> None:
    brought = tmp_path / "brought"
    photos = write_with_masks(brought / "photos")
    source, name = {
        "folder": (photos, "photos"),
        "folder in a folder": (brought, "photos"),
        "zip": (tmp_path / "any.zip", "any"),
        "zip of a folder": (tmp_path / "any.zip", "photos"),
        "masks beside": (tmp_path / "any.zip", "photos"),
    }[kind]
    if kind == "masks beside":
        shutil.move(photos / "masks", brought / "masks")
    if source.suffix:
        (brought / "notes.txt").write_text("x")
        pack(photos if kind == "zip" else brought, source)
    seen: list[str] = []
    imported = import_scene(source, tmp_path / "scenes", on_progress=lambda step, done, total: seen.append(step))
    assert imported.told == ()
    assert imported.name == name
    scene = open_scene(tmp_path / "scenes" / name)
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
    assert imported.n_passed_over == (1 if kind in ("zip of a folder", "masks beside") else 0)
    # Only an archive is unpacked, and a text among its photos makes it one of which that is not known beforehand.
    first = {"zip": "unpacking", "zip of a folder": "copying", "masks beside": "copying"}.get(kind, "photos")
    assert seen[0] == first
    assert [path.name for path in (tmp_path / "scenes").iterdir()] == [name]


def test_photos_alone_become_a_scene_and_the_missing_masks_are_told(tmp_path: Path) -> None:
    imported = import_scene(write_photos(tmp_path / "photos", textured_views()), tmp_path / "scenes")
    assert imported.name == "photos"
    assert "no masks yet" in imported.told[0]
    assert open_scene(imported.folder).view("3").pose is not None


def test_photos_that_cannot_be_placed_leave_nothing(tmp_path: Path) -> None:
    source = write_photos(tmp_path / "photos", textured_views(3, plain=True))
    refused(source, tmp_path / "scenes", "No camera of the 3 photos could be placed")


@pytest.mark.usefixtures("known_cameras")
def test_a_broken_photo_or_mask_leaves_nothing_and_is_named_as_the_person_knows_it(tmp_path: Path) -> None:
    source = write_with_masks(tmp_path / "photos")
    Image.fromarray(np.ones((10, 10), np.uint16)).save(source / "masks" / "4.png")
    refused(source, tmp_path / "scenes", "expected 320x216")
    refused(
        pack(source, tmp_path / "some.zip"), tmp_path / "scenes", r"some\.zip/masks/4\.png: found 10x10 pixels, expected 320x216"
    )
    (source / "3.jpg").write_bytes(b"broken")
    refused(source, tmp_path / "scenes", r"photos/3\.jpg")
    refused(pack(source, tmp_path / "more.zip"), tmp_path / "scenes", r"more\.zip/3\.jpg")


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_what_holds_several_things_is_refused_with_their_names(tmp_path: Path, kind: str) -> None:
    def brought(name: str, *files: str) -> Path:
        for file in files:
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_bytes(b"")
        return tmp_path / name if kind == "folder" else pack(tmp_path / name, tmp_path / f"{name}.zip")

    new = tmp_path / "new"
    refused(brought("both", "1.jpg", "2.HEIC", "walk.mov"), new, "found 2 photos and the video 'walk.mov', expected one of both")
    refused(brought("two", "a/1.jpg", "a/2.jpg", "b/1.png", "b/2.png"), new, "found 2 folders of photos, 'a', 'b', expected one")
    refused(brought("videos", "a.mp4", "b.mp4"), new, "found 2 videos, 'a.mp4', 'b.mp4', expected one")
    refused(brought("one", "1.jpg"), new, "found 1.jpg, expected .* at least 2 photos, or a video")
    refused(brought("twins", "1.jpg", "1.png"), new, "found two photos called '1', expected one")
    # A phone's moving photos are photos.
    refused(brought("live", "1.jpg", "1.MOV", "2.jpg", "2.mov"), new, r"1\.jpg")
    refused(
        brought("many", *(f"{number}.jpg" for number in range(MAX_PHOTOS + 1))), new, "found 2,001 photos, expected at most 2,000"
    )
    refused(brought("empty", "walk.mp4"), new, r"walk\.mp4: the video is broken or cut short|walk\.mp4: found")


def test_a_scene_wins_over_photos_beside_it(tmp_path: Path, tiny_room: Path) -> None:
    for name in ("preview 1.jpg", "preview 2.jpg"):
        (tiny_room.parent / name).write_bytes(b"")
    assert import_scene(tiny_room.parent, tmp_path / "new").name == "tiny"


def test_it_can_be_stopped(tmp_path: Path) -> None:
    asked = iter([False] * 13)
    source = write_photos(tmp_path / "photos", textured_views())
    with pytest.raises(ImportCancelled):
        import_scene(source, tmp_path / "scenes", is_cancelled=lambda: next(asked, True))
    assert list((tmp_path / "scenes").iterdir()) == []


def test_a_video_becomes_a_scene(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    (tmp_path / "brought").mkdir()
    path = tmp_path / "brought" / "walk.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 320, 216, "yuv420p", 8_000_000
        for view in textured_views():
            for packet in stream.encode(av.VideoFrame.from_ndarray(view.rgb, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    for source in (path, path.parent, tmp_path):
        assert find_video(source, shown=source) == path
    imported = import_scene(pack(path.parent, tmp_path / "any.zip"), tmp_path / "scenes", count=10)
    assert imported.name == "walk"
    assert imported.report.n_views >= 4
    assert open_scene(imported.folder).format == "colmap"


def test_a_video_without_pictures_leaves_nothing(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "mute.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 48000
        for packet in (*stream.encode(frame), *stream.encode()):
            container.mux(packet)
    refused(path, tmp_path / "scenes", r"mute\.mp4: found no picture in the file, expected a video")
