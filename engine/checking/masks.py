"""Checks masks: how many there are, how large, what they cover; and whether there is ground truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from engine.checking.findings import Finding
from engine.errors import SceneError
from engine.types import NOTHING, Frame, HasGroundTruth, Int32Array, Scene

LARGE = 0.9
"""Share of a picture beyond which a mask is hardly an object."""
SMALL_PX = 50
MANY_SMALL = 0.5
LITTLE_COVERED = 0.05


def check_masks(frames: Sequence[Frame]) -> Iterator[Finding]:
    """Say how many masks the views have, and what is odd about them.

    Args:
        frames: Views that were looked at.
    """
    areas = [list(frame.mask_areas.values()) for frame in frames]
    counts = [len(own) for own in areas]
    total = sum(counts)
    if total == 0:
        yield Finding(
            "masks", "doubt", "No view has a mask: there is nothing to group. Put masks into masks/, or add a COCO file.", {}
        )
        return
    shares = np.array([area / frame.instance_map.size for frame, own in zip(frames, areas, strict=True) for area in own])
    covered = float(np.median([float((frame.instance_map != NOTHING).mean()) for frame in frames]))
    small = float(np.mean([area < SMALL_PX for own in areas for area in own]))
    figures: dict[str, object] = {
        "masks": total,
        "fewest_in_a_view": min(counts),
        "median_in_a_view": float(np.median(counts)),
        "most_in_a_view": max(counts),
        "views_without": counts.count(0),
        "median_share_of_picture": float(np.median(shares)),
        "covered_share": covered,
        "small_share": small,
    }
    large = sum(any(area > LARGE * frame.instance_map.size for area in own) for frame, own in zip(frames, areas, strict=True))
    words = f"{min(counts)} to {max(counts)} masks a view ({total} in {len(frames)} views), covering {covered:.0%} of a picture"
    if large > len(frames) / 2:
        text = (
            f"In {large} of {len(frames)} views one mask covers more than {LARGE:.0%} of the picture: is its id that of the "
            'background? Write it into maskgroup.json as "ignore_ids".'
        )
        yield Finding("masks", "doubt", text, {**figures, "views_with_large": large})
    elif covered < LITTLE_COVERED:
        yield Finding("masks", "doubt", f"There are {words}, expected more; were they made for these photos?", figures)
    elif small > MANY_SMALL:
        text = f"There are {words}; {small:.0%} of them have less than {SMALL_PX} pixels: leave out specks before grouping."
        yield Finding("masks", "doubt", text, figures)
    else:
        yield Finding("masks", "ok", f"There are {words}.", figures)
    if counts.count(0):
        yield Finding(
            "masks", "note", f"{counts.count(0)} of {len(frames)} views have no mask.", {"views_without": counts.count(0)}
        )


def check_truth(scene: Scene, frames: Sequence[Frame]) -> Iterator[Finding]:
    """Say whether there is ground truth to score groups with.

    Args:
        scene: The scene.
        frames: Views that were looked at.
    """
    reader = scene.reader
    if isinstance(reader, HasGroundTruth):
        found: list[Int32Array] = []
        for frame in frames:
            try:
                truth = reader.read_ground_truth_map(frame.view)
            except SceneError as error:
                yield Finding("ground truth", "doubt", str(error))
                return
            if truth is not None:
                found.append(truth)
        if found:
            objects = len({int(one) for truth in found for one in np.unique(truth) if one != NOTHING})
            text = f"Ground truth: {objects} objects in gt_masks/ of {len(found)} of {len(frames)} views."
            yield Finding("ground truth", "ok", text, {"objects": objects, "views": len(found)})
            return
    if scene.mask_ids_are_instances and any(frame.mask_areas for frame in frames):
        objects = len({mask for frame in frames for mask in frame.mask_areas})
        text = f"Ground truth: masks of one object have one id in all views; {objects} objects."
        yield Finding("ground truth", "ok", text, {"objects": objects, "views": len(frames)})
        return
    yield Finding("ground truth", "note", "There is no ground truth: groups cannot be scored.", {"objects": None})
