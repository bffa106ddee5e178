"""Prints how much a judge could gain at most if it saw what surrounds a mask, beside the mask itself.

    python -m tests.bench.bench_surroundings [SCENE_DIR SCENE_DIR]

On each scene a logistic regression is fitted to pairs, and measured on the other scene: on the base's log-odds alone; with the
likeness of the colours around both masks; and with an oracle that knows from the ground truth which objects stand around each mask
(identical copies count as one object, as no picture tells them apart). The oracle's rows say about how much a prompt with
surroundings could bring: it knows what no picture shows, but weighs only how much the neighbours of both masks have in common.
Without scenes: the bundled one, and a procedural room.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from engine.assets import SCENES_DIR
from engine.judging.base import CropPair, Judge
from engine.judging.calibration.fit import margin_of
from engine.judging.registry import load_judge
from engine.scenes import open_scene
from engine.types import NOTHING, Frame
from engine.views.appearance import BINS, LOOKS
from engine.views.crops import bounding_box, crop_on_black
from engine.views.frames import FrameSource
from engine.views.identical_copies import find_identical_copies
from finetune.bundled.pretrain_eval import Style, sample_pairs, table_of_maps
from finetune.bundled.training_rooms import write_rooms
from tests.bench.bench_grouping import print_head
from tests.bench.tiny_sizes import add_tiny_option, tiny_scene

STYLES: tuple[Style, ...] = ("same", "look_alike", "identical")
MARGINS = (0.5, 1.0)
"""Surroundings on each side, as shares of the mask's longer side."""
MIN_MARGIN_PX = 24
COLUMNS = {"base": [0], "base + colours around it": [0, 1, 2], "base + oracle of its neighbours": [0, 3, 4]}


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What lies around a mask, for each margin: colours (LOOKS,) and share of each object, both square-rooted."""

    colors: tuple[NDArray[np.float64], ...]
    objects: tuple[dict[int, float], ...]


def surroundings_of(frame: Frame, instance: int, copies: dict[int, int]) -> Surroundings:
    """Describe the surroundings of one mask."""
    mask = frame.instance_map == instance
    box = bounding_box(mask)
    side = max(box.x1 - box.x0, box.y1 - box.y0) + 1
    colors: list[NDArray[np.float64]] = []
    objects: list[dict[int, float]] = []
    for margin in MARGINS:
        cut = box.padded(max(round(margin * side), MIN_MARGIN_PX), mask.shape[1], mask.shape[0]).slices
        around = ~mask[cut]
        bins = frame.rgb[cut][around].astype(np.int64) * BINS // 256
        counts = np.bincount((bins[:, 0] * BINS + bins[:, 1]) * BINS + bins[:, 2], minlength=LOOKS)
        colors.append(np.sqrt(counts / max(counts.sum(), 1)))
        ids, sizes = np.unique(frame.instance_map[cut][around], return_counts=True)
        shares: dict[int, float] = {}
        for one, size in zip(ids.tolist(), sizes.tolist(), strict=True):
            if one != NOTHING:
                shares[copies.get(one, one)] = shares.get(copies.get(one, one), 0.0) + size / sizes.sum()
        objects.append({one: float(np.sqrt(share)) for one, share in shares.items()})
    return Surroundings(tuple(colors), tuple(objects))


def measure_scene(folder: Path, judge: Judge, count: int) -> dict[Style, NDArray[np.float64]]:
    """Return for each kind of pair (P, 5): the base's log-odds, likeness of colours, likeness of neighbours, at both margins."""
    scene = open_scene(folder)
    source = FrameSource(scene, backend="embree", max_frames=len(scene.view_names))
    frames = [source.frame(name) for name in scene.view_names]
    copies = find_identical_copies(scene.mesh) if scene.mesh is not None else {}
    maps = [frame.instance_map for frame in frames]
    table = table_of_maps(maps, copies, lambda v, i: crop_on_black(frames[v].rgb, maps[v] == i))
    around: dict[int, Surroundings] = {}

    def look(mask: int) -> Surroundings:
        if mask not in around:
            around[mask] = surroundings_of(frames[int(table.views[mask])], int(table.instances[mask]), copies)
        return around[mask]

    found: dict[Style, NDArray[np.float64]] = {}
    for style in STYLES:
        drawn = sample_pairs([table], style, count, seed=0)
        crops = [CropPair(*(table.crop(int(table.views[m]), int(table.instances[m])) for m in (i, j))) for _, i, j in drawn]
        margins = [margin_of(verdict.p_same) for verdict in judge.judge(crops)]
        rows = []
        for (_, i, j), margin in zip(drawn, margins, strict=True):
            a, b = look(i), look(j)
            hues = [float(x @ y) for x, y in zip(a.colors, b.colors, strict=True)]
            things = [sum(w * y.get(one, 0.0) for one, w in x.items()) for x, y in zip(a.objects, b.objects, strict=True)]
            rows.append([margin, *hues, *things])
        found[style] = np.asarray(rows).reshape(-1, 1 + 2 * len(MARGINS))
    return found


def main(given: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_surroundings", description=__doc__)
    parser.add_argument("scenes", type=Path, nargs="*")
    parser.add_argument("--pairs", type=int, default=500, help="of each kind")
    add_tiny_option(parser)
    args = parser.parse_args(given)
    if len(args.scenes) not in (0, 2):
        parser.error(f"{len(args.scenes)} scenes were given, expected two or none; name one to fit on and one to measure on.")
    judge = load_judge("base")
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as until:
        if args.tiny:
            args.scenes, args.pairs = [until.enter_context(tiny_scene()) for _ in range(2)], 8
        folders = args.scenes or [SCENES_DIR / "sh3d_living", *write_rooms(Path(scratch), 1)]
        first, second = ((folder.name, measure_scene(folder, judge, args.pairs)) for folder in folders)
    print_head(["fitted on", "measured on", "judge", "accuracy, look-alikes", "recall", "accuracy, copies (fitted on copies)"])
    for (fitted, known), (tested, open_pairs) in ((first, second), (second, first)):
        for what, used in COLUMNS.items():
            accuracy, recall = {}, {}
            for negative in STYLES[1:]:
                same, other = (known[style][:, used] for style in ("same", negative))
                asked, wrong = (open_pairs[style][:, used] for style in ("same", negative))
                if not all(map(len, (same, other, asked, wrong))):
                    accuracy[negative] = recall[negative] = float("nan")
                    continue
                truth = np.repeat([1, 0], [len(same), len(other)])
                model = LogisticRegression(C=10, class_weight="balanced", max_iter=2000).fit(np.concatenate([same, other]), truth)
                recall[negative] = float(model.predict(asked).mean())
                accuracy[negative] = (recall[negative] + 1 - float(model.predict(wrong).mean())) / 2
            cells = (accuracy["look_alike"], recall["look_alike"], accuracy["identical"])
            print(f"| {fitted} | {tested} | {what} | {' | '.join(f'{cell:.3f}' for cell in cells)} |", flush=True)


if __name__ == "__main__":
    main()
