"""Prints how well and how fast grouping works: `python tests/bench/bench_grouping.py [SCENE ...] [--quick]`.

For each scene and each way of spoiling it, one row for: geometry only, VLM only, both, and threshold + connected components (of
the links of "both"). The judge is SIMULATED (sensitivity 0.94, specificity 0.91, independent errors) and says what grouping makes
of such a judge; `--judge NAME` asks a real one instead, in fewer conditions. `--rooms N` adds N procedural rooms, of parametric
pieces or, with `--furniture DIR --held-out TSV`, of models that the bundled judge was not trained on.
Then calls per mask against views, and time and memory against masks.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from engine.assets import SCENES_DIR
from engine.grouping import pipeline
from engine.grouping.geometry import tabulate_masks
from engine.grouping.metrics import score_masks
from engine.grouping.pipeline import GroupingOptions, GroupingRun, group_frames
from engine.rendering import make_renderer, shade
from engine.scenes import find_scene
from engine.scenes.procedural import make_room
from engine.scenes.procedural_pieces import Piece
from engine.types import Frame, MaskKey, MaskPair
from engine.views.frames import FrameSource
from finetune.bundled.pretrain_crops import load_pieces
from tests.bench.tiny_sizes import add_tiny_option, tiny_scene
from tests.grouping_rooms import SimulatedJudge, components, shake, without_geometry

PIECE = 10_000_000
OVER_TWO = "10 % over two objects"
FIRST_ROOM = 900_000
"""Seed of the first procedural room: far from those that models are trained on."""


def split(frames: Sequence[Frame], rate: float) -> list[Frame]:
    """Cut masks in two across a random direction; the second piece's id is its object's plus PIECE."""
    rng = np.random.default_rng(0)
    pieces: list[Frame] = []
    for frame in frames:
        ids = frame.instance_map.copy()
        for mask, area in sorted(frame.mask_areas.items()):
            if area >= 40 and rng.random() < rate:
                rows, columns = np.nonzero(frame.instance_map == mask)
                angle = rng.uniform(0, np.pi)
                along = np.cos(angle) * columns + np.sin(angle) * rows
                beyond = along > np.quantile(along, rng.uniform(0.35, 0.65))
                ids[rows[beyond], columns[beyond]] = PIECE + mask
        pieces.append(replace(frame, instance_map=ids))
    return pieces


def fuse(frames: Sequence[Frame], rate: float) -> tuple[list[Frame], np.ndarray]:
    """Make one mask of two neighbours here and there; returns the frames and each mask's larger object, (N,), in table order."""
    rng = np.random.default_rng(0)
    fused: list[Frame] = []
    truth: list[int] = []
    for frame in frames:
        ids, areas = frame.instance_map.copy(), frame.mask_areas
        left, right = ids[:, :-1].ravel(), ids[:, 1:].ravel()
        touching = (left != right) & (left >= 0) & (right >= 0)
        sides = np.sort(np.stack([left[touching], right[touching]], axis=1), axis=1)
        pairs, borders = np.unique(sides, axis=0, return_counts=True)
        owner: dict[int, int] = {}
        taken: set[int] = set()
        for (a, b), border in zip(pairs.tolist(), borders.tolist(), strict=True):
            is_free = border >= 8 and not taken & {a, b} and min(areas[a], areas[b]) > 0.25 * max(areas[a], areas[b])
            if is_free and rng.random() < rate:
                ids[ids == b] = a
                taken |= {a, b}
                owner[a] = a if areas[a] >= areas[b] else b
        fused.append(replace(frame, instance_map=ids))
        truth.extend(owner.get(mask, mask) for mask in sorted(fused[-1].mask_areas))
    return fused, np.array(truth, np.int32)


def truth_of(frames: Sequence[Frame]) -> np.ndarray:
    """Object of each mask, (N,), in table order."""
    return np.array([mask % PIECE for frame in frames for mask in sorted(frame.mask_areas)], np.int32)


class RememberingJudge:
    """A real judge on a scene's frames that is asked about each pair once, however many runs ask."""

    def __init__(self, name: str, source: FrameSource | MadeFrames) -> None:
        from engine.grouping.pair_judge import FramePairJudge
        from engine.judging.registry import load_judge

        self._judge = FramePairJudge(load_judge(name), source)
        self._answers: dict[MaskPair, float] = {}

    def ask(self, pairs: Sequence[MaskPair]) -> list[float]:
        """Return the probability of "same" for each pair."""
        new = [pair for pair in pairs if pair not in self._answers]
        self._answers.update(zip(new, self._judge.ask(new), strict=True))
        return [self._answers[pair] for pair in pairs]

    def embed(self, keys: Sequence[MaskKey]) -> np.ndarray | None:
        """Return the masks' looks, as the judge sees them."""
        return self._judge.embed(keys)


class MadeFrames:
    """A made-up room's frames by view, as a scene's would be read."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = {frame.view: frame for frame in frames}

    def frame(self, view: str) -> Frame:
        """Return one view."""
        return self._frames[view]


def bench_real(name: str, frames: list[Frame], judge: RememberingJudge, label: str, *, looks_only: bool = False) -> None:
    """Print the table of one scene with a real judge."""
    print(f"\n## {name}: ARI over masks ({len(frames)} views, {len(truth_of(frames))} masks, judge {label})\n")
    print_head(
        ["poses", "geometry", "VLM", "both", "threshold + components", "calls a mask (VLM / both)", "judge right on what VLM asked"]
    )
    conditions = [
        ("perfect poses", frames, True),
        ("5 cm, 1.4 deg, no repair", shake(frames, sigma_m=0.05, sigma_deg=1.4), False),
        ("no depth, no poses", without_geometry(frames), False),
    ]
    for condition, spoiled, repair in conditions[2:] if looks_only else conditions:
        truth = truth_of(spoiled)
        cells: dict[str, GroupingRun] = {}
        for evidence in ("geometry", "vlm", "both"):
            if evidence == "geometry" and spoiled[0].depth is None:
                continue
            options = GroupingOptions(evidence=evidence, repair=repair, lift=False)
            cells[evidence] = group_frames(spoiled, truth=truth, options=options, judge=None if evidence == "geometry" else judge)
        aris = [f"{cells[e].mask_scores.ari:.3f}" if e in cells else "-" for e in ("geometry", "vlm", "both")]
        baseline = score_masks(truth, components(cells["both"].graph)).ari
        calls = f"{cells['vlm'].calls / len(truth):.1f} / {cells['both'].calls / len(truth):.1f}"
        graph = cells["vlm"].graph
        a, b = graph.evidence.pairs[graph.asked].T
        right = (graph.p_same[graph.asked] >= 0.5) == (truth[a] == truth[b])
        print(f"| {condition} | {' | '.join(aris)} | {baseline:.3f} | {calls} | {right.mean():.2f} |", flush=True)


def add_furniture_options(parser: argparse.ArgumentParser) -> None:
    """Let procedural rooms be furnished with models; `furniture_of` reads them."""
    parser.add_argument("--furniture", type=Path, help="folder of .sh3f libraries whose validation models furnish procedural rooms")
    parser.add_argument("--held-out", type=Path, help="table of models that may not be used; needed with --furniture")


def furniture_of(arguments: argparse.Namespace) -> list[Piece]:
    """Return the models that were asked for, none for parametric rooms."""
    if (arguments.furniture is None) != (arguments.held_out is None):
        raise SystemExit("One of --furniture and --held-out was given; give both, or neither for parametric rooms.")
    return load_pieces(arguments.furniture, arguments.held_out, "val") if arguments.furniture else []


def procedural_room(seed: int, views: int = 40, pieces: Sequence[Piece] = ()) -> list[Frame]:
    """Return a made-up room as frames of 640x360."""
    room = make_room(seed, pieces, view_count=views, image_size=(640, 360))
    renderer = make_renderer(room.mesh, "embree")
    frames: list[Frame] = []
    for view in room.views:
        image = shade(renderer.rasterize(view.camera, view.pose), room.mesh, view.camera, view.pose)
        frames.append(Frame(view.name, image.rgb, image.instance_map, image.depth, view.camera, view.pose))
    return frames


def print_head(columns: Sequence[str]) -> None:
    """Print a table's head."""
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)


def bench_scene(name: str, frames: list[Frame], *, quick: bool) -> None:
    """Print the table of one scene."""
    conditions: list[tuple[str, list[Frame], bool]] = [
        ("perfect poses", frames, True),
        ("2 cm, 0.5 deg", shake(frames, sigma_m=0.02, sigma_deg=0.5), True),
        ("5 cm, 1.4 deg", shake(frames, sigma_m=0.05, sigma_deg=1.4), True),
        ("30 % split", split(frames, 0.3), True),
        ("every 4th view", frames[::4], True),
        ("every 4th, 5 cm", shake(frames[::4], sigma_m=0.05, sigma_deg=1.4), True),
        ("no depth, no poses", without_geometry(frames), True),
    ]
    if not quick:
        conditions.insert(3, ("2 cm, no repair", shake(frames, sigma_m=0.02, sigma_deg=0.5), False))
        conditions.insert(4, ("5 cm, no repair", shake(frames, sigma_m=0.05, sigma_deg=1.4), False))
    print(f"\n## {name}: ARI over masks ({len(frames)} views, {len(truth_of(frames))} masks, simulated judge 0.94 / 0.91)\n")
    columns = ["poses and masks", "geometry", "VLM (simulated)", "both", "threshold + components", "calls a mask (VLM / both)"]
    print_head([*columns, "pose error cm", "s"])
    over_two, owners = fuse(frames, 0.2)
    conditions.insert(-3, (OVER_TWO, over_two, True))
    for condition, spoiled, repair in conditions:
        truth = owners if condition == OVER_TWO else truth_of(spoiled)
        has_geometry = spoiled[0].depth is not None
        cells: dict[str, GroupingRun] = {}
        for evidence in ("geometry", "vlm", "both"):
            if evidence == "geometry" and not has_geometry:
                continue
            judge = None if evidence == "geometry" else SimulatedJudge(spoiled, truth)
            options = GroupingOptions(evidence=evidence, repair=repair, lift=False)
            cells[evidence] = group_frames(spoiled, truth=truth, options=options, judge=judge)
        both = cells["both"]
        error = both.registration
        aris = [f"{cells[e].mask_scores.ari:.3f}" if e in cells else "-" for e in ("geometry", "vlm", "both")]
        baseline = score_masks(truth, components(both.graph)).ari
        first = cells.get("geometry", cells["vlm"])
        calls = f"{cells['vlm'].calls / len(truth):.1f} / {both.calls / len(truth):.1f}"
        found = f"{100 * error.error_before_m:.1f} -> {100 * error.error_after_m:.1f}"
        print(
            f"| {condition} | {' | '.join(aris)} | {baseline:.3f} | {calls} | {found} | {sum(first.seconds.values()):.1f} |",
            flush=True,
        )


def bench_calls(frames: list[Frame]) -> None:
    """Print calls per mask as views double, on poses that are off by 2 cm and not repaired."""
    print("\n## Calls per mask as views double (both, 2 cm, no repair, default budget)\n")
    print_head(["views", "masks", "calls a mask", "ARI"])
    for step in (8, 4, 2, 1):
        some = shake(frames[::step], sigma_m=0.02, sigma_deg=0.5)
        truth = truth_of(some)
        options = GroupingOptions(evidence="both", repair=False, lift=False)
        run = group_frames(some, truth=truth, options=options, judge=SimulatedJudge(some, truth))
        print(f"| {len(some)} | {len(truth)} | {run.calls / len(truth):.2f} | {run.mask_scores.ari:.3f} |", flush=True)


def bench_size(frames: list[Frame], *, most: int) -> None:
    """Print time and memory as rooms are set side by side, each a copy 20 m off, up to `most` masks."""
    print("\n## Time and memory, geometry without repair\n")
    print_head(["masks", "views", "s", "of which cut", "peak memory so far GB"])
    masks = len(tabulate_masks(frames))
    for copies in sorted({1, 2, 4, 8, max(1, most // masks)}):
        if copies * masks > most + masks:
            break
        many: list[Frame] = []
        for copy in range(copies):
            for frame in frames:
                pose = frame.pose.copy()
                pose[0, 3] += 20.0 * copy
                many.append(replace(frame, view=f"{copy}_{frame.view}", pose=pose))
        started = time.perf_counter()
        run = group_frames(many, options=GroupingOptions(repair=False, lift=False))
        took = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"| {len(run.graph.keys)} | {len(many)} | {took:.2f} | {run.seconds['cut']:.2f} | {peak:.2f} |", flush=True)


def main(given: Sequence[str] | None = None) -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", nargs="*", default=["sh3d_living"], help="scene folders or bundled scenes")
    parser.add_argument("--quick", action="store_true", help="leave out poses that are not repaired, and large sizes")
    parser.add_argument("--skip-size", action="store_true", help="leave out time and memory")
    parser.add_argument("--judge", help="ask this judge (base, tuned, a folder ...) instead of a simulated one")
    parser.add_argument("--looks-only", action="store_true", help="with --judge: only the row without depth and poses")
    parser.add_argument("--every", type=int, default=1, help="use every n-th view only")
    parser.add_argument("--rooms", type=int, default=0, help="number of procedural rooms to add")
    parser.add_argument("--vision-weight", type=float, default=pipeline.VISION_WEIGHT, help="of embeddings beside colours")
    add_furniture_options(parser)
    add_tiny_option(parser)
    arguments = parser.parse_args(given)
    with ExitStack() as until:
        if arguments.tiny:
            arguments.scenes, arguments.quick, most = [until.enter_context(tiny_scene())], True, 1
        else:
            most = 2000 if arguments.quick else 20_000
        bench(arguments, most=most)


def bench(arguments: argparse.Namespace, *, most: int) -> None:
    """Print what was asked for, with rooms of up to `most` masks side by side."""
    pipeline.VISION_WEIGHT = arguments.vision_weight
    pieces = furniture_of(arguments)
    for number, name in enumerate(arguments.scenes):
        scene = find_scene(str(name), SCENES_DIR)
        source = FrameSource(scene, max_frames=len(scene.view_names), photo=arguments.judge is not None)
        frames = [source.frame(view) for view in scene.view_names][:: arguments.every]
        if arguments.judge:
            judge = RememberingJudge(arguments.judge, source)
            bench_real(scene.name, frames, judge, arguments.judge, looks_only=arguments.looks_only)
            continue
        bench_scene(scene.name, frames, quick=arguments.quick)
        if number == 0 and not arguments.quick:
            bench_calls(frames)
        if number == 0 and not arguments.skip_size:
            bench_size(frames, most=most)
    for seed in range(arguments.rooms):
        name, frames = f"procedural room {seed}", procedural_room(FIRST_ROOM + seed, pieces=pieces)[:: arguments.every]
        if arguments.judge:
            judge = RememberingJudge(arguments.judge, MadeFrames(frames))
            bench_real(name, frames, judge, arguments.judge, looks_only=arguments.looks_only)
        else:
            bench_scene(name, frames, quick=arguments.quick)


if __name__ == "__main__":
    main()
