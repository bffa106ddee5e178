"""Points on a coarse grid of pixels lie where their pixels are seen; voxels hold the points of one cell."""

from __future__ import annotations

import numpy as np
import pytest

from engine.grouping.geometry import project, tabulate_masks
from engine.grouping.voxels import lift_grid, thin_to_voxels
from tests.grouping_rooms import dining_room


@pytest.mark.parametrize("step", [1, 3, 8])
def test_points_of_the_grid_land_on_their_own_pixels(step: int) -> None:
    view = tabulate_masks(dining_room()[1][:1]).views[0]
    assert view.depth is not None
    known = view.depth[::step, ::step] > 0
    kept, pixel, z = project(lift_grid(view, known, step=step), view)
    assert len(kept) == known.sum() > 0
    rows, columns = np.nonzero(known)
    assert (pixel == rows * step * view.depth.shape[1] + columns * step).all()
    np.testing.assert_allclose(z, view.depth[::step, ::step][known], rtol=1e-4)


def test_voxels_hold_the_points_of_one_cell() -> None:
    points = np.random.default_rng(0).uniform(-30, 30, (4000, 3)).astype(np.float32)
    points[2000:] = points[:2000] + np.float32(0.01)
    first, voxel = thin_to_voxels(points, 0.5)
    cells = [tuple(cell) for cell in np.floor(points / 0.5).astype(int).tolist()]
    assert len(first) == len(set(cells)) == voxel.max() + 1
    by_voxel = {int(v): cells[int(f)] for v, f in zip(voxel[first], first, strict=True)}
    assert all(by_voxel[int(v)] == cell for v, cell in zip(voxel, cells, strict=True))
    assert all(first[int(v)] <= i for i, v in enumerate(voxel)), "the first point of each"
