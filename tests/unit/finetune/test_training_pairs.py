"""The data of a training: what people said, what is generated, and what is never trained on."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import RunError
from engine.types import Decision, MaskKey, MaskPair
from finetune.config import NegativeChoice
from finetune.data.corrections import SettledPair, read_corrections, take_decided, write_corrections
from finetune.data.pairs import DataSet, DataSettings, build_data_set
from finetune.data.sample_sheet import DIFFERENT_RGB, SAME_RGB, choose_samples, draw_sheet
from finetune.data.scene_pool import ScenePool, divide, open_pool
from tests.boxes_room import write_boxes
from tests.tiny_room import write_tiny_room
from tests.training_room import open_room, write_training_room

SETTINGS = DataSettings(pairs=80, evaluation_pairs=40, validation_pairs=20)


@pytest.fixture(scope="session")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_room(tmp_path_factory.mktemp("room"))


@pytest.fixture(scope="session")
def pool(room: Path) -> ScenePool:
    return open_room(room, "both")


@pytest.fixture(scope="session")
def data(pool: ScenePool) -> DataSet:
    return build_data_set([pool], [], SETTINGS, mine=lambda pool, pairs: [hash(pair) % 100 / 100 for pair in pairs])


@dataclass(frozen=True)
class Said:
    """A settled label."""

    scene: str
    pair: MaskPair
    decision: Decision
    basis: str = "majority"


def objects(pool: ScenePool, pairs: list[MaskPair]) -> set[int]:
    return {pool.object_of[key] for pair in pairs for key in (pair.a, pair.b)}


def test_objects_of_frozen_pairs_and_their_copies_are_never_trained_on(pool: ScenePool, data: DataSet) -> None:
    frozen = objects(pool, [pair.pair for pairs in data.evaluation.values() for pair in pairs])
    trained = objects(pool, [pair.pair for pair in data.training])
    assert frozen
    assert trained
    assert not frozen & trained
    assert not frozen & objects(pool, [pair.pair for pair in data.validation])
    assert not {pool.copies[i] for i in frozen if i in pool.copies} & {pool.copies[i] for i in trained if i in pool.copies}


def test_frozen_pairs_do_not_depend_on_seed_labels_or_size(pool: ScenePool, data: DataSet) -> None:
    label = Said(pool.name, data.training[0].pair, "different")
    other = build_data_set([pool], [label], replace(SETTINGS, pairs=30, seed=5))
    assert other.evaluation == data.evaluation


def test_pairs_are_balanced_distinct_and_right(pool: ScenePool, data: DataSet) -> None:
    assert len(data.training) == 80
    assert sum(pair.is_same for pair in data.training) == 40
    assert len({pair.pair.canonical() for pair in data.training}) == 80
    for pair in data.training:
        a, b = pool.object_of[pair.pair.a], pool.object_of[pair.pair.b]
        assert pair.is_same == (a == b)
        assert pair.is_same or a not in pool.copies or pool.copies.get(b) != pool.copies[a]
    assert {"look_alike", "mined", "random"} <= {pair.kind for pair in data.training}


@pytest.mark.parametrize("negatives", ["hard", "random"])
def test_held_out_pairs_have_the_mix_of_the_frozen_pairs(pool: ScenePool, negatives: NegativeChoice) -> None:
    data = build_data_set([pool], [], replace(SETTINGS, negatives=negatives), mine=None)
    kinds = Counter(pair.kind for pair in data.validation)
    assert kinds == {"positive": 10, "look_alike": 5, "random": 5}
    assert len({pair.pair.canonical() for pair in data.validation}) == 20


def test_stored_ground_truth_counts_as_that(tmp_path: Path) -> None:
    """Masks whose numbers say nothing, as a segmenter gives them, beside `gt_masks/`."""
    write_boxes(tmp_path / "whole", views=4, grid=(3, 4), cell=(50, 50), box=(24, 24), of_a_class=1)
    folder, rng = tmp_path / "cells", np.random.default_rng(0)
    for name in ("color", "masks", "gt_masks"):
        (folder / name).mkdir(parents=True)
    for view in map(str, range(4)):
        shutil.copy(tmp_path / "whole" / view / "rgb.png", folder / "color" / f"{view}.png")
        objects = np.load(tmp_path / "whole" / view / "instance_mask.npy")
        ids, numbers = np.unique(objects, return_inverse=True)
        masks = np.concatenate([[0], rng.permutation(len(ids) - 1) + 1])[numbers.reshape(objects.shape)]
        for name, values in (("masks", masks), ("gt_masks", np.maximum(objects, 0))):
            Image.fromarray(values.astype(np.uint16)).save(folder / name / f"{view}.png")
    found = open_room(folder, "both")
    assert found.origin == "truth"
    assert len(found.object_of) == 4 * 12
    assert set(found.parts.values()) == {"training", "validation", "evaluation"}


def test_mined_negatives_are_what_the_judge_gets_most_wrong(pool: ScenePool) -> None:
    asked: dict[MaskPair, float] = {}

    def mine(_pool: ScenePool, pairs: list[MaskPair]) -> list[float]:
        asked.update({pair.canonical(): i / len(pairs) for i, pair in enumerate(pairs)})
        return [asked[pair.canonical()] for pair in pairs]

    found = build_data_set([pool], [], SETTINGS, mine=mine)
    mined = [asked[pair.pair.canonical()] for pair in found.training if pair.kind == "mined"]
    left = [p for pair, p in asked.items() if pair not in {one.pair.canonical() for one in found.training}]
    assert len(mined) == 16
    assert min(mined) > max(left)


def test_corrections_come_first_and_win_over_ground_truth(pool: ScenePool, data: DataSet) -> None:
    wrong = next(pair for pair in data.training if pair.is_same)
    labels = [Said(pool.name, wrong.pair, "different", "gold"), Said("elsewhere", wrong.pair, "same")]
    held = next(pair.pair for pairs in data.evaluation.values() for pair in pairs)
    labels.append(Said(pool.name, held, "same"))
    gone = MaskPair(MaskKey("99", 1), wrong.pair.b)
    labels += [Said(pool.name, gone, "same"), Said(pool.name, data.training[3].pair, "unsure")]
    found = build_data_set([pool], labels, SETTINGS)
    kept = [pair for pair in found.training if pair.pair.canonical() == wrong.pair.canonical()]
    assert [(pair.is_same, pair.source) for pair in kept] == [(False, "correction")]
    assert sum(pair.is_same for pair in found.training) == 40
    assert sorted(one.reason for one in found.left_out) == [
        "its objects are held back to judge the training by",
        "its scene is not among those trained on",
        "nobody could tell",
        "the scene has no such mask any more",
    ]
    assert (found.counts()["left out"], found.counts()["left out, stale"]) == (4, 1)
    assert "left out, stale" not in data.counts()


def test_hash_follows_answers_and_pictures_but_not_order(pool: ScenePool, data: DataSet) -> None:
    again = build_data_set([pool], [], SETTINGS, mine=lambda pool, pairs: [hash(pair) % 100 / 100 for pair in pairs])
    assert again.content_hash == data.content_hash
    label = Said(pool.name, data.training[0].pair, "different" if data.training[0].is_same else "same")
    assert build_data_set([pool], [label], SETTINGS).content_hash != data.content_hash
    key = data.training[0].pair.a
    touched = replace(pool, crops={**pool.crops, key: 255 - pool.crops[key]})
    assert (
        build_data_set([touched], [], SETTINGS, mine=lambda pool, pairs: [hash(p) % 100 / 100 for p in pairs]).content_hash
        != data.content_hash
    )


def test_data_set_survives_its_file(data: DataSet) -> None:
    again = DataSet.from_json(data.to_json())
    assert (again.training, again.validation, dict(again.evaluation)) == (data.training, data.validation, dict(data.evaluation))


def test_whole_scene_can_judge(room: Path) -> None:
    held = open_room(room, "evaluate")
    assert set(held.parts.values()) == {"evaluation"}
    assert "evaluation" not in open_room(room, "train").parts.values()


def test_whole_classes_are_held_back_together() -> None:
    parts = divide("room", [k * 1000 + i for k in range(1, 11) for i in range(3)], {}, role="both")
    assert all(len({parts[k * 1000 + i] for i in range(3)}) == 1 for k in range(1, 11))
    assert {"training", "validation", "evaluation"} == set(parts.values())


def test_scene_with_too_few_objects_says_so(tmp_path: Path) -> None:
    tiny = open_pool(write_tiny_room(tmp_path), role="both")
    with pytest.raises(RunError, match="Nothing is left to judge"):
        build_data_set([tiny], [], SETTINGS)


def test_sheet_shows_every_kind_in_frames_of_its_answer(pool: ScenePool, data: DataSet) -> None:
    chosen = choose_samples(data.training, 8)
    assert {"positive", "look_alike", "mined", "random"} == {pair.kind for pair in chosen}
    sheet = draw_sheet(data.training, lambda scene, key: pool.crops[key], count=8)
    colours = {tuple(c) for c in np.unique(np.asarray(Image.fromarray(sheet)).reshape(-1, 3), axis=0).tolist()}
    assert {SAME_RGB, DIFFERENT_RGB} <= colours


def test_corrections_survive_their_file_and_colons_in_names(tmp_path: Path) -> None:
    pair = MaskPair(MaskKey("cam:1", 4), MaskKey("cam:2", -7))
    kept = [SettledPair("s", pair, "same", "gold")]
    write_corrections(tmp_path / "c.json", kept)
    assert read_corrections(tmp_path / "c.json") == kept
    assert read_corrections(tmp_path / "none.json") == []
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(RunError, match="no list of corrections"):
        read_corrections(tmp_path / "c.json")


def test_undecided_labels_are_listed() -> None:
    pair = MaskPair(MaskKey("2", 1), MaskKey("1", 1))
    decided, left_out = take_decided([Said("b", pair, "skip"), Said("a", pair, "same")])
    assert [(one.scene, one.pair) for one in decided] == [("a", pair.canonical())]
    assert [one.reason for one in left_out] == ["everybody skipped it"]
