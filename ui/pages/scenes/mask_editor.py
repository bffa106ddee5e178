"""The editor of a view's masks: its component, and what its script, `mask_editor.js`, asks for.

Each function takes an object from the page and gives one back, with "error" (a sentence) where nothing was done. The page sends
strokes; what they do to the masks is decided by `ui.services.mask_edits`.
"""

from __future__ import annotations

import base64
import io
import logging
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import gradio as gr
import numpy as np
from PIL import Image

from engine.errors import MaskError, MaskgroupError
from engine.grouping.palette import group_colors
from engine.segmenting.edits import Point
from engine.segmenting.versions import SavedMasks
from engine.strict_json import as_object
from engine.types import NOTHING, UInt8Array
from engine.views.frames import resize_nearest
from ui.services.mask_edits import Drawn, MaskDrawing, MaskEdits

FOLDER = Path(__file__).parent
PHOTO_ROUTE = "/maskgroup/scenes/photo"
SHOWN_PX = 1600
"""Longest side of photos and masks as they are shown; edits are made at the photo's own size."""
QUALITY = 88
MAX_POINTS = 5000
MAX_PICKED = 1000
MAX_RADIUS_PX = 2000
MAX_NAME = 512
N_COLORS = 61
"""A prime number of colours, so that ids in steps of any size differ."""
TOKEN = re.compile("[0-9a-f]{32}")

log = logging.getLogger(__name__)


def build_mask_editor(edits: MaskEdits) -> gr.HTML:
    """Lay out the editor; its script opens it where the address names a view, and tells of `copy` and `changed`."""

    def open_view(request: dict[str, Any]) -> dict[str, Any]:
        return _answer(lambda: open_masks(edits, request))

    def change_masks(request: dict[str, Any]) -> dict[str, Any]:
        return _answer(lambda: change(edits, request))

    def save_masks(request: dict[str, Any]) -> dict[str, Any]:
        return _answer(lambda: save(edits, request))

    def close_view(request: dict[str, Any]) -> dict[str, Any]:
        return _answer(lambda: close(edits, request))

    return gr.HTML(
        value={},
        html_template=(FOLDER / "mask_editor.html").read_text(encoding="utf-8"),
        css_template=(FOLDER / "mask_editor.css").read_text(encoding="utf-8"),
        js_on_load=(FOLDER / "mask_editor.js").read_text(encoding="utf-8"),
        server_functions=[open_view, change_masks, save_masks, close_view],
        elem_id="mg-mask-editor",
        label="The masks of a view",
    )


def open_masks(edits: MaskEdits, request: object) -> dict[str, Any]:
    """Return a view with its masks, and the names of all views; "fault" instead where they cannot be edited.

    An empty name is the first view.
    """
    asked = _read(request)
    token, scene = _token(asked), _name(asked, "scene")
    views = edits.views(scene)
    fault = edits.fault(scene)
    if fault:
        return {"fault": f"The masks of {scene} cannot be edited where they are, as {fault}.", "scene": scene}
    view = _name(asked, "view") or views[0]
    if view not in views:
        raise MaskError(f"Scene {scene!r} has no view {view[:60]!r}; its {len(views):,} views are {views[0]} to {views[-1]}.")
    model = edits.model and Path(edits.model).name
    return show(edits.open(token, scene, view)) | {"views": list(views), "model": model}


def change(edits: MaskEdits, request: object) -> dict[str, Any]:
    """Do one edit; "do" says which, "step" which masks the page shows. Returns the masks after it."""
    asked = _read(request)
    where = _token(asked), _name(asked, "scene"), _name(asked, "view")
    kind = asked.get("do")
    if kind == "undo":
        return show(edits.undo(*where))
    if kind == "redo":
        return show(edits.redo(*where))
    if kind == "version":
        return show(edits.take_version(*where, _whole(asked, "number")))
    step = _whole(asked, "step")
    if kind == "draw":
        into = None if asked.get("into") is None else _whole(asked, "into")
        return show(edits.draw(*where, step, _drawn(asked), into=into, leaves_others=asked.get("leavesOthers") is True))
    if kind == "erase":
        only = None if asked.get("into") is None else _whole(asked, "into")
        return show(edits.erase(*where, step, _drawn(asked), only=only))
    if kind == "split":
        return show(edits.split(*where, step, _whole(asked, "into"), _points(asked)))
    if kind in ("join", "remove"):
        return show((edits.join if kind == "join" else edits.remove)(*where, step, _picked(asked)))
    raise MaskgroupError("The page asked for an edit that there is not; reload it.")


def save(edits: MaskEdits, request: object) -> dict[str, Any]:
    """Save a view's masks; returns them with what became of their ids in words, "said"."""
    asked = _read(request)
    drawing, saved = edits.save(_token(asked), _name(asked, "scene"), _name(asked, "view"))
    return show(drawing) | {"said": say_saved(saved)}


def close(edits: MaskEdits, request: object) -> dict[str, Any]:
    """Forget edits that are not saved."""
    asked = _read(request)
    edits.close(_token(asked), _name(asked, "scene"), _name(asked, "view"))
    return {}


def say_saved(saved: SavedMasks) -> str:
    """Return what saving did to the masks, in a sentence."""
    if not (saved.new or saved.gone):
        return f"Saved. All {len(saved.kept)} masks are those of before, so labels on them stay valid."
    parts = [f"{len(saved.kept)} unchanged, whose labels stay valid"]
    parts += [f"{len(saved.new)} new"] if saved.new else []
    parts += [f"{len(saved.gone)} gone, whose labels are stale"] if saved.gone else []
    return f"Saved: {', '.join(parts)}. Groups of other masks are old: group the scene again."


def show(drawing: MaskDrawing) -> dict[str, Any]:
    """Return masks as the page draws them: a small picture of their numbers, and a colour for each."""
    height, width = drawing.ids.shape
    scale = min(1.0, SHOWN_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    masks = drawing.masks
    small = resize_nearest(drawing.ids, *size)
    numbers = np.where(small == NOTHING, 0, np.searchsorted(masks, small) + 1) if masks else np.zeros(small.shape, np.int64)
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = numbers % 256, numbers // 256
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=3)
    colors = group_colors(N_COLORS)
    return {
        "scene": drawing.scene,
        "view": drawing.view,
        "step": drawing.step,
        "width": width,
        "height": height,
        "numbers": base64.b64encode(file.getvalue()).decode("ascii"),
        "colors": [colors[mask % N_COLORS].tolist() for mask in masks],
        "canUndo": drawing.can_undo,
        "canRedo": drawing.can_redo,
        "isChanged": drawing.is_changed,
        "versions": [{"number": one.number, "saved": one.saved, "masks": one.n_masks} for one in drawing.versions],
    }


def draw_photo(photo: UInt8Array) -> bytes:
    """Return a photo as the editor shows it, JPEG."""
    image = Image.fromarray(photo)
    image.thumbnail((SHOWN_PX, SHOWN_PX), Image.Resampling.BILINEAR, reducing_gap=2.0)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _answer(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return work()
    except MaskgroupError as error:
        return {"error": str(error)}
    except Exception:
        # An exception would reach nobody: the page must not wait for ever.
        log.exception("an edit of masks failed")
        return {"error": "The server made a mistake; its log has the details. Please report it."}


def _read(request: object) -> dict[str, Any]:
    asked = as_object(request)
    if asked is None:
        raise MaskgroupError("The page sent something else than an edit; reload it.")
    return asked


def _token(asked: dict[str, Any]) -> str:
    token = asked.get("token")
    if not isinstance(token, str) or TOKEN.fullmatch(token) is None:
        raise MaskgroupError("The page does not say who it is; reload it.")
    return token


def _name(asked: dict[str, Any], what: str) -> str:
    name = asked.get(what)
    if not isinstance(name, str) or len(name) > MAX_NAME:
        raise MaskgroupError(f"The page names no {what}; reload it.")
    return name


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise MaskgroupError("The page sent a number that is none; reload it.")
    return float(value)


def _whole(asked: dict[str, Any], what: str) -> int:
    value = _number(asked.get(what))
    if value != int(value) or abs(value) > 2**31:
        raise MaskgroupError("The page sent a number that is not whole; reload it.")
    return int(value)


def _points(asked: dict[str, Any]) -> tuple[Point, ...]:
    listed = asked.get("points")
    pairs = cast("list[Any]", listed) if isinstance(listed, list) else []
    if len(pairs) > MAX_POINTS:
        raise MaskgroupError(f"The stroke has {len(pairs):,} points, and may have {MAX_POINTS:,}; draw it in several.")
    points: list[Point] = []
    for pair in pairs:
        if not isinstance(pair, list) or len(cast("list[Any]", pair)) != 2:
            raise MaskgroupError("The page sent a point that is none; reload it.")
        x, y = (min(max(_number(one), -1e5), 1e5) for one in cast("list[Any]", pair))
        points.append((x, y))
    return tuple(points)


def _drawn(asked: dict[str, Any]) -> Drawn:
    radius = min(max(_number(asked.get("radius", 0)), 0.0), MAX_RADIUS_PX)
    return Drawn(str(asked.get("tool"))[:20], _points(asked), radius)


def _picked(asked: dict[str, Any]) -> list[int]:
    listed = asked.get("masks")
    numbers = cast("list[Any]", listed) if isinstance(listed, list) else []
    if len(numbers) > MAX_PICKED:
        raise MaskgroupError(f"{len(numbers):,} masks are picked, and may be {MAX_PICKED:,}; pick fewer.")
    return [_whole({"number": one}, "number") for one in numbers]
