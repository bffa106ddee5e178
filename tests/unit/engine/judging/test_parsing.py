"""Reading answers: log-probabilities with tokens missing, and words."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.judging.served.parsing import (
    TEXT_FLOOR,
    VARIANTS,
    AnswerMass,
    answer_of_token,
    mass_from_classes,
    mass_from_logprobs,
    mass_from_text,
)

SPELLINGS = {"yes": ("yes", "Yes", " yes", " Yes", "YES"), "no": ("no", "No", " no", " No", "NO")}


@pytest.mark.parametrize(
    ("token", "answer"),
    [
        ("yes", "yes"),
        (" Yes", "yes"),
        ("YES\n", "yes"),
        ("ĠNo", "no"),
        ("▁no", "no"),
        ("not", ""),
        ("yesterday", ""),
        ("", ""),
        ("no.", ""),
    ],
)
def test_tokens(token: str, answer: str) -> None:
    assert answer_of_token(token) == answer


def test_listed_spellings_add_up() -> None:
    mass = mass_from_logprobs([("yes", math.log(0.5)), (" Yes", math.log(0.25)), ("no", math.log(0.2)), ("maybe", math.log(0.05))])
    assert mass.p_same == pytest.approx(0.75 / 0.95)
    assert mass.ambiguity == pytest.approx(0.05)


def test_missing_side_gets_the_floor_not_zero() -> None:
    mass = mass_from_logprobs([("yes", math.log(0.9)), ("well", math.log(0.02)), ("so", math.log(0.01))])
    assert mass.no == pytest.approx(0.01)
    assert mass.p_same == pytest.approx(0.9 / 0.91)


def test_floor_is_at_most_what_the_list_leaves_over() -> None:
    mass = mass_from_logprobs([("yes", math.log(0.7)), ("so", math.log(0.2996))])
    assert mass.no == pytest.approx(0.0004)


def test_both_sides_missing_is_undecided_and_ambiguous() -> None:
    mass = mass_from_logprobs([("the", math.log(0.6)), ("a", math.log(0.3))])
    assert (mass.p_same, mass.ambiguity, mass.error_bound) == (0.5, 1.0, 1.0)


def test_certain_answer_stays_finite() -> None:
    for listed in ([("yes", 0.0)], [("yes", 0.0), ("no", -9999.0)], [("yes", 1e-4)]):
        mass = mass_from_logprobs(listed)
        assert 0.999 < mass.p_same <= 1
        assert math.isfinite(mass.margin)


@st.composite
def distributions(draw: st.DrawFn) -> tuple[dict[str, float], int]:
    others = [f"word{i}" for i in range(draw(st.integers(1, 40)))]
    names = [*SPELLINGS["yes"], *SPELLINGS["no"], *others]
    # Logits far apart, so that whole sides fall out of the list.
    logits = draw(st.lists(st.floats(-12, 4), min_size=len(names), max_size=len(names)))
    total = math.fsum(math.exp(value) for value in logits)
    return {name: math.exp(value) / total for name, value in zip(names, logits, strict=True)}, draw(st.integers(1, 20))


@given(distributions())
def test_error_is_within_the_bound_whatever_is_missing(case: tuple[dict[str, float], int]) -> None:
    probabilities, top = case
    assert len(SPELLINGS["yes"]) == VARIANTS
    yes, no = (math.fsum(probabilities[word] for word in SPELLINGS[side]) for side in ("yes", "no"))
    listed = sorted(probabilities.items(), key=lambda entry: -entry[1])[:top]
    mass = mass_from_logprobs([(token, math.log(p)) for token, p in listed])
    assert abs(mass.p_same - yes / (yes + no)) <= mass.error_bound + 1e-6
    assert -1e-9 <= mass.ambiguity - (1 - yes - no) <= 2 * mass.missing + 1e-6


@pytest.mark.parametrize(
    ("text", "is_yes"),
    [
        ("Yes", True),
        ("no.", False),
        (" **No** ", False),
        ("Yes, no doubt about it", True),
        ("yesyesnoyes", True),
        ("noyesno", False),
        ("The answer is yes", True),
        ("I would say: No!", False),
        ("yes or no", True),
        ("It could be yes or no", None),
        ("Nothing to see yet", None),
        ("I see yesterday's note", None),
        ("", None),
        ("可能", None),
        ("同じ yes", True),
    ],
)
def test_words(text: str, is_yes: bool | None) -> None:
    mass = mass_from_text(text)
    if is_yes is None:
        assert mass is None
    else:
        assert isinstance(mass, AnswerMass)
        assert mass.p_same == pytest.approx(1 - TEXT_FLOOR if is_yes else TEXT_FLOOR)
        assert mass.ambiguity == 0


@pytest.mark.parametrize(
    ("values", "classes", "p_same"),
    [
        ([0.3, 0.7], ("no", "yes"), 0.7),
        ([0.3, 0.7], ("yes", "no"), 0.3),
        ([0.5, 0.2, 0.25, 0.05], ("yes", "ĠYes", "no", "ĠNO"), 0.7),
        ([0.8], ("no", "yes"), 0.8),
        ([1.0, 0.0], ("yes", "no"), 1.0),
        ([0.0], ("yes", "no"), 0.0),
        ([0.334, 0.67], ("no", "yes"), 0.67 / 1.004),
    ],
)
def test_classes_add_up(values: list[float], classes: tuple[str, ...], p_same: float) -> None:
    mass = mass_from_classes(values, classes)
    assert mass.p_same == pytest.approx(p_same)
    assert (mass.ambiguity, mass.error_bound) == (0.0, 0.0)
    assert math.isfinite(mass.margin)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([0.2, 0.3, 0.5], "3 classes, not 2"),
        ([], "0 classes, not 2"),
        ([1.4, -0.4], "no probabilities"),
        ([-3.0], "no probabilities"),
        ([0.5, 0.4], r"add up to 0\.900"),
        ([0.4, float("nan")], "no probabilities"),
    ],
)
def test_classes_that_are_others_or_logits_are_refused(values: list[float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        mass_from_classes(values, ("no", "yes"))
