"""How good masks of a view are, where its objects are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.types import NOTHING, Int32Array

LEAST_PX = 100
"""Objects and masks of fewer pixels are not scored."""


@dataclass(frozen=True)
class ViewScores:
    """Scores of one view.

    Attributes:
        objects: Mean over objects of the best IoU that any mask has with it.
        masks: Mean over masks, most of whose pixels show a known object, of the best IoU with any object.
        found: Share of the objects that some mask has an IoU of 0.5 with.
        coverage: Share of the objects' pixels that have a mask.
        n_objects: Objects that are scored.
        n_masks: Masks that are scored.
    """

    objects: float
    masks: float
    found: float
    coverage: float
    n_objects: int
    n_masks: int


def score_masks_of(masks: Int32Array, objects: Int32Array) -> ViewScores:
    """Compare a view's masks with its objects, both (H, W) int32, -1 = none."""
    masks, objects = masks.ravel(), objects.ravel()
    mask_names, mask = np.unique(masks, return_inverse=True)
    object_names, object_ = np.unique(objects, return_inverse=True)
    both = np.bincount(mask * len(object_names) + object_, minlength=len(mask_names) * len(object_names))
    both = both.reshape(len(mask_names), len(object_names)).astype(float)
    of_mask, of_object = both.sum(axis=1), both.sum(axis=0)
    iou = both / (of_mask[:, None] + of_object[None] - both)
    iou[mask_names == NOTHING] = 0
    iou[:, object_names == NOTHING] = 0
    is_object = (object_names != NOTHING) & (of_object >= LEAST_PX)
    known = both[:, object_names != NOTHING].sum(axis=1)
    is_mask = (mask_names != NOTHING) & (of_mask >= LEAST_PX) & (known > 0.5 * of_mask)
    best = iou.max(axis=0)[is_object]
    labelled = objects != NOTHING
    return ViewScores(
        objects=float(best.mean()) if len(best) else 0.0,
        masks=float(iou.max(axis=1)[is_mask].mean()) if is_mask.any() else 0.0,
        found=float((best >= 0.5).mean()) if len(best) else 0.0,
        coverage=float((masks[labelled] != NOTHING).mean()) if labelled.any() else 0.0,
        n_objects=int(is_object.sum()),
        n_masks=int(is_mask.sum()),
    )
