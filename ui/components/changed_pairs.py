"""Pairs on which two models differ, or both err, as pictures with what each said: on Compare, in its reports, after a training."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from engine.errors import MaskgroupError
from engine.evaluation.comparison.paired import ComparedPair
from engine.evaluation.comparison.report import kind_words
from engine.evaluation.predictions import Prediction
from engine.types import UInt8Array
from ui.components.templates import render
from ui.services.workbench import Workbench
from ui.view3d.pictures import COLOR_A, COLOR_B, frame_crop

CROP = 150
JPEG_QUALITY = 85
PUT_RIGHT, GOT_WRONG = "put right", "got wrong"

ModelNames = tuple[str, str]
"""What the two models are called, the one before first."""


@dataclass(frozen=True, eq=False)
class Flip:
    """A pair in a gallery: both crops side by side, (h, w, 3) uint8, and the pair."""

    picture: UInt8Array
    pair: ComparedPair


def draw_flips(bench: Workbench, pairs: Iterable[ComparedPair], *, most: int) -> list[Flip]:
    """Draw pairs, those first on which the models are furthest apart; those in scenes that are gone are left out."""
    flips: list[Flip] = []
    for pair in sorted(pairs, key=lambda pair: -abs((pair.a.p_same or 0) - (pair.b.p_same or 0)))[:most]:
        try:
            crops = [frame_crop(bench.crop(pair.scene, key), size=CROP) for key in (pair.a.pair.a, pair.a.pair.b)]
        except MaskgroupError:
            continue
        flips.append(Flip(_side_by_side(crops), pair))
    return flips


def _side_by_side(crops: list[UInt8Array]) -> UInt8Array:
    """Join two square crops, each under its mask's colour."""
    tops = [np.full((5, CROP, 3), color, np.uint8) for color in (COLOR_A, COLOR_B)]
    gap = np.full((CROP + 5, 6, 3), 255, np.uint8)
    return np.hstack([np.vstack([tops[0], crops[0]]), gap, np.vstack([tops[1], crops[1]])])


def show_proof(
    bench: Workbench, names: ModelNames, fixed: Sequence[ComparedPair], broken: Sequence[ComparedPair], *, most: int
) -> str:
    """Return what proves an outcome: pairs that the second model put right, and pairs that it got wrong, as HTML.

    Args:
        bench: Has the pictures.
        names: The models.
        fixed: Pairs that only the second model answers rightly.
        broken: Pairs that only the first one does.
        most: Pairs of each kind that are shown.
    """
    rows: list[dict[str, Any]] = []
    for words, pairs in ((PUT_RIGHT, fixed), (GOT_WRONG, broken)):
        if flips := draw_flips(bench, pairs, most=most):
            rows.append({"words": words, "total": len(pairs), "flips": [show_flip(bench, names, flip) for flip in flips]})
    return render("components/changed_pairs.html.j2", model=names[1], rows=rows)


def show_flip(bench: Workbench, names: ModelNames, flip: Flip) -> dict[str, str]:
    """Return a flip as templates show it: `picture` (a data URL), `where` in words, and `caption` (HTML)."""
    pair = flip.pair
    masks = [bench.mask_name(pair.scene, key) for key in (pair.a.pair.a, pair.a.pair.b)]
    where = f"{masks[0]} and {masks[1]} of {pair.scene}"
    return {"picture": to_jpeg_url(flip.picture), "where": where, "caption": show_caption(names, pair)}


def show_caption(names: ModelNames, pair: ComparedPair) -> str:
    """Return the truth and what both models said of a pair, as HTML."""
    truth = "same object" if pair.a.is_same else f"different ({kind_words(pair)})"
    said = [
        {"name": name, "words": _said(prediction), "is_right": prediction.is_right}
        for name, prediction in zip(names, (pair.a, pair.b), strict=True)
    ]
    return render("components/changed_caption.html.j2", truth=truth, said=said)


def _said(prediction: Prediction) -> str:
    p = "" if prediction.p_same is None else f" {prediction.p_same:.0%}"
    words = "unclear" if prediction.said_same is None else "same" if prediction.said_same else "different"
    return f"{words}{p}"


def to_jpeg_url(picture: UInt8Array) -> str:
    """Return a picture, (h, w, 3) uint8, as a data URL."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
