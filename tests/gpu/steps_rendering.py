"""PyTorch3D on the GPU against Embree's pictures of the same views: masks, depth, and milliseconds a view."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

from engine.rendering import Renderer, shade
from engine.types import SceneMesh
from tests.gpu.measuring import seconds
from tests.gpu.rendered import Reference, room_for
from tests.gpu.step import Figures, Missing, Setting

NEAR_M = 0.005
REPEATS = 5


def compare_renderers(setting: Setting) -> Figures:
    """Return for each size the share of equal instance ids, of depths within 5 mm, and milliseconds a view.

    "twice" is the original's way: every face tried, once for the colours and once for the masks.
    """
    if find_spec("pytorch3d") is None:
        raise Missing("PyTorch3D is not installed")
    from engine.rendering.pytorch3d import PyTorch3DRenderer

    room = room_for(setting)
    renderer, plain = (PyTorch3DRenderer(room.mesh, cull=cull) for cull in (True, False))
    by_size: dict[str, list[Reference]] = {}
    for reference in room.references:
        by_size.setdefault(f"{reference.camera.width}x{reference.camera.height}", []).append(reference)
    figures: dict[str, float | int | bool | str | None] = {"device": renderer.device}
    for size, references in by_size.items():
        equal, near = zip(*(agreement(renderer, room.mesh, reference) for reference in references), strict=True)
        figures[f"{size}_equal_ids"] = float(np.mean(equal))
        figures[f"{size}_depth_within_5_mm"] = float(np.mean(near))
        figures[f"{size}_ms"] = milliseconds(renderer, references, 1 if setting.tiny else REPEATS)
        # On a CPU every face at every pixel takes minutes.
        figures[f"{size}_twice_ms"] = None if setting.tiny else 2 * milliseconds(plain, references, REPEATS)
    return figures


def agreement(renderer: Renderer, mesh: SceneMesh, reference: Reference) -> tuple[float, float]:
    """Return the shares of pixels with the same instance, and of pixels that both hit with depths within 5 mm."""
    seen = shade(renderer.rasterize(reference.camera, reference.pose), mesh, reference.camera, reference.pose)
    hit = (seen.depth > 0) & (reference.depth > 0)
    near = np.abs(seen.depth[hit] - reference.depth[hit]) <= NEAR_M
    return float(np.mean(seen.instance_map == reference.instances)), float(np.mean(near))


def milliseconds(renderer: Renderer, references: list[Reference], repeats: int) -> float:
    """Return the time of one view, the median over views and repeats; the first call warms up."""
    renderer.rasterize(references[0].camera, references[0].pose)
    times = [seconds(lambda r=r: renderer.rasterize(r.camera, r.pose)) for r in references for _ in range(repeats)]
    return float(np.median(times) * 1000)
