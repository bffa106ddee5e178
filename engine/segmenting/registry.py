"""The list of segmenters. A new one is one module that matches `Segmenter`, and one entry here; any other name is a model's."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.segmenting import surfaces
from engine.segmenting.base import Segmenter
from engine.segmenting.surfaces import SurfaceSegmenter

BUILT_IN: Mapping[str, Callable[[], Segmenter]] = {surfaces.NAME: SurfaceSegmenter}
"""Segmenters that need nothing else, by name."""
DEFAULT = surfaces.NAME


def open_segmenter(name: str | None = None, *, device: str = "auto", points: int | None = None) -> Segmenter:
    """Return a segmenter by name.

    Args:
        name: One of `BUILT_IN`, a hub id, or a folder of a model; None = the default.
        device: Where a model runs.
        points: Points along each side that a mask generator is asked about, None = its own number.

    Raises:
        ModelError: If there is none of that name, or it cannot be loaded.
    """
    make = BUILT_IN.get(DEFAULT if name is None else name)
    if make is not None:
        return make()
    # Imports PyTorch and transformers.
    from engine.segmenting.generators import GeneratorSegmenter

    assert name is not None
    return GeneratorSegmenter(name, device=device, points=points)
