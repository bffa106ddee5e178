"""Prints how grouping stands up to poses, depth and masks that are worse than usual, geometry alone with repair, no judge.

`python -m tests.bench.bench_robust [SCENE ...] [--rooms N] [--seeds 3]`: one row a way of spoiling, with the ARI over masks of each
seed of the noise; the worst one is what the table is about. `--rooms` adds procedural rooms that nothing was tuned on, of
parametric pieces or, with `--furniture`, of models.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from engine.assets import SCENES_DIR
from engine.grouping.pipeline import GroupingOptions, group_frames
from engine.scenes import find_scene
from engine.types import Frame
from engine.views.frames import FrameSource
from tests.bench.bench_grouping import add_furniture_options, furniture_of, procedural_room, split, truth_of
from tests.bench.tiny_sizes import add_tiny_option, tiny_scene
from tests.grouping_rooms import shake

FIRST_ROOM = 910_000
"""Seed of the first procedural room: neither a training room nor one of bench_grouping's."""
DEG_PER_M = 28.0
"""1.4 degrees at 5 cm."""
HOLES = 12


def shaken(centimetres: float, step: int = 1) -> Callable[[Sequence[Frame], int], list[Frame]]:
    """Spoil the poses of every `step`-th view."""

    def spoil(frames: Sequence[Frame], seed: int) -> list[Frame]:
        return shake(frames[::step], sigma_m=centimetres / 100, sigma_deg=DEG_PER_M * centimetres / 100, seed=seed)

    return spoil


def poor_depth(frames: Sequence[Frame], seed: int) -> list[Frame]:
    """Add 1 % noise to each pixel's depth and cut holes: twelve rectangles a view, a tenth of its width and height each."""
    rng = np.random.default_rng(1000 + seed)
    poor: list[Frame] = []
    for frame in frames:
        depth = frame.depth * rng.normal(1, 0.01, frame.depth.shape).astype(np.float32)
        height, width = depth.shape
        for _ in range(HOLES):
            row, column = rng.integers(0, height * 9 // 10), rng.integers(0, width * 9 // 10)
            depth[row : row + height // 10, column : column + width // 10] = 0
        poor.append(replace(frame, depth=depth))
    return poor


CONDITIONS: list[tuple[str, Callable[[Sequence[Frame], int], list[Frame]]]] = [
    *((f"{size} cm", shaken(size)) for size in (1, 2, 3, 5, 8)),
    ("5 cm, every 2nd view", shaken(5, 2)),
    ("5 cm, every 4th view", shaken(5, 4)),
    ("depth 1 % noise, holes", poor_depth),
    ("depth 1 % noise, holes, 5 cm", lambda frames, seed: poor_depth(shaken(5)(frames, seed), seed)),
    ("30 % split, 5 cm", lambda frames, seed: split(shaken(5)(frames, seed), 0.3)),
    ("as they are", lambda frames, _: list(frames)),
    ("every 4th view", lambda frames, _: list(frames[::4])),
    ("30 % split", lambda frames, _: split(frames, 0.3)),
]


def bench_room(name: str, frames: Sequence[Frame], *, seeds: int, only: Sequence[int] | None = None) -> None:
    """Print the table of one room."""
    print(f"\n## {name}: {len(frames)} views, {len(truth_of(frames))} masks\n")
    print(
        f"| poses, depth and masks | worst ARI | ARI of {seeds} seeds | pose error left, cm | repaired |\n|---|---|---|---|---|",
        flush=True,
    )
    for number, (condition, spoil) in enumerate(CONDITIONS):
        if only and number not in only:
            continue
        aris: list[float] = []
        left: list[float] = []
        repaired = 0
        for seed in range(seeds):
            spoiled = spoil(frames, seed)
            run = group_frames(spoiled, truth=truth_of(spoiled), options=GroupingOptions(lift=False))
            assert run.mask_scores is not None
            aris.append(run.mask_scores.ari)
            left.append(100 * run.registration.error_after_m)
            repaired += run.registration.accepted
        each = " ".join(f"{ari:.3f}" for ari in aris)
        print(f"| {condition} | {min(aris):.3f} | {each} | {max(left):.1f} | {repaired} of {seeds} |", flush=True)


def main(given: Sequence[str] | None = None) -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_robust", description=__doc__)
    parser.add_argument("scenes", nargs="*", help="scene folders or bundled scenes; default, without --rooms: sh3d_living")
    parser.add_argument("--rooms", type=int, default=0, help="number of procedural rooms to add")
    parser.add_argument("--seeds", type=int, default=3, help="noises to try in each row")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of the rows to print, from 0")
    parser.add_argument("--first", type=int, default=0, help="number of the first procedural room")
    add_furniture_options(parser)
    add_tiny_option(parser)
    arguments = parser.parse_args(given)
    with ExitStack() as until:
        if arguments.tiny:
            arguments.scenes, arguments.seeds, arguments.only = [until.enter_context(tiny_scene())], 1, [1, 10]
        elif not arguments.scenes and not arguments.rooms:
            arguments.scenes = ["sh3d_living"]
        bench(arguments)


def bench(arguments: argparse.Namespace) -> None:
    """Print a table for each room."""
    pieces = furniture_of(arguments)
    for name in arguments.scenes:
        scene = find_scene(str(name), SCENES_DIR)
        source = FrameSource(scene, max_frames=len(scene.view_names), photo=False)
        frames = [source.frame(view) for view in scene.view_names]
        bench_room(scene.name, frames, seeds=arguments.seeds, only=arguments.only)
    for seed in range(arguments.first, arguments.first + arguments.rooms):
        frames = procedural_room(FIRST_ROOM + seed, pieces=pieces)
        bench_room(f"procedural room {seed}", frames, seeds=arguments.seeds, only=arguments.only)


if __name__ == "__main__":
    main()
