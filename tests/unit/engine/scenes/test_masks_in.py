"""Masks of other tools: what overlaps, which arrays are read, and what is wrong in a COCO file."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.errors import LeftOutError, SceneError
from engine.rle import encode_mask
from engine.scenes import open_scene
from engine.scenes.masks_in import overlaps
from engine.scenes.masks_in.coco import CocoMasks, unpack_runs
from engine.scenes.masks_in.mask_arrays import masks_size, read_masks
from engine.scenes.masks_in.overlaps import Layers
from engine.views.frames import FrameSource
from tests.format_rooms import coco_of, write_posed_masks, write_room
from tests.fuzz.probe import probe
from tests.tiny_room import POSES, write_tiny_room

NAMES = {view: view for view in POSES}


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_room(tmp_path_factory.mktemp("room"))


def box(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros((24, 32), bool)
    mask[top:bottom, left:right] = True
    return mask


def test_a_pixel_belongs_to_the_smallest_mask_whatever_the_order() -> None:
    small, large = box(4, 4, 8, 8), box(0, 0, 16, 16)
    for order in ((1, 2), (2, 1)):
        layers = Layers(32, 24)
        for one in order:
            layers.add(one, {1: small, 2: large}[one])
        ids = layers.flatten()
        assert (ids[small] == 1).all()
        assert (ids[large & ~small] == 2).all()
        assert (ids[~large] == -1).all()


def test_of_equal_masks_the_first_one_counts_and_the_other_is_left_out() -> None:
    layers = Layers(32, 24)
    for one in (5, 3):
        layers.add(one, box(2, 2, 10, 10))
    ids = layers.flatten()
    assert np.unique(ids).tolist() == [-1, 5]
    assert (ids == 5).sum() == 64


def test_a_mask_that_smaller_ones_cover_is_left_out_with_what_remains_of_it() -> None:
    layers = Layers(32, 24)
    layers.add(1, box(0, 0, 10, 10))
    layers.add(2, box(0, 0, 10, 5))
    layers.add(3, box(1, 5, 10, 10))
    assert np.unique(layers.flatten()).tolist() == [-1, 2, 3]  # 5 of 100 pixels remained
    layers = Layers(32, 24)
    layers.add(1, box(0, 0, 10, 10))
    layers.add(2, box(0, 0, 10, 5))
    layers.add(3, box(3, 5, 10, 10))
    assert np.unique(layers.flatten()).tolist() == [-1, 1, 2, 3]  # 15 of 100


def test_masks_of_no_pixel_are_nothing() -> None:
    layers = Layers(32, 24)
    layers.add(1, box(0, 0, 0, 0))
    assert (layers.flatten() == -1).all()


STACK = np.stack([box(0, 0, 8, 8), box(10, 10, 20, 30), box(12, 12, 14, 14)])
EXPECTED = np.where(STACK[2], 3, np.where(STACK[1], 2, np.where(STACK[0], 1, -1)))
ARRAYS: dict[str, Callable[[Path], object]] = {
    "named": lambda path: np.savez(path, masks=STACK, scores=np.ones(3), boxes=np.ones((3, 4))),
    "compressed": lambda path: np.savez_compressed(path, masks=STACK),
    "one of any name": lambda path: np.savez(path, segmentation=STACK),
    "bytes": lambda path: np.savez(path, masks=STACK.astype(np.uint8) * 255),
    "numbers": lambda path: np.savez(path, masks=STACK.astype(np.int64)),
    "with a channel": lambda path: np.savez(path, masks=STACK[:, None]),
    "columns first": lambda path: np.savez(path, masks=np.asfortranarray(STACK)),
    "columns first with a channel": lambda path: np.savez(path, masks=np.asfortranarray(STACK[:, None])),
    "ids": lambda path: np.savez(path, ids=np.maximum(EXPECTED, 0).astype(np.uint16)),
    "ids with -1": lambda path: np.savez(path, ids=EXPECTED.astype(">i4")),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_of_masks_and_of_ids_are_read(kind: str, tmp_path: Path) -> None:
    ARRAYS[kind](tmp_path / "0.npz")
    assert masks_size(tmp_path / "0.npz") == (32, 24)
    ids = read_masks(tmp_path / "0.npz")
    assert ids.dtype == np.int32
    assert (ids == EXPECTED).all()


def archive_of(header: str, body: bytes = b"") -> Callable[[Path], object]:
    def write(path: Path) -> None:
        text = header.encode() + b"\n"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("masks.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body)

    return write


def with_method(method: int) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("masks.npy", b"x" * 100)

    return write


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "pickled": (lambda path: np.savez(path, masks=np.array([{"a": 1}], object)), "never loaded"),
    "nothing": (lambda path: path.write_bytes(b""), "no archive"),
    "no archive": (lambda path: path.write_bytes(b"x" * 5000), "no archive"),
    "an .npy": (lambda path: path.write_bytes(b"\x93NUMPY\x01\x00" + b"x" * 100), "no archive"),
    "no array": (lambda path: np.savez(path), "no array"),
    "two arrays": (lambda path: np.savez(path, a=STACK, b=STACK), "2 arrays"),
    "very many arrays": (lambda path: np.savez(path, **{f"a{k}": np.ones(1) for k in range(1200)}), "more than 1,000 arrays"),
    "logits": (lambda path: np.savez(path, masks=STACK.astype(np.float32)), "float32"),
    "one mask": (lambda path: np.savez(path, masks=STACK[0]), "bool"),
    "a list": (lambda path: np.savez(path, masks=np.ones(5, np.int32)), "shape"),
    "no pixel": (lambda path: np.savez(path, masks=np.ones((2, 0, 5), bool)), "shape"),
    "five axes": (lambda path: np.savez(path, masks=np.ones((1, 1, 1, 2, 2), bool)), "shape"),
    "ids too large": (lambda path: np.savez(path, ids=np.full((24, 32), 2**40)), r"below 2\^31"),
    "words": (lambda path: np.savez(path, masks=np.full((2, 2, 2), "a")), "expected"),
    "lie about size": (archive_of("{'descr': '|b1', 'fortran_order': False, 'shape': (3, 24, 32), }", b"\0" * 100), "cut short"),
    "lie about size, columns first": (
        archive_of("{'descr': '|b1', 'fortran_order': True, 'shape': (3, 24, 32), }", b"\0" * 100), "cut short"),
    "absurd size": (archive_of("{'descr': '|b1', 'fortran_order': False, 'shape': (9, 999999999, 999999999), }"), "at most"),
    "absurd number": (archive_of("{'descr': '|b1', 'fortran_order': False, 'shape': (999999999, 1, 1), }"), "at most"),
    "negative size": (archive_of("{'descr': '|b1', 'fortran_order': False, 'shape': (-1, 24, 32), }"), "expected"),
    "code": (archive_of("__import__('os').abort()"), "expected"),
    "bzip2": (with_method(zipfile.ZIP_BZIP2), "unusual compression"),
    "lzma": (with_method(zipfile.ZIP_LZMA), "unusual compression"),
    "no array inside": (with_method(zipfile.ZIP_DEFLATED), "begins with other bytes"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_an_archive_that_is_none_of_masks_is_one_sentence(kind: str, tmp_path: Path) -> None:
    write, said = BROKEN[kind]
    write(tmp_path / "0.npz")
    with pytest.raises(SceneError, match=said) as caught:
        read_masks(tmp_path / "0.npz")
    assert "expected" in str(caught.value)
    assert "0.npz" in str(caught.value)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_an_archive_that_is_cut_short_is_one_sentence(share: float, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "whole.npz", masks=STACK)
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "0.npz").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(SceneError, match="expected"):
        read_masks(tmp_path / "0.npz")


def test_a_picture_and_an_array_for_one_view_are_refused(room: Path, tmp_path: Path) -> None:
    folder = write_room(room, tmp_path / "there", "posed masks", "png")
    np.savez(folder / "masks/2.npz", masks=STACK)
    scene = open_scene(folder)
    assert [view.name for view in scene.left_out] == ["2"]
    assert "expected one file for a view" in scene.left_out[0].reason


def test_masks_of_another_size_are_left_out_with_both_sizes(room: Path, tmp_path: Path) -> None:
    folder = write_room(room, tmp_path / "there", "posed masks", "npz")
    np.savez(folder / "masks/2.npz", masks=np.ones((1, 12, 16), bool))
    scene = open_scene(folder)
    assert [view.name for view in scene.left_out] == ["2"]
    assert "found 16x12 pixels, expected 32x24" in scene.left_out[0].reason


@pytest.mark.parametrize("seed", range(20))
def test_packed_runs_are_unpacked_as_pycocotools_packs_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((40, 30)) < rng.random()
    runs = unpack_runs(encode_mask(mask))
    assert runs is not None
    assert (mask == np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(30, 40).T).all()


def coco(tmp_path: Path, content: object) -> CocoMasks:
    (tmp_path / "masks.json").write_text(json.dumps(content))
    return CocoMasks(tmp_path / "masks.json")


def one_annotation(segmentation: object, **fields: object) -> dict:
    image = {"id": 1, "file_name": "0.jpg", "width": 32, "height": 24}
    return {"images": [image], "annotations": [{"id": 9, "image_id": 1, "segmentation": segmentation, **fields}]}


def test_ids_are_those_of_annotations_where_they_are_numbers_of_their_own(tmp_path: Path) -> None:
    square = [[2, 2, 8, 2, 8, 8, 2, 8]]
    content = one_annotation(square)
    assert set(np.unique(coco(tmp_path, content).read("0"))) == {-1, 9}
    content["annotations"].append({"id": 9, "image_id": 1, "segmentation": [[12, 2, 18, 2, 18, 8]]})
    assert set(np.unique(coco(tmp_path, content).read("0"))) == {-1, 1, 2}


def test_crowds_and_boxes_are_not_used_and_said(tmp_path: Path) -> None:
    content = one_annotation([], bbox=[1, 2, 3, 4])
    content["annotations"].append({"id": 2, "image_id": 1, "iscrowd": 1, "segmentation": [[2, 2, 8, 2, 8, 8]]})
    content["annotations"].append({"id": 3, "image_id": 77, "segmentation": [[2, 2, 8, 2, 8, 8]]})
    content["images"].append({"id": 2})
    found = coco(tmp_path, content)
    assert (found.read("0") == -1).all()
    assert len(found.notes()) == 4


COUNTS = {"size": [24, 32], "counts": [700, 68]}
SHAPES: dict[str, object] = {
    "a point": [[1, 2]],
    "two corners": [[1, 2, 3, 4]],
    "half a corner": [[1, 2, 3, 4, 5, 6, 7]],
    "words": [["a"] * 6],
    "NaN": [[1, 2, 3, 4, float("nan"), 6]],
    "infinity": [[1, 2, 3, 4, 5, float("inf")]],
    "far away": [[1, 2, 3, 4, 1e9, 6]],
    "truths": [[True] * 6],
    "polygons of nothing": [None, None],
    "a number": 5,
    "text": "none",
    "size of another picture": {**COUNTS, "size": [32, 24]},
    "no size": {"counts": [700, 68]},
    "too few": {**COUNTS, "counts": [700, 67]},
    "too many": {**COUNTS, "counts": [700, 68, 1]},
    "very many": {**COUNTS, "counts": [10**15, 68]},
    "negative": {**COUNTS, "counts": [-5, 773]},
    "fractions": {**COUNTS, "counts": [700.0, 68.0]},
    "runs of text": {**COUNTS, "counts": ["700", "68"]},
    "no runs": {**COUNTS, "counts": None},
    "text that ends early": {**COUNTS, "counts": "l"},
    "text of other characters": {**COUNTS, "counts": "~~~é"},
    "text without end": {**COUNTS, "counts": "o" * 100},
}


@pytest.mark.parametrize("kind", SHAPES)
def test_an_annotation_that_is_none_leaves_out_its_view_only(kind: str, room: Path, tmp_path: Path) -> None:
    folder = write_posed_masks(room, tmp_path / "there")
    content = coco_of(NAMES, kind="packed")
    content["annotations"][0]["segmentation"] = SHAPES[kind]
    (folder / "masks.json").write_text(json.dumps(content))
    frames = FrameSource(open_scene(folder))
    with pytest.raises(LeftOutError, match=r"annotation 1 of '0'.*expected"):
        frames.frame("0")
    assert len(frames.frame("2").mask_areas) == 2


def test_edges_without_end_are_refused_before_they_are_drawn(tmp_path: Path) -> None:
    image = {"id": 1, "file_name": "0.jpg", "width": 6000, "height": 6000}
    zigzag = [number for k in range(50_000) for number in (12_000 * (k % 2), 12_000 * (k // 2 % 2))]
    found = coco(tmp_path, {"images": [image], "annotations": [{"id": 1, "image_id": 1, "segmentation": [zigzag]}]})
    with pytest.raises(SceneError, match="pixels of edges"):
        found.read("0")


def test_very_many_large_masks_are_refused_before_they_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlaps, "MAX_DRAWN_PX", 10_000_000)
    image = {"id": 1, "file_name": "0.jpg", "width": 1000, "height": 1000}
    whole = {"size": [1000, 1000], "counts": [0, 1_000_000]}
    annotations = [{"id": k, "image_id": 1, "segmentation": whole} for k in range(1, 12)]
    with pytest.raises(SceneError, match="expected fewer in a view"):
        coco(tmp_path, {"images": [image], "annotations": annotations}).read("0")
    small = {"size": [1000, 1000], "counts": [500_000, 10, 499_990]}
    many = [{"id": k, "image_id": 1, "segmentation": small} for k in range(1, 2000)]
    assert (coco(tmp_path, {"images": [image], "annotations": many}).read("0") >= 0).sum() == 10


def test_a_picture_of_more_pixels_than_can_be_read_is_not_used(tmp_path: Path) -> None:
    image = {"id": 1, "file_name": "0.jpg", "width": 16_000, "height": 16_000}
    found = coco(tmp_path, {"images": [image], "annotations": []})
    assert found.views == frozenset()
    assert len(found.notes()) == 1


@pytest.mark.parametrize("content", [[], {}, {"images": []}, {"images": {}, "annotations": []}, {"images": [], "annotations": {}}])
def test_a_file_that_is_no_coco_file_is_one_sentence(content: object, room: Path, tmp_path: Path) -> None:
    folder = write_posed_masks(room, tmp_path / "there")
    (folder / "masks.json").write_text(json.dumps(content))
    with pytest.raises(SceneError, match="expected"):
        open_scene(folder)


@pytest.mark.parametrize("filling", ["{},", "[],", "1.5,", '"a",'])
def test_a_large_file_of_nothing_takes_at_most_a_gigabyte(filling: str, room: Path, tmp_path: Path) -> None:
    folder = write_posed_masks(room, tmp_path / "there")
    start = '{"images": [], "annotations": ['
    count = (60 * 2**20 - len(start)) // len(filling)
    (folder / "masks.json").write_text(start + filling * count + "0]}")
    outcome = probe(folder)
    assert outcome.ending == "refused", outcome
    assert "expected" in outcome.said


def test_an_image_of_another_size_is_left_out(room: Path, tmp_path: Path) -> None:
    folder = write_posed_masks(room, tmp_path / "there")
    content = coco_of(NAMES, kind="polygons")
    content["images"][0]["width"] = 64
    (folder / "masks.json").write_text(json.dumps(content))
    scene = open_scene(folder)
    assert [view.name for view in scene.left_out] == ["0"]
    assert "found 64x24 pixels, expected 32x24" in scene.left_out[0].reason


@pytest.mark.parametrize("name", ["masks.json", "annotations/instances_default.json", "_annotations.coco.json", "masks/coco.json"])
def test_a_coco_file_is_found_where_tools_write_it(name: str, room: Path, tmp_path: Path) -> None:
    folder = write_posed_masks(room, tmp_path / "there")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(coco_of(NAMES, kind="packed")))
    assert open_scene(folder).format == "posed masks"
    assert open_scene(folder).view_names == ("0", "2", "10")


def test_a_coco_file_that_leads_out_of_the_scene_is_refused(room: Path, tmp_path: Path) -> None:
    folder = write_posed_masks(room, tmp_path / "there")
    (tmp_path / "elsewhere.json").write_text(json.dumps(coco_of(NAMES, kind="packed")))
    (folder / "masks.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(SceneError, match="expected a path inside"):
        open_scene(folder)


def test_an_empty_folder_of_masks_does_not_hide_a_coco_file(room: Path, tmp_path: Path) -> None:
    folder = write_posed_masks(room, tmp_path / "there")
    (folder / "masks").mkdir()
    (folder / "annotations.json").write_text(json.dumps(coco_of(NAMES, kind="packed")))
    assert len(open_scene(folder).view_names) == 3
