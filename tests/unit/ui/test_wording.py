"""Sentences of the pages: right words, every outside name escaped."""

from __future__ import annotations

import pytest

from engine.types import MaskKey, MaskPair, Verdict
from ui.components.wording import point_html, truth_html, verdict_html, waiting_html

PAIR = MaskPair(MaskKey("<b>3</b>", 1), MaskKey("8", 2))


def verdict(p_same: float, *, ambiguity: float = 0.0, swap: float | None = None) -> Verdict:
    return Verdict(p_same=p_same, ambiguity=ambiguity, model="<base>", prompt="original", latency_s=0.031, swap_disagreement=swap)


@pytest.mark.parametrize(
    ("p_same", "headline", "how_sure"),
    [
        (0.99, "Same object", "almost certain"),
        (0.9, "Same object", "fairly sure"),
        (0.55, "Same object", "a coin toss"),
        (0.3, "Different objects", "leaning"),
        (0.01, "Different objects", "almost certain"),
    ],
)
def test_verdict_in_words(p_same: float, headline: str, how_sure: str) -> None:
    html = verdict_html(verdict(p_same), PAIR)
    assert headline in html
    assert how_sure in html
    assert "31 ms" in html


def test_outside_names_are_escaped() -> None:
    html = verdict_html(verdict(0.9), PAIR)
    assert "<b>3</b>" not in html
    assert "&lt;base&gt;" in html
    assert "<i>" not in waiting_html("<i>")


def test_hesitation_is_said_only_where_there_is_some() -> None:
    assert "neither yes nor no" in verdict_html(verdict(0.9, ambiguity=0.4), PAIR)
    assert "neither yes nor no" not in verdict_html(verdict(0.9, ambiguity=0.01), PAIR)


def test_orders_are_told_as_they_were_asked() -> None:
    assert "the other way round" not in verdict_html(verdict(0.9), PAIR)
    agreed, wavered = verdict_html(verdict(0.9, swap=0.05), PAIR), verdict_html(verdict(0.9, swap=0.45), PAIR)
    assert "then view 8, and the other way round" in agreed
    assert "two orders differ" not in agreed
    assert "two orders differ by 45 points" in wavered


def test_truth_says_whether_the_model_is_right() -> None:
    assert "The model is right" in truth_html(True, {"The model": verdict(0.9)})
    assert "The model is wrong" in truth_html(False, {"The model": verdict(0.9)})
    assert "no ground truth" in truth_html(None, {"The model": verdict(0.9)})
    both = truth_html(False, {"base": verdict(0.9), "<b>tuned": verdict(0.1)})
    assert "base is wrong and &lt;b&gt;tuned is right here" in both


def test_clicked_point() -> None:
    assert "47018" in point_html(47018, [])
    assert "class 47" in point_html(47018, [])
    assert "(lamp &lt;b&gt;)" in point_html(47018, [], "lamp <b>")
    assert "the left mask" in point_html(None, ["the left mask"])
