"""Pictures of the views with groups lit: one view large, or all of them as one picture that can be clicked."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from engine.grouping.palette import group_colors
from engine.types import NOTHING, BoolArray, Int32Array, MaskKey, UInt8Array
from engine.views.frames import resize_nearest
from ui.services.grouping_result import Result
from ui.services.workbench import Workbench
from ui.view3d.paint import COLORS
from ui.view3d.pictures import COLOR_A, COLOR_B, OUTLINE_PX, mask_borders, thumbnail

COLUMNS = 5
CELL_WIDTH = 256
GAP = 4
MAX_VIEWS = 60
"""Views in the picture of all views; of longer scenes those that see the picked groups, else evenly spaced ones."""
MAX_THUMBNAILS = 400
UNLIT = 0.3
DARKER = (UNLIT * np.arange(256)).astype(np.uint8)
TINT = 0.45


@dataclass(frozen=True)
class Sheet:
    """Where views stand in the picture of all views: rows of `COLUMNS` cells of one size, pixels."""

    views: tuple[int, ...]
    width: int
    height: int

    def origin(self, place: int) -> tuple[int, int]:
        """Return the upper left corner (x, y) of a place, counted by rows."""
        row, column = divmod(place, COLUMNS)
        return column * (self.width + GAP), row * (self.height + GAP)

    def find(self, x: int, y: int) -> tuple[int, float, float] | None:
        """Return the view (index of the run's table) under pixel (x, y) and the place in it as shares of its width and height."""
        column, row = x // (self.width + GAP), y // (self.height + GAP)
        inside_x, inside_y = x - column * (self.width + GAP), y - row * (self.height + GAP)
        place = row * COLUMNS + column
        if not (0 <= column < COLUMNS and 0 <= place < len(self.views) and inside_x < self.width and inside_y < self.height):
            return None
        return self.views[place], (inside_x + 0.5) / self.width, (inside_y + 0.5) / self.height


class ViewPictures:
    """Draws views with groups lit; keeps small pictures of the views.

    Args:
        bench: Gives the frames.
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._thumbnails: OrderedDict[tuple[str, str], UInt8Array] = OrderedDict()

    def sheet(self, result: Result, groups: tuple[int | None, int | None]) -> Sheet:
        """Choose the views to show together, for the picked groups (latest, the one before)."""
        views = result.run.table.views
        count = len(views)
        chosen = np.arange(count)
        if count > MAX_VIEWS:
            labels = result.grouping.labels
            sees = np.isin(chosen, result.run.table.view_of[np.isin(labels, [g for g in groups if g is not None])])
            pool = np.flatnonzero(sees) if sees.any() else chosen
            chosen = pool[np.unique(np.linspace(0, len(pool) - 1, min(len(pool), MAX_VIEWS)).astype(int))]
        height, width = views[0].index_map.shape if views else (3, 4)
        return Sheet(tuple(chosen.tolist()), CELL_WIDTH, max(1, round(CELL_WIDTH * height / width)))

    def draw_sheet(self, scene: str, result: Result, groups: tuple[int | None, int | None], *, shown: str | None) -> UInt8Array:
        """Draw the views side by side, (H, W, 3) uint8: picked groups lit, or all groups tinted while none is picked.

        Args:
            scene: The scene.
            result: Its groups.
            groups: The picked groups (orange, blue).
            shown: The view that is shown large, framed here.
        """
        sheet = self.sheet(result, groups)
        rows = max(1, math.ceil(len(sheet.views) / COLUMNS))
        picture = np.full((rows * (sheet.height + GAP) - GAP, COLUMNS * (sheet.width + GAP) - GAP, 3), 235, np.uint8)
        for place, index in enumerate(sheet.views):
            name = result.run.table.views[index].name
            small = self._thumbnail(scene, name, sheet)
            lit = _light(small, _groups_at(result, index, sheet.width, sheet.height), result, groups)
            x, y = sheet.origin(place)
            picture[y : y + sheet.height, x : x + sheet.width] = _name(lit, name, is_shown=name == shown)
        return picture

    def draw_view(
        self, scene: str, result: Result, groups: tuple[int | None, int | None], view: str, mask: MaskKey | None
    ) -> UInt8Array:
        """Draw one view, (H, W, 3) uint8: as in the sheet, with borders of all masks, and the picked mask outlined."""
        frame = self._bench.frame(scene, view)
        height, width = frame.instance_map.shape
        index = [v.name for v in result.run.table.views].index(view)
        at = _groups_at(result, index, width, height)
        picture = _light(frame.rgb, at, result, groups).astype(np.float32)
        borders = mask_borders(frame.instance_map) & (at != NOTHING)
        picture[borders] = 0.6 * picture[borders] + 0.4 * 255
        if mask is not None and mask.view == view:
            inside = frame.instance_map == mask.mask
            picture[_rim(inside)] = COLOR_A
        return picture.astype(np.uint8)

    def _thumbnail(self, scene: str, view: str, sheet: Sheet) -> UInt8Array:
        key = (scene, view)
        if key not in self._thumbnails:
            small = thumbnail(self._bench.frame(scene, view).rgb, width=sheet.width)
            if small.shape[0] != sheet.height:  # a view of another shape than the first
                small = np.asarray(Image.fromarray(small).resize((sheet.width, sheet.height)))
            self._thumbnails[key] = small
            while len(self._thumbnails) > MAX_THUMBNAILS:
                self._thumbnails.popitem(last=False)
        return self._thumbnails[key]


def mask_under(result: Result, view: int, across: float, down: float) -> MaskKey | None:
    """Return the mask at a place of a view, given as shares of its width and height; None where there is none."""
    rows = result.run.table.views[view].index_map
    height, width = rows.shape
    row = int(rows[min(int(down * height), height - 1), min(int(across * width), width - 1)])
    return None if row == NOTHING else result.run.table.keys[row]


def _groups_at(result: Result, view: int, width: int, height: int) -> Int32Array:
    """(height, width) int32: the group of each pixel of a view, -1 = none."""
    rows = resize_nearest(result.run.table.views[view].index_map, width, height)
    if len(result.grouping.labels) == 0:
        return np.full_like(rows, NOTHING)
    return np.where(rows == NOTHING, NOTHING, result.grouping.labels[rows]).astype(np.int32)


def _light(rgb: UInt8Array, at: Int32Array, result: Result, groups: tuple[int | None, int | None]) -> UInt8Array:
    """Tint all groups in their colours or, where any is picked, light those and darken the rest."""
    if groups == (None, None):
        picture = rgb.astype(np.float32)
        covered = at != NOTHING
        colors = group_colors(COLORS)[result.colors[at[covered]] % COLORS]
        picture[covered] = (1 - TINT) * picture[covered] + TINT * colors
        return picture.astype(np.uint8)
    picture = DARKER[rgb]
    for group, color in zip(groups, (COLOR_A, COLOR_B), strict=True):
        if group is None or not (inside := at == group).any():
            continue
        picture[inside] = (0.75 * rgb[inside] + 0.25 * np.array(color, np.float32)).astype(np.uint8)
        picture[_rim(inside, width=2)] = color
    return picture


def _rim(inside: BoolArray, *, width: int = OUTLINE_PX) -> BoolArray:
    """Pixels just outside a region; shifts are faster than dilating, which matters for dozens of views."""
    grown = inside.copy()
    for _ in range(width):
        grown[1:] |= grown[:-1].copy()
        grown[:-1] |= grown[1:].copy()
        grown[:, 1:] |= grown[:, :-1].copy()
        grown[:, :-1] |= grown[:, 1:].copy()
    return grown & ~inside


def _name(cell: UInt8Array, name: str, *, is_shown: bool) -> UInt8Array:
    image = Image.fromarray(cell)
    draw = ImageDraw.Draw(image)
    text = f"view {name}"[:24]
    left, top, right, bottom = draw.textbbox((4, 2), text)
    draw.rectangle((left - 3, top - 2, right + 3, bottom + 2), fill=(0, 0, 0))
    draw.text((4, 2), text, fill=(255, 255, 255))
    if is_shown:
        draw.rectangle((0, 0, cell.shape[1] - 1, cell.shape[0] - 1), outline=COLOR_A, width=4)
    return np.asarray(image)
