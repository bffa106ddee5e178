"""Checks that a server really serves the adapter on this machine: both answer a few pairs of the bundled room.

Without the right flags, a server may leave out an adapter's part in the vision tower, or serve an older adapter under the same
name, and does not tell its clients. Its answers show it: they are compared with those of the local adapter, once complete and once
without its part in the tower.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.assets import SCENES_DIR
from engine.errors import ModelError
from engine.judging.base import CropPair, ServedJudge, TowerJudge
from engine.scenes import find_scene
from engine.types import Float64Array, MaskKey, Verdict
from engine.views.crops import PictureStyle, show_mask
from engine.views.frames import FrameSource

SCENE, VIEWS = "sh3d_living", ("1", "2")
OBJECTS = 6
"""Objects that both views show, the largest ones; each is paired with itself and with the next."""
TOLERANCE = 0.05
"""Mean distance of P(same) from which on two judges are not the same weights: bfloat16 on one side makes about 0.01."""
PLAIN_DISTANCE = 0.002
"""Below it two judges agree, whatever else is near."""


def bundled_pairs(style: PictureStyle = "on_black") -> list[CropPair]:
    """Return pairs of the bundled room's largest objects in two views: the same object, and two neighbours by size, in turn."""
    scene = find_scene(SCENE, SCENES_DIR)
    frames = FrameSource(scene)
    first, second = (frames.frame(view) for view in VIEWS)
    both = {mask: min(area, second.mask_areas[mask]) for mask, area in first.mask_areas.items() if mask in second.mask_areas}
    shared = sorted(both, key=lambda mask: (-both[mask], mask))[:OBJECTS]
    left, right = ([show_mask(frame, MaskKey(frame.view, mask), style=style) for mask in shared] for frame in (first, second))
    return [CropPair(left[i], right[j % len(shared)]) for i in range(len(shared)) for j in (i, i + 1)]


def check_served(served: ServedJudge, local: TowerJudge, pairs: Sequence[CropPair]) -> None:
    """Compare a served adapter with the local one.

    Args:
        served: The judge behind the server.
        local: The adapter that the server should serve, loaded here. Its part in the tower is removed, so do not use it afterwards.
        pairs: What both are asked. Of a server that gives no probabilities only the answers are compared.

    Raises:
        ModelError: If they do not agree.
    """
    said, whole = raw_probabilities(served.judge(pairs)), raw_probabilities(local.judge(pairs))
    if not served.gives_probabilities:
        wrong = int(((said >= 0.5) != (whole >= 0.5))[np.abs(whole - 0.5) > 0.2].sum())
        if wrong:
            raise ModelError(f"{_head(served)} answers {wrong} of {len(pairs)} pairs of the bundled room otherwise; {_ADVICE}")
        return
    distance = float(np.abs(said - whole).mean())
    if distance <= PLAIN_DISTANCE:
        return
    if local.leave_tower_out() and float(np.abs(said - raw_probabilities(local.judge(pairs))).mean()) < distance / 2:
        raise ModelError(
            f"{_head(served)} answers like that adapter without its part in the vision tower (P(same) is off by {distance:.3f} on "
            f"average); start the server with --enable-tower-connector-lora, or train with --language-only."
        )
    if distance > TOLERANCE:
        raise ModelError(f"{_head(served)} answers otherwise (P(same) is off by {distance:.3f} on average); {_ADVICE}")


_ADVICE = "see that the server has loaded this adapter on its own base, under a name that it never had before."


def _head(served: ServedJudge) -> str:
    return f"The server's {served.name!r} is not the adapter of that name here: it"


def raw_probabilities(verdicts: Sequence[Verdict]) -> Float64Array:
    """Return P(same) before calibration, (N,) float64, because the two sides may have different calibrations."""
    return np.array([v.p_same if v.uncalibrated is None else v.uncalibrated for v in verdicts])
