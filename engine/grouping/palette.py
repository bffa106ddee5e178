"""The colours of groups, the same in pictures, in 3D and in files: told apart by colour-blind eyes too."""

from __future__ import annotations

from functools import cache

import numpy as np

from engine.types import Float64Array, UInt8Array

PALETTE = 254
"""So many different colours there are."""
GRID = 15
"""Levels of each channel among which colours are chosen."""
FIRST_COLOR = (0.0, 0.45, 0.7)
EYES = (
    ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
)
"""What eyes make of linear sRGB: with all cones, without red ones, without green ones (Machado et al., "A
physiologically-based model for simulation of color vision deficiency", 2009, at full severity)."""


def group_colors(count: int) -> UInt8Array:
    """Return (count, 3) uint8 colours, each as unlike those before it as can be.

    The first `PALETTE` are chosen one after the other, always the one that is furthest from all before (Gonzalez, "Clustering to
    minimize the maximum intercluster distance", 1985). A distance is the smallest one that eyes without red
    cones, without green ones, or with all see. Then they repeat.
    """
    return _palette()[np.arange(count) % PALETTE]


@cache
def _palette() -> UInt8Array:
    levels = np.linspace(0.06, 1, GRID)
    rgb = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    seen = [_lab(np.clip(_linear(rgb) @ np.asarray(eye).T, 0, 1)) for eye in EYES]
    lightness, chroma = seen[0][:, 0], np.linalg.norm(seen[0][:, 1:], axis=1)
    # Neither black nor white, and not the grey of what has no group.
    fits = (lightness > 38) & (lightness < 92) & (chroma > 25)
    rgb, seen = rgb[fits], [lab[fits] for lab in seen]
    chosen = [int(np.argmin(np.abs(rgb - FIRST_COLOR).sum(axis=1)))]
    nearest = np.full(len(rgb), np.inf)
    while len(chosen) < PALETTE:
        from_last = np.min([np.linalg.norm(lab - lab[chosen[-1]], axis=1) for lab in seen], axis=0)
        nearest = np.minimum(nearest, from_last)
        chosen.append(int(np.argmax(nearest)))
    return np.rint(255 * rgb[chosen]).astype(np.uint8)


def _linear(rgb: Float64Array) -> Float64Array:
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _lab(linear: Float64Array) -> Float64Array:
    """Linear sRGB to CIE L*a*b*, white D65."""
    xyz = (
        linear @ np.asarray([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]).T / (0.9505, 1.0, 1.089)
    )
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
