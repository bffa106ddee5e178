"""What retraining is worth on scenes that it was not trained on: look-alikes and random negatives, base against tuned.

    python -m tests.bench.bench_training table --adapter DIR --scene DIR --rooms 20 --furniture DIR --held-out TSV
    python -m tests.bench.bench_training breakdown --scene DIR --rooms 15 --furniture DIR --held-out TSV
    python -m tests.bench.bench_training curve --train DIR --train DIR --test DIR --pairs 50 --pairs 200 --pairs 1000

`table` asks the app's judges; alone it takes what ships. `breakdown` says where the base is right. `curve` trains language-only
adapters on ever more pairs, with hard and with random negatives, and with corrections of a simulated annotator (pairs that the base
gets wrong, 5 % of the answers flipped) alone and beside generated ones; vision features are computed once for all. Identical
copies are left out, as no crop tells them apart.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from engine.assets import SCENES_DIR, TUNED_ADAPTER
from engine.errors import ModelError
from engine.judging.base import CropPair, Judge
from engine.judging.registry import load_judge
from engine.types import MaskPair, UInt8Array
from finetune.bundled.pretrain_eval import MasksByModel, Style, room_tables, sample_pairs, scene_table
from finetune.config import TrainConfig
from finetune.data import pairs as pairs_module
from finetune.data.corrections import SettledPair
from finetune.data.pairs import DataSettings, build_data_set
from finetune.data.scene_pool import ScenePool, open_pool
from finetune.training.base import prompt_of
from finetune.training.loop import Trainer
from finetune.training.lora import Answerer, ProcessedCrop, Question, add_adapter, load_base
from tests.bench.tiny_sizes import add_tiny_option, tiny_scene

STYLES: tuple[Style, ...] = ("same", "random", "look_alike")
FLIPPED = 0.05


@dataclass(frozen=True)
class Figures:
    """Shares of right answers: over half same and half look-alike, half same and half random, and each side alone."""

    alike: float
    random: float
    recall: float
    specificity: float

    @classmethod
    def of(cls, right: dict[Style, float]) -> Figures:
        """Join the shares of each kind of pair."""
        same, alike, other = right["same"], right["look_alike"], right["random"]
        return cls((same + alike) / 2, (same + other) / 2, same, alike)

    def __str__(self) -> str:
        parts = (self.alike, self.random, self.recall, self.specificity)
        return " | ".join(f"{part:.3f}" for part in parts)


HEADER = (
    "| test | judge | accuracy, look-alikes | accuracy, random | recall | specificity, look-alikes |\n|---|---|---|---|---|---|"
)


def crops_of(tables: Sequence[MasksByModel], count: int) -> dict[Style, list[CropPair]]:
    """Draw `count` pairs of every kind."""
    found: dict[Style, list[CropPair]] = {}
    for style in STYLES:
        drawn = sample_pairs(tables, style, count, seed=0)
        found[style] = [CropPair(*(t.crop(int(t.views[m]), int(t.instances[m])) for m in (i, j))) for t, i, j in drawn]
    return found


def measure(judge: Judge, drawn: dict[Style, list[CropPair]]) -> Figures:
    """Ask a judge."""
    shares = {
        style: float(np.mean([(verdict.answer == "same") == (style == "same") for verdict in judge.judge(pairs)]))
        for style, pairs in drawn.items()
    }
    return Figures.of(shares)


def table(args: argparse.Namespace) -> None:
    """Print base against tuned."""
    judges = [load_judge("base"), *(load_judge("base", adapter=folder, name=folder.resolve().name) for folder in args.adapter)]
    print(HEADER, flush=True)
    tests = [(folder.name, lambda folder=folder: [scene_table(folder)]) for folder in args.scene]
    if args.rooms:
        tests.append((f"{args.rooms} held-out rooms", lambda: room_tables(args.rooms, args.furniture, args.held_out)))
    for name, make in tests:
        drawn = crops_of(make(), args.count // 2)
        for judge in judges:
            print(f"| {name} | {judge.name} | {measure(judge, drawn)} |", flush=True)


def breakdown(args: argparse.Namespace) -> None:
    """Print where the base is right: by the smaller crop's pixels and by the darker crop's brightness, look-alikes as negatives."""
    judge = load_judge("base")
    tables = [scene_table(folder) for folder in args.scene]
    tables += room_tables(args.rooms, args.furniture, args.held_out) if args.rooms else []
    drawn = crops_of(tables, args.count // 2)
    print("| smaller of both | recall | pairs | specificity, look-alikes | pairs |\n|---|---|---|---|---|", flush=True)
    kinds: dict[Style, NDArray[np.float64]] = {}
    for style in ("same", "look_alike"):
        said = [(verdict.answer == "same") == (style == "same") for verdict in judge.judge(drawn[style])]
        least = [np.minimum(_extent(pair.a), _extent(pair.b)) for pair in drawn[style]]
        kinds[style] = np.column_stack([said, least])
    for column, what, edges in ((1, "pixels", (0, 400, 1600, 6400, np.inf)), (2, "brightness", (0, 30, 60, 256))):
        for low, high in pairwise(edges):
            parts = [rows[(rows[:, column] >= low) & (rows[:, column] < high), 0] for rows in kinds.values()]
            cells = " | ".join(f"{part.mean():.3f} | {len(part)}" if len(part) else "- | 0" for part in parts)
            print(f"| {what} {low:g} to {high:g} | {cells} |", flush=True)


def _extent(crop: UInt8Array) -> NDArray[np.float64]:
    """Return how many pixels of a crop are not black, and their mean."""
    seen = crop.max(axis=2) > 0
    return np.array([seen.sum(), crop[seen].mean() if seen.any() else 0.0])


class Curve:
    """Trains on cached features and measures on cached features."""

    def __init__(self, train: Sequence[Path], test: Sequence[Path], count: int) -> None:
        self.config = TrainConfig(scenes=tuple(map(str, train)), language_only=True)
        base, self.processor, _ = load_base(self.config)
        self._base = Answerer(base.eval(), self.processor, prompt_of(self.config), trains_vision=False)
        self._known: dict[int, tuple[UInt8Array, ProcessedCrop]] = {}
        self.pools = [open_pool(folder, role="train") for folder in train]
        self.tests = {folder.name: crops_of([scene_table(folder)], count // 2) for folder in test}
        self.judge = load_judge("base", both_orders=False)

    def pictures(self, crops: Sequence[UInt8Array]) -> list[ProcessedCrop]:
        """Return crops with their features, each computed once."""
        missing = {id(crop): crop for crop in crops if id(crop) not in self._known}
        made = self._base.with_features([self._base.picture(crop) for crop in missing.values()])
        self._known |= {key: (crop, made[i]) for i, (key, crop) in enumerate(missing.items())}
        return [self._known[id(crop)][1] for crop in crops]

    def ask(self, pool: ScenePool, pairs: Sequence[MaskPair]) -> list[float]:
        """Return the base's P(same)."""
        return [v.p_same for v in self.judge.judge([CropPair(pool.crops[p.a], pool.crops[p.b]) for p in pairs])]

    def correct(self, count: int) -> list[SettledPair]:
        """Return what a simulated annotator said about the pairs that the base gets most wrong, right in 95 % of the cases."""
        rng = np.random.default_rng(7)
        share = max(count // len(self.pools), 2)
        said: list[SettledPair] = []
        for pool in self.pools:
            drawn = self._data([pool], [], DataSettings(4 * share, 2, 2, "random", 99)).training
            wrong = [abs(p - pair.is_same) for p, pair in zip(self.ask(pool, [x.pair for x in drawn]), drawn, strict=True)]
            for i in np.argsort(wrong)[::-1][:share]:
                answer = drawn[i].is_same != (rng.random() < FLIPPED)
                said.append(SettledPair(pool.name, drawn[i].pair.canonical(), "same" if answer else "different", "majority"))
        return said

    def _data(self, pools: Sequence[ScenePool], labels: Sequence[SettledPair], settings: DataSettings):
        # Nothing is held back here: the test scenes judge.
        with mock.patch.object(pairs_module, "_evaluation_pairs", return_value={"": (1,)}):
            return build_data_set(pools, labels, settings, mine=self.ask)

    def train(self, **changes: object) -> dict[str, Figures]:
        """Train with other settings and measure on every test scene."""
        labels: list[SettledPair] = changes.pop("labels", [])  # type: ignore[assignment]
        only = bool(changes.pop("labels_only", False))
        config = replace(self.config, **changes)  # type: ignore[arg-type]
        data = self._data(self.pools, labels, DataSettings(2 if only else config.pairs, 2, 60, config.negatives, 0))
        by_name = {pool.name: pool for pool in self.pools}
        model = add_adapter(load_base(config)[0], config)
        answerer = Answerer(model, self.processor, prompt_of(config), trains_vision=False)
        asked = [
            Question(*self.pictures([by_name[p.scene].crops[p.pair.a], by_name[p.scene].crops[p.pair.b]]), p.is_same)
            for p in data.training
        ]
        Trainer(answerer, config, [[question] for question in asked], [], None).run()
        return self.measure(answerer)

    @torch.no_grad()
    def measure(self, answerer: Answerer | None = None) -> dict[str, Figures]:
        """Return the figures of an adapter, or of the base."""
        used = answerer or self._base
        used.model.eval()
        found: dict[str, Figures] = {}
        for name, drawn in self.tests.items():
            right: dict[Style, float] = {}
            for style, pairs in drawn.items():
                asked = [Question(*self.pictures([p.a, p.b]), True) for p in pairs]
                margins = []
                for start in range(0, len(asked), 100):
                    part = asked[start : start + 100]
                    yes, no = used.log_odds([*part, *(Question(q.b, q.a, True) for q in part)])
                    margins.append((yes - no).view(2, -1).mean(dim=0))
                right[style] = float(((torch.cat(margins) >= 0) == (style == "same")).float().mean())
            found[name] = Figures.of(right)
        return found


def curve(args: argparse.Namespace) -> None:
    """Print the learning curve."""
    runner = Curve(args.train, args.test, args.count)
    print(HEADER.replace("judge", "training"), flush=True)

    def show(what: str, found: dict[str, Figures]) -> None:
        for name, figures in found.items():
            print(f"| {name} | {what} | {figures} |", flush=True)

    show("none", runner.measure())
    for count in args.pairs:
        for negatives in ("hard", "random"):
            began = time.perf_counter()
            found = runner.train(pairs=count, negatives=negatives, learning_rate=args.rate)
            show(f"{count} pairs, {negatives} negatives, {time.perf_counter() - began:.0f} s", found)
    if args.corrections:
        said = runner.correct(args.corrections)
        show(f"{len(said)} corrections alone", runner.train(labels=said, labels_only=True, learning_rate=args.rate))
        both = len(said) + 1000
        show(f"{len(said)} corrections + 1000 generated", runner.train(labels=said, pairs=both, learning_rate=args.rate))


def main(given: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_training", description=__doc__)
    # Alone, for `make bench`: what ships, on the room that ships.
    parser.set_defaults(run=table, adapter=[TUNED_ADAPTER], scene=[SCENES_DIR / "sh3d_living"], rooms=0, count=1000)
    add_tiny_option(parser)
    commands = parser.add_subparsers()
    one = commands.add_parser("table")
    one.add_argument("--adapter", type=Path, action="append", required=True)
    one.add_argument("--scene", type=Path, action="append", default=[])
    one.add_argument("--rooms", type=int, default=0)
    one.add_argument("--furniture", type=Path)
    one.add_argument("--held-out", type=Path)
    one.add_argument("--count", type=int, default=1000, help="pairs of each kind of negative, half of them the same object")
    one.set_defaults(run=table)
    three = commands.add_parser("breakdown", help="where the base is right")
    three.add_argument("--scene", type=Path, action="append", default=[])
    three.add_argument("--rooms", type=int, default=0)
    three.add_argument("--furniture", type=Path)
    three.add_argument("--held-out", type=Path)
    three.add_argument("--count", type=int, default=2000)
    three.set_defaults(run=breakdown)
    two = commands.add_parser("curve")
    two.add_argument("--train", type=Path, action="append", required=True)
    two.add_argument("--test", type=Path, action="append", required=True)
    two.add_argument("--pairs", type=int, action="append", default=[])
    two.add_argument("--corrections", type=int, default=0, help="how many a simulated annotator gives")
    two.add_argument("--count", type=int, default=1000)
    two.add_argument("--rate", type=float, default=TrainConfig.learning_rate)
    two.set_defaults(run=curve)
    args = parser.parse_args(given)
    with ExitStack() as until:
        if args.tiny:
            args.scene, args.count = [until.enter_context(tiny_scene())], 8
        try:
            args.run(args)
        except ModelError as error:
            parser.error(str(error))


if __name__ == "__main__":
    main()
