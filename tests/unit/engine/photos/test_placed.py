"""Placed photos are kept in a file, read back whole, and written as a model that the COLMAP reader opens."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import SceneError
from engine.photos.model_text import write_model
from engine.photos.placed import PlacedPhotos, load_placed, nothing_placed, save_placed, say_placed
from engine.scenes import open_scene
from engine.scenes.listed.colmap import read_sparse_points
from tests.photo_rooms import placed_views, textured_views, write_photos


def test_what_is_kept_is_read_back(tmp_path: Path) -> None:
    placed = placed_views()
    save_placed(placed, tmp_path / "photos.npz")
    again = load_placed(tmp_path / "photos.npz")
    for field in fields(PlacedPhotos):
        assert np.array_equal(getattr(placed, field.name), getattr(again, field.name))


@pytest.mark.parametrize("spoil", ["text", "pickle", "index", "shape", "nan"])
def test_a_broken_file_is_refused(tmp_path: Path, spoil: str) -> None:
    path, placed = tmp_path / "photos.npz", placed_views()
    if spoil == "text":
        path.write_text("nothing")
    elif spoil == "pickle":
        np.savez(path, names=np.asarray([{}], object))
    else:
        index = placed.seen_by.copy()
        index[0] = 99
        points = placed.points.copy()
        points[0] = np.inf
        wrong = {"index": {"seen_by": index}, "shape": {"points": placed.points[:, :2]}, "nan": {"points": points}}[spoil]
        save_placed(replace(placed, **wrong), path)
    with pytest.raises(SceneError, match="delete it"):
        load_placed(path)


def test_some_photos_in_another_order() -> None:
    placed = placed_views()
    some = placed.select(("7", "2", "4"))
    assert some is not None
    assert some.names == ("7", "2", "4")
    assert np.array_equal(some.poses[1], placed.poses[2])
    assert set(some.seen_by.tolist()) == {0, 1, 2}
    assert (some.seen_by == 1).sum() == (placed.seen_by == 2).sum()
    assert placed.select(("7", "unknown")) is None


def test_two_places_are_told() -> None:
    placed = placed_views()
    poses = placed.poses.copy()
    poses[:4] = np.nan
    told = say_placed(replace(placed, poses=poses, others=np.asarray([4], np.int32)))
    assert "6 of 10 photos were placed; not 0, 1, 2, 3" in told[0]
    assert "several places" in told[1]
    assert say_placed(nothing_placed((), np.zeros((0, 2), np.int32))) == ()


def test_the_written_model_is_opened_as_a_scene(tmp_path: Path) -> None:
    placed = placed_views()
    write_photos(tmp_path / "room" / "images", textured_views())
    model = tmp_path / "room" / "sparse" / "0"
    model.mkdir(parents=True)
    write_model(placed, tuple(f"{name}.jpg" for name in placed.names), model)
    scene = open_scene(tmp_path / "room")
    assert scene.format == "colmap"
    assert scene.view_names == placed.names
    for row, name in enumerate(placed.names):
        view = scene.view(name)
        assert view.pose is not None
        assert view.camera is not None
        assert np.allclose(view.pose, placed.poses[row], atol=1e-6)
        assert abs(view.camera.fx - placed.lenses[row, 0]) < 1e-6
    points = read_sparse_points(scene)
    assert points is not None
    assert len(points) == len(placed.points)
