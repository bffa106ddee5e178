"""Prints how good masks are that the program makes itself, and the groups that follow.

`python -m tests.bench.bench_segment [SCENE ...] [--rooms N]`: one table a scene, one row a method. Best IoU over objects:
for each true object of 100 pixels or more in a view, the best IoU of any mask, on average; over masks: for each mask that of
any object. ARI: groups by geometry of the masks that show a known object, each named by the object that it shows most of. Rooms are
procedural ones that nothing was fitted on. `--model` adds a row for a mask generator of transformers. `--tiny` is for a test.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.assets import SCENES_DIR
from engine.grouping.pipeline import GroupingOptions, group_frames
from engine.scenes import find_scene
from engine.segmenting.base import Picture, Segmenter
from engine.segmenting.registry import open_segmenter
from engine.types import NOTHING, Frame, HasGroundTruth, Int32Array
from engine.views.frames import FrameSource
from tests.bench.segment_scores import score_masks_of
from tests.bench.sensors.rooms import make_clean_room

FELZENSZWALB = {"scale": 300, "sigma": 0.8, "min_size": 100}
"""Of scales 100, 300 and 1000 the best over objects on the views that were looked at while working."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A scene's views, and the object of each pixel."""

    name: str
    frames: list[Frame]
    objects: list[Int32Array]


def read_scene(name: str, step: int) -> Seen:
    """Read a scene with ground truth; depth is its own where it has some."""
    scene = find_scene(name, SCENES_DIR)
    source = FrameSource(scene)
    frames, objects = [], []
    for view in scene.view_names[::step]:
        frame = source.frame(view)
        truth = frame.instance_map
        if not scene.mask_ids_are_instances:
            found = scene.reader.read_ground_truth_map(view) if isinstance(scene.reader, HasGroundTruth) else None
            if found is None:
                continue
            truth = found
        frames.append(frame)
        objects.append(truth)
    return Seen(scene.name, frames, objects)


def read_room(number: int, views: int) -> Seen:
    """Make a procedural room that nothing was fitted on."""
    room = make_clean_room(number, unseen=True, views=views)
    return Seen(room.name, room.frames, [frame.instance_map for frame in room.frames])


def by_felzenszwalb(frame: Frame) -> Int32Array:
    """Return masks by colour alone, as scikit-image's graph-based method gives them."""
    from skimage.segmentation import felzenszwalb

    return np.asarray(felzenszwalb(frame.rgb, **FELZENSZWALB), np.int32) + 1


def by_segmenter(segmenter: Segmenter, *, with_depth: bool = True) -> Callable[[Frame], Int32Array]:
    """Return a segmenter as a method."""
    return lambda frame: segmenter.segment(Picture(frame.rgb, frame.depth if with_depth else None, frame.camera))


def bench(seen: Seen, methods: dict[str, Callable[[int, Frame], Int32Array]], *, groups: bool) -> None:
    """Print a scene's table."""
    print(f"\n## {seen.name}: {len(seen.frames)} views\n")
    columns = [
        "masks",
        "best IoU of objects",
        "of masks",
        "objects found",
        "coverage",
        "masks / objects a view",
        "ARI",
        "CPU s a view",
    ]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    for name, method in methods.items():
        began = time.process_time()
        maps = [method(at, frame) for at, frame in enumerate(seen.frames)]
        took = (time.process_time() - began) / len(maps)
        scores = [score_masks_of(ids, truth) for ids, truth in zip(maps, seen.objects, strict=True)]
        mean = {key: float(np.mean([getattr(one, key) for one in scores])) for key in vars(scores[0])}
        ari = f"{group_ari(seen, maps):.3f}" if groups else "-"
        cells = [
            name,
            f"{mean['objects']:.3f}",
            f"{mean['masks']:.3f}",
            f"{mean['found']:.0%}",
            f"{mean['coverage']:.0%}",
            f"{mean['n_masks']:.0f} / {mean['n_objects']:.0f}",
            ari,
            f"{took:.2f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def group_ari(seen: Seen, maps: Sequence[Int32Array]) -> float:
    """Return the ARI of groups by geometry."""
    frames = [replace(frame, instance_map=ids) for frame, ids in zip(seen.frames, maps, strict=True)]
    truth: list[int] = []
    for frame, objects in zip(frames, seen.objects, strict=True):
        for mask in sorted(frame.mask_areas):
            names, counts = np.unique(objects[frame.instance_map == mask], return_counts=True)
            truth.append(int(names[counts.argmax()]))
    run = group_frames(frames, truth=np.asarray(truth, np.int32), options=GroupingOptions(lift=False))
    assert run.mask_scores is not None
    return run.mask_scores.ari


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_segment", description=__doc__)
    parser.add_argument("scenes", nargs="*", help="scene folders or bundled scenes with ground truth")
    parser.add_argument("--rooms", type=int, default=0, help="procedural rooms to add")
    parser.add_argument("--views", type=int, default=20, help="views of a procedural room")
    parser.add_argument("--step", type=int, default=1, help="take every n-th view of a scene")
    parser.add_argument("--model", help="a mask generator of transformers to compare")
    parser.add_argument("--no-groups", action="store_true", help="leave out the groups that follow")
    parser.add_argument("--tiny", action="store_true", help="one room of 4 views")
    chosen = parser.parse_args(sys.argv[1:] if arguments is None else list(arguments))
    rooms, views = (1, 4) if chosen.tiny else (chosen.rooms, chosen.views)
    built_in = open_segmenter()
    methods: dict[str, Callable[[Frame], Int32Array]] = {
        "built in": by_segmenter(built_in),
        "built in, without depth": by_segmenter(built_in, with_depth=False),
        "felzenszwalb, colour": by_felzenszwalb,
    }
    if chosen.model:
        methods[chosen.model] = by_segmenter(open_segmenter(chosen.model))
    every = [lambda name=name: read_scene(name, chosen.step) for name in chosen.scenes]
    every += [lambda number=number: read_room(number, views) for number in range(rooms)]
    if not every:
        raise SystemExit("No room was chosen; name scenes, or give --rooms N.")
    for read in every:
        seen = read()
        rows: dict[str, Callable[[int, Frame], Int32Array]] = {
            "true objects": lambda at, _, objects=seen.objects: np.where(objects[at] < 1, NOTHING, objects[at]).astype(np.int32),
            **{name: lambda _, frame, method=method: method(frame) for name, method in methods.items()},
        }
        bench(seen, rows, groups=not chosen.no_groups)


if __name__ == "__main__":
    main()
