"""Makes furnished rooms from a seed: a mesh with instances, cameras, and which instances are copies of one model.

Rooms hold parametric furniture, and real furniture where pieces are passed in. Light is baked into the vertex colours.
Owns placement, light and cameras; knows nothing about training. `write_replica` stores a room in the replica layout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from PIL import Image

from engine.rendering.base import shade
from engine.rendering.embree import EmbreeRenderer
from engine.scenes.procedural_pieces import KINDS, Piece, grid_faces, parametric_piece, random_color, restyled
from engine.types import Camera, Float32Array, Float64Array, Int32Array, SceneMesh, UInt8Array, View

STRUCTURE_CLASSES = {"wall": 93, "floor": 40, "ceiling": 31}
DEPTH_SCALE = 6553.5
"""Depth PNG units per metre, as in the Replica layout."""


@dataclass(frozen=True, eq=False)
class Room:
    """A made room.

    Attributes:
        mesh: World frame, metres, z up; `vertex_instances` = class * 1000 + instance.
        views: Posed cameras inside the room, names "0", "1", ...
        models: Model key of each instance id; equal keys are identical copies. Walls share one key.
        kinds: Class name of each instance id.
    """

    mesh: SceneMesh
    views: tuple[View, ...]
    models: Mapping[int, str]
    kinds: Mapping[int, str]


@dataclass(frozen=True, eq=False)
class _Placed:
    piece: Piece
    position: Float64Array
    yaw: float

    @property
    def footprint(self) -> Float64Array:
        """Half extent along world x and y."""
        half = self.piece.size[:2].astype(float) / 2
        c, s = abs(np.cos(self.yaw)), abs(np.sin(self.yaw))
        return np.array([c * half[0] + s * half[1], s * half[0] + c * half[1]])

    @property
    def points(self) -> Float32Array:
        return (self.piece.vertices @ _turn(self.yaw).T + self.position).astype(np.float32)


def class_id(kind: str) -> int:
    """Return the class number of a kind: stable, in 100..1999 for furniture."""
    return STRUCTURE_CLASSES.get(kind, 100 + crc32(kind.encode()) % 1900)


def make_room(seed: int, pieces: Sequence[Piece] = (), *, view_count: int = 12, image_size: tuple[int, int] | None = None) -> Room:
    """Make a room; the same arguments give the same room.

    Args:
        seed: Seed of everything random.
        pieces: Real furniture to draw from, beside the parametric kinds; none is fine.
        view_count: Number of cameras.
        image_size: Width and height of all views; drawn per room where None.
    """
    rng = np.random.default_rng(seed)
    extent = np.array([rng.uniform(3.2, 7.0), rng.uniform(3.2, 6.0), rng.uniform(2.4, 2.9)])
    placed = _furnish(rng, extent, _choose_pieces(rng, pieces))
    views = _cameras(rng, extent, placed, view_count, image_size)
    parts = _structure(rng, extent)
    lights = _Lights(rng, extent)
    vertices: list[Float32Array] = []
    faces: list[Int32Array] = []
    colors: list[UInt8Array] = []
    labels: list[Int32Array] = []
    models: dict[int, str] = {}
    kinds: dict[int, str] = {}
    offset = 0
    for index, item in enumerate([*parts, *placed]):
        kind = item.piece.kind
        instance = class_id(kind) * 1000 + index + 1
        points = item.points
        normals = item.piece.normals @ _turn(item.yaw).T.astype(np.float32)
        vertices.append(points)
        faces.append(item.piece.faces + offset)
        colors.append(lights.bake(points, normals, item.piece.colors))
        labels.append(np.full(len(points), instance, np.int32))
        models[instance], kinds[instance] = item.piece.model, kind
        offset += len(points)
    mesh = SceneMesh(
        vertices=np.concatenate(vertices),
        faces=np.concatenate(faces).astype(np.int32),
        colors=np.concatenate(colors),
        vertex_instances=np.concatenate(labels),
    )
    return Room(mesh=mesh, views=views, models=models, kinds=kinds)


def write_replica(room: Room, folder: Path, name: str) -> Path:
    """Write a room in the replica layout under `folder`; returns the scene's folder.

    The layout: `<name>/{color/*.jpg, depth/*.png, poses/*.txt, intrinsics.txt, <name>_mesh.ply}` and
    `ground_truth/<name>.txt` beside it. All views must have one camera.
    """
    import trimesh

    scene = folder / name
    for part in (scene / "color", scene / "depth", scene / "poses", folder / "ground_truth"):
        part.mkdir(parents=True, exist_ok=True)
    assert room.mesh.vertex_instances is not None
    mesh = trimesh.Trimesh(room.mesh.vertices, room.mesh.faces, vertex_colors=room.mesh.colors, process=False)
    mesh.export(str(scene / f"{name}_mesh.ply"))  # pyright: ignore[reportUnknownMemberType]  # trimesh's types are partial
    np.savetxt(folder / "ground_truth" / f"{name}.txt", np.maximum(room.mesh.vertex_instances, 0), fmt="%d")
    renderer = EmbreeRenderer(room.mesh)
    for view in room.views:
        assert view.camera is not None
        assert view.pose is not None
        image = shade(renderer.rasterize(view.camera, view.pose), room.mesh, view.camera, view.pose)
        Image.fromarray(image.rgb).save(scene / "color" / f"{view.name}.jpg", quality=92)
        depth = np.clip(np.rint(image.depth * DEPTH_SCALE), 0, 65535).astype(np.uint16)
        Image.fromarray(depth).save(scene / "depth" / f"{view.name}.png")
        np.savetxt(scene / "poses" / f"{view.name}.txt", view.pose, fmt="%.8f")
    camera = room.views[0].camera
    assert camera is not None
    matrix = np.array([[camera.fx, 0, camera.cx, 0], [0, camera.fy, camera.cy, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    np.savetxt(scene / "intrinsics.txt", matrix, fmt="%.6f")
    return scene


def _turn(yaw: float) -> Float64Array:
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def _choose_pieces(rng: np.random.Generator, pieces: Sequence[Piece]) -> list[Piece]:
    """Draw the pieces of a room: groups of one kind, with look-alikes and identical copies."""
    by_kind: dict[str, list[Piece]] = {}
    for piece in pieces:
        by_kind.setdefault(piece.kind, []).append(piece)
    chosen: list[Piece] = []
    for _ in range(int(rng.integers(14, 26))):
        if pieces and rng.random() < 0.75:
            first = pieces[int(rng.integers(len(pieces)))]
            family = by_kind[first.kind]
        else:
            first = parametric_piece(str(rng.choice(list(KINDS))), rng)
            family = []
        group = [first]
        draw = rng.random()
        if draw < 0.2:
            group += [first] * int(rng.integers(1, 4))
        elif draw < 0.6:
            for _ in range(int(rng.integers(1, 3))):
                other = family[int(rng.integers(len(family)))] if len(family) > 1 and rng.random() < 0.6 else None
                if other is not None and other is not first:
                    group.append(other)
                elif first.kind in KINDS and rng.random() < 0.5:
                    group.append(parametric_piece(first.kind, rng))
                else:
                    group.append(restyled(first, rng))
        chosen += group
    return chosen


def _furnish(rng: np.random.Generator, extent: Float64Array, pieces: Sequence[Piece]) -> list[_Placed]:
    """Place pieces without overlap on floor, walls, ceiling and on each other; pieces that find no place are left out."""
    placed: list[_Placed] = []
    for piece in sorted(pieces, key=lambda p: p.mount == "table"):
        for _ in range(25):
            item = _try_place(rng, extent, piece, placed)
            if item is not None and _is_free(item, placed, extent):
                placed.append(item)
                break
    return placed


def _try_place(rng: np.random.Generator, extent: Float64Array, piece: Piece, placed: Sequence[_Placed]) -> _Placed | None:
    size = piece.size.astype(float)
    if size[2] > extent[2] - 0.05:
        return None
    tops = [p for p in placed if p.piece.mount == "floor" and 0.25 < p.piece.size[2] < 1.3 and min(p.footprint) > 0.15]
    if piece.mount == "table" and tops and rng.random() < 0.8:
        base = tops[int(rng.integers(len(tops)))]
        spread = np.maximum(base.footprint - size[:2].max() / 2, 0) * 0.9
        xy = base.position[:2] + rng.uniform(-1, 1, 2) * spread
        return _Placed(piece, np.array([*xy, base.position[2] + float(base.piece.size[2])]), float(rng.uniform(0, 2 * np.pi)))
    against_wall = piece.mount == "wall" or (piece.mount == "floor" and rng.random() < 0.5)
    if against_wall:
        side = int(rng.integers(4))
        yaw = side * np.pi / 2
        along = rng.uniform(0, 1)
        depth = size[1] / 2 + 0.01
        half = size[0] / 2
        x = half + along * max(extent[side % 2] - size[0], 0)
        spots = [(x, extent[1] - depth), (depth, x), (x, depth), (extent[0] - depth, x)]
        z = min(piece.elevation, extent[2] - size[2]) if piece.mount == "wall" else 0.0
        return _Placed(piece, np.array([*spots[side], max(z, 0.0)]), yaw)
    yaw = float(rng.integers(4) * np.pi / 2 + (rng.normal(0, 0.25) if rng.random() < 0.5 else 0))
    item = _Placed(piece, np.zeros(3), yaw)
    room = np.maximum(extent[:2] / 2 - item.footprint, 0)
    xy = extent[:2] / 2 + rng.uniform(-1, 1, 2) * room
    z = extent[2] - size[2] if piece.mount == "ceiling" else 0.0
    return _Placed(piece, np.array([*xy, z]), yaw)


def _is_free(item: _Placed, placed: Sequence[_Placed], extent: Float64Array) -> bool:
    low, high = _bounds(item)
    if (low < -0.02).any() or (high > extent + 0.02).any():
        return False
    for other in placed:
        other_low, other_high = _bounds(other)
        if (np.minimum(high, other_high) - np.maximum(low, other_low) > 0.01).all():
            return False
    return True


def _bounds(item: _Placed) -> tuple[Float64Array, Float64Array]:
    half = np.array([*item.footprint, 0.0])
    return item.position - half, item.position + half + np.array([0, 0, float(item.piece.size[2])])


def _structure(rng: np.random.Generator, extent: Float64Array) -> list[_Placed]:
    """Walls, floor and ceiling as grids with cells of about 10 cm."""
    x, y, z = extent
    paints = [random_color(rng).astype(float) * 0.4 + 150 for _ in range(2)]
    floor = random_color(rng)
    sides: list[tuple[str, tuple[float, float, float], tuple[float, float, float], tuple[float, float, float], UInt8Array]] = []
    wall, accent = (np.clip(p, 0, 250).astype(np.uint8) for p in paints)
    origins = [((0, 0, 0), (x, 0, 0)), ((x, 0, 0), (0, y, 0)), ((x, y, 0), (-x, 0, 0)), ((0, y, 0), (0, -y, 0))]
    for i, (origin, along) in enumerate(origins):
        sides.append(("wall", origin, along, (0, 0, z), accent if i == 0 and rng.random() < 0.5 else wall))
    sides.append(("floor", (0, 0, 0), (x, 0, 0), (0, y, 0), floor))
    sides.append(("ceiling", (0, y, z), (x, 0, 0), (0, -y, 0), np.array([235, 235, 232], np.uint8)))
    return [_Placed(_panel(rng, *side), np.zeros(3), 0.0) for side in sides]


def _panel(
    rng: np.random.Generator,
    kind: str,
    origin: tuple[float, float, float],
    u: tuple[float, float, float],
    v: tuple[float, float, float],
    color: UInt8Array,
) -> Piece:
    a, b = np.asarray(u, float), np.asarray(v, float)
    n, m = (int(np.linalg.norm(k) / 0.1) + 2 for k in (a, b))
    s, t = (k.ravel()[:, None] for k in np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, m), indexing="ij"))
    points = np.asarray(origin, float) + s * a + t * b
    grain = np.sin(points[:, :1] * rng.uniform(5, 25)) * 12 if kind == "floor" else rng.normal(0, 1.5, (len(points), 1))
    normal = np.cross(a, b) / np.linalg.norm(np.cross(a, b))
    return Piece(
        model=f"structure/{kind}",
        kind=kind,
        vertices=points.astype(np.float32),
        faces=grid_faces(n, m),
        colors=np.clip(color + grain, 0, 255).astype(np.uint8),
        normals=np.broadcast_to(normal, points.shape).astype(np.float32),
        mount="floor",
        elevation=0.0,
    )


class _Lights:
    """Ambient light, one to three lamps and a window side, drawn for a room and baked into vertex colours."""

    def __init__(self, rng: np.random.Generator, extent: Float64Array) -> None:
        self.ambient = rng.uniform(0.35, 0.75)
        count = int(rng.integers(1, 4))
        self.positions = np.column_stack([rng.uniform(0.1, 0.9, (count, 2)) * extent[:2], np.full(count, extent[2] - 0.1)])
        self.strength = rng.uniform(0.25, 0.8, count) * (1.1 / count)
        self.tint = 1 + rng.normal(0, 0.05, 3)
        self.sky = _turn(rng.uniform(0, 6.3)) @ np.array([0.85, 0, 0.5])
        self.sky_strength = rng.uniform(0, 0.35)
        self.near_floor = rng.uniform(0.75, 1.0)

    def bake(self, points: Float32Array, normals: Float32Array, colors: UInt8Array) -> UInt8Array:
        """Return lit colours, (V, 3) uint8, of points (V, 3) with unit normals (V, 3)."""
        light = np.full(len(points), self.ambient) + self.sky_strength * np.clip(normals @ self.sky, 0, 1)
        for position, strength in zip(self.positions, self.strength, strict=True):
            towards = position - points
            distance = np.maximum(np.linalg.norm(towards, axis=1), 0.2)
            facing = np.einsum("nk,nk->n", towards, normals) / distance
            light += strength * (0.3 + 0.7 * np.clip(facing, 0, 1)) * 4 / (2 + distance**2)
        light *= self.near_floor + (1 - self.near_floor) * np.clip(points[:, 2] / 0.5, 0, 1)
        return np.clip(colors * light[:, None] * self.tint, 0, 255).astype(np.uint8)


def _cameras(
    rng: np.random.Generator, extent: Float64Array, placed: Sequence[_Placed], count: int, size: tuple[int, int] | None
) -> tuple[View, ...]:
    """Draw cameras at eye height, outside the furniture, each looking at a piece."""
    sizes = [(640, 360), (640, 360), (640, 480), (480, 360)]
    width, height = size or sizes[int(rng.integers(len(sizes)))]
    focal = width / 2 / np.tan(np.deg2rad(rng.uniform(55, 92)) / 2)
    camera = Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)
    views: list[View] = []
    for name in range(count):
        eye = extent / 2
        for _ in range(30):
            eye = np.array([*rng.uniform(0.06, 0.94, 2) * extent[:2], rng.uniform(1.0, 1.9)])
            if all((np.abs(eye - p.position)[:2] > p.footprint + 0.15).any() for p in placed if _bounds(p)[1][2] > eye[2] - 0.3):
                break
        target = placed[int(rng.integers(len(placed)))].position if placed else extent / 2
        target = np.array([*(0.75 * target[:2] + 0.25 * extent[:2] / 2), rng.uniform(0.3, 1.3)]) + rng.normal(0, 0.2, 3)
        views.append(View(name=str(name), camera=camera, pose=look_at(eye, target)))
    return tuple(views)


def look_at(eye: Float64Array, target: Float64Array) -> Float64Array:
    """Return the camera-to-world pose (4, 4) at `eye`, z axis towards `target`, world z up."""
    forward = target - eye
    forward = forward / max(float(np.linalg.norm(forward)), 1e-9)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right = right / max(float(np.linalg.norm(right)), 1e-9)
    pose = np.eye(4)
    pose[:3, :3] = np.column_stack([right, np.cross(forward, right), forward])
    pose[:3, 3] = eye
    return pose
