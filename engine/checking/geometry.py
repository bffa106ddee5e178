"""Checks depth and poses against each other: units, holes, axes, camera-to-world, and agreement in centimetres."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from engine.checking.findings import Finding
from engine.grouping.axes import AxesFinding, find_axes
from engine.grouping.depth_units import FACTORS, find_depth_factor
from engine.grouping.geometry import MaskTable, PosedView, project
from engine.grouping.input_doubts import PLAUSIBLE_DEPTH_M, say_depth_factor, tell_depth_factor
from engine.grouping.pipeline import POOR_POSES_M
from engine.grouping.registration import register_views
from engine.rendering import make_renderer
from engine.types import Float32Array, SceneMesh
from engine.views.frames import resize_nearest

MAX_HOLES = 0.6
POOR_AGREEMENT = 0.3
"""With poses and depth that fit, half of the points or more agree; with a wrong convention about a tenth."""
MESH_VIEWS = 3
MESH_WIDTH = 160
MESH_TOLERANCE = 0.05
MIN_MESH_SHARE = 0.5
POINTS_LOOKED_AT = 2000
MIN_POINTS_SHARE = 0.5


def check_depth(views: Sequence[PosedView]) -> Iterator[Finding]:
    """Say how far depth reaches and how much of it is missing.

    Args:
        views: Views as `tabulate_masks` gives them.
    """
    depths = [view.depth for view in views if view.depth is not None]
    if not depths:
        yield Finding("depth", "note", "There is no depth: masks are grouped by appearance, which is far less sure.", {})
        return
    holes = float(np.median([float((depth <= 0).mean()) for depth in depths]))
    known = np.concatenate([depth[depth > 0][:: max(1, depth.size // 5000)] for depth in depths])
    figures: dict[str, object] = {"views": len(depths), "holes_share": holes}
    if len(known) == 0:
        yield Finding("depth", "doubt", "Depth is 0 everywhere, expected distances; export it again.", figures)
        return
    near, typical, far = (float(value) for value in np.percentile(known, (1, 50, 99)))
    figures |= {"near_m": near, "median_m": typical, "far_m": far}
    words = f"a median of {typical:.3g} m, nearly all between {near:.3g} and {far:.3g} m, {holes:.0%} of a picture unknown"
    least, most = PLAUSIBLE_DEPTH_M
    if not least <= typical <= most:
        text = (
            f"Depth has {words}; expected a median of {least:g} to {most:g} m: write the right units a metre into depth_scale.txt."
        )
        yield Finding("depth", "doubt", text, figures)
    elif far <= near:
        yield Finding("depth", "doubt", f"Depth is {typical:.3g} m everywhere, expected a room's; export it again.", figures)
    elif holes > MAX_HOLES:
        text = f"Depth has {words}; masks in the holes cannot be followed: use a denser depth if there is one."
        yield Finding("depth", "doubt", text, figures)
    else:
        yield Finding("depth", "ok", f"Depth has {words}.", figures)
    if len(depths) < len(views):
        text = f"{len(views) - len(depths)} of {len(views)} views have no depth: their masks cannot be followed."
        yield Finding("depth", "note", text, {"without_depth": len(views) - len(depths)})


def check_poses(table: MaskTable) -> Iterator[Finding]:
    """Move the depth of each view into others: are axes, direction, units and the poses themselves right?

    Args:
        table: The views.
    """
    posed = sum(view.pose is not None for view in table.views)
    if posed == 0:
        yield Finding("poses", "note", "There are no poses: masks are grouped by appearance, which is far less sure.", {})
        return
    axes = find_axes(table)
    figures: dict[str, object] = {"with_pose": posed}
    if axes is not None:
        figures |= {"convention": axes.best, "agreeing_share": axes.agreeing, "shares": dict(axes.shares)}
        if axes.doubt is not None:
            yield Finding("poses", "doubt", axes.doubt, figures)
            return
    factor = find_depth_factor(table)
    if factor is not None:
        yield Finding("depth", "doubt", tell_depth_factor(factor), {**figures, "too_large_by": factor})
        return
    if axes is None or axes.agreeing < POOR_AGREEMENT:
        yield _doubt_everything(table, axes, figures)
        return
    error = float(register_views(table, repair=False).error_before_m)
    figures["error_cm"] = 100 * error
    words = f"Poses are camera-to-world with OpenCV axes, and depths of different views agree within {100 * error:.1f} cm"
    if error > POOR_POSES_M:
        text = f"{words}, expected at most {100 * POOR_POSES_M:.0f} cm; group tries to repair them, better ones help more."
        yield Finding("poses", "doubt", text, figures)
    else:
        text = f"{words}; {axes.agreeing:.0%} of the points are where another view sees them."
        yield Finding("poses", "ok", text, figures)


def _doubt_everything(table: MaskTable, axes: AxesFinding | None, figures: dict[str, object]) -> Finding:
    """Say what is wrong where nothing agrees: axes and units both, too little overlap, or none of what is looked for."""
    for factor in FACTORS:
        found = find_axes(table, factor)
        if found is not None and found.doubt is not None and found.shares[found.best] > 2 * POOR_AGREEMENT:
            told = {**figures, "convention": found.best, "shares": dict(found.shares), "too_large_by": factor}
            return Finding("poses", "doubt", f"{say_depth_factor(factor)}, and: {found.doubt}", told)
    if axes is not None:
        text = f"Only {axes.agreeing:.0%} of the points of one view lie on what another sees; check poses, depth and intrinsics."
        return Finding("poses", "doubt", text, figures)
    if sum(view.is_posed for view in table.views) < 2:
        return Finding("poses", "note", "Fewer than two views have both depth and a pose: poses cannot be checked.", figures)
    text = "No view sees what another one sees, so nothing can be followed between them; check poses, depth and intrinsics."
    return Finding("poses", "doubt", text, figures)


def check_mesh(mesh: SceneMesh | None, views: Sequence[PosedView]) -> Iterator[Finding]:
    """Compare the mesh, seen from a few views, with their depth images.

    Args:
        mesh: The scene's mesh.
        views: Views whose depth comes from images, not from the mesh.
    """
    if mesh is None:
        return
    size: dict[str, object] = {"vertices": len(mesh.vertices), "faces": len(mesh.faces)}
    posed = [view for view in views if view.is_posed]
    if not posed or not len(mesh.faces):
        yield Finding("mesh", "ok", f"A mesh of {len(mesh.vertices):,} vertices and {len(mesh.faces):,} faces.", size)
        return
    renderer = make_renderer(mesh, "embree")
    agreeing = known = 0
    for view in posed[:: max(1, len(posed) // MESH_VIEWS)][:MESH_VIEWS]:
        assert view.camera is not None
        assert view.depth is not None
        assert view.pose is not None
        width = min(view.camera.width, MESH_WIDTH)
        height = max(1, round(view.camera.height * width / view.camera.width))
        rendered = renderer.rasterize(view.camera.resized(width, height), view.pose).depth
        depth = resize_nearest(view.depth, width, height)
        there = depth > 0
        known += int(there.sum())
        agreeing += int((there & (np.abs(rendered - depth) < MESH_TOLERANCE * depth)).sum())
    share = agreeing / max(1, known)
    figures = {**size, "agreeing_share": share}
    if share < MIN_MESH_SHARE:
        text = (
            f"The mesh agrees with {share:.0%} of the depth, expected {MIN_MESH_SHARE:.0%} or more: is it in another frame, or "
            "depth in other units? Export both from one reconstruction."
        )
        yield Finding("mesh", "doubt", text, figures)
    else:
        yield Finding("mesh", "ok", f"The mesh of {len(mesh.vertices):,} vertices agrees with {share:.0%} of the depth.", figures)


def check_points(points: Float32Array | None, views: Sequence[PosedView]) -> Iterator[Finding]:
    """Say how many of a reconstruction's points lie in some view.

    Args:
        points: (P, 3) float32 in the poses' unit, world frame.
        views: The views.
    """
    if points is None:
        return
    if len(points) == 0:
        yield Finding("points", "note", "The model has no points.", {"points": 0})
        return
    some = points[:: max(1, len(points) // POINTS_LOOKED_AT)]
    seen = np.zeros(len(some), bool)
    for view in views:
        if view.camera is not None and view.pose is not None:
            seen[project(some, view)[0]] = True
    share = float(seen.mean())
    figures: dict[str, object] = {"points": len(points), "seen_share": share}
    text = f"{share:.0%} of the model's {len(points):,} points lie in the picture of a view that was looked at"
    if share < MIN_POINTS_SHARE:
        yield Finding("points", "doubt", f"{text}, expected most: do poses and points belong to one model?", figures)
    else:
        yield Finding("points", "ok", f"{text}.", figures)
