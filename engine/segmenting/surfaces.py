"""The built-in segmenter: by surface and colour where there is depth, else by colour. Needs no weights to be downloaded.

A picture is cut into small pieces (`superpixels`), which are the nodes of a graph of neighbours. What two neighbours and the
border between them look like (`measures`) gives a probability that they are two objects (`weights`); the surest are joined first
(`merging`), and measured anew. As in locally convex connected patches, a convex edge speaks for one object and a concave one for
two (Stein et al., Object Partitioning using Local Convexity, CVPR 2014). Joining by a learnt score that is trained on its own
joins is from Nunez-Iglesias et al., Machine Learning of Hierarchical Clustering to Segment 2D and 3D Images, PLoS ONE 2013.
"""

from __future__ import annotations

import numpy as np

from engine.segmenting.base import Picture
from engine.segmenting.measures import find_adjacency
from engine.segmenting.merging import RegionGraph, Score
from engine.segmenting.superpixels import cut_into_pieces
from engine.segmenting.weights import BY_COLOR, BY_SURFACE, Weights
from engine.types import Float64Array, Int32Array

NAME = "surfaces"
SIZE = (640, 360)
"""Pictures are segmented at this size: smaller ones lose thin parts, larger ones take time and gain little."""
LEAST_SHARE = 0.0005
"""Masks of a smaller share of the picture are given to a neighbour."""


class SurfaceSegmenter:
    """Segments by surface and colour.

    Args:
        most: Neighbours are joined while they are two objects with a probability below this; None = as it was chosen.
    """

    name = NAME
    size = SIZE

    def __init__(self, most: float | None = None) -> None:
        self._most = most

    def segment(self, picture: Picture) -> Int32Array:
        """Return the mask of every pixel, (H, W) int32, numbered from 1; none is left out."""
        pieces = cut_into_pieces(picture)
        weights = BY_COLOR if pieces.surface is None else BY_SURFACE
        graph = RegionGraph(find_adjacency(pieces), score_with(weights))
        graph.join_below(weights.most if self._most is None else self._most)
        graph.absorb_small(LEAST_SHARE * pieces.labels.size)
        return graph.find_roots()[pieces.labels] + 1


def score_with(weights: Weights) -> Score:
    """Return the logistic function of weighted measures."""
    factors = np.asarray(weights.factors)

    def score(measures: Float64Array) -> Float64Array:
        return 1 / (1 + np.exp(-np.clip(measures @ factors + weights.offset, -50, 50)))

    return score
