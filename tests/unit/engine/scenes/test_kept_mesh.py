"""A scene's mesh is read once, whatever comes of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.errors import SceneError
from engine.scenes import open_scene
from engine.scenes.kept_mesh import KeptMesh
from engine.scenes.ply import read_ply
from engine.types import SceneMesh
from tests.fuzz.whole_scenes import write_whole
from tests.tiny_room import tiny_mesh


@pytest.mark.parametrize("what", ["mesh", "nothing", "error"])
def test_a_mesh_is_read_once_by_many(what: str) -> None:
    asked: list[int] = []

    def load() -> SceneMesh | None:
        asked.append(1)
        if what == "error":
            raise SceneError("mesh.ply: broken.")
        return tiny_mesh() if what == "mesh" else None

    kept = KeptMesh(load)

    def get(_: int) -> object:
        try:
            return kept.get()
        except SceneError as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(get, range(16)))
    assert len(asked) == 1
    assert all(one is found[0] for one in found)
    assert isinstance(found[0], {"mesh": SceneMesh, "nothing": type(None), "error": SceneError}[what])


@pytest.mark.parametrize("reader", ["replica", "posed masks", "scannet", "frame files"])
def test_a_broken_mesh_is_read_once_in_every_format(reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_whole(reader, tmp_path)
    mesh = next(folder.glob("*.ply"))
    mesh.write_text(mesh.read_text()[:-40])
    asked: list[Path] = []

    def read_and_count(path: Path, **options: bool) -> SceneMesh:
        asked.append(path)
        return read_ply(path, **options)

    for module in ("replica", "posed_masks", "scannet", "frame_files"):
        monkeypatch.setattr(f"engine.scenes.{module}.read_ply", read_and_count)
    scene = open_scene(folder)
    for _ in range(3):
        with pytest.raises(SceneError, match=mesh.name):
            _ = scene.mesh
    assert asked == [mesh]
