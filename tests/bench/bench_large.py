"""A large scene: 2,000 views of 1296x968 and a mesh of 3 million vertices, written here: `python -m tests.bench.bench_large`.

Time until it is listed and open, a click on the Judge page into a view that was not read yet, the room in 3D, and the peak of
memory of a process that does all of that without a model. The views are a dozen pictures, linked again and again: reading them from
a cold disk would take longer.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from db.labels.store import LabelStore
from db.schema.session import open_database
from engine.scenes.procedural import look_at
from tests.bench.tiny_sizes import add_tiny_option
from tests.stub_judge import StubJudge
from ui.pages.judge import handlers as page
from ui.services.workbench import Workbench

ROOT = Path(__file__).parents[2]
NAME = "large"
DISTINCT = 12
MASKS = 40
CLICKS = 60


@dataclass(frozen=True)
class Size:
    """How large a scene is: views, their pixels, and vertices along each side of its mesh."""

    views: int
    width: int
    height: int
    side: int


FULL, TINY = Size(2000, 1296, 968, 1733), Size(12, 64, 48, 40)


def write_scene(folder: Path, size: Size) -> Path:
    """Write a hilly field with posed masks; returns the scene's folder."""
    scene = folder / NAME
    for name in ("color", "depth", "masks", "poses"):
        (scene / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[: size.height, : size.width]
    for view in range(size.views):
        first = scene, view % DISTINCT
        for name, ending in (("color", "jpg"), ("depth", "png"), ("masks", "png")):
            path = scene / name / f"{view}.{ending}"
            if view >= DISTINCT:
                os.link(scene / name / f"{first[1]}.{ending}", path)
            elif name == "color":
                smooth = 90 + 60 * np.sin(columns / 37 + view) + 40 * np.cos(rows / 23)
                rgb = np.clip(smooth[..., None] + rng.normal(0, 8, (size.height, size.width, 3)), 0, 255)
                Image.fromarray(rgb.astype(np.uint8)).save(path, quality=92)
            elif name == "depth":
                Image.fromarray((2000 + 500 * np.sin(columns / 211 + view)).astype(np.uint16)).save(path)
            else:
                across = columns * 8 // size.width + 8 * (rows * (MASKS // 8) // size.height) + 1
                Image.fromarray(across.astype(np.uint16)).save(path)
        angle = 2 * np.pi * view / size.views
        pose = look_at(np.array([2 * np.cos(angle), 2 * np.sin(angle), 1.6]), np.array([0.0, 0.0, 0.4]))
        np.savetxt(scene / "poses" / f"{view}.txt", pose)
    focal, middle = 0.9 * size.width, ((size.width - 1) / 2, (size.height - 1) / 2)
    np.savetxt(scene / "intrinsics.txt", [[focal, 0, middle[0]], [0, focal, middle[1]], [0, 0, 1]])
    _write_mesh(scene / "mesh.ply", size.side)
    return scene


def _write_mesh(path: Path, side: int) -> None:
    x, y = np.meshgrid(np.linspace(-3, 3, side), np.linspace(-3, 3, side))
    vertices = np.zeros(side * side, [("xyz", "<f4", 3), ("rgb", "u1", 3)])
    vertices["xyz"] = np.stack([x, y, 0.3 * np.sin(3 * x) * np.cos(2 * y)], axis=-1).reshape(-1, 3)
    vertices["rgb"] = (vertices["xyz"] * 40 + 120).astype(np.uint8)
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).reshape(-1, 1)
    faces = np.zeros(2 * len(corner), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"] = 3
    faces["corners"] = np.concatenate([corner + np.array(more) for more in ((0, 1, side), (1, side + 1, side))])
    properties = "".join(f"property float {axis}\n" for axis in "xyz")
    properties += "".join(f"property uchar {color}\n" for color in ("red", "green", "blue"))
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices)}\n{properties}"
    header += f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    path.write_bytes(header.encode("ascii") + vertices.tobytes() + faces.tobytes())


def measure(scenes: Path) -> None:
    """Print what opening and clicking take, in a process that has read nothing yet."""
    bench = Workbench(scenes, LabelStore(open_database(str(scenes.parent / "labels.db"))), StubJudge)
    started = time.perf_counter()
    views = bench.views(NAME)
    say("listed and open", time.perf_counter() - started, "s")
    started = time.perf_counter()
    bench.list_scenes()
    say("listed again", 1000 * (time.perf_counter() - started), "ms")
    order = np.random.default_rng(1).permutation(len(views))[:CLICKS]
    took: list[float] = []
    for number in order:
        view = views[int(number)]
        started = time.perf_counter()
        choice = page.choose_view(page.Choice(NAME, view, view, None, None), "A", view)
        height, width = bench.frame(NAME, view).instance_map.shape
        choice = page.click_mask(bench, choice, "A", width // 3, height // 3)
        page.show_side(bench, choice, "A")
        took.append(1000 * (time.perf_counter() - started))
    say("a click into another view, median", float(np.median(took)), "ms")
    say("a click into another view, slowest", max(took), "ms")
    say("memory after the clicks", _peak_gb(), "GB")
    started = time.perf_counter()
    bench.thumbnails(NAME)
    say("pictures to choose views by", time.perf_counter() - started, "s")
    started = time.perf_counter()
    room = bench.room(NAME)
    say("room in 3D", time.perf_counter() - started, "s")
    assert room is not None
    say("points of the room", float(len(room.points)), "")
    say("peak of memory", _peak_gb(), "GB")


def say(name: str, value: float, unit: str) -> None:
    """Print one row."""
    print(f"{name:36} {value:10.2f} {unit}", flush=True)


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main(given: Sequence[str] | None = None) -> None:
    """Write a scene, and measure it in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_large", description=__doc__)
    add_tiny_option(parser)
    parser.add_argument("--measure", type=Path, help="measure the scene in this folder, in this process")
    arguments = parser.parse_args(given)
    if arguments.measure is not None:
        measure(arguments.measure)
        return
    size = TINY if arguments.tiny else FULL
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        write_scene(Path(folder) / "scenes", size)
        print(f"{size.views} views of {size.width}x{size.height}, a mesh of {size.side**2:,} vertices")
        say("written in", time.perf_counter() - started, "s")
        command = [sys.executable, "-m", "tests.bench.bench_large", "--measure", f"{folder}/scenes"]
        print(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout, end="")


if __name__ == "__main__":
    main()
