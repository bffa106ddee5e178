"""Fits the numbers of the built-in segmenter, `engine/segmenting/weights.py`, and prints them.

`python -m tests.bench.segment_fit [SCENE ...] [--rooms N]`: on scenes with a labelled mesh and procedural rooms, half of the views
with the depth of a sensor. Borders of the first pieces are learnt from first; then those that come up while regions are joined with
what was learnt so far. No figure of docs/segment.md is measured on these rooms.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from sklearn.linear_model import LogisticRegression

from engine.assets import SCENES_DIR
from engine.scenes import find_scene
from engine.segmenting.base import Picture
from engine.segmenting.measures import MEASURES, find_adjacency, measure
from engine.segmenting.merging import Join, RegionGraph
from engine.segmenting.superpixels import cut_into_pieces
from engine.segmenting.surfaces import LEAST_SHARE, score_with
from engine.segmenting.weights import Weights
from engine.types import NOTHING, Float64Array, Frame, Int32Array
from engine.views.frames import FrameSource
from tests.bench.segment_scores import score_masks_of
from tests.bench.sensors.depth import SENSORS
from tests.bench.sensors.rooms import make_clean_room

FIRST_ROOM = 20
"""Number of the first room to learn from: those before are looked at while working, those of `--unseen` are for figures."""
PURE = 0.7
"""Share of a region that one object must have for the region's borders to be learnt from."""
KEPT = 0.25
"""Share of the borders of joined regions that is learnt from: they repeat."""
JOIN_UP_TO = 0.6
Known = tuple[Float64Array, Int32Array, Float64Array]
SETS = (("BY_SURFACE", True), ("BY_COLOR", False))
MOST_LOST = 0.047
"""Fewer, larger masks are grouped better, but what is one mask of two objects can never be parted."""
MOSTS = (0.3, 0.4, 0.5, 0.6, 0.7)


class Lesson:
    """One picture to learn from."""

    def __init__(self, picture: Picture, objects: Int32Array) -> None:
        self.objects = objects
        self.pieces = cut_into_pieces(picture)
        self.adjacency = find_adjacency(self.pieces)
        names, number = np.unique(objects, return_inverse=True)
        counts = np.zeros((self.pieces.count, len(names)))
        np.add.at(counts, (self.pieces.labels.ravel(), number.ravel()), 1)
        self._names, self._counts = names, counts

    def first_borders(self) -> Known:
        """Return measures, whether each parts two objects, and weights, of the borders of the first pieces."""
        own = self.adjacency
        table = measure(own.regions, own.first, own.second, own.borders, own.lengths, own.area)
        parts, is_sure = self._tell(self._counts, own.first, own.second)
        return table[is_sure], parts[is_sure], np.sqrt(own.lengths[is_sure])

    def borders_on_the_way(self, weights: Weights, rng: np.random.Generator) -> list[Known]:
        """Yield the same of borders that come up while regions are joined."""
        counts = self._counts.copy()
        found: list[Known] = []

        def look(join: Join) -> None:
            counts[join.kept] += counts[join.gone]
            chosen = np.flatnonzero(rng.random(len(join.around)) < KEPT)
            around = join.around[chosen]
            parts, is_sure = self._tell(counts, np.full(len(around), join.kept), around)
            if is_sure.any():
                sizes = np.minimum(counts[join.kept].sum(), counts[around].sum(axis=1))
                found.append((join.measures[chosen][is_sure], parts[is_sure], np.minimum(np.sqrt(sizes[is_sure]) / 20, 5.0)))

        RegionGraph(self.adjacency, score_with(weights)).join_below(JOIN_UP_TO, look)
        return found

    def segment(self, weights: Weights, most: float) -> Int32Array:
        """Return the masks that the weights give, (H, W) int32."""
        graph = RegionGraph(self.adjacency, score_with(weights))
        graph.join_below(most)
        graph.absorb_small(LEAST_SHARE * self.pieces.labels.size)
        return graph.find_roots()[self.pieces.labels] + 1

    def _tell(self, counts: Float64Array, first: Int32Array, second: Int32Array) -> tuple[Int32Array, np.ndarray]:
        a, b = counts[first], counts[second]
        is_known = (self._names[a.argmax(axis=1)] != NOTHING) & (self._names[b.argmax(axis=1)] != NOTHING)
        is_pure = (a.max(axis=1) > PURE * a.sum(axis=1)) & (b.max(axis=1) > PURE * b.sum(axis=1))
        return (a.argmax(axis=1) != b.argmax(axis=1)).astype(np.int32), is_known & is_pure


def read_frames(scenes: Sequence[str], rooms: int, views: int, step: int) -> list[Frame]:
    """Return the views to learn from; every second one has the depth of a sensor."""
    frames: list[Frame] = []
    for name in scenes:
        scene = find_scene(name, SCENES_DIR)
        source = FrameSource(scene)
        frames += [source.frame(view) for view in scene.view_names[::step]]
    for number in range(FIRST_ROOM, FIRST_ROOM + rooms):
        frames += make_clean_room(number, unseen=False, views=views).frames
    sensors = list(SENSORS.values())
    return [
        replace(frame, depth=sensors[at // 2 % len(sensors)](frame.depth, np.random.default_rng(at)))
        if at % 2 and frame.depth is not None
        else frame
        for at, frame in enumerate(frames)
    ]


def fit(lessons: Sequence[Lesson], rounds: int) -> Weights:
    """Learn the weights, and choose where to stop joining: as late as objects lose less than `MOST_LOST` of their best IoU."""
    rng = np.random.default_rng(0)
    known = [lesson.first_borders() for lesson in lessons]
    weights = _fit_once(known)
    for _ in range(rounds):
        for lesson in lessons:
            known += lesson.borders_on_the_way(weights, rng)
        weights = _fit_once(known)
    best: dict[float, float] = {}
    for most in MOSTS:
        scores = [score_masks_of(lesson.segment(weights, most), lesson.objects) for lesson in lessons]
        objects, masks = np.mean([s.objects for s in scores]), np.mean([s.masks for s in scores])
        print(f"# joined below {most}: best IoU {objects:.3f} over objects, {masks:.3f} over masks", flush=True)
        best[most] = float(objects)
    return replace(weights, most=max(most for most in MOSTS if best[most] > max(best.values()) - MOST_LOST))


def _fit_once(known: Sequence[Known]) -> Weights:
    table, parts, weight = (np.concatenate(column) for column in zip(*known, strict=True))
    model = LogisticRegression(max_iter=1000).fit(table, parts, sample_weight=weight / weight.mean())
    print(f"# {len(parts)} borders, {parts.mean():.1%} part two objects", flush=True)
    return Weights(tuple(round(float(f), 3) for f in model.coef_[0]), round(float(model.intercept_[0]), 3), 0.5)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit both sets of numbers."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.segment_fit", description=__doc__)
    parser.add_argument("scenes", nargs="*")
    parser.add_argument("--rooms", type=int, default=12)
    parser.add_argument("--views", type=int, default=3, help="views of a procedural room")
    parser.add_argument("--step", type=int, default=2, help="take every n-th view of a scene")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", choices=[name for name, _ in SETS], help="fit one set of numbers")
    chosen = parser.parse_args(sys.argv[1:] if arguments is None else list(arguments))
    frames = read_frames(chosen.scenes, chosen.rooms, chosen.views, chosen.step)
    for name, has_depth in SETS:
        if chosen.only not in (None, name):
            continue
        pictures = [Picture(frame.rgb, frame.depth if has_depth else None, frame.camera) for frame in frames]
        weights = fit([Lesson(one, frame.instance_map) for one, frame in zip(pictures, frames, strict=True)], chosen.rounds)
        print(f"{name} = Weights(\n    (")
        for factor, called in zip(weights.factors, MEASURES, strict=True):
            print(f"        {factor},  # {called}")
        print(f"    ),\n    offset={weights.offset},\n    most={weights.most},\n)", flush=True)


if __name__ == "__main__":
    main()
