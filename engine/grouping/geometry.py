"""Back-projection: which masks are seen where. Owns the geometric facts, and none of their interpretation.

Points sampled on every mask are followed into other views; where the other view's depth confirms that it sees the same surface,
the mask under the pixel is noted. The result is a sparse table of projections, from which overlap, visibility and view consensus
follow. The work grows with views x neighbours, never with views x views or masks x masks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from engine.types import NOTHING, BoolArray, Camera, Float32Array, Float64Array, Frame, Int32Array, MaskKey

POINTS_PER_MASK = 96
"""Points followed for one mask: the standard error of a share is then at most 5 %."""
MAX_POINTS_PER_MASK = 768
POINTS_IN_ALL = 6_000_000
"""Where views are few, what one sees of another's mask may be a sliver: as many points are followed as this leaves time for."""
MAX_NEIGHBOURS = 48
"""Views into which one view's masks are followed."""
COARSE_VOXEL_M = 0.25
"""Edge of the voxels that decide which views look at the same place."""
MIN_SHARED = 0.02
"""Share of a view's coarse voxels that another view must see to be a neighbour."""
DEPTH_TOLERANCE_M = 0.03
DEPTH_TOLERANCE_SHARE = 0.015
"""Two depths agree within these two added up (nearest-pixel sampling of slanted surfaces), and three pose errors on top."""
NEAR_M = 0.05
COUNTABLE_ID = 1 << 22


@dataclass(frozen=True, eq=False)
class PosedView:
    """What geometry needs of a frame.

    Attributes:
        name: The view's name.
        index_map: (H, W) int32 rows of the `MaskTable`, -1 = no mask.
        depth: (H, W) float32 metres along z, 0 = unknown; None where there is none.
        camera: Intrinsics at this size, or None.
        pose: Camera-to-world (4, 4) float64, or None.
    """

    name: str
    index_map: Int32Array
    depth: Float32Array | None
    camera: Camera | None
    pose: Float64Array | None

    @property
    def is_posed(self) -> bool:
        """Whether the view can be back-projected."""
        return self.depth is not None and self.camera is not None and self.pose is not None


@dataclass(frozen=True, eq=False)
class MaskTable:
    """All masks of a scene, one row each, in view order and then by id.

    Attributes:
        keys: The masks' names, N.
        view_of: (N,) int32 index into `views`.
        areas: (N,) int32 pixels.
        views: The views, colours left out.
    """

    keys: tuple[MaskKey, ...]
    view_of: Int32Array
    areas: Int32Array
    views: tuple[PosedView, ...]

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def row_of(self) -> dict[MaskKey, int]:
        """Row of each mask."""
        return {key: row for row, key in enumerate(self.keys)}

    @cached_property
    def has_geometry(self) -> bool:
        """Whether at least two views can be back-projected."""
        return sum(view.is_posed for view in self.views) >= 2

    def with_poses(self, poses: dict[int, Float64Array]) -> MaskTable:
        """Return the same masks with other poses, (4, 4) float64 by index of the view."""
        views = tuple(
            PosedView(view.name, view.index_map, view.depth, view.camera, poses.get(i, view.pose))
            for i, view in enumerate(self.views)
        )
        return MaskTable(self.keys, self.view_of, self.areas, views)

    def with_depths(self, depths: Sequence[Float32Array | None]) -> MaskTable:
        """Return the same masks with other depths, (H, W) float32 metres, one a view."""
        views = tuple(
            PosedView(view.name, view.index_map, depth, view.camera, view.pose)
            for view, depth in zip(self.views, depths, strict=True)
        )
        return MaskTable(self.keys, self.view_of, self.areas, views)


def tabulate_masks(frames: Iterable[Frame]) -> MaskTable:
    """Number the masks of all frames.

    Depth that is NaN, infinite or negative becomes 0 (unknown); poses that are not finite become None.
    """
    keys: list[MaskKey] = []
    view_of: list[int] = []
    areas: list[int] = []
    views: list[PosedView] = []
    for index, frame in enumerate(frames):
        ids, sizes = _count_pixels(frame)
        index_map = np.full(frame.instance_map.shape, NOTHING, np.int32)
        if len(ids) and ids[-1] < COUNTABLE_ID:
            lookup = np.full(int(ids[-1]) + 2, NOTHING, np.int32)  # the last entry serves -1
            lookup[ids] = len(keys) + np.arange(len(ids))
            index_map = lookup[frame.instance_map]
        elif len(ids):
            covered = frame.instance_map != NOTHING
            index_map[covered] = len(keys) + np.searchsorted(ids, frame.instance_map[covered])
        keys.extend(MaskKey(frame.view, int(i)) for i in ids)
        view_of.extend([index] * len(ids))
        areas.extend(sizes.tolist())
        depth = frame.depth
        if depth is not None:
            depth = np.where(np.isfinite(depth) & (depth > 0), depth, 0).astype(np.float32)
        pose = frame.pose if frame.pose is not None and bool(np.isfinite(frame.pose).all()) else None
        views.append(PosedView(frame.view, index_map, depth, frame.camera, pose))
    return MaskTable(tuple(keys), np.asarray(view_of, np.int32), np.asarray(areas, np.int32), tuple(views))


def _count_pixels(frame: Frame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ids of a frame's masks, ascending, and their pixels; counting is several times faster than sorting."""
    if frame.instance_map.max(initial=NOTHING) < COUNTABLE_ID:
        counts = np.bincount(frame.instance_map.ravel().astype(np.int64) - NOTHING)[1:]
        ids = np.flatnonzero(counts)
        return ids.astype(np.int64), counts[ids].astype(np.int64)
    pairs = sorted(frame.mask_areas.items())
    return np.asarray([i for i, _ in pairs], np.int64), np.asarray([n for _, n in pairs], np.int64)


@dataclass(frozen=True, eq=False)
class MaskPoints:
    """Points on the masks of one view.

    Attributes:
        rows: (P,) int32 row of each point's mask.
        local: (P, 3) float32 metres, camera axes.
    """

    rows: Int32Array
    local: Float32Array


def sample_points(view: PosedView, *, per_mask: int = POINTS_PER_MASK) -> MaskPoints:
    """Spread points over each mask of a view; pixels away from the mask's rim are taken where there are enough of them."""
    if view.depth is None or view.camera is None:
        return MaskPoints(np.zeros(0, np.int32), np.zeros((0, 3), np.float32))
    index = view.index_map
    inner = np.zeros(index.shape, bool)
    inner[1:-1, 1:-1] = (
        (index[1:-1, 1:-1] == index[:-2, 1:-1])
        & (index[1:-1, 1:-1] == index[2:, 1:-1])
        & (index[1:-1, 1:-1] == index[1:-1, :-2])
        & (index[1:-1, 1:-1] == index[1:-1, 2:])
    )
    flat = np.flatnonzero((index >= 0) & (view.depth > 0))
    # Rim pixels sort after inner ones, so a mask draws on its rim only when its inside is too small.
    code = 2 * (index.ravel()[flat] - index.max(initial=0)) - inner.ravel()[flat]
    order = np.argsort(code.astype(np.int16) if code.min(initial=0) > -(1 << 15) else code, kind="stable")
    flat = flat[order]
    labels = index.ravel()[flat]
    rows, starts, counts = np.unique(labels, return_index=True, return_counts=True)
    inner_counts = np.add.reduceat(inner.ravel()[flat].astype(np.int64), starts) if len(starts) else counts
    picks: list[Int32Array] = []
    for start, count, inside in zip(starts, counts, inner_counts, strict=True):
        pool = int(inside) if inside >= per_mask // 4 else int(count)
        n = min(per_mask, pool)
        picks.append((start + ((np.arange(n) + 0.5) * pool / n).astype(np.int64)).astype(np.int32))
    if not picks:
        return MaskPoints(np.zeros(0, np.int32), np.zeros((0, 3), np.float32))
    chosen = flat[np.concatenate(picks)]
    local = view.camera.rays.reshape(-1, 3)[chosen] * view.depth.ravel()[chosen, None]
    sampled_rows = np.repeat(rows, [len(p) for p in picks]).astype(np.int32)
    return MaskPoints(sampled_rows, local.astype(np.float32))


def sample_masks(table: MaskTable, *, limit: int = MAX_NEIGHBOURS) -> list[MaskPoints]:
    """Spread points over the masks of every view, the more of them the fewer masks and neighbouring views there are."""
    posed = sum(view.is_posed for view in table.views)
    each = POINTS_IN_ALL // max(1, len(table) * min(limit, max(1, posed - 1)))
    return [sample_points(view, per_mask=min(max(each, POINTS_PER_MASK), MAX_POINTS_PER_MASK)) for view in table.views]


def to_world(local: Float32Array, pose: Float64Array) -> Float32Array:
    """Move (P, 3) points from camera axes to the world, metres."""
    return (local @ pose[:3, :3].T.astype(np.float32) + pose[:3, 3].astype(np.float32)).astype(np.float32)


def project(world: Float32Array, view: PosedView) -> tuple[Int32Array, Int32Array, Float32Array]:
    """Project (P, 3) world points into a posed view.

    Returns:
        Indices of the points inside the image (Q,) int32, their flat pixels (Q,) int32, their depth (Q,) float32 metres.
    """
    assert view.camera is not None
    assert view.pose is not None
    camera = view.camera
    rotation = view.pose[:3, :3].astype(np.float32)
    local = world @ rotation - (view.pose[:3, 3].astype(np.float32) @ rotation)
    z = local[:, 2]
    inverse = 1 / np.maximum(z, 1e-6)
    column = local[:, 0] * inverse * np.float32(camera.fx) + np.float32(camera.cx + 0.5)
    row = local[:, 1] * inverse * np.float32(camera.fy) + np.float32(camera.cy + 0.5)
    inside = (z > NEAR_M) & (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    kept = np.flatnonzero(inside).astype(np.int32)
    pixel = row[kept].astype(np.int32) * camera.width + column[kept].astype(np.int32)
    return kept, pixel.astype(np.int32), z[kept].astype(np.float32)


def depth_tolerance(z: Float32Array, pose_error_m: float) -> Float32Array:
    """How far two depths of one surface may be apart, (P,) float32 metres, at depth `z`."""
    return np.float32(DEPTH_TOLERANCE_M + 3 * pose_error_m) + np.float32(DEPTH_TOLERANCE_SHARE) * z


def find_neighbours(worlds: list[Float32Array], *, limit: int = MAX_NEIGHBOURS) -> list[Int32Array]:
    """Say which views look at the same place, from each view's (P, 3) world points.

    Returns:
        For each view, at most `limit` others: half of them the ones that share most, half spread over the rest, so that
        neighbours in a video do not crowd out the view from the other side.
    """
    occupied: list[Int32Array] = []
    for world in worlds:
        cells = np.floor(world / COARSE_VOXEL_M).astype(np.int64) + (1 << 19)
        occupied.append(np.unique((cells[:, 0] << 40) | (cells[:, 1] << 20) | cells[:, 2]))
    sizes = np.asarray([len(o) for o in occupied])
    if sizes.sum() == 0:
        return [np.zeros(0, np.int32) for _ in worlds]
    _, columns = np.unique(np.concatenate(occupied), return_inverse=True)
    owners = np.repeat(np.arange(len(worlds)), sizes)
    table = sparse.csr_matrix((np.ones(len(columns), np.float32), (owners, columns)), shape=(len(worlds), int(columns.max()) + 1))
    shared = (table @ table.T).toarray()
    neighbours: list[Int32Array] = []
    for i in range(len(worlds)):
        share = shared[i] / max(1, int(sizes[i]))
        share[i] = 0
        ranked = np.flatnonzero(share >= MIN_SHARED)
        ranked = ranked[np.argsort(-share[ranked], kind="stable")]
        if len(ranked) > limit:
            rest = ranked[limit // 2 :]
            spread = rest[np.linspace(0, len(rest) - 1, limit - limit // 2).astype(int)]
            ranked = np.concatenate([ranked[: limit // 2], spread])
        neighbours.append(ranked.astype(np.int32))
    return neighbours


@dataclass(frozen=True, eq=False)
class Projections:
    """Where the points of masks are seen in other views.

    Attributes:
        rows: (L,) int32 mask whose points were followed.
        onto: (L,) int32 mask on which they landed.
        shares: (L,) float32 share of the mask's *visible* points in that view that landed there, (0, 1].
        visible: (N, V) float32 share of the mask's points that the view sees, [0, 1].
        dominant: (N, V) int32 mask on which most visible points landed, -1 where the view does not see enough of them,
            -2 where no mask takes the majority.
    """

    rows: Int32Array
    onto: Int32Array
    shares: Float32Array
    visible: Float32Array
    dominant: Int32Array


MIN_VISIBLE_SHARE = 0.01
MIN_VISIBLE_SHARE_POOR = 0.2
POOR_ERROR_M = 0.05
MIN_VISIBLE_POINTS = 3
"""A view counts as a witness of a mask if it sees this share of it, and this many of its points (or all, of a mask of fewer). A
sliver at the rim says much where poses are right and nothing where they are off, so the share grows to the larger one with their
error."""
DOMINANT_SHARE = 0.6
"""A mask lands on another if this share of its visible points does; the rest is rim, noise and undivided neighbours."""


def follow_masks(
    table: MaskTable, *, points: Sequence[MaskPoints] | None = None, pose_error_m: float = 0.0, limit: int = MAX_NEIGHBOURS
) -> Projections:
    """Follow every mask's points into the neighbouring views.

    Args:
        table: Masks with depth and poses; views without them are left out.
        points: What to follow, one entry a view; None = what `sample_masks` gives.
        pose_error_m: Estimated pose error, metres; widens the depth test.
        limit: Neighbours of one view at most.
    """
    count, view_count = len(table), len(table.views)
    posed = [i for i, view in enumerate(table.views) if view.is_posed]
    least = min_visible_share(pose_error_m)
    points = points if points is not None else sample_masks(table, limit=limit)
    worlds: dict[int, Float32Array] = {}
    for i in posed:
        pose = table.views[i].pose
        assert pose is not None
        worlds[i] = to_world(points[i].local, pose)
    neighbours = find_neighbours([worlds[i] for i in posed], limit=limit)
    visible = np.zeros((count, view_count), np.float32)
    dominant = np.full((count, view_count), -1, np.int32)
    first = np.searchsorted(table.view_of, np.arange(view_count + 1))
    parts: list[tuple[Int32Array, Int32Array, Float32Array]] = []
    for position, i in enumerate(posed):
        own, start, stop = points[i].rows - first[i], first[i], first[i + 1]
        size = int(stop - start)
        if size == 0:
            continue
        enough = np.maximum(np.bincount(own, minlength=size).astype(np.int32), 1)
        for other in neighbours[position]:
            j = posed[int(other)]
            seen, width = _land(points[i].rows - start, worlds[i], table.views[j], int(first[j]), int(first[j + 1]), pose_error_m)
            counts = np.bincount(seen, minlength=size * width).reshape(size, width)
            totals = counts.sum(axis=1)
            visible[start:stop, j] = totals / enough
            is_witness = (totals >= np.minimum(MIN_VISIBLE_POINTS, enough)) & (totals >= least * enough)
            counts = counts[:, : width - 1]
            if counts.shape[1] == 0:
                dominant[start:stop, j] = np.where(is_witness, -2, -1)
                continue
            best = counts.argmax(axis=1)
            wins = counts[np.arange(size), best] >= DOMINANT_SHARE * totals
            dominant[start:stop, j] = np.where(is_witness, np.where(wins, best + first[j], -2), -1)
            a, b = np.nonzero(counts * is_witness[:, None])
            parts.append(
                (
                    (a + start).astype(np.int32),
                    (b + first[j]).astype(np.int32),
                    (counts[a, b] / np.maximum(totals[a], 1)).astype(np.float32),
                )
            )
    empty = (np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32))
    rows, onto, shares = (np.concatenate(column) for column in zip(*(parts or [empty]), strict=True))
    return Projections(rows, onto, shares, visible, dominant)


def min_visible_share(pose_error_m: float) -> float:
    """Share of a mask that a view must see to count as its witness, where poses are off by this many metres."""
    poor = min(1.0, pose_error_m / POOR_ERROR_M)
    return MIN_VISIBLE_SHARE + poor * (MIN_VISIBLE_SHARE_POOR - MIN_VISIBLE_SHARE)


def _land(
    rows: Int32Array, world: Float32Array, view: PosedView, first: int, stop: int, pose_error_m: float
) -> tuple[Int32Array, int]:
    """Return a code row * width + mask for each point the view confirms (last mask = none), and the width."""
    assert view.depth is not None
    width = stop - first + 1
    kept, pixel, z = project(world, view)
    surface = view.depth.ravel()[pixel]
    confirmed: BoolArray = (surface > 0) & (np.abs(surface - z) < depth_tolerance(z, pose_error_m))
    under = view.index_map.ravel()[pixel[confirmed]]
    under = np.where(under >= 0, under - first, width - 1)
    return (rows[kept[confirmed]] * width + under).astype(np.int32), width
