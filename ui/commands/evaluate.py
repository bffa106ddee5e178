"""`maskgroup evaluate`: how good a judge is on scenes with ground truth; a stopped run goes on where it stopped."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from engine.evaluation.comparison.paired import TRAINED_FIELD
from engine.evaluation.metrics import METRICS, Scores, to_report
from engine.evaluation.pair_sampling import NegativeMode, SamplingSettings
from engine.evaluation.predictions import EvaluationError
from engine.evaluation.run import EvaluationSettings, evaluate_scene
from engine.scenes import find_scene
from engine.strict_json import to_json_text
from engine.views.frames import FrameSource
from ui.commands.judge_options import (
    DeviceOption,
    DtypeOption,
    FourBitOption,
    LoaderOption,
    ModelOption,
    PromptOption,
    ThresholdOption,
    choose_threshold,
)
from ui.commands.scene_options import FollowLinksOption, JsonOption, ScenesOption, list_left_out, tell_left_out, tell_lost
from ui.services.open_judge import choose_options, find_judge, find_trained_on, open_judge
from ui.settings import Settings


def evaluate(
    scene: Annotated[list[str], typer.Argument(help="Scene folders, or names in --scenes.")],
    out: Annotated[Path, typer.Option(help="Folder to write; <out>/<scene>/{predictions.jsonl,metrics.json}.")],
    model: ModelOption = "base",
    prompt: PromptOption = None,
    pairs: Annotated[int, typer.Option(help="Pairs of each scene; half are positive.")] = 300,
    negatives: Annotated[NegativeMode, typer.Option(help="hard = of the same class, else nearest in appearance.")] = "random",
    seed: Annotated[int, typer.Option(help="Seed of the sample; the same seed gives the same pairs.")] = 0,
    min_area: Annotated[int, typer.Option(help="Smaller masks are not sampled, pixels.")] = 100,
    max_per_instance: Annotated[int, typer.Option(help="Most positive pairs of one instance.")] = 30,
    one_order: Annotated[bool, typer.Option("--one-order", help="Ask (a, b) only, not (b, a) too; as the original.")] = False,
    threshold: ThresholdOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    four_bit: FourBitOption = False,
    loader: LoaderOption = None,
    scenes: ScenesOption = None,
    follow_links: FollowLinksOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a judge on pairs whose answer is known; run it again to go on after a stop."""
    sampling = SamplingSettings(
        pairs=pairs,
        negatives=negatives,
        seed=seed,
        max_per_instance=max_per_instance,
        min_area_px=min_area,
    )
    own = Settings()
    options = choose_options(own, device, dtype, four_bit, loader)
    asked = prompt or find_judge(model, own).prompt
    decided_at = choose_threshold(threshold, model, own, prompt=asked)
    settings = EvaluationSettings(model=model, prompt=asked, sampling=sampling, both_orders=not one_order, threshold=decided_at)
    opened = [find_scene(name, own.scene_folders(scenes)) for name in scene]
    names = [one.name for one in opened]
    if len(set(names)) < len(names):
        raise EvaluationError(f"Two of the scenes have one name ({', '.join(sorted(names))}); give each scene once.")
    load = cache(lambda: open_judge(model, own, options=options, prompt=settings.prompt))
    trained_on = find_trained_on(model, own)
    reports: list[dict[str, object]] = []
    for one in opened:
        tell_left_out(one)
        frames = FrameSource(one)
        with ProgressBars(one.name) as bars:
            scores = evaluate_scene(
                one, out / one.name, settings, load, frames=frames, trained_on=trained_on, on_progress=bars.update
            )
        tell_lost(one, frames)
        is_trained = trained_on.includes(one.folder)
        place = {"scene": one.name, "folder": str((out / one.name).resolve())}
        reports.append({**place, **to_report(scores), TRAINED_FIELD: is_trained, "left_out": list_left_out(frames.left_out)})
        if not as_json:
            typer.echo(in_words(one.name, scores))
        if is_trained:
            typer.echo(f"{model} was trained on {one.name}: these figures flatter it.", err=True)
    if as_json:
        typer.echo(to_json_text(reports, indent=2))


class ProgressBars:
    """One bar after the other on stderr, for the steps of a scene."""

    def __init__(self, scene: str) -> None:
        self._scene = scene
        self._what = ""
        self._bar: Any = None

    def update(self, what: str, done: int, total: int) -> None:
        """Show how far a step has come; a new step starts a new bar."""
        if self._bar is None or what != self._what:
            self._close()
            self._what = what
            self._bar = tqdm(total=total, desc=f"{self._scene}: {what}", initial=done)
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> ProgressBars:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def in_words(scene: str, scores: Scores) -> str:
    """Return the scores as a small table; metrics that the pairs do not determine are left out."""
    negatives = ", ".join(f"{count} {kind}" for kind, count in scores.negatives.items()) or "none"
    lines = [f"{scene}: {scores.samples} pairs (negatives: {negatives}), {scores.ambiguous} ambiguous, {scores.forced} forced"]
    for name in METRICS:
        estimate = scores.estimates[name]
        if estimate.value is not None:
            spread = "" if estimate.low is None or estimate.high is None else f"  [{estimate.low:.3f}, {estimate.high:.3f}]"
            lines.append(f"  {name:<24} {estimate.value:.3f}{spread}")
    worst = ", ".join(f"{g.key} ({g.accuracy:.2f} of {g.pairs})" for g in scores.worst_instances[:5])
    return "\n".join([*lines, *([f"  worst instances: {worst}"] if worst else [])])
