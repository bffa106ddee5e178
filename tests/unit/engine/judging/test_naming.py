"""Names that a judge's model proposes: what is read as a name, and which models have words at all."""

from __future__ import annotations

import numpy as np
import pytest

from engine.errors import ModelError
from engine.judging.local import qwen_vl
from engine.judging.naming import QUESTION, NamingJudge, propose_names, read_name
from engine.judging.registry import load_judge
from tests.stub_judge import StubJudge

CROP = np.full((40, 60, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("chair", "chair"),
        ("An office chair.", "office chair"),
        ("This is a table lamp", "table lamp"),
        (' "TV stand"\nIt stands on the floor.', "tv stand"),
        ("the wash-basin", "wash-basin"),
        ("Regał na książki", "regał na książki"),
        ("椅子", "椅子"),
        ("Yes", None),
        ("no.", None),
        ("", None),
        ("I cannot see any object in this picture", None),
        ("<img src=x>", None),
        ("12", None),
    ],
)
def test_a_name_is_read_from_an_answer(said: str, name: str | None) -> None:
    assert read_name(said) == name


def test_the_bundled_model_says_that_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = load_judge("base")
    assert isinstance(judge, NamingJudge)
    with pytest.raises(ModelError, match="was trained to answer yes and no alone and cannot name things; choose another judge"):
        propose_names(judge, [CROP])
    # The way through transformers is real: the model is let speak, and spells what it has seen most.
    monkeypatch.setattr(qwen_vl, "LEAST_VOCABULARY", 1)
    said = judge.say([CROP, CROP[:30]], QUESTION)
    assert len(said) == 2
    assert all(isinstance(text, str) and "<|" not in text for text in said)
    assert judge.say([CROP], QUESTION) == said[:1]


def test_a_judge_without_words_is_refused() -> None:
    with pytest.raises(ModelError, match="'stub' was trained to answer yes and no alone"):
        propose_names(StubJudge(), [CROP])
