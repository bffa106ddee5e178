"""Compares two evaluations of the same pairs: differences with intervals, McNemar's test, and which answers flipped.

Reads folders that `evaluate` wrote, and the original project's (`base/` and `lora/`); each has scene subfolders or is one scene.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from engine.evaluation.metrics import METRICS, Estimate, bootstrap_weights, interval, metric_values, or_none, sum_by_cluster
from engine.evaluation.predictions import EvaluationError, Prediction, read_predictions
from engine.evaluation.result_files import METRICS_FILE, PREDICTIONS
from engine.strict_json import as_object
from engine.types import MaskPair

EXACT_BELOW = 25
"""Fewer flips than this take the exact binomial test, more the chi-squared one with continuity correction."""

ALL = "all"
"""Name of the row over all scenes, where there are several."""

Trained = tuple[bool | None, bool | None]
"""Whether model A and model B were trained on a scene, None if it is not known."""
TRAINED_FIELD = "trained_on_scene"
"""Field of an evaluation's metrics.json that says so."""

Outcome = Literal["both_right", "fixed", "broken", "both_wrong"]


@dataclass(frozen=True)
class ComparedPair:
    """One pair answered twice: by run A and by run B."""

    scene: str
    a: Prediction
    b: Prediction

    @property
    def outcome(self) -> Outcome:
        """What happened from A to B."""
        if self.a.is_right:
            return "both_right" if self.b.is_right else "broken"
        return "fixed" if self.b.is_right else "both_wrong"


@dataclass(frozen=True)
class MetricDifference:
    """A metric in both runs and B minus A with its 95 % interval; None if undefined."""

    a: float | None
    b: float | None
    difference: Estimate


@dataclass(frozen=True)
class McNemar:
    """McNemar's test (1947) of "both runs err equally often": pairs that only one run got right, and the p-value."""

    fixed: int
    broken: int
    p_value: float
    method: Literal["exact", "chi2"]


@dataclass(frozen=True)
class SceneComparison:
    """Two runs on one scene, or on all.

    Attributes:
        scene: Name of the scene's folder, or `ALL`.
        pairs: Pairs that both runs judged.
        only_a: Pairs that only run A judged; left out.
        only_b: Pairs that only run B judged; left out.
        metrics: By name.
        mcnemar: The test over all pairs.
        fixed: Pairs wrong in A and right in B.
        broken: Pairs right in A and wrong in B.
        both_wrong: Pairs wrong in both.
        trained: Whether the models of A and of B were trained on the scene (on one of them, of all); None if it is not known.
    """

    scene: str
    pairs: int
    only_a: int
    only_b: int
    metrics: dict[str, MetricDifference]
    mcnemar: McNemar
    fixed: tuple[ComparedPair, ...]
    broken: tuple[ComparedPair, ...]
    both_wrong: tuple[ComparedPair, ...]
    trained: Trained = (None, None)


@dataclass(frozen=True)
class MatchedScene:
    """The pairs of one scene that two runs judged, how many only one of them did, and who was trained on the scene."""

    scene: str
    pairs: tuple[ComparedPair, ...]
    only_a: int
    only_b: int
    trained: Trained = (None, None)


def compare_folders(folder_a: Path, folder_b: Path, *, seed: int = 0) -> list[SceneComparison]:
    """Compare two results folders; the scenes that both have, then all together where there are several.

    Raises:
        EvaluationError: If a folder has no results, they share no scene, or their pairs do not match.
    """
    return compare_matched(match_folders(folder_a, folder_b), seed=seed)


def compare_matched(matched: Sequence[MatchedScene], *, seed: int = 0) -> list[SceneComparison]:
    """Compare matched scenes, one after the other, then all together where there are several."""
    scenes = list(matched)
    if len(scenes) > 1:
        everything = tuple(pair for scene in scenes for pair in scene.pairs)
        scenes.append(MatchedScene(ALL, everything, sum(s.only_a for s in scenes), sum(s.only_b for s in scenes), _any(scenes)))
    compared = [compare_pairs(s.scene, s.pairs, only_a=s.only_a, only_b=s.only_b, seed=seed) for s in scenes]
    return [replace(found, trained=s.trained) for found, s in zip(compared, scenes, strict=True)]


def _any(scenes: Sequence[MatchedScene]) -> Trained:
    a, b = ([scene.trained[side] for scene in scenes] for side in (0, 1))
    return _one_of(a), _one_of(b)


def _one_of(answers: Sequence[bool | None]) -> bool | None:
    return True if True in answers else None if None in answers else False


def trained_models(comparison: SceneComparison, name_a: str, name_b: str) -> list[str]:
    """Return which of the two models were trained on the scene that they are compared on."""
    return [name for name, is_trained in zip((name_a, name_b), comparison.trained, strict=True) if is_trained]


def match_folders(folder_a: Path, folder_b: Path) -> list[MatchedScene]:
    """Read two results folders and match their pairs, scene by scene.

    Raises:
        EvaluationError: If a folder has no results, they share no scene, or their pairs do not match.
    """
    scenes_a, scenes_b = find_results(folder_a), find_results(folder_b)
    if set(scenes_a) == {""} or set(scenes_b) == {""}:
        # A folder with one scene is compared with another such folder, whatever their names.
        if len(scenes_a) != 1 or len(scenes_b) != 1:
            raise EvaluationError(
                f"{folder_a} and {folder_b} do not match: one holds a single scene, the other several; give two of a kind."
            )
        scenes_a, scenes_b = ({folder_a.resolve().name: next(iter(found.values()))} for found in (scenes_a, scenes_b))
    shared = [name for name in scenes_a if name in scenes_b]
    if not shared:
        raise EvaluationError(
            f"{folder_a} ({', '.join(scenes_a)}) and {folder_b} ({', '.join(scenes_b)}) share no scene; evaluate the same scenes."
        )
    found: list[MatchedScene] = []
    for name in shared:
        runs = [read_predictions(path) for path in (scenes_a[name], scenes_b[name])]
        pairs = match_predictions(name, *runs)
        if not pairs:
            raise EvaluationError(
                f"The two runs on {name!r} share no pair; evaluate with the same --seed, --pairs and --negatives."
            )
        left_out = [len(run) - len(pairs) for run in runs]
        trained = (_was_trained(scenes_a[name]), _was_trained(scenes_b[name]))
        found.append(MatchedScene(name, tuple(pairs), left_out[0], left_out[1], trained))
    return found


def _was_trained(predictions: Path) -> bool | None:
    """Return what an evaluation says of the model's training; None in the original's files, in older ones, and before the end."""
    try:
        content = json.loads((predictions.parent / METRICS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    said = (as_object(content) or {}).get(TRAINED_FIELD)
    return said if isinstance(said, bool) else None


def find_results(folder: Path) -> dict[str, Path]:
    """Return the predictions.jsonl of each scene by folder name; the name is "" where `folder` itself holds one.

    Raises:
        EvaluationError: If there is none.
    """
    if (folder / PREDICTIONS).is_file():
        return {"": folder / PREDICTIONS}
    found = {path.parent.name: path for path in sorted(folder.glob(f"*/{PREDICTIONS}"))} if folder.is_dir() else {}
    if not found:
        raise EvaluationError(
            f"{folder} has no {PREDICTIONS} and no scene folders with one; give a folder that `maskgroup evaluate` wrote."
        )
    return found


def match_predictions(scene: str, run_a: Sequence[Prediction], run_b: Sequence[Prediction]) -> list[ComparedPair]:
    """Pair up the answers to the same masks in the same order; a pair that was asked n times is matched n times.

    Raises:
        EvaluationError: If the runs disagree on the truth.
    """
    by_key = dict(zip(_occurrences(run_b), run_b, strict=True))
    matched = [ComparedPair(scene, a, by_key[key]) for key, a in zip(_occurrences(run_a), run_a, strict=True) if key in by_key]
    for pair in matched:
        if pair.a.is_same != pair.b.is_same:
            raise EvaluationError(
                f"The runs on {scene!r} disagree on the truth of {pair.a.pair.a} and {pair.a.pair.b}; "
                "evaluate both against the same ground truth."
            )
    return matched


def _occurrences(run: Sequence[Prediction]) -> list[tuple[MaskPair, int]]:
    seen: Counter[MaskPair] = Counter()
    keys: list[tuple[MaskPair, int]] = []
    for prediction in run:
        keys.append((prediction.pair, seen[prediction.pair]))
        seen[prediction.pair] += 1
    return keys


def compare_pairs(scene: str, pairs: Sequence[ComparedPair], *, only_a: int = 0, only_b: int = 0, seed: int = 0) -> SceneComparison:
    """Compare two runs on matched pairs; both are resampled alike, by the instance of mask A."""
    clusters = [(pair.scene, pair.a.pair.a.mask) for pair in pairs]
    tables = [sum_by_cluster([p.a for p in pairs], clusters), sum_by_cluster([p.b for p in pairs], clusters)]
    weights = bootstrap_weights(len(tables[0]), seed=seed)
    values_a, values_b = (metric_values(table.sum(axis=0)) for table in tables)
    resampled_a, resampled_b = (metric_values(weights @ table) for table in tables)
    low, high = interval(resampled_b - resampled_a)
    metrics = {
        name: MetricDifference(
            or_none(values_a[i]),
            or_none(values_b[i]),
            Estimate(or_none(values_b[i] - values_a[i]), or_none(low[i]), or_none(high[i])),
        )
        for i, name in enumerate(METRICS)
    }
    fixed, broken, both_wrong = (tuple(p for p in pairs if p.outcome == o) for o in ("fixed", "broken", "both_wrong"))
    return SceneComparison(scene, len(pairs), only_a, only_b, metrics, mcnemar(len(fixed), len(broken)), fixed, broken, both_wrong)


def mcnemar(fixed: int, broken: int) -> McNemar:
    """Test whether `fixed` and `broken` differ by more than chance (two-sided)."""
    # Takes most of a second to import, and the command line imports this module when it starts.
    from scipy.stats import binomtest, chi2

    flips = fixed + broken
    if flips < EXACT_BELOW:
        p_value = 1.0 if flips == 0 else float(binomtest(fixed, flips, 0.5).pvalue)
        return McNemar(fixed, broken, p_value, "exact")
    statistic = max(abs(fixed - broken) - 1, 0) ** 2 / flips
    return McNemar(fixed, broken, float(chi2.sf(statistic, df=1)), "chi2")


def to_report(comparison: SceneComparison) -> dict[str, object]:
    """Return what `compare --json` prints for a scene."""
    test = comparison.mcnemar
    return {
        "scene": comparison.scene,
        "pairs": comparison.pairs,
        "only_a": comparison.only_a,
        "only_b": comparison.only_b,
        TRAINED_FIELD: {"a": comparison.trained[0], "b": comparison.trained[1]},
        "metrics": {
            name: {
                "a": m.a,
                "b": m.b,
                "difference": m.difference.value,
                "interval_95": None if m.difference.low is None else [m.difference.low, m.difference.high],
            }
            for name, m in comparison.metrics.items()
        },
        "mcnemar": {"fixed": test.fixed, "broken": test.broken, "p_value": test.p_value, "method": test.method},
        "fixed": [_flip(p) for p in comparison.fixed],
        "broken": [_flip(p) for p in comparison.broken],
        "both_wrong": [_flip(p) for p in comparison.both_wrong],
    }


def _flip(pair: ComparedPair) -> dict[str, object]:
    return {
        "scene": pair.scene,
        "a": str(pair.a.pair.a),
        "b": str(pair.a.pair.b),
        "is_same": pair.a.is_same,
        "p_same_a": pair.a.p_same,
        "p_same_b": pair.b.p_same,
    }
