"""Embree against PyTorch3D, seconds a pixel on this machine, in one run: ``python -m tests.bench.bench_rendering``.

Prints one line a backend: each draws the same views of the bundled living room (298 351 faces), the best of the repeats counts.
"PyTorch3D, plain" tries every face at every pixel, as its rasteriser does by itself; "PyTorch3D" is our backend, which leaves out
what the picture (on a CPU: each 16x16 tile of it) does not show. On a machine with a GPU both run on the GPU.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import psutil

from engine.assets import SCENES_DIR
from engine.rendering import Renderer, make_renderer
from engine.scenes import open_scene
from engine.types import Scene
from tests.bench.tiny_sizes import add_tiny_option


@dataclass(frozen=True)
class Timing:
    """Seconds of one view, the best of the repeats, averaged over the views, at one size."""

    label: str
    width: int
    height: int
    seconds: float

    @property
    def seconds_per_pixel(self) -> float:
        """Seconds a pixel."""
        return self.seconds / (self.width * self.height)


def measure(label: str, renderer: Renderer, scene: Scene, size: tuple[int, int], views: list[str], repeats: int) -> Timing:
    """Time `renderer` on the views; the first call of all warms up and does not count."""
    total = 0.0
    for index, name in enumerate(views):
        view = scene.view(name)
        assert view.camera is not None
        assert view.pose is not None
        camera = view.camera.resized(*size)
        if index == 0:
            renderer.rasterize(camera, view.pose)
        best = float("inf")
        for _ in range(repeats):
            start = time.perf_counter()
            renderer.rasterize(camera, view.pose)  # ends with a copy to the host, so the GPU has finished
            best = min(best, time.perf_counter() - start)
        total += best
    return Timing(label, *size, total / len(views))


def main(given: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--views", nargs="+", default=["0", "17"])
    parser.add_argument("--repeats", type=int, default=2)
    add_tiny_option(parser)
    options = parser.parse_args(given)
    large, small = ((64, 36), (16, 9)) if options.tiny else ((640, 360), (64, 36))
    if options.tiny:
        options.views, options.repeats = options.views[:1], 1
    scene = open_scene(SCENES_DIR / "sh3d_living")
    mesh = scene.mesh
    assert mesh is not None
    print(f"{len(mesh.faces)} faces, {psutil.cpu_count()} CPUs, load {psutil.getloadavg()[0]:.1f}")
    embree = make_renderer(mesh, "embree")
    rows = [measure("Embree, CPU", embree, scene, size, options.views, options.repeats) for size in (large, small)]
    if find_spec("pytorch3d") is None:
        print("PyTorch3D is not installed: pip install 'maskgroup[pytorch3d]'")
    else:
        from engine.rendering.pytorch3d import PyTorch3DRenderer

        device = PyTorch3DRenderer(mesh).device
        sizes = (small,) if device == "cpu" else (large, small)
        for cull, label in ((False, "PyTorch3D, plain"), (True, "PyTorch3D")):
            renderer = PyTorch3DRenderer(mesh, cull=cull)
            rows += [measure(f"{label}, {device}", renderer, scene, s, options.views, options.repeats) for s in sizes]
    reference = rows[0].seconds_per_pixel
    for row in rows:
        relative = row.seconds_per_pixel / reference
        print(
            f"{row.label:24} {row.width}x{row.height:<4} {row.seconds:.2e} s a view {row.seconds_per_pixel:.2e} s a pixel "
            f"{relative:9.1f} x Embree at {large[0]}x{large[1]}"
        )


if __name__ == "__main__":
    main()
