"""A small scene without depth: coloured boxes that wander through its views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write_boxes(
    folder: Path, *, views: int, grid: tuple[int, int], cell: tuple[int, int], box: tuple[int, int], of_a_class: int | None = None
) -> None:
    """Write the scene in the processed format.

    Args:
        folder: The scene's folder.
        views: Number of views, named from 0.
        grid: Rows and columns of boxes.
        cell: Height and width of a box's own part of a view, in pixels; it never leaves it.
        box: Height and width of a box, in pixels.
        of_a_class: Boxes of each class, by their ids (class * 1000 + number); None = all are of one.
    """
    rng = np.random.default_rng(5)
    count = grid[0] * grid[1]
    colors = rng.integers(40, 255, (count, 3))
    size = grid[0] * cell[0], grid[1] * cell[1]
    free = cell[0] - box[0], cell[1] - box[1]
    for view in range(views):
        rgb = rng.integers(0, 30, (*size, 3)).astype(np.uint8)
        ids = np.full(size, -1, np.int32)
        for i in range(count):
            row = cell[0] * (i // grid[1]) + rng.integers(2, free[0])
            column = cell[1] * (i % grid[1]) + rng.integers(2, free[1])
            mask = 20000 + 1000 * (i // (of_a_class or count)) + i
            ids[row : row + box[0], column : column + box[1]] = mask
            rgb[ids == mask] = colors[i]
        (folder / str(view)).mkdir(parents=True)
        Image.fromarray(rgb).save(folder / str(view) / "rgb.png")
        np.save(folder / str(view) / "instance_mask.npy", ids)
        np.save(folder / str(view) / "unique_instances.npy", np.unique(ids[ids >= 0]))
