"""predictions.jsonl: ours comes back as written, the original's is read, and a torn last line costs one pair, whole ones none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.evaluation.predictions import (
    EvaluationError,
    Prediction,
    PredictionWriter,
    is_ambiguous_text,
    read_predictions,
    to_record,
)
from engine.types import MaskKey, MaskPair

CHAT = "user\nAre they one thing? Answer yes or no.\nassistant\n"


def original_line(prediction: int | None, gt: int, answer: str, **others: object) -> str:
    """A line in the original's format."""
    record = {"batch": 0, "item": 0, "prediction": prediction, "gt": gt, "raw_output": CHAT + answer}
    place = {"view_i": "4", "view_j": "10", "inst_i": 12019, "inst_j": 12019 if gt else 33, "is_negative": not gt}
    return json.dumps({**record, **place, **others})


def prediction(index: int) -> Prediction:
    pair = MaskPair(MaskKey("10", 20001), MaskKey("2é", 20002))
    return Prediction(index, pair, False, None, 0.25, 0.2, 0.3, 0.4, 0.9, "same_class", index // 2, "base", "original", 0.125)


def test_records_come_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    with PredictionWriter(path) as writer:
        for i in range(5):
            writer.append(prediction(i))
            assert len(read_predictions(path)) == i + 1  # each is there before the file is closed
    assert read_predictions(path) == [prediction(i) for i in range(5)]


def test_a_file_cut_at_any_byte_goes_on_without_loss_or_repeat(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    lines = [json.dumps(to_record(prediction(i)), ensure_ascii=False).encode() + b"\n" for i in range(3)]
    whole = b"".join(lines)
    for cut in range(len(lines[0]) - 2, len(lines[0] + lines[1]) + 3):
        path.write_bytes(whole[:cut])
        with PredictionWriter(path) as writer:
            assert len(writer.kept) == whole[:cut].count(b"\n")
            for i in range(len(writer.kept), 3):
                writer.append(prediction(i))
        assert path.read_bytes() == whole


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    with PredictionWriter(path), pytest.raises(EvaluationError, match="another process"):
        PredictionWriter(path)
    with PredictionWriter(path) as writer:
        assert writer.kept == []


def test_the_original_is_read(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    lines = [
        original_line(1, 1, "Yes"),
        original_line(0, 0, "no"),
        original_line(1, 1, "yes", is_negative=True),  # a negative that fell back to a positive: gt is the truth
        original_line(0, 1, "They look alike."),
        original_line(None, 0, ""),
    ]
    path.write_text("\n".join(lines))  # no newline at the end: the last line is whole all the same
    read = read_predictions(path)
    assert [p.is_same for p in read] == [True, False, True, True, False]
    assert [p.said_same for p in read] == [True, False, True, None, None]
    assert [p.is_right for p in read] == [True, True, True, False, False]
    assert [p.counted_same for p in read] == [True, False, True, False, True]  # ambiguous counts as the wrong answer
    assert (read[0].pair, read[0].p_same, read[0].index) == (MaskPair(MaskKey("4", 12019), MaskKey("10", 12019)), None, 0)


@pytest.mark.parametrize(
    ("text", "is_ambiguous"),
    [("yes", False), ("NO.", False), (CHAT + "No", False), (CHAT, True), ("nothing", True), ("yes and no", True), (None, False)],
)
def test_ambiguous_text(text: str | None, is_ambiguous: bool) -> None:
    assert is_ambiguous_text(text) == is_ambiguous


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{broken", "line 2: no prediction"),
        ("[1]", "not an object"),
        ('{"prediction": 1}', "lacks 'gt'"),
        (original_line(1, 2, "yes"), "gt is 2"),
        (original_line(1, 1, "yes", p_same=1.5), "p_same is 1.5"),
        (original_line(1, 1, "yes", p_same=float("nan")), "p_same is nan"),
        (original_line(1, 1, "yes", negative_kind="odd"), "negative_kind is 'odd'"),
    ],
)
def test_broken_lines_are_named(tmp_path: Path, line: str, sentence: str) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text(f"{original_line(1, 1, 'yes')}\n{line}\n")
    for read in (read_predictions, PredictionWriter):
        with pytest.raises(EvaluationError, match=sentence):
            read(path)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="cannot be read"):
        read_predictions(tmp_path / "predictions.jsonl")
