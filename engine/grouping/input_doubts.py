"""Says what looks wrong with the depth, poses and masks that a scene came with, before anything is made of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.grouping.axes import find_axes
from engine.grouping.depth_units import find_depth_factor
from engine.grouping.geometry import MaskTable

PLAUSIBLE_DEPTH_M = (0.15, 50.0)


def doubt_input(table: MaskTable) -> Iterator[str]:
    """Say what looks wrong with the input, a sentence each."""
    if len(table) == 0:
        yield "The scene has no masks: there is nothing to group."
    if len(table.views) == 1:
        yield "The scene has one view, so every mask is a group of its own."
    depths = [view.depth[view.depth > 0] for view in table.views if view.depth is not None]
    depths = [d[:: max(1, len(d) // 1000)] for d in depths if len(d)]
    if depths:
        typical, (least, most) = float(np.median(np.concatenate(depths))), PLAUSIBLE_DEPTH_M
        if not least <= typical <= most:
            yield (
                f"Depth has a median of {typical:.3g} m, expected {least:g} to {most:g} m for a room; "
                "write the right number of units a metre into depth_scale.txt."
            )
    axes = find_axes(table)
    if axes is not None and axes.doubt is not None:
        yield axes.doubt
    factor = find_depth_factor(table) if axes is None or axes.doubt is None else None
    if factor is not None:
        yield tell_depth_factor(factor)
    if depths and len(depths) < len(table.views):
        yield f"{len(table.views) - len(depths)} of {len(table.views)} views have no depth: their masks cannot be followed."


def say_depth_factor(factor: float) -> str:
    """Return how far depth is from what the poses say, e.g. "Depth looks about 10 times too large for the poses"."""
    words = f"{factor:.3g} times too large" if factor > 1 else f"{1 / factor:.3g} times too small"
    return f"Depth looks about {words} for the poses"


def tell_depth_factor(factor: float) -> str:
    """Return the same as a whole sentence, with what to do."""
    return (
        f"{say_depth_factor(factor)}: divided by {factor:.3g}, depths of different views agree; multiply the number in "
        f"depth_scale.txt by {factor:.3g} (where there is no such file, it is what the format says)."
    )
