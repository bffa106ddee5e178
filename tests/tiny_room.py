"""Writes a replica scene small enough to break in many ways: a floor and two boxes, three views, labels, photos and depth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from engine.rendering import make_renderer, shade
from engine.types import Camera, SceneMesh

NAME = "tiny"
CAMERA = Camera(width=32, height=24, fx=24.0, fy=24.0, cx=15.5, cy=11.5)
VIEWS = ("0", "2", "10")
RED_BOX, BLUE_BOX = 7001, 7002
CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float64)
QUADS = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


@dataclass(frozen=True)
class Piece:
    """A box: its corner nearest the origin and its size in metres, its colour, and its raw label."""

    low: tuple[float, float, float]
    size: tuple[float, float, float]
    color: tuple[int, int, int]
    label: int


PIECES = (
    Piece((-2, -2, -0.1), (4, 4, 0.1), (120, 110, 100), 0),
    Piece((-0.8, -0.3, 0), (0.6, 0.6, 0.5), (200, 30, 30), RED_BOX),
    Piece((0.3, -0.3, 0), (0.5, 0.5, 0.8), (30, 30, 200), BLUE_BOX),
)


def tiny_mesh() -> SceneMesh:
    """The room as a mesh; raw label 0 is -1, as the reader makes it."""
    vertices, faces, colors, labels = [], [], [], []
    for index, piece in enumerate(PIECES):
        vertices.append(CORNERS * piece.size + piece.low)
        faces.extend([[8 * index + q[0], 8 * index + q[k], 8 * index + q[k + 1]] for q in QUADS for k in (1, 2)])
        colors.append(np.tile(piece.color, (8, 1)))
        labels.append(np.full(8, piece.label or -1))
    return SceneMesh(
        vertices=np.concatenate(vertices).astype(np.float32),
        faces=np.array(faces, np.int32),
        colors=np.concatenate(colors).astype(np.uint8),
        vertex_instances=np.concatenate(labels).astype(np.int32),
    )


def look_at(eye: tuple[float, float, float], target: tuple[float, float, float] = (0, 0, 0.2)) -> np.ndarray:
    """Camera-to-world (4, 4) float64, OpenCV axes, world z up."""
    forward = np.subtract(target, eye) / np.linalg.norm(np.subtract(target, eye))
    right = np.cross(forward, (0, 0, 1.0))
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :4] = np.stack([right, np.cross(forward, right), forward, eye], axis=1)
    return pose


POSES = {"0": look_at((0, -2.5, 1.2)), "2": look_at((1.5, -2.0, 1.5)), "10": look_at((-1.5, -2.0, 1.0))}


def ply_text(mesh: SceneMesh) -> str:
    """The mesh as ascii PLY."""
    lines = ["ply", "format ascii 1.0", f"element vertex {len(mesh.vertices)}"]
    lines += [f"property float {axis}" for axis in "xyz"] + [f"property uchar {channel}" for channel in ("red", "green", "blue")]
    lines += [f"element face {len(mesh.faces)}", "property list uchar int vertex_indices", "end_header"]
    lines += [f"{x:g} {y:g} {z:g} {r} {g} {b}" for (x, y, z), (r, g, b) in zip(mesh.vertices, mesh.colors, strict=True)]
    lines += ["3 " + " ".join(str(i) for i in face) for face in mesh.faces]
    return "\n".join(lines) + "\n"


def write_tiny_room(parent: Path, *, depth_scale: float = 1000.0) -> Path:
    """Write `parent`/tiny and `parent`/ground_truth/tiny.txt; returns the scene's folder."""
    mesh, folder = tiny_mesh(), parent / NAME
    for name in ("color", "depth", "poses"):
        (folder / name).mkdir(parents=True)
    (parent / "ground_truth").mkdir()
    assert mesh.vertex_instances is not None
    labels = np.maximum(mesh.vertex_instances, 0)
    (parent / "ground_truth" / f"{NAME}.txt").write_text("\n".join(str(i) for i in labels) + "\n")
    (folder / f"{NAME}_mesh.ply").write_text(ply_text(mesh))
    np.savetxt(folder / "intrinsics.txt", [[CAMERA.fx, 0, CAMERA.cx], [0, CAMERA.fy, CAMERA.cy], [0, 0, 1]])
    renderer = make_renderer(mesh, "embree")
    for view, pose in POSES.items():
        rendered = shade(renderer.rasterize(CAMERA, pose), mesh, CAMERA, pose)
        np.savetxt(folder / "poses" / f"{view}.txt", pose)
        Image.fromarray(rendered.rgb).save(folder / "color" / f"{view}.png")
        Image.fromarray(np.rint(rendered.depth * depth_scale).astype(np.uint16)).save(folder / "depth" / f"{view}.png")
    return folder
