"""Draws what misfits look like, for docs/looks-wrong.md: `python -m tests.bench.draw_misfits docs/images`.

The bundled room is written as posed masks and spoiled in one way after the other. Each picture is what all views together show of
it from above, as the spoiled files say; the last one is a photo with its masks. What `maskgroup check` says of each is printed, and
is what the page quotes: a test compares both.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from engine.assets import SCENES_DIR
from engine.checking.run import check_scene
from engine.errors import SceneError
from engine.scenes import open_scene
from engine.types import Frame, UInt8Array
from engine.views.frames import FrameSource
from ui.view3d.pictures import draw_masks

SIZE = (320, 180)
STEP = 4
"""Every so many views of the bundled room."""
PICTURE = (360, 300)
CEILING_M = 2.1
BACKGROUND = 250


@dataclass(frozen=True)
class Misfit:
    """A way in which a scene is spoiled.

    Attributes:
        name: Of its picture: docs/images/misfit-NAME.png.
        spoil: Changes the files of a scene's folder.
        topic: What `maskgroup check` finds it in.
    """

    name: str
    spoil: Callable[[Path], None]
    topic: str


def _poses(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        for path in (folder / "poses").iterdir():
            np.savetxt(path, change(np.loadtxt(path)))

    return spoil


def _depth_scale(folder: Path) -> None:
    (folder / "depth_scale.txt").write_text("5000\n")


def _intrinsics(folder: Path) -> None:
    camera = np.loadtxt(folder / "intrinsics.txt")
    camera[:2] *= 0.6
    np.savetxt(folder / "intrinsics.txt", camera)


def _turned(folder: Path) -> None:
    """Say in half of the photos that they are upside down, as a phone does that was held so; masks are of the stored pictures."""
    for path in sorted((folder / "color").iterdir())[::2]:
        photo = Image.open(path)
        exif = photo.getexif()
        exif[0x0112] = 3
        photo.load()
        photo.save(path, quality=90, exif=exif)


MISFITS = (
    Misfit("right", lambda folder: None, "poses"),
    Misfit("axes", _poses(lambda pose: pose @ np.diag([1.0, -1.0, -1.0, 1.0])), "poses"),
    Misfit("inverse", _poses(np.linalg.inv), "poses"),
    Misfit("scale", _depth_scale, "depth"),
    Misfit("intrinsics", _intrinsics, "camera"),
    Misfit("exif", _turned, "masks"),
)


def write_scene(folder: Path) -> Path:
    """Write the bundled room as posed masks, small; returns its folder."""
    scene = open_scene(SCENES_DIR / "sh3d_living")
    for name in ("color", "depth", "poses", "masks"):
        (folder / name).mkdir(parents=True)
    frames = FrameSource(scene, width=SIZE[0], height=SIZE[1])
    for view in scene.view_names[::STEP]:
        frame = frames.frame(view)
        assert frame.depth is not None
        assert frame.pose is not None
        assert frame.camera is not None
        Image.fromarray(frame.rgb).save(folder / "color" / f"{view}.jpg", quality=90)
        Image.fromarray(np.rint(frame.depth * 1000).astype(np.uint16)).save(folder / "depth" / f"{view}.png")
        ids = np.unique(frame.instance_map, return_inverse=True)[1].reshape(frame.instance_map.shape)
        Image.fromarray(ids.astype(np.uint16)).save(folder / "masks" / f"{view}.png")
        np.savetxt(folder / "poses" / f"{view}.txt", frame.pose)
        camera = frame.camera
        np.savetxt(folder / "intrinsics.txt", [[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    return folder


def look(folder: Path) -> tuple[list[Frame], str, str]:
    """Return a scene's views, and the level and the sentence of each finding, joined; a refusal is a sentence too."""
    try:
        scene = open_scene(folder)
    except SceneError as error:
        return [], "refused", str(error)
    report = check_scene(scene)
    doubts = [finding for finding in report.findings if finding.level == "doubt"]
    said = " ".join(f"{finding.topic}: {finding.text}" for finding in doubts)
    return list(FrameSource(scene, width=SIZE[0], height=SIZE[1]).usable(scene.view_names)), "doubt" if doubts else "ok", said


def draw_from_above(frames: Sequence[Frame]) -> UInt8Array:
    """Draw all views' depth from above, the highest point of each pixel, (H, W, 3) uint8."""
    width, height = PICTURE
    points, colors = [np.zeros((0, 3))], [np.zeros((0, 3), np.uint8)]
    for frame in frames:
        if frame.depth is None or frame.pose is None or frame.camera is None:
            continue
        seen = frame.depth > 0
        rows, columns = np.nonzero(seen)
        depth = frame.depth[seen].astype(np.float64)
        camera = frame.camera
        local = np.stack([(columns - camera.cx) / camera.fx * depth, (rows - camera.cy) / camera.fy * depth, depth], axis=1)
        points.append(local @ frame.pose[:3, :3].T + frame.pose[:3, 3])
        colors.append(frame.rgb[seen])
    where, color = np.concatenate(points), np.concatenate(colors)
    kept = where[:, 2] < CEILING_M
    where, color = where[kept], color[kept]
    picture = np.full((height, width, 3), BACKGROUND, np.uint8)
    if len(where) == 0:
        return picture
    low, high = np.percentile(where[:, :2], [0.5, 99.5], axis=0)
    scale = min((width - 20) / (high[0] - low[0]), (height - 20) / (high[1] - low[1]))
    middle = (low + high) / 2
    x = np.rint((where[:, 0] - middle[0]) * scale + width / 2).astype(int)
    y = np.rint((middle[1] - where[:, 1]) * scale + height / 2).astype(int)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    order = np.argsort(where[inside, 2], kind="stable")
    picture[y[inside][order], x[inside][order]] = color[inside][order]
    return picture


def main(given: Sequence[str] | None = None) -> None:
    """Write one picture for each misfit, and print what the check says."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.draw_misfits", description=__doc__)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args(given)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        room = write_scene(Path(scratch) / "room")
        for misfit in MISFITS:
            spoiled = Path(scratch) / misfit.name
            shutil.copytree(room, spoiled)
            misfit.spoil(spoiled)
            frames, level, said = look(spoiled)
            picture = draw_masks(frames[0]) if misfit.name == "exif" else draw_from_above(frames)
            Image.fromarray(picture).quantize(96, dither=Image.Dither.NONE).save(
                arguments.folder / f"misfit-{misfit.name}.png", optimize=True
            )
            print(f"{misfit.name}: {level}: {said.replace(str(spoiled), 'room')}")


if __name__ == "__main__":
    main()
