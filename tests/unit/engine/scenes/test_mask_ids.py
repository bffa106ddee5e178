"""Whether equal mask ids in two views are one object: every format says it, and everything that counts objects listens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from db.labels.store import LabelStore
from db.schema.session import open_database
from engine.errors import ModelError, SceneError
from engine.evaluation.pair_sampling import SamplingSettings
from engine.evaluation.run import sample_scene
from engine.grouping.pipeline import find_truth, group_scene
from engine.judging.base import Judge
from engine.scenes import open_scene
from engine.scenes.posed_masks import PosedMasksReader
from engine.types import Int32Array, MaskKey, MaskPair
from engine.views.export import write_frames
from engine.views.frames import FrameSource
from finetune.data.scene_pool import open_pool
from tests.fuzz.whole_scenes import LISTS, READERS, TOOLS, write_whole
from tests.tiny_room import VIEWS
from ui.services.workbench import Workbench


@pytest.fixture
def segmented(tmp_path: Path) -> Path:
    """A segmenter's masks: view 10 numbers the same three objects the other way round than views 0 and 2 do."""
    folder = write_whole("posed masks", tmp_path)
    path = folder / "masks" / "10.png"
    ids = np.asarray(Image.open(path))
    Image.fromarray(np.where(ids > 0, 4 - ids, 0).astype(np.uint16)).save(path)
    return folder


def no_judge() -> Judge:
    raise ModelError("No judge is needed here.")


@pytest.mark.parametrize("reader", READERS)
def test_every_format_says_what_its_ids_mean(reader: str, tmp_path: Path) -> None:
    scene = open_scene(write_whole(reader, tmp_path))
    assert scene.mask_ids_are_instances == (reader not in {"posed masks", *LISTS, *TOOLS})


def test_local_ids_are_no_ground_truth(segmented: Path, tmp_path: Path) -> None:
    for path in (segmented / "gt_masks").iterdir():
        path.unlink()
    scene = open_scene(segmented)
    with pytest.raises(SceneError, match="mask ids are local to a view"):
        sample_scene(scene, FrameSource(scene), SamplingSettings(min_area_px=1))
    assert open_pool(segmented, role="train").origin != "truth"
    labels = LabelStore(open_database(str(tmp_path / "labels.db")))
    pair = MaskPair(MaskKey("0", 1), MaskKey("10", 1))
    assert Workbench(segmented.parent, labels, no_judge).truth(segmented.name, pair) is None
    assert Workbench(tmp_path / "room", labels, no_judge).truth("tiny", pair) is True, "its ids are those of objects"


def test_masks_with_local_ids_are_scored_by_their_ground_truth_alone(segmented: Path) -> None:
    scene = open_scene(segmented)
    frames = list(FrameSource(scene).usable(VIEWS))
    truth = find_truth(scene, frames)
    assert truth is not None
    assert truth.tolist() == [1, 2, 3, 1, 2, 3, 3, 2, 1]
    for path in (segmented / "gt_masks").iterdir():
        path.unlink()
    scene = open_scene(segmented)
    assert find_truth(scene, list(FrameSource(scene).usable(VIEWS))) is None


def test_pairs_for_evaluation_are_of_the_ground_truth(segmented: Path) -> None:
    scene = open_scene(segmented)
    pairs = sample_scene(scene, FrameSource(scene), SamplingSettings(min_area_px=1))
    truth = {("0", 1): 1, ("0", 2): 2, ("0", 3): 3, ("2", 1): 1, ("2", 2): 2, ("2", 3): 3, ("10", 3): 1, ("10", 2): 2, ("10", 1): 3}
    assert any(one.pair.a.mask != one.pair.b.mask and one.negative_kind is None for one in pairs), (
        "ids that differ and are one object"
    )
    for one in pairs:
        a, b = one.pair.a, one.pair.b
        assert (one.negative_kind is None) == (truth[a.view, a.mask] == truth[b.view, b.mask])


def test_a_scene_says_that_its_ids_are_of_objects(segmented: Path) -> None:
    (segmented / "maskgroup.json").write_text('{"mask_ids_are_instances": true}')
    scene = open_scene(segmented)
    assert scene.mask_ids_are_instances
    for path in (segmented / "gt_masks").iterdir():
        path.unlink()
    truth = find_truth(scene, list(FrameSource(scene).usable(VIEWS)))
    assert truth is not None
    assert truth.tolist() == [1, 2, 3] * 3
    (segmented / "maskgroup.json").write_text('{"mask_ids_are_instances": 1}')
    with pytest.raises(SceneError, match="neither true nor false"):
        open_scene(segmented)


def test_ground_truth_is_read_once_a_view(segmented: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = PosedMasksReader.read_ground_truth_map
    asked: list[str] = []

    def read_and_count(reader: PosedMasksReader, name: str) -> Int32Array | None:
        asked.append(name)
        return read(reader, name)

    monkeypatch.setattr(PosedMasksReader, "read_ground_truth_map", read_and_count)
    scene = open_scene(segmented)
    run = group_scene(scene, FrameSource(scene))
    assert run.mask_scores is not None
    assert asked == list(VIEWS)


def test_a_note_that_says_nothing_sensible_about_the_ids_is_refused(tmp_path: Path) -> None:
    folder = write_whole("processed", tmp_path)
    (folder / "render.json").write_text('{"scene": "office", "photos": false}')
    assert open_scene(folder).mask_ids_are_instances, "as older versions wrote it"
    (folder / "render.json").write_text('{"mask_ids_are_instances": "no"}')
    with pytest.raises(SceneError, match=r"render\.json: found mask_ids_are_instances that is neither true nor false"):
        open_scene(folder)


def test_rendered_masks_keep_what_their_ids_mean(segmented: Path, tmp_path: Path) -> None:
    for source, expected in ((segmented, False), (tmp_path / "room" / "tiny", True)):
        out = tmp_path / f"rendered-{source.name}"
        frames = FrameSource(open_scene(source), width=32, height=24, keep_aspect=False)
        assert len(list(write_frames(frames, out, width=32, height=24))) == len(VIEWS)
        assert open_scene(out).mask_ids_are_instances is expected


def test_stored_instance_maps_are_ground_truth(tmp_path: Path) -> None:
    folder = write_whole("scannet", tmp_path)
    for path in folder.glob("*_vh_clean_2*"):
        path.unlink()
    (folder / "instance").mkdir()
    for view in VIEWS:
        Image.fromarray(np.full((24, 32), 7, np.uint8)).save(folder / "instance" / f"{view}.png")
    scene = open_scene(folder)
    truth = find_truth(scene, list(FrameSource(scene).usable(VIEWS)))
    assert truth is not None
    assert truth.tolist() == [7, 7, 7]
