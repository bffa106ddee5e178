"""Measures a training: answers on the frozen pairs before and after, the difference with its interval, and whether it is better.

The rule in the run's settings decides on promotion. A run that loses too much recall is never better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.evaluation.comparison.paired import SceneComparison, compare_folders
from engine.evaluation.metrics import score, to_report
from engine.evaluation.pair_sampling import SampledPair
from engine.evaluation.predictions import PredictionWriter
from engine.evaluation.result_files import METRICS_FILE, PREDICTIONS
from engine.evaluation.run import to_prediction
from engine.files import write_atomically
from engine.judging.base import AMBIGUOUS_ABOVE, CropPair, Judge
from engine.types import MaskKey, UInt8Array
from finetune.config import TrainConfig

BATCH = 32
SHOWN = ("accuracy", "recall", "specificity", "precision", "f1", "twin_accuracy", "specificity_same_class", "specificity_nearest")
CropOf = Callable[[str, MaskKey], UInt8Array]
"""Gives the picture of (scene, mask) as the judge's prompt wants it."""


@dataclass(frozen=True)
class Decision:
    """Whether a run is promoted, and why, in a sentence."""

    is_promoted: bool
    reason: str


def judge_frozen(
    evaluation: Mapping[str, Sequence[SampledPair]],
    crop: CropOf,
    judge: Judge,
    folder: Path,
    *,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Ask a judge about the frozen pairs, in both orders. Pairs that were answered before a stop are not asked again.

    Args:
        evaluation: Pairs by scene.
        crop: Cuts a mask of a scene out, as the judge's prompt shows it.
        judge: Answers about the pairs.
        folder: Gets `<scene>/{predictions.jsonl, metrics.json}`, as `maskgroup evaluate` writes them.
        tick: Called with the number of pairs done and of all pairs.
    """
    total, before = sum(len(pairs) for pairs in evaluation.values()), 0
    for scene, pairs in evaluation.items():
        place = folder / scene
        place.mkdir(parents=True, exist_ok=True)
        with PredictionWriter(place / PREDICTIONS) as writer:
            done = list(writer.kept)
            while len(done) < len(pairs):
                part = pairs[len(done) : len(done) + BATCH]
                asked = [CropPair(crop(scene, p.pair.a), crop(scene, p.pair.b)) for p in part]
                verdicts = judge.judge([*asked, *(CropPair(pair.b, pair.a) for pair in asked)], both_orders=False)
                for i, pair in enumerate(part):
                    orders = verdicts[i], verdicts[len(part) + i]
                    prediction = to_prediction(len(done), pair, *orders, ambiguous_above=AMBIGUOUS_ABOVE)
                    writer.append(prediction)
                    done.append(prediction)
                tick(before + len(done), total)
        before += len(pairs)
        write_atomically(place / METRICS_FILE, to_report(score(done)))


def compare_judged(before: Path, after: Path) -> SceneComparison:
    """Compare two folders that `judge_frozen` wrote, over all scenes together."""
    return compare_folders(before, after)[-1]


def decide(found: SceneComparison, config: TrainConfig) -> Decision:
    """Decide whether B is better than A by the rule of the settings."""
    if config.promotion == "always":
        return Decision(True, "Promoted because the settings say always.")
    if config.promotion == "never":
        return Decision(False, "Kept, not promoted: the settings say never.")
    accuracy, recall = found.metrics["accuracy"].difference, found.metrics["recall"].difference
    points = 100 * (accuracy.value or 0.0)
    test = found.mcnemar
    facts = f"{test.fixed} answers became right and {test.broken} wrong, of {found.pairs}"
    if recall.value is not None and recall.value < -config.max_recall_loss:
        lost = (
            f"{-100 * recall.value:.1f} points of recall were lost, more than the {100 * config.max_recall_loss:g} that are allowed"
        )
        return Decision(False, f"Kept, not promoted: {lost} ({facts}).")
    if config.promotion == "interval":
        if accuracy.low is not None and accuracy.high is not None and accuracy.low > 0:
            return Decision(
                True, f"Better by {points:.1f} points of accuracy, interval {100 * accuracy.low:.1f} to {100 * accuracy.high:.1f}."
            )
        spread = "" if accuracy.low is None else f", and its interval reaches down to {100 * accuracy.low:.1f}"
        return Decision(False, f"Kept, not promoted: accuracy changed by {points:+.1f} points{spread} ({facts}).")
    sure = f"McNemar's p = {test.p_value:.2g}"
    if test.fixed > test.broken and test.p_value < config.significance:
        return Decision(True, f"Better by {points:.1f} points of accuracy: {facts} ({sure}).")
    why = "no better than before" if test.fixed <= test.broken else "it may be chance"
    return Decision(False, f"Kept, not promoted: {why}; accuracy changed by {points:+.1f} points, {facts} ({sure}).")


def report_verdict(found: SceneComparison, decision: Decision) -> dict[str, Any]:
    """Return the result as verdict.json and the registry keep it."""
    metrics = {
        name: {"before": m.a, "after": m.b, "difference": m.difference.value, "low": m.difference.low, "high": m.difference.high}
        for name, m in found.metrics.items()
        if name in SHOWN and m.a is not None and m.b is not None
    }
    test = found.mcnemar
    return {
        "promoted": decision.is_promoted,
        "reason": decision.reason,
        "pairs": found.pairs,
        "metrics": metrics,
        "mcnemar": {"fixed": test.fixed, "broken": test.broken, "p_value": test.p_value, "method": test.method},
    }
