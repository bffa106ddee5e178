"""Checks photos and cameras against each other: sizes, the principal point, and the angle of view."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from engine.checking.findings import Finding
from engine.types import Camera

MAX_OFF_CENTER = 0.12
"""How far from the middle a principal point may lie, in widths and heights: cropped pictures reach a tenth."""
PLAUSIBLE_ANGLE_DEG = (20.0, 130.0)
MAX_ASPECT = 0.05
"""How much the focal lengths may differ: pixels of cameras are squares."""
SIZES_SAID = 3


def check_pictures(sizes: Sequence[tuple[int, int] | None]) -> Iterator[Finding]:
    """Say which sizes the photos have.

    Args:
        sizes: (width, height) of every view's photo, None where there is none.
    """
    counts = Counter(size for size in sizes if size is not None)
    without = sum(size is None for size in sizes)
    figures = {"sizes": [{"width": w, "height": h, "views": n} for (w, h), n in counts.most_common()], "without_photo": without}
    if not counts:
        yield Finding("pictures", "note", "No view has a photo: pictures are rendered from the mesh.", figures)
        return
    told = ", ".join(f"{n} of {w}x{h}" for (w, h), n in counts.most_common(SIZES_SAID))
    more = f" and {len(counts) - SIZES_SAID} other sizes" if len(counts) > SIZES_SAID else ""
    missing = f"; {without} views have none" if without else ""
    upright = {h > w for w, h in counts}
    if len(upright) > 1:
        text = f"Photos are upright and lying: {told}{more}{missing}. If the camera was not turned, rotate them back."
        yield Finding("pictures", "note", text, figures)
    else:
        yield Finding("pictures", "note" if without else "ok", f"Photos: {told}{more}{missing}.", figures)


def check_cameras(cameras: Sequence[Camera | None]) -> Iterator[Finding]:
    """Compare intrinsics with the pictures that they belong to.

    Args:
        cameras: Of every view, at the size of its photo.
    """
    known = [camera for camera in cameras if camera is not None]
    if not known:
        yield Finding("camera", "note", "There are no intrinsics: masks cannot be followed from view to view.", {})
        return
    shifts = [max(abs(2 * c.cx + 1 - c.width) / c.width, abs(2 * c.cy + 1 - c.height) / c.height) / 2 for c in known]
    angles = [float(2 * np.degrees(np.arctan(c.width / 2 / c.fx))) for c in known]
    aspects = [float(abs(c.fx / c.fy - 1)) for c in known]
    worst, angle, aspect = float(max(shifts)), float(np.median(angles)), max(aspects)
    figures = {"views": len(known), "off_center_share": worst, "angle_deg": angle, "focal_difference_share": aspect}
    least, most = PLAUSIBLE_ANGLE_DEG
    doubts: list[str] = []
    if worst > MAX_OFF_CENTER:
        doubts.append(
            f"the principal point lies {worst:.0%} of a side from the middle, expected at most {MAX_OFF_CENTER:.0%}: do the "
            "intrinsics belong to pictures of another size? Scale them, or crop the pictures as they were"
        )
    if not least <= min(angles) <= max(angles) <= most:
        doubts.append(
            f"the angle of view is {min(angles):.0f} to {max(angles):.0f} degrees, expected {least:.0f} to {most:.0f}: do the "
            "focal lengths belong to pictures of another size? Scale them"
        )
    if aspect > MAX_ASPECT:
        doubts.append(
            f"focal lengths differ by {aspect:.0%} across and down, expected about the same: were the pictures stretched? "
            "Resize them to their own aspect"
        )
    for doubt in doubts:
        yield Finding("camera", "doubt", f"Intrinsics: {doubt}.", figures)
    if not doubts:
        text = (
            f"Intrinsics fit the pictures: an angle of view of {angle:.0f} degrees, the principal point {worst:.1%} off the middle."
        )
        yield Finding("camera", "ok", text, figures)
