"""What a run found out about its depth, poses and masks: numbers for metrics.json and one paragraph for people.

No mask is ever dropped: the numbers say how each kind of mask came to its group, or why it stands alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.grouping.geometry import MaskTable
from engine.grouping.graph import Grouping
from engine.grouping.photo_depth import RoughGeometry
from engine.grouping.registration import Registration
from engine.types import BoolArray

NOISY_M = 0.002
MANY_HOLES = 0.02
SECOND_DIFFERENCE = float(np.sqrt(6))
"""Independent noise of deviation s gives d(x - 1) - 2 d(x) + d(x + 1) the deviation s sqrt(6)."""
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Findings:
    """What was found.

    Attributes:
        views_with_depth: Views with depth and pose.
        noise_m: Noise of one depth value, standard deviation between neighbouring pixels, metres.
        holes: Share of pixels without depth in views that have depth, [0, 1].
        farthest_m: Depth below which 99 % of the values lie, metres; 0 without depth.
        depthless: Masks with too little depth to be followed into other views.
        merged: Masks over several objects.
        placed: Of both kinds, masks that joined the group which other views show in their place.
        alone: Masks that are groups of their own.
        alone_depthless: Of these, masks without depth: no other view proves what they show.
        views_placed: Photos whose camera was found; None where none were looked for.
        by_points: Masks of such photos whose place is known by points that other photos show too.
        by_trial: Masks of such photos whose place was found by trying depths.
    """

    views_with_depth: int
    noise_m: float
    holes: float
    farthest_m: float
    depthless: int
    merged: int
    placed: int
    alone: int
    alone_depthless: int
    views_placed: int | None = None
    by_points: int = 0
    by_trial: int = 0


def find_out(
    table: MaskTable,
    grouping: Grouping,
    *,
    depthless: BoolArray,
    merged: BoolArray,
    placed: BoolArray,
    rough: RoughGeometry | None = None,
) -> Findings:
    """Gather what a run found.

    Args:
        table: The masks and views.
        grouping: The groups.
        depthless: (N,) masks with too little depth.
        merged: (N,) masks over several objects.
        placed: (N,) masks that have a link to the group in their place.
        rough: Where the masks of photos are, for scenes of photos alone.
    """
    noises: list[float] = []
    holes: list[float] = []
    far: list[float] = []
    for view in table.views:
        if not view.is_posed or view.depth is None:
            continue
        known = view.depth > 0
        holes.append(1 - float(known.mean()))
        if not known.any():
            continue
        far.append(float(np.quantile(view.depth[known][::7], 0.99)))
        row = view.depth[::4]
        whole = (row[:, :-2] > 0) & (row[:, 1:-1] > 0) & (row[:, 2:] > 0)
        bend = np.abs(row[:, :-2] - 2 * row[:, 1:-1] + row[:, 2:])[whole]
        if len(bend):
            noises.append(MAD_TO_SIGMA * float(np.median(bend)) / SECOND_DIFFERENCE)
    alone = np.bincount(grouping.labels, minlength=1)[grouping.labels] == 1 if len(table) else np.zeros(0, bool)
    return Findings(
        views_with_depth=len(holes),
        noise_m=float(np.median(noises)) if noises else 0.0,
        holes=float(np.mean(holes)) if holes else 0.0,
        farthest_m=float(np.max(far)) if far else 0.0,
        depthless=int(depthless.sum()),
        merged=int(merged.sum()),
        placed=int((placed & ~alone).sum()),
        alone=int(alone.sum()),
        alone_depthless=int((alone & depthless).sum()),
        views_placed=None if rough is None else sum(view.pose is not None for view in rough.table.views),
        by_points=0 if rough is None else int(rough.by_points.sum()),
        by_trial=0 if rough is None else int(rough.by_trial.sum()),
    )


def tell_findings(found: Findings, registration: Registration, *, views: int, masks: int) -> str:
    """Say what was found, in one paragraph.

    Args:
        found: What a run found.
        registration: What it found about the poses.
        views: Views of the scene.
        masks: Masks of the scene.
    """
    words: list[str] = []
    if found.views_placed is not None:
        words.append(
            f"The cameras of {found.views_placed} of {views} photos were found by what they share. The place of {found.by_points} "
            f"of {masks} masks is known by such points, that of {found.by_trial} by the depth at which they fit other photos; the "
            "rest were compared by their looks. Distances are a guess: photos alone do not tell how large a room is."
        )
    elif found.views_with_depth == 0:
        words.append(
            f"None of {views} view{'s' if views != 1 else ''} has depth and a pose, so masks were compared by their looks."
        )
    elif found.farthest_m == 0:
        words.append("The depth of every view is one hole: nothing could be measured.")
    else:
        noise = f"noise of about {1000 * found.noise_m:.1f} mm" if found.noise_m > NOISY_M else "hardly any noise"
        holes = f"holes in {found.holes:.0%} of the pixels" if found.holes > MANY_HOLES else "hardly any holes"
        words.append(f"Depth has {noise}, {holes}, and ends at {found.farthest_m:.1f} m.")
    if found.views_with_depth >= 2 and registration.pairs:
        before, after = 100 * registration.error_before_m, 100 * registration.error_after_m
        words.append(
            f"Views disagreed by {before:.1f} cm; poses were repaired, which leaves {after:.1f} cm."
            if registration.accepted
            else f"Views disagree by {before:.1f} cm; poses were left as they are."
        )
    kinds: list[str] = []
    if found.depthless:
        kinds.append(f"{found.depthless} of {masks} masks have too little depth to be followed")
    if found.merged:
        kinds.append(f"{found.merged} seem to cover several objects")
    if kinds:
        words.append(f"{' and '.join(kinds)}; {found.placed} of these joined what other views show in their place.")
    if found.alone:
        sure = (
            f", {found.alone_depthless} of them without depth: no other view proves what they show" if found.alone_depthless else ""
        )
        words.append(f"{found.alone} mask{'s stand' if found.alone != 1 else ' stands'} alone{sure}.")
    words.append("No mask was dropped.")
    return " ".join(words)
