"""Describes a mask by its colours: neighbours for scenes without geometry, where no model's embeddings are at hand."""

from __future__ import annotations

import numpy as np

from engine.types import NOTHING, Float32Array, Frame

BINS = 5
"""Bins of one colour channel."""
LOOKS = BINS**3
"""Numbers that describe a mask's colours."""


def describe_masks(frame: Frame) -> Float32Array:
    """Return colour histograms of a frame's masks in ascending order of id, (M, LOOKS) float32, unit length.

    Histograms are soft in brightness (two exposures) and square-rooted (Hellinger), so their dot product compares distributions.
    """
    ids = np.asarray(sorted(frame.mask_areas), np.int64)
    histograms = np.zeros((len(ids), LOOKS), np.float32)
    if len(ids) == 0:
        return histograms
    covered = frame.instance_map != NOTHING
    row = np.searchsorted(ids, frame.instance_map[covered])
    pixels = frame.rgb[covered].astype(np.float32)
    for exposure in (0.85, 1.0, 1.18):
        bins = np.minimum(pixels * exposure, 255).astype(np.int64) * BINS // 256
        code = (bins[:, 0] * BINS + bins[:, 1]) * BINS + bins[:, 2]
        histograms += np.bincount(row * LOOKS + code, minlength=histograms.size).reshape(histograms.shape)
    histograms = np.sqrt(histograms)
    return (histograms / np.maximum(np.linalg.norm(histograms, axis=1, keepdims=True), 1e-9)).astype(np.float32)
