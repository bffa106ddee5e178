"""Compares two judges on scenes, start to end: evaluates both on the same pairs, collects facts, groups with both.

Everything is in one folder, so a stopped comparison continues where it stopped, and `maskgroup compare FOLDER/a FOLDER/b`
reads the same files as the app:

    comparison.json                            what was asked
    {a,b}/<scene>/{settings,metrics}.json, predictions.jsonl    as `evaluate` writes them
    facts/<scene>.json                         what makes each pair easy or hard
    grouping/<scene>.json                      both models' groups
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from engine.errors import MaskgroupError
from engine.evaluation.comparison.groupings import summarize_both
from engine.evaluation.comparison.paired import MatchedScene, SceneComparison, compare_matched, match_folders
from engine.evaluation.pair_facts import PairFacts, collect_facts, read_facts, write_facts
from engine.evaluation.pair_sampling import SamplingSettings
from engine.evaluation.predictions import EvaluationError, Prediction, read_predictions
from engine.evaluation.result_files import PREDICTIONS
from engine.evaluation.run import EvaluationSettings, evaluate_scene
from engine.evaluation.trained_on import UNKNOWN, TrainedOn
from engine.files import write_atomically
from engine.grouping.graph import Evidence
from engine.grouping.pair_judge import FramePairJudge
from engine.grouping.pipeline import GroupingOptions, GroupingRun, group_scene
from engine.judging.base import Judge
from engine.types import USUAL_THRESHOLD, Scene
from engine.views.frames import FrameSource

CONFIG = "comparison.json"
FACTS, GROUPINGS = "facts", "grouping"
"""Folders with a file of JSON for each scene."""
SIDES: tuple[Literal["a", "b"], ...] = ("a", "b")


@dataclass(frozen=True)
class ComparisonSettings:
    """What is compared.

    Attributes:
        scenes: Names of the scenes.
        model_a: First judge, the base usually.
        model_b: Second judge.
        sampling: Which pairs of each scene.
        grouping: Whether both also group the scenes.
        evidence: What the groups' links are weighed by; "vlm" shows the judge's influence most clearly.
        threshold_a: P(same) from which the first judge says "same".
        threshold_b: The same for the second.
    """

    scenes: tuple[str, ...]
    model_a: str = "base"
    model_b: str = "tuned"
    sampling: SamplingSettings = field(default_factory=lambda: SamplingSettings(negatives="hard"))
    grouping: bool = True
    evidence: Evidence = "vlm"
    threshold_a: float = USUAL_THRESHOLD
    threshold_b: float = USUAL_THRESHOLD

    def model(self, side: Literal["a", "b"]) -> str:
        """Return the model of a side."""
        return self.model_a if side == "a" else self.model_b

    def threshold(self, side: Literal["a", "b"]) -> float:
        """Return the threshold of a side."""
        return self.threshold_a if side == "a" else self.threshold_b

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "scenes": list(self.scenes)}


@dataclass(frozen=True)
class Step:
    """Where a comparison stands: share of all work in [0, 1], what is being done, seconds since it began or went on."""

    share: float
    words: str
    seconds: float


@dataclass(frozen=True, eq=False)
class FinishedComparison:
    """A comparison as its folder holds it.

    Attributes:
        folder: Where it stands.
        settings: What was asked.
        scenes: Every pair that both judged, scene by scene.
        table: The numbers, as `maskgroup compare` prints them.
        facts: By scene and the two masks' names.
        grouping: Both models' groups of each scene, as `engine.evaluation.comparison.groupings.summarize_both` writes them.
    """

    folder: Path
    settings: ComparisonSettings
    scenes: tuple[MatchedScene, ...]
    table: tuple[SceneComparison, ...]
    facts: dict[tuple[str, str, str], PairFacts]
    grouping: dict[str, dict[str, Any]]


def run_comparison(
    scenes: Sequence[tuple[Scene, FrameSource]],
    folder: Path,
    settings: ComparisonSettings,
    *,
    load: Callable[[str], Judge],
    trained_on: Callable[[str], TrainedOn] = lambda _: UNKNOWN,
    on_step: Callable[[Step], None] = lambda _: None,
) -> None:
    """Do what is not yet done in `folder`.

    Args:
        scenes: The scenes of `settings`, opened.
        folder: Where to write; holds nothing or the beginning of this comparison.
        settings: Scenes, models and pairs to compare.
        load: Gives a judge by name.
        trained_on: Says what a judge was trained on.
        on_step: Called often; may raise to stop.

    Raises:
        EvaluationError: If the folder holds another comparison.
        MaskgroupError: As evaluating and grouping do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    there = _read(folder / CONFIG)
    if there is not None and _settings_in(folder, there) != settings:
        raise EvaluationError(f"{folder} holds another comparison; choose another folder.")
    write_atomically(folder / CONFIG, settings.to_json())
    parts = 5 if settings.grouping else 3
    started, done, total = time.perf_counter(), 0, parts * len(scenes)

    def tell(words: str, share: float) -> None:
        on_step(Step((done + share) / total, words, time.perf_counter() - started))

    for scene, frames in scenes:
        for side in SIDES:
            model = settings.model(side)

            def judging(what: str, count: int, of: int, model: str = model, scene: Scene = scene) -> None:
                words = f"{model} on {scene.name}: {what}, {count} of {of}"
                # Reading views comes first and is quick, so only judging moves the bar.
                tell(words, count / max(1, of) if what == "judging" else 0.0)

            evaluate_scene(
                scene,
                folder / side / scene.name,
                EvaluationSettings(model=model, sampling=settings.sampling, threshold=settings.threshold(side)),
                lambda model=model: load(model),
                frames=frames,
                trained_on=trained_on(model),
                on_progress=judging,
            )
            done += 1
        facts = folder / FACTS / f"{scene.name}.json"
        if not facts.exists():
            pairs = [prediction.pair for prediction in read_predictions(folder / "a" / scene.name / PREDICTIONS)]
            words = f"{scene.name}: how large, how visible, from which angle"
            found = collect_facts(frames, pairs, mesh=scene.mesh, on_progress=lambda _w, n, of, w=words: tell(w, n / max(1, of)))
            facts.parent.mkdir(exist_ok=True)
            write_facts(facts, pairs, found)
        done += 1
        if not settings.grouping:
            continue
        path = folder / GROUPINGS / f"{scene.name}.json"
        if not path.exists():
            runs: list[GroupingRun] = []
            for side in SIDES:
                words = f"{settings.model(side)} groups {scene.name}"
                judge = load(settings.model(side))
                runs.append(_group(scene, frames, judge, settings, side, lambda s, n, w=words: tell(f"{w}{n}", s)))
                done += 1
            path.parent.mkdir(exist_ok=True)
            words = f"{scene.name}: groups at every threshold"
            thresholds = (settings.threshold_a, settings.threshold_b)
            write_atomically(path, summarize_both(*runs, decided_at=thresholds, tick=lambda w=words: tell(w, 0.0)))
        else:
            done += 2
    tell("done", 0.0)


def _group(
    scene: Scene,
    frames: FrameSource,
    judge: Judge,
    settings: ComparisonSettings,
    side: Literal["a", "b"],
    tell: Callable[[float, str], None],
) -> GroupingRun:
    stages = ("frames", "poses", "overlap", "judge", "cut", "3D", "scores")
    at = [0.0]

    def stage(progress: Any) -> None:
        at[0] = (stages.index(progress.stage) + progress.share) / len(stages)
        tell(at[0], "")

    # The number of pairs is not known beforehand, so the words count them and the bar waits.
    asked = FramePairJudge(
        judge, frames, tick=lambda answered: tell(at[0], f": {answered} pairs asked"), threshold=settings.threshold(side)
    )
    return group_scene(scene, frames, options=GroupingOptions(evidence=settings.evidence), judge=asked, report=stage)


def read_comparison(folder: Path) -> FinishedComparison:
    """Read a comparison; one that was stopped is read as far as both judged.

    Raises:
        MaskgroupError: If there is none in `folder`, or nothing that both judged.
    """
    config = _read(folder / CONFIG)
    if config is None:
        raise EvaluationError(f"{folder} holds no comparison: it has no {CONFIG}; start one on the Compare page.")
    settings = _settings_in(folder, config)
    matched = match_folders(folder / "a", folder / "b")
    facts = {
        (scene.scene, *names): known
        for scene in matched
        for names, known in read_facts(folder / FACTS / f"{scene.scene}.json").items()
    }
    grouping = {s.scene: found for s in matched if (found := _read(folder / GROUPINGS / f"{s.scene}.json")) is not None}
    return FinishedComparison(folder, settings, tuple(matched), tuple(compare_matched(matched)), facts, grouping)


def predictions_of(found: FinishedComparison, side: Literal["a", "b"]) -> list[Prediction]:
    """Return what one side's model said of every pair that both judged."""
    return [pair.a if side == "a" else pair.b for scene in found.scenes for pair in scene.pairs]


def _settings_in(folder: Path, config: dict[str, Any]) -> ComparisonSettings:
    try:
        return settings_from_json(config)
    except (KeyError, TypeError, MaskgroupError) as error:
        raise EvaluationError(f"{folder / CONFIG} has another form ({error}); start the comparison again.") from error


def settings_from_json(config: dict[str, Any]) -> ComparisonSettings:
    """Read what `ComparisonSettings.to_json` wrote."""
    fields: dict[str, Any] = {**config, "scenes": tuple(config["scenes"]), "sampling": SamplingSettings(**config["sampling"])}
    return ComparisonSettings(**fields)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return cast("dict[str, Any]", content) if isinstance(content, dict) else None
