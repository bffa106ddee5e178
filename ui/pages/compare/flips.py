"""The gallery of pairs that one model or both got wrong: pictures, words, and the ways to judging and labelling."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import numpy as np
from PIL import Image

from engine.errors import MaskgroupError
from engine.evaluation.comparison.paired import ComparedPair, Outcome
from engine.evaluation.comparison.report import kind_words
from engine.evaluation.comparison.run import FinishedComparison
from engine.evaluation.predictions import Prediction
from engine.types import UInt8Array
from ui.components.pairs import pair_link, review_link
from ui.components.templates import render, render_line
from ui.services.workbench import Workbench
from ui.view3d.pictures import COLOR_A, COLOR_B, frame_crop

FLIPS: tuple[tuple[str, Outcome], ...] = (("fixed", "fixed"), ("broken", "broken"), ("both wrong", "both_wrong"))
"""What the page calls each outcome that it shows."""
MAX_FLIPS = 60
PROOF: tuple[tuple[Outcome, str], ...] = (("fixed", "put right"), ("broken", "got wrong"))
PROVING = 4
"""Pairs of each outcome beside the sentence that they prove."""
CROP = 150
JPEG_QUALITY = 85


@dataclass(frozen=True, eq=False)
class Flip:
    """A pair in the gallery: both crops side by side, (h, w, 3) uint8, and the pair."""

    picture: UInt8Array
    pair: ComparedPair


def list_flips(bench: Workbench, found: FinishedComparison | None, outcome: Outcome, *, most: int = MAX_FLIPS) -> list[Flip]:
    """Return the pairs with an outcome, those first on which the models are furthest apart; scenes that are gone are left out."""
    if found is None:
        return []
    flips: list[Flip] = []
    for pair in _with_outcome(found, outcome)[:most]:
        try:
            crops = [frame_crop(bench.crop(pair.scene, key), size=CROP) for key in (pair.a.pair.a, pair.a.pair.b)]
        except MaskgroupError:
            continue
        flips.append(Flip(side_by_side(crops), pair))
    return flips


def _with_outcome(found: FinishedComparison, outcome: Outcome) -> list[ComparedPair]:
    pairs = [pair for scene in found.scenes for pair in scene.pairs if pair.outcome == outcome]
    return sorted(pairs, key=lambda pair: -abs((pair.a.p_same or 0) - (pair.b.p_same or 0)))


def side_by_side(crops: list[UInt8Array]) -> UInt8Array:
    """Join two square crops, each under its mask's colour."""
    tops = [np.full((5, CROP, 3), color, np.uint8) for color in (COLOR_A, COLOR_B)]
    gap = np.full((CROP + 5, 6, 3), 255, np.uint8)
    return np.hstack([np.vstack([tops[0], crops[0]]), gap, np.vstack([tops[1], crops[1]])])


def proof_html(bench: Workbench, found: FinishedComparison) -> str:
    """Return what proves the outcome: some of the pairs that the second model put right, and some that it got wrong, as HTML."""
    rows: list[dict[str, Any]] = []
    for outcome, words in PROOF:
        flips = list_flips(bench, found, outcome, most=PROVING)
        if flips:
            total = len(_with_outcome(found, outcome))
            rows.append({"words": words, "total": total, "flips": [_shown(bench, found, flip) for flip in flips]})
    return render("pages/compare/proof.html.j2", model=_names(found)[1], rows=rows)


def gallery_html(bench: Workbench, found: FinishedComparison | None, outcome: Outcome) -> str:
    """Return the gallery as HTML; each pair is one click from the Judge page and from labelling."""
    if found is None:
        return ""
    flips = list_flips(bench, found, outcome)
    total = len(_with_outcome(found, outcome))
    if not flips:
        return render_line(
            "<p>{% if total %}{{ total }}, in scenes that are not here any more.{% else %}None.{% endif %}</p>", total=total
        )
    return render("pages/compare/flips.html.j2", total=total, flips=[_shown(bench, found, flip) for flip in flips])


def _shown(bench: Workbench, found: FinishedComparison, flip: Flip) -> dict[str, str]:
    """Return a flip as the gallery's template shows it."""
    pair = flip.pair
    names = [bench.mask_name(pair.scene, key) for key in (pair.a.pair.a, pair.a.pair.b)]
    return {
        "picture": to_jpeg_url(flip.picture),
        "where": f"{names[0]} and {names[1]} of {pair.scene}",
        "caption": caption_html(found, pair),
        "judge": judge_address(bench, found, pair),
        "label": label_address(bench, pair),
    }


def caption_html(found: FinishedComparison, pair: ComparedPair) -> str:
    """Return the truth and what both models said of a pair, as HTML."""
    truth = "same object" if pair.a.is_same else f"different ({kind_words(pair)})"
    said = [
        {"name": name, "words": _said(prediction), "is_right": prediction.is_right}
        for name, prediction in zip(_names(found), (pair.a, pair.b), strict=True)
    ]
    return render("pages/compare/caption.html.j2", truth=truth, said=said)


def _names(found: FinishedComparison) -> tuple[str, str]:
    return found.settings.model_a, found.settings.model_b


def _said(prediction: Prediction) -> str:
    p = "" if prediction.p_same is None else f" {prediction.p_same:.0%}"
    words = "unclear" if prediction.said_same is None else "same" if prediction.said_same else "different"
    return f"{words}{p}"


def judge_address(bench: Workbench, found: FinishedComparison, pair: ComparedPair) -> str:
    """Return the query string that opens a pair on the Judge page, with the two models of the comparison."""
    models = urlencode({"model": found.settings.model_a, "rival": found.settings.model_b})
    return f"{pair_link(bench, pair.scene, pair.a.pair)}&{models}"


def label_address(bench: Workbench, pair: ComparedPair) -> str:
    """Return the query string that opens a pair on the Review page, where it is labelled."""
    return review_link(bench, pair.scene, pair.a.pair)


def to_jpeg_url(picture: UInt8Array) -> str:
    """Return a picture, (h, w, 3) uint8, as a data URL."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
