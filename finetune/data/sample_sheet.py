"""Draws a picture of sample training pairs, with the answers that the model will be taught."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from engine.types import MaskKey, UInt8Array
from finetune.data.pairs import Kind, TrainingPair

CROP_PX, GAP_PX, CAPTION_PX, COLUMNS = 92, 8, 16, 4
SAME_RGB, DIFFERENT_RGB = (46, 160, 67), (207, 34, 46)
ORDER: tuple[Kind, ...] = ("correction", "positive", "look_alike", "mined", "random")
WORDS: dict[Kind, str] = {
    "correction": "your correction",
    "positive": "same",
    "look_alike": "different, look alike",
    "mined": "different, model unsure",
    "random": "different",
}


def draw_sheet(pairs: Sequence[TrainingPair], crop: Callable[[str, MaskKey], UInt8Array], *, count: int = 24) -> UInt8Array:
    """Draw up to `count` pairs, some of every kind.

    Args:
        pairs: The training pairs.
        crop: Gives the picture of (scene, mask), (h, w, 3) uint8.
        count: How many pairs are drawn at most.

    Returns:
        (H, W, 3) uint8; green frames say "same", red ones "different".
    """
    chosen = choose_samples(pairs, count)
    tile_w, tile_h = 2 * CROP_PX + GAP_PX, CROP_PX + CAPTION_PX
    rows = max(-(-len(chosen) // COLUMNS), 1)
    size = (COLUMNS * (tile_w + 2 * GAP_PX) + GAP_PX, rows * (tile_h + GAP_PX) + GAP_PX)
    sheet = Image.new("RGB", size, (250, 250, 250))
    draw = ImageDraw.Draw(sheet)
    for i, pair in enumerate(chosen):
        left = GAP_PX + (i % COLUMNS) * (tile_w + 2 * GAP_PX)
        top = GAP_PX + (i // COLUMNS) * (tile_h + GAP_PX)
        color = SAME_RGB if pair.is_same else DIFFERENT_RGB
        draw.rectangle((left - 3, top - 3, left + tile_w + 3, top + tile_h - 1), outline=color, width=2)
        for side, key in enumerate((pair.pair.a, pair.pair.b)):
            picture = Image.fromarray(crop(pair.scene, key))
            picture.thumbnail((CROP_PX, CROP_PX))
            at = left + side * (CROP_PX + GAP_PX)
            draw.rectangle((at, top, at + CROP_PX - 1, top + CROP_PX - 1), fill=(0, 0, 0))
            sheet.paste(picture, (at + (CROP_PX - picture.width) // 2, top + (CROP_PX - picture.height) // 2))
        words = WORDS[pair.kind]
        if pair.kind == "correction":
            words += f": {'same' if pair.is_same else 'different'}"
        draw.text((left, top + CROP_PX + 1), words, fill=color)
    return np.asarray(sheet)


def choose_samples(pairs: Sequence[TrainingPair], count: int) -> list[TrainingPair]:
    """Return up to `count` pairs, one of each kind in turn."""
    piles = [[pair for pair in pairs if pair.kind == kind] for kind in ORDER]
    longest = max((len(pile) for pile in piles), default=0)
    mixed = [pile[i] for i in range(longest) for pile in piles if i < len(pile)]
    return mixed[:count]
