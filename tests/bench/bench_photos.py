"""Prints how well photos alone are grouped: `python tests/bench/bench_photos.py [SCENE ...] [--rooms N] [--every N]`.

Depth and poses of each room are hidden. One row a room: what looks alone give, what the cameras found by
pycolmap add, both again with a judge (`--judge`), and the seconds of both parts. `--rooms N` adds N procedural rooms, of parametric
pieces or, with `--furniture DIR --held-out TSV`, of models. `--keep DIR` keeps the cameras that were found, for another run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from engine.assets import SCENES_DIR
from engine.grouping.pipeline import GroupingOptions, group_frames
from engine.photos.place import Photo, place_photos
from engine.photos.placed import PlacedPhotos, load_placed, nothing_placed, save_placed
from engine.scenes import find_scene
from engine.types import Frame
from engine.views.frames import FrameSource
from tests.bench.bench_grouping import (
    MadeFrames,
    RememberingJudge,
    add_furniture_options,
    furniture_of,
    print_head,
    procedural_room,
    truth_of,
)
from tests.bench.tiny_sizes import add_tiny_option
from tests.grouping_rooms import without_geometry
from tests.photo_rooms import textured_views

FIRST_ROOM = 910_000
"""Seed of the first procedural room; the method was chosen on rooms 900,000 to 900,003 and on the two rooms of furniture."""


def place(name: str, frames: Sequence[Frame], keep: Path | None) -> PlacedPhotos:
    """Find the cameras of a room's pictures, or read those that were kept."""
    file = None if keep is None else keep / f"{name.replace(' ', '_')}_{len(frames)}.npz"
    if file is not None and file.exists():
        return load_placed(file)
    placed = place_photos([Photo(frame.view, lambda rgb=frame.rgb: rgb) for frame in frames])
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_placed(placed, file)
    return placed


def bench_room(name: str, frames: Sequence[Frame], *, keep: Path | None, judge: str | None) -> tuple[float, float]:
    """Print one row; returns the ARI of looks alone and of photos."""
    truth, hidden = truth_of(frames), without_geometry(frames)
    started = time.perf_counter()
    placed = place(name, hidden, keep)
    placing = time.perf_counter() - started
    nothing = nothing_placed(placed.names, placed.sizes)
    asked = RememberingJudge(judge, MadeFrames(hidden)) if judge else None
    cells: list[str] = []
    aris: list[float] = []
    seconds = 0.0
    for found, evidence in ((nothing, "geometry"), (placed, "geometry"), *([(nothing, "vlm"), (placed, "both")] if asked else [])):
        options = GroupingOptions(evidence=evidence, photos=True, lift=False)
        started = time.perf_counter()
        run = group_frames(hidden, truth=truth, placed=found, options=options, judge=asked if evidence != "geometry" else None)
        if found is placed and evidence == "geometry":
            seconds = time.perf_counter() - started
        assert run.mask_scores is not None
        aris.append(run.mask_scores.ari)
        cells.append(f"{run.mask_scores.ari:.3f}")
    seen = f"{int(placed.is_placed.sum())} of {len(placed.names)}"
    objects = len(np.unique(truth))
    print(f"| {name} | {seen} | {len(truth)} | {objects} | {' | '.join(cells)} | {placing:.0f} | {seconds:.1f} |", flush=True)
    return aris[0], aris[1]


def main(given: Sequence[str] | None = None) -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", nargs="*", help="scene folders or bundled scenes; default: the bundled room")
    parser.add_argument("--rooms", type=int, default=0, help="number of procedural rooms to add")
    parser.add_argument("--first", type=int, default=FIRST_ROOM, help="seed of the first of them")
    parser.add_argument("--every", type=int, default=1, help="use every n-th view only")
    parser.add_argument("--judge", help="ask this judge too (base, tuned, a folder ...)")
    parser.add_argument("--keep", type=Path, help="folder in which cameras that were found are kept")
    add_furniture_options(parser)
    add_tiny_option(parser)
    arguments = parser.parse_args(given)
    rooms: list[tuple[str, Callable[[], Sequence[Frame]]]] = []
    if arguments.tiny:
        rooms.append(("textured room", lambda: textured_views(6)))
    else:
        for scene in arguments.scenes or ([] if arguments.rooms else ["sh3d_living"]):
            rooms.append((Path(scene).name, lambda scene=scene: frames_of(str(scene))[:: arguments.every]))
        pieces = furniture_of(arguments)
        for seed in range(arguments.first, arguments.first + arguments.rooms):
            rooms.append((f"room {seed}", lambda seed=seed: procedural_room(seed, pieces=pieces)[:: arguments.every]))
    print("\n## Photos alone: ARI over masks\n")
    columns = ["looks", "photos", *(["looks and judge", "photos and judge"] if arguments.judge else [])]
    print_head(["room", "placed", "masks", "objects", *columns, "s to place", "s to group"])
    scores = [bench_room(name, make(), keep=arguments.keep, judge=arguments.judge) for name, make in rooms]
    looks, photos = np.asarray(scores).T
    print(
        f"\nmean: looks {looks.mean():.3f}, photos {photos.mean():.3f}; worst: looks {looks.min():.3f}, photos {photos.min():.3f}"
    )


def frames_of(name: str) -> list[Frame]:
    """Return all frames of a scene, with its photos."""
    scene = find_scene(name, SCENES_DIR)
    source = FrameSource(scene, max_frames=len(scene.view_names))
    return [source.frame(view) for view in scene.view_names]


if __name__ == "__main__":
    main()
