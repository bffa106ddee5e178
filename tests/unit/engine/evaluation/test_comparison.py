"""Two runs are compared pair by pair: McNemar's p-values follow its definition, flips by name, folders of both layouts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy.stats import binom, chi2

from engine.evaluation.comparison.paired import ALL, compare_folders, match_predictions, mcnemar, to_report
from engine.evaluation.predictions import EvaluationError, read_predictions
from tests.unit.engine.evaluation.test_evaluation import ORIGINAL


def write_run(folder: Path, answers: str, *, inst: int = 12000, first: int = 0) -> None:
    """Write a run in the original's format; "r" = right, "w" = wrong; even lines are positives, all of other instances."""
    folder.mkdir(parents=True)
    lines: list[str] = []
    for i, answer in enumerate(answers, start=first):
        gt = int(i % 2 == 0)
        said = gt if answer == "r" else 1 - gt
        other = inst + i if gt else inst + 500 + i
        place = {"view_i": "3", "view_j": "11", "inst_i": inst + i, "inst_j": other, "is_negative": not gt}
        lines.append(json.dumps({"prediction": said, "gt": gt, "raw_output": "yes" if said else "no", **place}))
    (folder / "predictions.jsonl").write_text("\n".join(lines) + "\n")


def test_flips_are_named_and_differences_paired(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "room", "rrrwwwww")
    write_run(tmp_path / "b" / "room", "rrwrrrrw")
    (found,) = compare_folders(tmp_path / "a", tmp_path / "b")
    assert (found.scene, found.pairs, len(found.fixed), len(found.broken), len(found.both_wrong)) == ("room", 8, 4, 1, 1)
    assert str(found.broken[0].a.pair.a) == "3:12002"
    accuracy = found.metrics["accuracy"]
    assert (accuracy.a, accuracy.b, accuracy.difference.value) == (0.375, 0.75, 0.375)
    assert accuracy.difference.low is not None
    assert accuracy.difference.low < 0.375 < (accuracy.difference.high or 0)


def test_a_run_against_itself_differs_nowhere(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "room", "rrwwrrwr")
    (found,) = compare_folders(tmp_path / "a", tmp_path / "a")
    for metric in found.metrics.values():
        assert metric.difference.value in (0, None)
        assert metric.difference.low == metric.difference.high == metric.difference.value
    assert found.mcnemar.p_value == 1


def test_mcnemar_is_the_two_sided_binomial_for_few_flips_and_chi_squared_for_many() -> None:
    few = mcnemar(9, 2)
    assert (few.method, few.p_value) == ("exact", pytest.approx(2 * binom.cdf(2, 11, 0.5)))
    many = mcnemar(59, 25)
    assert (many.method, many.p_value) == ("chi2", pytest.approx(chi2.sf((59 - 25 - 1) ** 2 / 84, 1)))
    assert mcnemar(25, 59).p_value == many.p_value
    assert mcnemar(0, 0).p_value == 1
    assert mcnemar(20, 20).p_value == 1


def test_scenes_are_matched_by_folder_and_summed(tmp_path: Path) -> None:
    for scene, inst in (("one", 12000), ("two", 12000), ("alone", 12000)):
        write_run(tmp_path / "a" / scene, "rwrw", inst=inst)
        if scene != "alone":
            write_run(tmp_path / "b" / scene, "rrrw", inst=inst)
    found = compare_folders(tmp_path / "a", tmp_path / "b")
    assert [(c.scene, c.pairs) for c in found] == [("one", 4), ("two", 4), (ALL, 8)]
    json.dumps([to_report(c) for c in found], allow_nan=False)


def test_folders_of_a_single_scene_need_no_common_name(tmp_path: Path) -> None:
    write_run(tmp_path / "before", "rwrw")
    write_run(tmp_path / "after", "rrrr")
    (found,) = compare_folders(tmp_path / "before", tmp_path / "after")
    assert (found.pairs, len(found.fixed)) == (4, 2)


def test_pairs_of_one_run_only_are_left_out_and_counted(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "room", "rrrrrr")
    write_run(tmp_path / "b" / "room", "rrww", first=4)
    (found,) = compare_folders(tmp_path / "a", tmp_path / "b")
    assert (found.pairs, found.only_a, found.only_b, len(found.broken)) == (2, 4, 2, 0)


def test_a_pair_asked_twice_is_matched_twice(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "rw")
    write_run(tmp_path / "b", "rr")
    run_a, run_b = (read_predictions(tmp_path / name / "predictions.jsonl") for name in "ab")
    assert [p.outcome for p in match_predictions("room", run_a + run_a, run_b + run_b)] == ["both_right", "fixed"] * 2
    assert len(match_predictions("room", run_a + run_a, run_b)) == 2


def test_what_does_not_fit_is_one_sentence(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "room", "rw")
    write_run(tmp_path / "b" / "hall", "rw")
    write_run(tmp_path / "c" / "room", "rw", inst=70000)
    (tmp_path / "empty").mkdir()
    (tmp_path / "d" / "room").mkdir(parents=True)
    text = (tmp_path / "a" / "room" / "predictions.jsonl").read_text()
    (tmp_path / "d" / "room" / "predictions.jsonl").write_text(text.replace('"gt": 1', '"gt": 0'))
    for other, sentence in (
        ("b", "share no scene"),
        ("c", "share no pair"),
        ("d", "disagree on the truth"),
        ("empty", "has no predictions"),
        ("missing", "has no predictions"),
    ):
        with pytest.raises(EvaluationError, match=sentence):
            compare_folders(tmp_path / "a", tmp_path / other)


@pytest.mark.skipif(not ORIGINAL.is_dir(), reason=f"the original's results are not part of the repository: no {ORIGINAL}")
def test_the_originals_lora_beats_its_base() -> None:
    found = {c.scene: c for c in compare_folders(ORIGINAL / "base", ORIGINAL / "lora")}
    assert list(found) == ["office4", "room2", ALL]
    assert [found[s].pairs for s in found] == [300, 300, 600]
    assert found["office4"].metrics["accuracy"].difference.value == pytest.approx((247 - 222) / 300)
    for comparison in found.values():
        assert comparison.mcnemar.fixed - comparison.mcnemar.broken == round(
            comparison.pairs * (comparison.metrics["accuracy"].difference.value or 0)
        )
        assert (comparison.metrics["accuracy"].difference.low or 0) > 0
        assert comparison.mcnemar.p_value < 0.01
