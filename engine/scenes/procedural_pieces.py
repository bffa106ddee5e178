"""Parametric furniture for procedural rooms: one function a kind, each draws proportions and colours from a generator.

A piece is a small coloured mesh in its own axes (z up, base at z = 0, footprint centred). Knows nothing about rooms or files.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, cast

import numpy as np

from engine.types import Float32Array, Float64Array, Int32Array, UInt8Array

Mount = Literal["floor", "table", "wall", "ceiling"]
Part = tuple[Float32Array, Int32Array, UInt8Array]


@dataclass(frozen=True, eq=False)
class Piece:
    """One model that a room may hold, any number of times.

    Attributes:
        model: Key of the model: two pieces with the same key are identical copies.
        kind: Class name, e.g. "chair"; pieces of one kind and different keys are look-alikes.
        vertices: (V, 3) float32 metres, z up, base at z = 0, footprint centred on the origin, front towards -y.
        faces: (F, 3) int32.
        colors: (V, 3) uint8 RGB without light.
        normals: (V, 3) float32 unit vectors.
        mount: Where it goes.
        elevation: Height of its base above the floor in metres, for pieces on walls.
    """

    model: str
    kind: str
    vertices: Float32Array
    faces: Int32Array
    colors: UInt8Array
    normals: Float32Array
    mount: Mount
    elevation: float

    @cached_property
    def size(self) -> Float32Array:
        """Extent along x, y, z: (3,) float32 metres."""
        return np.ptp(self.vertices, axis=0).astype(np.float32)


def make_piece(
    *, model: str, kind: str, vertices: Float32Array, faces: Int32Array, colors: UInt8Array, mount: Mount, elevation: float
) -> Piece:
    """Make a piece, with normals smoothed where neighbouring faces meet at a blunt angle."""
    return Piece(model, kind, vertices, faces, colors, _normals(vertices, faces), mount, elevation)


def _normals(vertices: Float32Array, faces: Int32Array) -> Float32Array:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    flat = np.cross(b - a, c - a)
    own = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(own, faces[:, k], flat)
    grid = np.rint(vertices / max(float(np.ptp(vertices, axis=0).max()) * 1e-4, 1e-6)).astype(np.int64)
    _, group = np.unique(grid @ np.array([1, 1 << 20, 1 << 40]), return_inverse=True)
    shared = np.zeros((int(group.max()) + 1, 3), np.float32)
    np.add.at(shared, group, own)
    smooth, flat_unit = _unit(shared[group]), _unit(own)
    blunt = np.einsum("nk,nk->n", smooth, flat_unit) > 0.75
    return np.where(blunt[:, None], smooth, flat_unit).astype(np.float32)


def _unit(vectors: Float32Array) -> Float32Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def restyled(piece: Piece, rng: np.random.Generator) -> Piece:
    """Return a look-alike: the same model with other colours, proportions, or both."""
    tag = int(rng.integers(1 << 30))
    scale = rng.uniform(0.8, 1.25, 3).astype(np.float32) if rng.random() < 0.6 else np.ones(3, np.float32)
    colors = piece.colors.astype(np.float32)
    if rng.random() < 0.8 or np.all(scale == 1):
        gray = colors.mean(axis=1, keepdims=True)
        target = random_color(rng).astype(np.float32)
        mode = rng.integers(3)
        if mode == 0:
            colors = colors[:, rng.permutation(3)] * rng.uniform(0.6, 1.3)
        elif mode == 1:
            colors = gray / max(float(gray.mean()), 20.0) * target
        else:
            colors = 0.5 * colors + 0.5 * gray / max(float(gray.mean()), 20.0) * target
    return replace(
        piece,
        model=f"{piece.model}~{tag}",
        vertices=(piece.vertices * scale).astype(np.float32),
        colors=np.clip(colors, 4, 252).astype(np.uint8),
    )


def random_color(rng: np.random.Generator) -> UInt8Array:
    """Draw a plausible furniture colour, (3,) uint8: woods, greys and now and then a saturated one."""
    style = rng.random()
    if style < 0.35:
        hsv = (rng.uniform(0.05, 0.11), rng.uniform(0.25, 0.7), rng.uniform(0.25, 0.85))
    elif style < 0.65:
        hsv = (rng.uniform(0, 1), rng.uniform(0, 0.12), rng.uniform(0.08, 0.97))
    else:
        hsv = (rng.uniform(0, 1), rng.uniform(0.2, 0.85), rng.uniform(0.25, 0.9))
    return (np.array(colorsys.hsv_to_rgb(*hsv)) * 255).astype(np.uint8)


class _Builder:
    """Collects coloured boxes and lathed shapes."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.parts: list[Part] = []

    def paint(self, points: Float32Array, color: UInt8Array) -> UInt8Array:
        """Colour points with a plain, striped, checked or grained pattern of `color`."""
        rng, base = self.rng, color.astype(np.float32)
        style, second = rng.random(), random_color(rng).astype(np.float32)
        axis, width = int(rng.integers(3)), rng.uniform(0.03, 0.2)
        if style < 0.12:
            mix = (np.floor(points[:, axis] / width) % 2)[:, None]
        elif style < 0.2:
            mix = (np.floor(points / width).sum(axis=1) % 2)[:, None]
        elif style < 0.45:
            wave = np.sin(points[:, axis] * rng.uniform(15, 60) + 3 * np.sin(points[:, (axis + 1) % 3] * rng.uniform(2, 9)))
            mix, second = (wave * 0.5 + 0.5)[:, None], base * rng.uniform(0.7, 0.9)
        else:
            mix = np.zeros((len(points), 1))
        colors = base * (1 - mix) + second * mix + rng.normal(0, 3, (len(points), 1))
        return np.clip(colors, 4, 252).astype(np.uint8)

    def box(self, low: tuple[float, float, float], high: tuple[float, float, float], color: UInt8Array) -> None:
        """Add a box of grids with cells of about 6 cm."""
        lo, hi = np.minimum(low, high).astype(np.float32), np.maximum(low, high).astype(np.float32)
        for axis in range(3):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            for side in (0, 1):
                nu, nv = (max(1, min(24, int((hi[k] - lo[k]) / 0.06))) for k in (u, v))
                along_u = cast("Float64Array", np.linspace(lo[u], hi[u], nu + 1))
                along_v = cast("Float64Array", np.linspace(lo[v], hi[v], nv + 1))
                gu, gv = np.meshgrid(along_u, along_v, indexing="ij")
                points = np.zeros(((nu + 1) * (nv + 1), 3), np.float32)
                points[:, u], points[:, v], points[:, axis] = gu.ravel(), gv.ravel(), (lo, hi)[side][axis]
                self.parts.append((points, grid_faces(nu + 1, nv + 1), self.paint(points, color)))

    def lathe(self, profile: list[tuple[float, float]], color: UInt8Array, center: tuple[float, float] = (0.0, 0.0)) -> None:
        """Add a surface of revolution: profile of (radius, z) around the vertical through `center`."""
        r, z = np.array(profile, np.float32).T
        angles = np.linspace(0, 2 * np.pi, 17)
        points = np.stack(
            [
                (center[0] + r[:, None] * np.cos(angles)).ravel(),
                (center[1] + r[:, None] * np.sin(angles)).ravel(),
                np.repeat(z, 17),
            ],
            axis=1,
        ).astype(np.float32)
        self.parts.append((points, grid_faces(len(r), 17), self.paint(points, color)))

    def build(self, kind: str, mount: Mount, elevation: float = 0.0) -> Piece:
        """Join the parts into a piece, moved to the origin."""
        offsets = np.cumsum([0] + [len(p[0]) for p in self.parts[:-1]])
        vertices = np.concatenate([p[0] for p in self.parts])
        faces = np.concatenate([p[1] + o for p, o in zip(self.parts, offsets, strict=True)]).astype(np.int32)
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        vertices = (vertices - np.array([*(low + high)[:2] / 2, low[2]])).astype(np.float32)
        model = f"parametric/{kind}~{int(self.rng.integers(1 << 40))}"
        colors = np.concatenate([p[2] for p in self.parts])
        return make_piece(model=model, kind=kind, vertices=vertices, faces=faces, colors=colors, mount=mount, elevation=elevation)


def grid_faces(rows: int, columns: int) -> Int32Array:
    """Triangles of a grid of rows x columns vertices, (2 * (rows-1) * (columns-1), 3) int32."""
    ids = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    a, b, c, d = ids[:-1, :-1].ravel(), ids[1:, :-1].ravel(), ids[1:, 1:].ravel(), ids[:-1, 1:].ravel()
    return np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)


def _legs(b: _Builder, w: float, d: float, h: float, color: UInt8Array) -> None:
    t = float(b.rng.uniform(0.015, 0.045))
    inset = float(b.rng.uniform(0, 0.06))
    for sx in (-1, 1):
        for sy in (-1, 1):
            x, y = sx * (w / 2 - inset), sy * (d / 2 - inset)
            b.box((x, y, 0), (x - sx * t * 2, y - sy * t * 2, h), color)


def _table(b: _Builder) -> Piece:
    w, d, h = (float(b.rng.uniform(*r)) for r in ((0.5, 1.9), (0.4, 1.0), (0.35, 0.78)))
    top, leg = random_color(b.rng), random_color(b.rng)
    if b.rng.random() < 0.3:
        b.lathe([(0.0, h), (w / 2, h), (w / 2, h - 0.04), (0.0, h - 0.04)], top)
        b.lathe([(0.04, h), (0.04, 0.04), (w / 4, 0.03), (w / 4, 0)], leg)
    else:
        b.box((-w / 2, -d / 2, h - float(b.rng.uniform(0.02, 0.08))), (w / 2, d / 2, h), top)
        _legs(b, w, d, h, leg)
    return b.build("table", "floor")


def _chair(b: _Builder) -> Piece:
    w, d, seat, back = (float(b.rng.uniform(*r)) for r in ((0.36, 0.6), (0.36, 0.6), (0.38, 0.5), (0.3, 0.65)))
    frame, cloth = random_color(b.rng), random_color(b.rng)
    b.box((-w / 2, -d / 2, seat - float(b.rng.uniform(0.03, 0.12))), (w / 2, d / 2, seat), cloth)
    _legs(b, w, d, seat, frame)
    gap = float(b.rng.uniform(0, 0.2))
    if b.rng.random() < 0.5:
        b.box((-w / 2, d / 2 - 0.05, seat + gap), (w / 2, d / 2, seat + back), cloth)
    else:
        for x in np.linspace(-w / 2, w / 2 - 0.03, int(b.rng.integers(3, 7))):
            b.box((float(x), d / 2 - 0.03, seat), (float(x) + 0.03, d / 2, seat + back), frame)
        b.box((-w / 2, d / 2 - 0.035, seat + back - 0.06), (w / 2, d / 2, seat + back), frame)
    if b.rng.random() < 0.3:
        for s in (-1, 1):
            b.box((s * w / 2, -d / 2, seat + 0.18), (s * (w / 2 - 0.05), d / 2, seat + 0.22), frame)
    return b.build("chair", "floor")


def _sofa(b: _Builder) -> Piece:
    w, d, seat, back = (float(b.rng.uniform(*r)) for r in ((0.8, 2.4), (0.7, 1.0), (0.3, 0.48), (0.25, 0.5)))
    cloth, arm = random_color(b.rng), float(b.rng.uniform(0.08, 0.25))
    b.box((-w / 2, -d / 2, 0.04), (w / 2, d / 2, seat - 0.1), cloth)
    count = max(1, round(w / 0.75))
    inner, cushion = w - 2 * arm, cloth if b.rng.random() < 0.7 else random_color(b.rng)
    for i in range(count):
        x0 = -inner / 2 + i * inner / count
        b.box((x0 + 0.01, -d / 2, seat - 0.1), (x0 + inner / count - 0.01, d / 2 - 0.2, seat), cushion)
    b.box((-w / 2, d / 2 - 0.22, 0.04), (w / 2, d / 2, seat + back), cloth)
    for s in (-1, 1):
        b.box((s * w / 2, -d / 2, 0.04), (s * (w / 2 - arm), d / 2, seat + float(b.rng.uniform(0.08, 0.25))), cloth)
    return b.build("sofa", "floor")


def _bed(b: _Builder) -> Piece:
    w, d, h = (float(b.rng.uniform(*r)) for r in ((0.85, 1.9), (1.9, 2.2), (0.35, 0.6)))
    wood, sheet, pillow = (random_color(b.rng) for _ in range(3))
    b.box((-w / 2, -d / 2, 0.1), (w / 2, d / 2, h - 0.15), wood)
    b.box((-w / 2 - 0.02, -d / 2, h - 0.15), (w / 2 + 0.02, d / 2 - 0.5, h + 0.02), sheet)
    b.box((-w / 2 + 0.02, -d / 2, h - 0.15), (w / 2 - 0.02, d / 2, h), random_color(b.rng))
    b.box((-w / 2, d / 2, 0), (w / 2, d / 2 + 0.06, h + float(b.rng.uniform(0.1, 0.6))), wood)
    for s in (-1, 1) if w > 1.2 else (0,):
        b.box((s * w / 4 - 0.3, d / 2 - 0.45, h), (s * w / 4 + 0.3, d / 2 - 0.05, h + 0.12), pillow)
    return b.build("bed", "floor")


def _shelf(b: _Builder) -> Piece:
    w, d, h = (float(b.rng.uniform(*r)) for r in ((0.4, 1.6), (0.22, 0.5), (0.6, 2.2)))
    wood, rows = random_color(b.rng), int(b.rng.integers(2, 7))
    for s in (-1, 1):
        b.box((s * w / 2, -d / 2, 0), (s * (w / 2 - 0.03), d / 2, h), wood)
    b.box((-w / 2, d / 2 - 0.02, 0), (w / 2, d / 2, h), random_color(b.rng) if b.rng.random() < 0.3 else wood)
    for i in range(rows + 1):
        z = i * (h - 0.03) / rows
        b.box((-w / 2, -d / 2, z), (w / 2, d / 2, z + 0.03), wood)
        x = -w / 2 + 0.04
        while i < rows and x < w / 2 - 0.12 and b.rng.random() < 0.85:
            step = float(b.rng.uniform(0.03, 0.15))
            b.box((x, -d / 2 + 0.04, z + 0.03), (x + step, d / 2 - 0.03, z + 0.03 + h / rows * 0.7), random_color(b.rng))
            x += step + float(b.rng.uniform(0, 0.08))
    return b.build("bookcase", "floor")


def _cabinet(b: _Builder) -> Piece:
    w, d, h = (float(b.rng.uniform(*r)) for r in ((0.35, 1.7), (0.3, 0.6), (0.4, 2.0)))
    body, front, knob = random_color(b.rng), random_color(b.rng), random_color(b.rng)
    front = body if b.rng.random() < 0.6 else front
    b.box((-w / 2, -d / 2, 0.05), (w / 2, d / 2, h), body)
    rows, columns = int(b.rng.integers(1, 6)), int(b.rng.integers(1, 4))
    cw, ch = w / columns, (h - 0.08) / rows
    for i in range(rows):
        for j in range(columns):
            x, z = -w / 2 + j * cw, 0.06 + i * ch
            b.box((x + 0.015, -d / 2 - 0.02, z + 0.015), (x + cw - 0.015, -d / 2, z + ch - 0.015), front)
            b.box((x + cw / 2 - 0.04, -d / 2 - 0.04, z + ch / 2), (x + cw / 2 + 0.04, -d / 2 - 0.02, z + ch / 2 + 0.03), knob)
    return b.build("cabinet", "floor")


def _lamp(b: _Builder) -> Piece:
    h, r = (1.2 + float(b.rng.uniform(0, 0.6)), 0.15) if b.rng.random() < 0.4 else (float(b.rng.uniform(0.3, 0.6)), 0.08)
    stem, shade = random_color(b.rng), random_color(b.rng)
    s = h * float(b.rng.uniform(0.2, 0.35))
    b.lathe([(0.0, 0.03), (r, 0.02), (r, 0.0)], stem)
    belly = float(b.rng.uniform(0.01, 0.06))
    b.lathe([(0.015, 0.0), (belly, h * 0.3), (0.015, h * 0.6), (0.01, h)], stem)
    b.lathe([(s * float(b.rng.uniform(0.2, 0.8)), h), (s * 0.8, h - s)], shade)
    return b.build("lamp", "floor" if h > 1 else "table")


def _vase(b: _Builder) -> Piece:
    h, r = float(b.rng.uniform(0.1, 0.45)), float(b.rng.uniform(0.04, 0.15))
    z = np.linspace(0, h, 9)
    radii = r * np.clip(1 + 0.5 * np.sin(z / h * float(b.rng.uniform(2, 7)) + float(b.rng.uniform(0, 6))), 0.15, 2)
    b.lathe([(0.0, 0.0), *((float(a), float(c)) for a, c in zip(radii, z, strict=True))], random_color(b.rng))
    return b.build("vase", "table")


def _box(b: _Builder) -> Piece:
    w, d, h = (float(b.rng.uniform(0.08, 0.45)) for _ in range(3))
    b.box((-w / 2, -d / 2, 0), (w / 2, d / 2, h * 0.75), random_color(b.rng))
    b.box((-w / 2 - 0.01, -d / 2 - 0.01, h * 0.75), (w / 2 + 0.01, d / 2 + 0.01, h), random_color(b.rng))
    return b.build("box", "table" if max(w, d, h) < 0.3 else "floor")


def _cushion(b: _Builder) -> Piece:
    w, h = float(b.rng.uniform(0.3, 0.6)), float(b.rng.uniform(0.08, 0.2))
    color = random_color(b.rng)
    b.box((-w / 2, -w / 2, h * 0.25), (w / 2, w / 2, h * 0.75), color)
    b.box((-w / 3, -w / 3, 0), (w / 3, w / 3, h), color)
    return b.build("cushion", "table")


def _picture(b: _Builder) -> Piece:
    w, h = float(b.rng.uniform(0.25, 1.2)), float(b.rng.uniform(0.25, 0.9))
    b.box((-w / 2, 0, 0), (w / 2, 0.03, h), random_color(b.rng))
    n = 10
    u, v = np.meshgrid(np.linspace(-w / 2 + 0.04, w / 2 - 0.04, 4 * n), np.linspace(0.04, h - 0.04, 4 * n), indexing="ij")
    points = np.stack([u.ravel(), np.full(u.size, -0.005), v.ravel()], 1).astype(np.float32)
    colors = np.tile(random_color(b.rng).astype(np.float32), (u.size, 1))
    for _ in range(int(b.rng.integers(2, 9))):
        at = points[b.rng.integers(u.size)]
        near = np.exp(-(((points - at) / b.rng.uniform(0.05, 0.25)) ** 2).sum(axis=1) * 2)[:, None]
        colors = colors * (1 - near) + random_color(b.rng).astype(np.float32) * near
    b.parts.append((points, grid_faces(4 * n, 4 * n), np.clip(colors, 4, 252).astype(np.uint8)))
    return b.build("picture", "wall", float(b.rng.uniform(1.1, 1.7)))


def _rug(b: _Builder) -> Piece:
    w, d = float(b.rng.uniform(0.8, 2.4)), float(b.rng.uniform(0.6, 1.7))
    b.box((-w / 2, -d / 2, 0), (w / 2, d / 2, 0.015), random_color(b.rng))
    b.box((-w / 2.5, -d / 2.6, 0), (w / 2.5, d / 2.6, 0.02), random_color(b.rng))
    return b.build("rug", "floor")


def _pendant(b: _Builder) -> Piece:
    drop, r = float(b.rng.uniform(0.3, 0.9)), float(b.rng.uniform(0.1, 0.35))
    b.lathe([(0.008, drop), (0.008, 0.2)], random_color(b.rng))
    b.lathe([(0.03, 0.25), (r * float(b.rng.uniform(0.4, 1)), 0.18), (r, 0.0)], random_color(b.rng))
    return b.build("pendant", "ceiling")


def _curtain(b: _Builder) -> Piece:
    w, h = float(b.rng.uniform(0.4, 1.6)), float(b.rng.uniform(1.6, 2.3))
    u, v = np.meshgrid(np.linspace(-w / 2, w / 2, 40), np.linspace(0, h, 24), indexing="ij")
    y = 0.04 * np.sin(u * float(b.rng.uniform(20, 60)))
    points = np.stack([u.ravel(), y.ravel(), v.ravel()], 1).astype(np.float32)
    b.parts.append((points, grid_faces(40, 24), b.paint(points, random_color(b.rng))))
    return b.build("curtain", "wall", 0.1)


KINDS: dict[str, Callable[[_Builder], Piece]] = {
    "table": _table, "chair": _chair, "sofa": _sofa, "bed": _bed, "bookcase": _shelf, "cabinet": _cabinet, "lamp": _lamp,
    "vase": _vase, "box": _box, "cushion": _cushion, "picture": _picture, "rug": _rug, "pendant": _pendant, "curtain": _curtain,
}  # fmt: skip


def parametric_piece(kind: str, rng: np.random.Generator) -> Piece:
    """Draw one piece of a kind in `KINDS`."""
    return KINDS[kind](_Builder(rng))
