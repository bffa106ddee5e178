"""Prints how many labels each queue needs: `python tests/bench/bench_queues.py [SCENE ...] [--most 3000]`.

A simulated annotator answers from ground truth. The scene's poses are off by 5 cm (1.4 degrees) and are not repaired, so that
there is something to correct; groups start from geometry alone. The judges that some queues need are SIMULATED too (base 0.80 /
0.80, tuned 0.94 / 0.91, independent errors); their answers order those queues and stay out of the groups. After each batch of
labels the groups are cut again with all labels as constraints, spread over the masks that go with them; a queue is done when ARI
over masks has reached the goal.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from engine.assets import SCENES_DIR
from engine.grouping.constraints import Constraint
from engine.grouping.graph import cut
from engine.grouping.metrics import score_masks
from engine.grouping.pipeline import GroupingOptions, GroupingRun, group_frames
from engine.review.label_spread import find_supernodes, spread_labels
from engine.review.link_values import value_links
from engine.review.queues import LinkPool, QueueKind, order_links
from engine.scenes import find_scene
from engine.types import Frame, MaskPair
from engine.views.appearance import describe_masks
from engine.views.frames import FrameSource
from tests.bench.tiny_sizes import add_tiny_option, tiny_scene
from tests.grouping_rooms import SimulatedJudge, shake

MEASURED: tuple[QueueKind, ...] = ("random", "impact", "uncertain", "disagreement", "geometry", "diverse")


def label_until(
    kind: QueueKind, run: GroupingRun, truth: np.ndarray, frames: list[Frame], *, goal: float, most: int, batch: int, seed: int
) -> tuple[int | None, float, list[tuple[int, float]]]:
    """Return labels needed for the goal (None = not reached), the last ARI, and (labels, ARI) after each batch."""
    graph = run.graph
    pairs = [MaskPair(graph.keys[a], graph.keys[b]) for a, b in graph.evidence.pairs.tolist()]
    answers = [
        np.asarray(SimulatedJudge(frames, truth, sensitivity=a, specificity=b, seed=seed + k).ask(pairs), np.float32)
        for k, (a, b) in enumerate(((0.80, 0.80), (0.94, 0.91)))
    ]
    described = np.concatenate([describe_masks(frame) for frame in frames])
    same = truth[graph.evidence.pairs[:, 0]] == truth[graph.evidence.pairs[:, 1]]
    is_done = np.zeros(len(pairs), bool)
    constraints: list[Constraint] = []
    grouping = cut(graph)
    supernodes = find_supernodes(graph, grouping)
    told = graph
    curve = [(0, score_masks(truth, grouping.labels).ari)]
    while curve[-1][1] < goal and len(constraints) < most:
        values = value_links(told, grouping, constraints)
        pool = LinkPool(told, grouping, values, answers[1], answers[0], 0.5, described, is_done)
        links = order_links(kind, pool, seed=seed)[:batch]
        if len(links) == 0:
            break
        is_done[links] = True
        for link in links.tolist():
            constraints.append(Constraint(pairs[link].a, pairs[link].b, bool(same[link])))
        told = spread_labels(graph, supernodes, constraints)
        grouping = cut(told, constraints=constraints)
        curve.append((len(constraints), score_masks(truth, grouping.labels).ari))
    return (len(constraints) if curve[-1][1] >= goal else None), curve[-1][1], curve


def main(given: Sequence[str] | None = None) -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", nargs="*", default=["sh3d_living"], help="scene folders or bundled scenes")
    parser.add_argument("--goal", type=float, default=0.98)
    parser.add_argument("--most", type=int, default=4000, help="labels after which a queue gives up")
    parser.add_argument("--batch", type=int, default=10, help="labels between two cuts")
    parser.add_argument("--queues", nargs="*", default=list(MEASURED))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--curve", action="store_true", help="print ARI along the way")
    add_tiny_option(parser)
    arguments = parser.parse_args(given)
    with ExitStack() as until:
        if arguments.tiny:
            arguments.scenes, arguments.queues, arguments.most = [until.enter_context(tiny_scene())], ["random", "impact"], 20
        bench(arguments)


def bench(arguments: argparse.Namespace) -> None:
    """Print a table for each scene and each noise."""
    for name in arguments.scenes:
        scene = find_scene(str(name), SCENES_DIR)
        source = FrameSource(scene, max_frames=len(scene.view_names), photo=False)
        clean = [source.frame(view) for view in scene.view_names]
        truth = np.array([mask for frame in clean for mask in sorted(frame.mask_areas)], np.int32)
        for seed in range(arguments.seeds):
            frames = shake(clean, sigma_m=0.05, sigma_deg=1.4, seed=seed)
            run = group_frames(frames, truth=truth, options=GroupingOptions(repair=False, lift=False))
            print(
                f"\n## {scene.name}, noise seed {seed}: {len(frames)} views, {len(truth)} masks, {len(run.graph.evidence)} links, "
                f"ARI {run.mask_scores.ari:.3f} before any label\n"
            )
            print(f"| queue | labels to ARI {arguments.goal} | share of random's | s |\n|---|---|---|---|", flush=True)
            randoms: int | None = None
            for kind in arguments.queues:
                started = time.perf_counter()
                needed, reached, curve = label_until(
                    kind, run, truth, frames, goal=arguments.goal, most=arguments.most, batch=arguments.batch, seed=seed
                )
                if kind == "random":
                    randoms = needed
                share = f"{needed / randoms:.2f}" if needed and randoms else "-"
                words = str(needed) if needed is not None else f"not in {curve[-1][0]} (ARI {reached:.3f})"
                print(f"| {kind} | {words} | {share} | {time.perf_counter() - started:.0f} |", flush=True)
                if arguments.curve:
                    print("  ", [(n, round(a, 3)) for n, a in curve[:: max(1, len(curve) // 12)]], flush=True)


if __name__ == "__main__":
    main()
