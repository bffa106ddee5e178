"""Measures a judge on random negatives, look-alikes and identical copies, kept apart, through the judge that the app uses.

    python -m finetune.bundled.pretrain_eval --model assets/models/tiny-qwen3-vl --scene DIR --scene DIR
    python -m finetune.bundled.pretrain_eval --rooms 50 --furniture DIR --held-out TSV

Procedural rooms have seeds from 2 000 000 on, which training and validation never use, and the validation split's furniture.
Walls, floors and ceilings are left out, because nobody matches them.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from engine.files import write_atomically
from engine.judging.base import CropPair, Judge
from engine.judging.local.qwen_vl import load_qwen_vl
from engine.rendering.base import shade
from engine.rendering.embree import EmbreeRenderer
from engine.scenes import open_scene
from engine.scenes.procedural import STRUCTURE_CLASSES, Room, make_room
from engine.types import NOTHING, Int32Array, UInt8Array
from engine.views.crops import crop_on_black
from engine.views.frames import FrameSource
from engine.views.identical_copies import find_identical_copies
from finetune.bundled.pretrain_crops import MIN_AREA_PX, load_pieces

LOG = logging.getLogger(__name__)
FIRST_SEED = 2_000_000
Style = Literal["same", "random", "look_alike", "identical"]
NEGATIVES: tuple[Style, ...] = ("random", "look_alike", "identical")
CropOf = Callable[[int, int], UInt8Array]
"""Gives the crop of (view index, instance)."""


@dataclass(frozen=True, eq=False)
class MasksByModel:
    """The masks of one scene that are large enough.

    Attributes:
        views, instances: (M,) int32 of each mask.
        copies: Group of every instance that has identical copies.
        crop: Cuts a mask out.
    """

    views: Int32Array
    instances: Int32Array
    copies: dict[int, int]
    crop: CropOf

    def partners(self, first: int, style: Style) -> list[int]:
        """Return the masks in other views that make a pair of this style with mask `first`."""
        mine = int(self.instances[first])
        found: list[int] = []
        for other in np.flatnonzero(self.views != self.views[first]).tolist():
            theirs = int(self.instances[other])
            is_copy = mine in self.copies and self.copies.get(theirs) == self.copies[mine]
            is_wanted = {
                "same": theirs == mine,
                "random": theirs != mine and not is_copy,
                "look_alike": theirs != mine and not is_copy and theirs // 1000 == mine // 1000,
                "identical": theirs != mine and is_copy,
            }[style]
            if is_wanted:
                found.append(other)
        return found


def table_of_maps(maps: Sequence[Int32Array], copies: dict[int, int], crop: CropOf) -> MasksByModel:
    """List the masks of instance maps, structure and small ones left out."""
    views: list[int] = []
    instances: list[int] = []
    for view, instance_map in enumerate(maps):
        ids, counts = np.unique(instance_map[instance_map != NOTHING], return_counts=True)
        for instance, count in zip(ids.tolist(), counts.tolist(), strict=True):
            if count >= MIN_AREA_PX and instance // 1000 not in STRUCTURE_CLASSES.values():
                views.append(view)
                instances.append(instance)
    return MasksByModel(np.array(views, np.int32), np.array(instances, np.int32), copies, crop)


def sample_pairs(tables: Sequence[MasksByModel], style: Style, count: int, *, seed: int) -> list[tuple[MasksByModel, int, int]]:
    """Draw pairs of one style, instance first, then mask, so that large or often seen instances do not dominate.

    Returns:
        At most `count` (table, mask, mask); fewer where the scenes hardly have such pairs.
    """
    rng = np.random.default_rng((seed, ["same", *NEGATIVES].index(style)))
    pairs: dict[tuple[int, int, int], tuple[MasksByModel, int, int]] = {}
    for _ in range(count * 30):
        if len(pairs) == count:
            break
        which = int(rng.integers(len(tables)))
        table = tables[which]
        instance = rng.choice(np.unique(table.instances))
        first = int(rng.choice(np.flatnonzero(table.instances == instance)))
        partners = table.partners(first, style)
        if partners:
            other = rng.choice(np.unique(table.instances[partners]))
            second = int(rng.choice([p for p in partners if table.instances[p] == other]))
            pairs[which, first, second] = (table, first, second)
    return list(pairs.values())


def measure(judge: Judge, tables: Sequence[MasksByModel], *, pairs: int, seed: int = 0) -> dict[str, dict[str, float]]:
    """Judge `pairs` pairs (half positive) for each kind of negative; positives are shared between the kinds."""
    said: dict[Style, list[float]] = {}
    ambiguity: list[float] = []
    began = time.perf_counter()
    styles: tuple[Style, ...] = ("same", *NEGATIVES)
    for style in styles:
        sampled = sample_pairs(tables, style, pairs // 2, seed=seed)
        crops = [CropPair(*(t.crop(int(t.views[m]), int(t.instances[m])) for m in (i, j))) for t, i, j in sampled]
        verdicts = judge.judge(crops)
        said[style] = [v.p_same for v in verdicts]
        ambiguity += [v.ambiguity for v in verdicts]
        LOG.info("%s: %d pairs, %.1f s", style, len(sampled), time.perf_counter() - began)
    result = {style: _figures(said["same"], said[style]) for style in NEGATIVES if said[style]}
    for figures in result.values():
        figures["mean_ambiguity"] = round(float(np.mean(ambiguity)), 5)
    return result


def _figures(positive: Sequence[float], negative: Sequence[float]) -> dict[str, float]:
    hits, false_alarms = np.asarray(positive) >= 0.5, np.asarray(negative) >= 0.5
    recall, specificity = float(hits.mean()), float(1 - false_alarms.mean())
    # Rates rather than counts, so that a short list of negatives (few copies in a room) weighs as much as the positives.
    return {
        "accuracy": round((recall + specificity) / 2, 4),
        "precision": round(recall / max(recall + 1 - specificity, 1e-9), 4),
        "recall": round(recall, 4),
        "specificity": round(specificity, 4),
        "auc": round(float((np.asarray(positive)[:, None] > np.asarray(negative)[None]).mean()), 4),
        "positives": len(positive),
        "negatives": len(negative),
    }


def scene_table(folder: Path) -> MasksByModel:
    """Render the masks of a scene folder at 640x360, the picture its photos."""
    scene = open_scene(folder)
    source = FrameSource(scene, backend="embree", max_frames=len(scene.view_names))
    frames = [source.frame(name) for name in scene.view_names]
    copies = find_identical_copies(scene.mesh) if scene.mesh is not None else {}
    return table_of_maps(
        [f.instance_map for f in frames], copies, lambda v, i: crop_on_black(frames[v].rgb, frames[v].instance_map == i)
    )


def room_tables(rooms: int, furniture: Path | None, held_out: Path | None, *, views: int = 10) -> list[MasksByModel]:
    """Make held-out procedural rooms and render their masks at 640x360."""
    pieces = load_pieces(furniture, held_out, "val") if furniture and held_out else []
    tables: list[MasksByModel] = []
    for seed in range(FIRST_SEED, FIRST_SEED + rooms):
        room = make_room(seed, pieces, view_count=views, image_size=(640, 360))
        renderer = EmbreeRenderer(room.mesh)
        images: list[tuple[UInt8Array, Int32Array]] = []
        for view in room.views:
            assert view.camera is not None
            assert view.pose is not None
            image = shade(renderer.rasterize(view.camera, view.pose), room.mesh, view.camera, view.pose)
            images.append((image.rgb, image.instance_map))
        copies = _copies_in(room)

        def crop(view: int, instance: int, images: list[tuple[UInt8Array, Int32Array]] = images) -> UInt8Array:
            return crop_on_black(images[view][0], images[view][1] == instance)

        tables.append(table_of_maps([m for _, m in images], copies, crop))
    return [t for t in tables if len(t.views)]


def _copies_in(room: Room) -> dict[int, int]:
    """Return the set of copies of every instance that has any: by model, or by the rule for scenes whose models are not known.

    A look-alike that differs only in brightness, or a grey model with exchanged colour channels, looks like a copy.
    """
    by_geometry = find_identical_copies(room.mesh)
    leaders: dict[str, int] = {}
    groups: dict[int, int] = {}
    for instance, model in sorted(room.models.items()):
        groups[instance] = leaders.setdefault(model, by_geometry.get(instance, instance))
    return groups


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m finetune.bundled.pretrain_eval", description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("assets/models/tiny-qwen3-vl"))
    parser.add_argument("--scene", type=Path, action="append", default=[], help="scene folder; may be given several times")
    parser.add_argument("--rooms", type=int, default=0, help="held-out procedural rooms")
    parser.add_argument("--furniture", type=Path)
    parser.add_argument("--held-out", type=Path)
    parser.add_argument("--pairs", type=int, default=1000, help="for each kind of negative, half of them positive")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("assets/models/tiny-qwen3-vl/metrics.json"))
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    judge = load_qwen_vl(args.model, name="tiny")
    results: dict[str, Any] = json.loads(args.out.read_text()) if args.out.exists() else {}
    for folder in args.scene:
        results[folder.name] = measure(judge, [scene_table(folder)], pairs=args.pairs, seed=args.seed)
    if args.rooms:
        tables = room_tables(args.rooms, args.furniture, args.held_out)
        results["procedural"] = measure(judge, tables, pairs=args.pairs, seed=args.seed)
    write_atomically(args.out, results)
    LOG.info("wrote %s", args.out)


if __name__ == "__main__":
    main()
