"""Metrics agree with scikit-learn, intervals with scipy's bootstrap, and the original's published table comes out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from engine.evaluation.metrics import METRICS, score, to_report
from engine.evaluation.pair_sampling import NegativeKind
from engine.evaluation.predictions import Prediction, read_predictions
from engine.evaluation.published import PAIRS, PUBLISHED, PublishedScores, Role
from engine.types import MaskKey, MaskPair

ORIGINAL = Path(__file__).parents[5] / "shared" / "data" / "seed_results"
FOLDERS: dict[Role, str] = {"base": "base", "tuned": "lora"}


def made(
    is_same: bool, p: float | None, *, instance: int = 20001, other: int = 20002, kind: NegativeKind | None = None,
    twin: int | None = None, ba: float | None = None, ambiguous: bool = False,
) -> Prediction:  # fmt: skip
    pair = MaskPair(MaskKey("0", instance), MaskKey("1", instance if is_same else other))
    said = None if ambiguous or p is None else p >= 0.5
    return Prediction(0, pair, is_same, said, p, p, ba, negative_kind=kind, twin=twin)


def random_predictions(seed: int, count: int) -> list[Prediction]:
    """Each pair of its own instance, so that instances and pairs are the same thing to the bootstrap."""
    rng = np.random.default_rng(seed)
    truth = rng.random(count) < 0.5
    p = np.clip(truth * 0.3 + rng.random(count) * 0.7, 0, 1)
    return [made(bool(t), float(q), instance=20000 + i, other=90000 + i) for i, (t, q) in enumerate(zip(truth, p, strict=True))]


def test_metrics_agree_with_scikit_learn() -> None:
    predictions = random_predictions(0, 200)
    truth, said = [p.is_same for p in predictions], [p.said_same for p in predictions]
    values = {name: estimate.value for name, estimate in score(predictions).estimates.items()}
    assert values["accuracy"] == pytest.approx(accuracy_score(truth, said))
    assert values["precision"] == pytest.approx(precision_score(truth, said))
    assert values["recall"] == pytest.approx(recall_score(truth, said))
    assert values["specificity"] == pytest.approx(recall_score(truth, said, pos_label=False))
    assert values["f1"] == pytest.approx(f1_score(truth, said))


def test_intervals_agree_with_scipy_where_pairs_are_independent() -> None:
    predictions = random_predictions(1, 250)
    right = [float(p.is_right) for p in predictions]
    theirs = bootstrap((right,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(0)).confidence_interval
    ours = score(predictions).estimates["accuracy"]
    assert ours.low == pytest.approx(theirs.low, abs=0.015)
    assert ours.high == pytest.approx(theirs.high, abs=0.015)


def test_pairs_of_one_instance_are_not_taken_as_independent() -> None:
    """Ten instances, each always right or always wrong: 200 pairs know no more than ten do."""
    independent = [made(True, 0.9 if i % 2 else 0.1, instance=20000 + i) for i in range(200)]
    bound = [made(True, 0.9 if i % 2 else 0.1, instance=20000 + i % 10) for i in range(200)]
    widths = [e.high - e.low for e in (score(p).estimates["accuracy"] for p in (independent, bound)) if e.high and e.low]
    assert widths[1] > 3 * widths[0]


def test_ambiguous_answers_count_as_wrong_and_are_reported() -> None:
    scores = score(
        [made(True, 0.9, ambiguous=True), made(False, 0.1, instance=20005, ambiguous=True), made(True, 0.9), made(False, 0.1)]
    )
    assert (scores.samples, scores.ambiguous) == (4, 2)
    for name in ("accuracy", "precision", "recall", "specificity", "ambiguity_rate"):
        assert scores.estimates[name].value == 0.5, name


def test_twins_need_both_right() -> None:
    def twins(number: int, p_positive: float, p_negative: float) -> list[Prediction]:
        return [made(True, p_positive, twin=number), made(False, p_negative, twin=number, kind="same_class")]

    lone = [made(True, 0.9, twin=9)]
    scores = score([*twins(0, 0.9, 0.1), *twins(1, 0.9, 0.9), *twins(2, 0.1, 0.1), *twins(3, 0.9, 0.2), *lone])
    assert scores.estimates["twin_accuracy"].value == 0.5
    assert scores.estimates["twin_accuracy"].low is None  # one instance has no spread to show


def test_copies_have_a_specificity_of_their_own() -> None:
    look_alikes = [made(False, p, kind="same_class") for p in (0.1, 0.2, 0.3, 0.8)]
    copies = [made(False, p, kind="copy") for p in (0.9, 0.2)]
    scores = score(look_alikes + copies)
    assert scores.estimates["specificity_same_class"].value == 0.75
    assert scores.estimates["specificity_copy"].value == 0.5
    assert scores.estimates["specificity_random"].value is None
    assert scores.negatives == {"same_class": 4, "copy": 2}


def test_calibration_error_and_swaps() -> None:
    sure_and_right_three_times_of_four = [made(True, 0.95, ba=0.95)] * 3 + [made(False, 0.95, ba=0.15)]
    scores = score(sure_and_right_three_times_of_four)
    assert scores.estimates["ece"].value == pytest.approx(0.2)
    assert scores.estimates["swap_disagreement"].value == 0.25
    assert scores.estimates["swap_difference"].value == pytest.approx(0.2)
    calibrated = [made(i < 25, 0.25) for i in range(100)]
    assert score(calibrated).estimates["ece"].value == pytest.approx(0)
    assert score(calibrated).estimates["swap_disagreement"].value is None


def test_worst_classes_and_instances_come_first() -> None:
    wrong = [made(True, 0.1, instance=30001), made(False, 0.9, instance=30001, other=7)]
    right = [made(True, 0.9, instance=20001)] * 3
    scores = score(wrong + right)
    assert [(g.key, g.pairs, g.accuracy) for g in scores.classes] == [(30, 2, 0), (None, 1, 0), (20, 3, 1)]
    assert [g.key for g in scores.worst_instances] == [30001, 7]  # 20001 has no error


def test_report_is_json_with_the_fields_of_the_original() -> None:
    report = json.loads(json.dumps(to_report(score(random_predictions(2, 40))), allow_nan=False))
    theirs = ["accuracy", "precision", "recall", "num_samples", "num_total_attempts", "num_ambiguous_raw", "ambiguity_rate"]
    assert list(report)[: len(theirs) - 1] == theirs[:-1]
    assert set(theirs) | set(METRICS) <= set(report)
    assert report["intervals_95"]["accuracy"][0] <= report["accuracy"] <= report["intervals_95"]["accuracy"][1]


@pytest.mark.skipif(not ORIGINAL.is_dir(), reason=f"the original's results are not part of the repository: no {ORIGINAL}")
@pytest.mark.parametrize(("scene", "model"), PUBLISHED)
def test_the_published_table_is_what_the_original_wrote(scene: str, model: Role) -> None:
    folder = ORIGINAL / FOLDERS[model] / scene
    report = to_report(score(read_predictions(folder / "predictions.jsonl")))
    rounded = [round(float(str(report[name])), 2) for name in ("accuracy", "precision", "recall")]
    assert PublishedScores(*rounded) == PUBLISHED[scene, model]
    assert report["num_samples"] == PAIRS
    for name, value in json.loads((folder / "metrics.json").read_text()).items():
        assert report[name] == pytest.approx(value), name
