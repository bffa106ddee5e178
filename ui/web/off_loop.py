"""Writes pictures to files where handlers run, in a thread of their own.

Gradio encodes pictures in an update of a component (`gr.update(value=...)`) on its event loop: dozens of them would keep everybody
else waiting. A picture that is a file in the served folder already costs the loop nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import gradio as gr
import numpy as np
from gradio.processing_utils import save_img_array_to_cache

from engine.strict_json import as_items, as_object
from engine.types import UInt8Array


def write_pictures(outputs: Sequence[Any], values: Any) -> Any:
    """Return a handler's values with the pictures in updates as paths of files.

    Args:
        outputs: The components that the values are for, in order.
        values: One value, or a list or tuple of as many as there are components.
    """
    if len(outputs) == 1:
        return _write(outputs[0], values)
    listed = as_items(values)
    # A script's function has no outputs: what it answers is whatever the script takes.
    if not outputs or len(listed) != len(outputs):
        return values
    return [_write(component, value) for component, value in zip(outputs, listed, strict=True)]


def _write(component: Any, value: Any) -> Any:
    given = as_object(value)
    if given is None or given.get("__type__") != "update" or "value" not in given:
        return value
    if isinstance(component, gr.Image):
        return {**given, "value": _save(component, given["value"])}
    if isinstance(component, gr.Gallery) and isinstance(given["value"], list):
        pictures = cast("list[Any]", given["value"])
        return {**given, "value": [_save_one(component, picture) for picture in pictures]}
    return given


def _save_one(component: gr.Gallery, picture: Any) -> Any:
    if isinstance(picture, tuple):
        pixels, caption = cast("tuple[Any, Any]", picture)
        return _save(component, pixels), caption
    return _save(component, picture)


def _save(component: Any, pixels: Any) -> Any:
    """Write (H, W, 3) uint8 pixels; what is no array stays as it is."""
    if not isinstance(pixels, np.ndarray):
        return pixels
    return save_img_array_to_cache(cast("UInt8Array", pixels), cache_dir=component.GRADIO_CACHE, format=component.format)
