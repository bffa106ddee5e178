"""Every exported file, opened by a reader that is not ours: trimesh, plyfile, Pillow, pycocotools; and imported again."""

from __future__ import annotations

import json
import zipfile
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from plyfile import PlyData
from pycocotools.coco import COCO

from engine.errors import MaskgroupError, SceneError
from engine.exporting import manifest
from engine.exporting.groups_json import groups_document, join_scene, read_groups
from engine.exporting.source import GroupedScene, Origin, from_run
from engine.exporting.write import ExportCancelled, Format, pack, write_export
from engine.grouping.constraints import Constraint
from engine.grouping.files import write_grouping
from engine.grouping.graph import cut
from engine.grouping.metrics import score_masks
from engine.grouping.pipeline import GroupingOptions, group_scene
from engine.scenes import open_scene
from engine.types import NOTHING, MaskKey
from engine.views.frames import FrameSource
from tests.e2e.test_group_command import write_posed_masks
from tests.fuzz.whole_scenes import write_whole
from tests.grouping_rooms import dining_room
from tests.tiny_room import BLUE_BOX, POSES, RED_BOX, VIEWS, tiny_mesh

SIZE = (640, 360)


def grouped_from(folder: Path, *, numbers: tuple[int, ...] | None = None) -> GroupedScene:
    scene = open_scene(folder)
    run = group_scene(scene, FrameSource(scene))
    return from_run(scene, run, numbers=numbers, origin=Origin("a test"), size=SIZE)


@pytest.fixture
def tiny(tiny_room: Path) -> GroupedScene:
    return grouped_from(tiny_room, numbers=(300, 7))


def partition(table_keys: tuple[MaskKey, ...], labels: np.ndarray) -> set[frozenset[MaskKey]]:
    found: dict[int, set[MaskKey]] = {}
    for key, label in zip(table_keys, labels.tolist(), strict=True):
        found.setdefault(label, set()).add(key)
    return {frozenset(keys) for label, keys in found.items() if label != NOTHING}


def test_ply_and_glb_hold_the_groups(tiny: GroupedScene, tmp_path: Path) -> None:
    write_export(tiny, tmp_path / "out", ["ply", "glb"])
    mesh = tiny_mesh()
    vertex = PlyData.read(str(tmp_path / "out" / "instances.ply"))["vertex"]
    object_of = {0: -1, **{tiny.number_of[MaskKey("0", box)]: box for box in (RED_BOX, BLUE_BOX)}}
    told = np.array([object_of[int(number)] for number in vertex["instance"]])
    truth = np.asarray(mesh.vertex_instances)
    assert set(truth[told != -1] - told[told != -1]) == {0}, "corners that no view sees belong to no group; all others to their own"
    assert all((told == box).sum() >= 6 for box in (RED_BOX, BLUE_BOX))
    of_face = np.array([max(set(row), key=row.count) if len(set(row)) < 3 else -1 for row in told[mesh.faces].tolist()])
    assert len({(int(v["red"]), int(v["green"]), int(v["blue"])) for v in vertex.data}) == 3
    ply = trimesh.load(tmp_path / "out" / "instances.ply", process=False)
    np.testing.assert_allclose(ply.vertices, mesh.vertices)
    assert len(ply.faces) == len(mesh.faces)

    scene = trimesh.load(tmp_path / "out" / "instances.glb")
    assert set(scene.graph.nodes_geometry) == {"bed, group 300", "bed, group 7", "no group"}
    for number, box in object_of.items():
        name = "no group" if number == 0 else f"bed, group {number}"
        transform, geometry = scene.graph[name]
        part = scene.geometry[geometry].copy()
        part.apply_transform(transform)
        # y up in the file, z up in the scene.
        own = np.asarray(part.vertices)[:, [0, 2, 1]] * (1, -1, 1)
        expected = mesh.vertices[np.unique(mesh.faces[of_face == box])]
        assert len(part.faces) == (of_face == box).sum()
        np.testing.assert_allclose(own.min(axis=0), expected.min(axis=0), atol=1e-5)
        np.testing.assert_allclose(own.max(axis=0), expected.max(axis=0), atol=1e-5)
        color = tuple(int(c) for c in np.asarray(part.visual.vertex_colors)[0, :3])
        rows = np.asarray(vertex["instance"]) == number
        assert color == tuple(int(vertex[c][rows][0]) for c in ("red", "green", "blue"))


def test_a_scene_without_a_mesh_gives_points(tmp_path: Path) -> None:
    grouped = grouped_from(write_posed_masks(tmp_path / "room"))
    written = write_export(grouped, tmp_path / "out")
    assert set(written.left_out) == {"scannet"}
    assert "no mesh" in written.left_out["scannet"]
    vertex = PlyData.read(str(tmp_path / "out" / "instances.ply"))["vertex"]
    numbers = set(np.asarray(vertex["instance"]).tolist()) - {0}
    assert numbers == set(grouped.numbers)
    scene = trimesh.load(tmp_path / "out" / "instances.glb")
    assert {f"group {number}" for number in numbers} <= set(scene.graph.nodes_geometry)
    parts = [scene.geometry[scene.graph[name][1]] for name in scene.graph.nodes_geometry]
    assert all(isinstance(part, trimesh.PointCloud) for part in parts)
    assert sum(len(part.vertices) for part in parts) == len(vertex.data)
    with pytest.raises(MaskgroupError, match="has no mesh"):
        write_export(grouped, tmp_path / "other", ["scannet"])
    assert not (tmp_path / "other").exists()


def test_masks_and_coco_say_the_same_of_every_pixel(tiny: GroupedScene, tmp_path: Path) -> None:
    write_export(tiny, tmp_path / "out", ["masks", "coco"])
    coco = COCO(str(tmp_path / "out" / "coco.json"))
    assert {image["file_name"] for image in coco.dataset["images"]} == {f"color/{view}.png" for view in VIEWS}
    assert [category["name"] for category in coco.dataset["categories"]] == ["bed"]
    scene = tiny.scene
    full = FrameSource(scene, width=None, height=None)
    for image in coco.dataset["images"]:
        photo = Image.open(scene.folder / image["file_name"])
        assert photo.size == (image["width"], image["height"])
        picture = Image.open(tmp_path / "out" / "masks" / f"{image['view']}.png")
        assert picture.mode == "I;16"
        numbers = np.asarray(picture)
        ids = full.frame(image["view"]).instance_map
        for box in (RED_BOX, BLUE_BOX):
            expected = np.where(ids == box, tiny.number_of[MaskKey(image["view"], box)], 0)
            np.testing.assert_array_equal(np.where(ids == box, numbers, 0), expected)
        np.testing.assert_array_equal(numbers[ids == NOTHING], 0)
        drawn = np.zeros_like(numbers)
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]])):
            inside = coco.annToMask(annotation).astype(bool)
            drawn[inside] = annotation["track_id"]
            x, y, width, height = annotation["bbox"]
            assert annotation["area"] == inside.sum() == inside[y : y + height, x : x + width].sum()
        np.testing.assert_array_equal(drawn, numbers)
    assert {track["id"]: track["name"] for track in coco.dataset["tracks"]} == {300: "bed, group 300", 7: "bed, group 7"}


def test_scannet_predictions_are_read_as_its_benchmark_does(tiny: GroupedScene, tmp_path: Path) -> None:
    write_export(tiny, tmp_path / "out", ["scannet"])
    folder = tmp_path / "out" / "scannet"
    found: set[frozenset[int]] = set()
    for line in (folder / "tiny.txt").read_text().splitlines():
        file, label, confidence = line.split(" ")
        assert not Path(file).is_absolute()
        assert int(label) == 1
        assert 0 <= float(confidence) <= 1
        inside = np.loadtxt(folder / file, dtype=int)
        assert set(inside.tolist()) == {0, 1}
        found.add(frozenset(np.flatnonzero(inside).tolist()))
    truth = np.asarray(tiny_mesh().vertex_instances)
    objects = [frozenset(np.flatnonzero(truth == box).tolist()) for box in (RED_BOX, BLUE_BOX)]
    assert len(found) == 2
    assert all(any(inside <= whole and len(inside) >= 6 for inside in found) for whole in objects)


@pytest.mark.parametrize(("kind", "read_as"), [("scene", "posed masks"), ("colmap", "colmap")])
def test_the_exported_scene_gives_the_same_groups(kind: Format, read_as: str, tmp_path: Path) -> None:
    grouped = grouped_from(write_posed_masks(tmp_path / "room"))
    write_export(grouped, tmp_path / "out", [kind])
    scene = open_scene(tmp_path / "out" / kind)
    assert (scene.format, scene.left_out) == (read_as, ())
    # Grouped anew, from its pictures alone.
    again = group_scene(scene, FrameSource(scene))
    assert partition(again.table.keys, again.grouping.labels) == {
        frozenset(MaskKey(key.view, number) for key in keys) for number, keys in zip(grouped.numbers, grouped.masks_of, strict=True)
    }
    # And read back, as it was.
    back = join_scene(read_groups(tmp_path / "out" / kind), scene)
    assert partition(back.table.keys, back.labels) == partition(again.table.keys, again.grouping.labels)
    assert back.numbers == grouped.numbers
    original = open_scene(tmp_path / "room")
    for view in scene.view_names:
        np.testing.assert_array_equal(scene.color(view), original.color(view))
        np.testing.assert_allclose(scene.depth(view), original.depth(view), atol=0.0006)
        np.testing.assert_allclose(scene.view(view).pose, original.view(view).pose, atol=1e-12)
        one, other = scene.view(view).camera, original.view(view).camera
        assert one is not None
        assert other is not None
        np.testing.assert_allclose(astuple(one), astuple(other), rtol=0, atol=1e-9)


@pytest.mark.parametrize("library", ["pycolmap"])
def test_colmap_itself_reads_the_exported_model(library: str, tiny: GroupedScene, tmp_path: Path) -> None:
    pycolmap = pytest.importorskip(library)
    write_export(tiny, tmp_path / "out", ["colmap"])
    model = pycolmap.Reconstruction(str(tmp_path / "out" / "colmap" / "sparse" / "0"))
    assert sorted(image.name for image in model.images.values()) == ["0.png", "10.png", "2.png"]
    assert model.num_points3D() == len(tiny_mesh().vertices)
    for image in model.images.values():
        pose = np.eye(4)
        pose[:3] = image.cam_from_world().matrix()
        np.testing.assert_allclose(np.linalg.inv(pose), POSES[image.name.removesuffix(".png")], atol=1e-9)


def test_corrections_survive_export_and_import(tmp_path: Path) -> None:
    """Two chairs that a person merged: geometry would part them, reading back must not."""
    scene = open_scene(write_posed_masks(tmp_path / "room"))
    run = group_scene(scene, FrameSource(scene), options=GroupingOptions(lift=False))
    first, second = run.grouping.groups[2], run.grouping.groups[3]
    said = [Constraint(first.best_masks[0], key, True, "2026-11-26") for key in (*first.masks[1:], *second.masks)]
    corrected = cut(run.graph, constraints=said)
    assert len(corrected.groups) == len(run.grouping.groups) - 1
    origin = Origin("a test", corrections=tuple(said))
    grouped = from_run(scene, run, grouping=corrected, origin=origin, size=SIZE)
    write_export(grouped, tmp_path / "out", ["scene", "json"])
    for place, opened in ((tmp_path / "out", scene), (tmp_path / "out" / "scene", open_scene(tmp_path / "out" / "scene"))):
        back = join_scene(read_groups(place), opened)
        # In the exported scene two masks of one view and group are one; the views stay.
        seen = sorted(sorted({key.view for key in keys}) for keys in back.masks_of)
        assert seen == sorted(sorted({key.view for key in group.masks}) for group in corrected.groups)
        assert len(back.origin.corrections) == len(said)
    told = json.loads((tmp_path / "out" / "manifest.json").read_text())["corrections"]
    assert told[0] == {"a": str(said[0].a), "b": str(said[0].b), "same": True, "said_on": "2026-11-26"}
    assert "with" in (tmp_path / "out" / "README.md").read_text()


def test_id_255_in_all_views_is_a_group_and_not_void(tiny_room: Path, tmp_path: Path) -> None:
    grouped = grouped_from(tiny_room, numbers=(255, 3))
    write_export(grouped, tmp_path / "out", ["scene"])
    scene = open_scene(tmp_path / "out" / "scene")
    assert {int(i) for view in scene.view_names for i in np.unique(scene.stored_instance_map(view))} == {-1, 3, 255}


def test_nerfstudio_sees_the_cameras_that_we_see(tmp_path: Path) -> None:
    grouped = grouped_from(write_posed_masks(tmp_path / "room"))
    write_export(grouped, tmp_path / "out", ["scene"])
    document = json.loads((tmp_path / "out" / "scene" / "transforms.json").read_text())
    frames = {Path(frame["file_path"]).stem: frame for frame in document["frames"]}
    for view in dining_room()[1]:
        frame = frames[view.view]
        assert (tmp_path / "out" / "scene" / frame["file_path"]).is_file()
        # A point half a metre before the camera, one pixel right of the middle: nerfstudio's rays look along -z, y up.
        assert view.camera is not None
        assert view.pose is not None
        u, v = 81, 44
        ray = np.array([(u + 0.5 - frame["cx"]) / frame["fl_x"], -(v + 0.5 - frame["cy"]) / frame["fl_y"], -1])
        theirs = np.asarray(frame["transform_matrix"]) @ np.append(ray * 0.5, 1)
        ours = view.pose @ np.append(view.camera.rays[v, u] * 0.5, 1)
        np.testing.assert_allclose(theirs, ours, atol=1e-6)
        units = np.asarray(Image.open(tmp_path / "out" / "scene" / frame["depth_file_path"]))
        np.testing.assert_allclose(units * document["depth_unit_scale_factor"], view.depth, atol=0.0006)


def test_views_of_several_cameras_keep_theirs(tmp_path: Path) -> None:
    folder = write_whole("transforms", tmp_path / "room")
    listed = json.loads((folder / "transforms.json").read_text())
    for place, frame in enumerate(listed["frames"]):
        shared = {name: listed[name] for name in ("fl_x", "fl_y", "cx", "cy", "w", "h")}
        frame |= {**shared, "fl_x": shared["fl_x"] * (1 + place / 10)}
    (folder / "transforms.json").write_text(json.dumps(listed))
    grouped = grouped_from(folder)
    write_export(grouped, tmp_path / "out", ["scene"])
    again = open_scene(tmp_path / "out" / "scene")
    assert len(again.view_names) == len(VIEWS)
    cameras = {name: grouped.scene.view(name).camera for name in grouped.scene.view_names}
    poses = {view.name: view.pose for view in grouped.table.views}
    assert len({camera.fx for camera in cameras.values() if camera is not None}) == len(VIEWS)
    for name, camera in cameras.items():
        found = again.view(name)
        assert camera is not None
        assert found.camera is not None
        assert found.camera.fx == pytest.approx(camera.fx)
        np.testing.assert_allclose(found.pose, poses[name], atol=1e-6)


def test_what_group_wrote_is_read_back_whatever_its_age(tiny_room: Path, tmp_path: Path) -> None:
    scene = open_scene(tiny_room)
    run = group_scene(scene, FrameSource(scene))
    about = {"scene": {"name": scene.name, "folder": str(scene.folder)}, "size": list(SIZE)}
    write_grouping(run, tmp_path / "new", about)
    write_grouping(run, tmp_path / "old")
    content = json.loads((tmp_path / "old" / "groups.json").read_text())
    for key in ("poses", "pose_error_m"):
        del content[key]
    (tmp_path / "old" / "groups.json").write_text(json.dumps(content))
    for name in ("new", "old"):
        kept = read_groups(tmp_path / name)
        grouped = join_scene(kept, scene)
        assert partition(grouped.table.keys, grouped.labels) == partition(run.table.keys, run.grouping.labels)
        assert grouped.numbers == (1, 2)
        assert grouped.called == ("bed", "bed")
        np.testing.assert_allclose(grouped.confidences, run.grouping.confidences, atol=1e-4)
        assert run.truth is not None
        assert score_masks(run.truth, grouped.labels).ari == 1
    assert (read_groups(tmp_path / "new").scene_folder, read_groups(tmp_path / "old").scene_folder) == (str(tiny_room), "")


@pytest.mark.parametrize(
    "change",
    [
        {"masks": 3},
        {"masks": [3]},
        {"masks": [{"view": "0", "mask": 7001, "group": -1, "confidence": 1}]},
        {"masks": [{"view": "0", "mask": True, "group": 0, "confidence": 1}]},
        {"masks": [{"view": 0, "mask": 7001, "group": 0, "confidence": 1}]},
        {"masks": [{"view": "0", "mask": 7001, "group": 0, "confidence": 7}]},
        {"masks": [{"view": "0", "mask": 7001, "group": 0, "confidence": None}]},
        {"masks": [{"view": "0", "mask": 7001, "group": 0, "confidence": 1}] * 2},
        {"masks": [{"view": "0", "mask": 7001}]},
        {"size": [0, 3]},
        {"size": "x"},
        {"size": [1e9, 3]},
        {"numbered_from": 5},
        {"numbered_from": "1"},
        {"poses": {"0": [[1, 2]]}},
        {"poses": {"0": "x"}},
        {"corrections": [{"a": "x"}]},
        {"corrections": [{"a": "x", "b": "y", "same": True, "said_on": ""}]},
        {"pose_error_m": "far"},
        {"groups": [{"id": "x", "class": "chair"}]},
    ],
    ids=str,
)
def test_a_malformed_groups_json_is_a_sentence(tiny: GroupedScene, tmp_path: Path, change: dict[str, object]) -> None:
    content = {**groups_document(tiny, scene_folder=""), "numbered_from": 0, **change}
    (tmp_path / "groups.json").write_text(json.dumps(content))
    with pytest.raises(MaskgroupError, match=r"expected|no mask"):
        join_scene(read_groups(tmp_path), tiny.scene)


def test_groups_of_another_scene_are_refused(tiny: GroupedScene, tmp_path: Path) -> None:
    (tmp_path / "groups.json").write_text(json.dumps(groups_document(tiny, scene_folder="")))
    other = open_scene(write_posed_masks(tmp_path / "room"))
    with pytest.raises(SceneError, match="name it with --scene"):
        join_scene(read_groups(tmp_path), other)


def test_an_export_is_there_whole_or_not_at_all(tiny: GroupedScene, tmp_path: Path) -> None:
    with pytest.raises(ExportCancelled):
        write_export(tiny, tmp_path / "out", report=lambda words, share: None, is_cancelled=lambda: True)

    def stop_at_view(words: str, share: float) -> None:
        if words.startswith("Writing view 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_export(tiny, tmp_path / "out", report=stop_at_view)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith((".out", "out"))] == []
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(MaskgroupError, match="holds something already"):
        write_export(tiny, tmp_path / "full", ["json"])
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_numbers_that_sixteen_bits_cannot_hold_are_refused(tiny_room: Path) -> None:
    for numbers in ((1, 65_536), (0, 1), (4, 4)):
        with pytest.raises(MaskgroupError, match="16 bits"):
            grouped_from(tiny_room, numbers=numbers)
    assert grouped_from(tiny_room, numbers=(65_535, 1)).numbers == (65_535, 1)


def test_the_manifest_lists_every_file_and_hides_folders_if_asked(tiny: GroupedScene, tmp_path: Path) -> None:
    write_export(tiny, tmp_path / "out", command="maskgroup export 3 --out out", tells_folder=False)
    described = json.loads((tmp_path / "out" / "manifest.json").read_text())
    there = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert set(described["files"]) == there - {"manifest.json", "README.md"}
    assert described["commands"]["export"] == "maskgroup export 3 --out out"
    assert described["scene"]["name"] == "tiny"
    text = "".join(path.read_text() for path in (tmp_path / "out").rglob("*") if path.suffix in (".json", ".md"))
    assert str(tiny.scene.folder.parent) not in text
    assert set(described["versions"]) == {"maskgroup", "python", *manifest.LIBRARIES}
    pack(tmp_path / "out", tmp_path / "tiny.zip")
    with zipfile.ZipFile(tmp_path / "tiny.zip") as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == {f"tiny/{name}" for name in there}


def test_without_geometry_there_are_masks_and_no_models(tmp_path: Path) -> None:
    scene = open_scene(write_posed_masks(tmp_path / "room", geometry=False))
    group_of = {MaskKey(frame.view, 1): 1 for frame in dining_room()[1]}
    listed = [{"view": key.view, "mask": key.mask, "group": number, "confidence": 0.5} for key, number in group_of.items()]
    (tmp_path / "groups.json").write_text(json.dumps({"numbered_from": 1, "masks": listed}))
    written = write_export(join_scene(read_groups(tmp_path), scene), tmp_path / "out")
    assert set(written.left_out) == {"ply", "glb", "scannet", "colmap"}
    with pytest.raises(MaskgroupError, match="no view with a camera and a pose"):
        write_export(join_scene(read_groups(tmp_path), scene), tmp_path / "other", ["colmap"])
    assert written.formats == ("masks", "coco", "json", "scene")
    for view in scene.view_names:
        numbers = np.asarray(Image.open(tmp_path / "out" / "masks" / f"{view}.png"))
        np.testing.assert_array_equal(numbers, (scene.stored_instance_map(view) == 1).astype(int))
    assert not (tmp_path / "out" / "scene" / "transforms.json").exists()
