"""Prints how grouping stands up to real sensors, segmenters and trackers.

`python -m tests.bench.bench_real [SCENE ...] [--rooms N]`: one row a world (see `tests/bench/sensors/worlds.py`), evidence geometry
unless `--evidence` says otherwise. ARI is over all masks; class-agnostic AP, AP50, AP25 by ScanNet's rule are over the room's true
surface, thinned to voxels of 3 cm, on which the views vote with the depth that they have: what no sensor reaches is missed there.
Rooms are procedural ones, or furnished with models where `--furniture` and `--held-out` are given, every second one a hall of 1.8
times the size; `--unseen` takes other seeds than those on which the method's numbers were chosen. `--tiny` is one small room and
three rows, for a test.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.grouping.geometry import to_world
from engine.grouping.graph import Evidence
from engine.grouping.instances import name_majority, vote_on_points
from engine.grouping.judge_rounds import PairJudge
from engine.grouping.metrics import PointScores, score_points
from engine.grouping.pipeline import GroupingOptions, GroupingRun, group_frames
from engine.types import NOTHING, Float32Array, Frame, Int32Array
from tests.bench.bench_grouping import MadeFrames, RememberingJudge, add_furniture_options, furniture_of
from tests.bench.sensors.rooms import CleanRoom, load_clean_room, make_clean_room
from tests.bench.sensors.worlds import WORLDS, World, spoil
from tests.grouping_rooms import SimulatedJudge

VOXEL_M = 0.03
TINY_ROWS = ("clean", "structured light", "structured light, masks, drift")


@dataclass(frozen=True)
class Row:
    """One run: scores, groups for true objects, masks without depth, seconds."""

    ari: float
    points: PointScores
    groups: int
    objects: int
    masks: int
    depthless: int
    merged: int
    seconds: float


def true_surface(frames: Sequence[Frame]) -> tuple[Float32Array, Int32Array]:
    """Return the surface that clean frames see, (P, 3) float32 metres, a point a voxel, and each point's object, (P,) int32."""
    points: list[Float32Array] = []
    objects: list[Int32Array] = []
    for frame in frames:
        assert frame.depth is not None
        assert frame.camera is not None
        assert frame.pose is not None
        depth, ids = frame.depth[::2, ::2], frame.instance_map[::2, ::2]
        valid = (depth > 0) & (ids != NOTHING)
        points.append(to_world((frame.camera.rays[::2, ::2][valid] * depth[valid][:, None]).astype(np.float32), frame.pose))
        objects.append(ids[valid])
    world = np.concatenate(points)
    cells = np.floor(world / VOXEL_M).astype(np.int64) + (1 << 20)
    _, first, voxel = np.unique(cells @ np.asarray([1, 1 << 21, 1 << 42]), return_index=True, return_inverse=True)
    return world[first], name_majority(voxel, np.concatenate(objects), len(first))


def run_world(
    room: CleanRoom, world: World, *, seed: int, evidence: Evidence = "geometry", judge: str | None = None
) -> tuple[Row, GroupingRun]:
    """Spoil a room and group it."""
    spoiled = spoil(room.frames, world, seed=seed)
    asked: PairJudge | None = None
    if evidence != "geometry":
        asked = (
            SimulatedJudge(spoiled.frames, spoiled.truth) if judge is None else RememberingJudge(judge, MadeFrames(spoiled.frames))
        )
    options = GroupingOptions(evidence=evidence, lift=False)
    started = time.perf_counter()
    run = group_frames(spoiled.frames, truth=spoiled.truth, options=options, judge=asked)
    took = time.perf_counter() - started
    assert run.mask_scores is not None
    assert run.findings is not None
    points, objects = true_surface(room.frames)
    labels = vote_on_points(points, run.table, run.grouping.labels, pose_error_m=run.registration.error_after_m)
    scores = score_points(objects, labels, [group.confidence for group in run.grouping.groups])
    known = np.unique(spoiled.truth[spoiled.truth != NOTHING])
    row = Row(
        run.mask_scores.ari,
        scores,
        len(run.grouping.groups),
        len(known),
        len(run.table),
        run.findings.depthless,
        run.findings.merged,
        took,
    )
    return row, run


def bench(rooms: Sequence[CleanRoom], worlds: Sequence[World], *, seeds: int, evidence: Evidence, judge: str | None) -> None:
    """Print one table over all rooms, and each room's ARI."""
    total = sum(len(frame.mask_areas) for room in rooms for frame in room.frames)
    print(f"\n{len(rooms)} rooms ({', '.join(room.name for room in rooms)}), {total} clean masks, {seeds} seed(s), {evidence}\n")
    columns = ["world", "ARI mean", "ARI worst", "AP / AP50 / AP25", "groups / objects", "without depth", "merged found", "s"]
    print(f"| {' | '.join([*columns, 'each ARI'])} |\n|{'---|' * (len(columns) + 1)}", flush=True)
    for world in worlds:
        rows = [run_world(room, world, seed=s, evidence=evidence, judge=judge)[0] for room in rooms for s in range(seeds)]
        aris = [row.ari for row in rows]
        ap = [float(np.mean([getattr(row.points, name) for row in rows])) for name in ("ap", "ap50", "ap25")]
        masks = sum(row.masks for row in rows)
        cells = [
            world.name,
            f"{np.mean(aris):.3f}",
            f"{min(aris):.3f}",
            " / ".join(f"{value:.2f}" for value in ap),
            f"{sum(row.groups for row in rows)} / {sum(row.objects for row in rows)}",
            f"{sum(row.depthless for row in rows) / masks:.0%}",
            str(sum(row.merged for row in rows)),
            f"{np.mean([row.seconds for row in rows]):.1f}",
            " ".join(f"{ari:.3f}" for ari in aris),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_real", description=__doc__)
    parser.add_argument("scenes", nargs="*", help="scene folders or bundled scenes with a labelled mesh")
    parser.add_argument("--rooms", type=int, default=0, help="procedural rooms to add")
    parser.add_argument("--first", type=int, default=0, help="number of the first procedural room")
    parser.add_argument("--unseen", action="store_true", help="rooms that nothing was chosen on")
    parser.add_argument("--views", type=int, default=40, help="views of a procedural room")
    parser.add_argument("--seeds", type=int, default=1, help="noises to try in each room")
    parser.add_argument("--rows", nargs="*", help="names of the rows to print; default: all")
    parser.add_argument("--evidence", choices=["geometry", "vlm", "both"], default="geometry")
    parser.add_argument("--judge", help="ask this judge (base, tuned, a folder ...) instead of a simulated one")
    parser.add_argument("--tiny", action="store_true", help="one room of 8 views, three rows")
    add_furniture_options(parser)
    chosen = parser.parse_args(sys.argv[1:] if arguments is None else list(arguments))
    names = TINY_ROWS if chosen.tiny else chosen.rows or [world.name for world in WORLDS]
    unknown = set(names) - {world.name for world in WORLDS}
    if unknown:
        raise SystemExit(f"No row is called {', '.join(sorted(unknown))}; rows: {'; '.join(world.name for world in WORLDS)}.")
    pieces = furniture_of(chosen)
    count, views = (1, 8) if chosen.tiny else (chosen.rooms, chosen.views)
    if not chosen.scenes and not count:
        raise SystemExit("No room was chosen; name scenes, or give --rooms N.")
    rooms = [load_clean_room(name) for name in chosen.scenes]
    numbers = range(chosen.first, chosen.first + count)
    rooms += [make_clean_room(number, unseen=chosen.unseen, views=views, pieces=pieces) for number in numbers]
    worlds = [world for world in WORLDS if world.name in names]
    bench(rooms, worlds, seeds=chosen.seeds, evidence=chosen.evidence, judge=chosen.judge)


if __name__ == "__main__":
    main()
