"""The numbers of the built-in segmenter, as `python -m tests.bench.segment_fit` prints them. docs/segment.md says on what."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Weights:
    """How measures of a border add up.

    Attributes:
        factors: Of each measure, in the order of `measures.MEASURES`.
        offset: Added to their weighted sum; the logistic function of it is how likely the border parts two objects.
        most: Regions are joined while that is below this.
    """

    factors: tuple[float, ...]
    offset: float
    most: float


BY_SURFACE = Weights(
    (
        4.001,  # border: colour differs
        -0.046,  # border: colour differs much
        1.122,  # border: hue differs
        6.197,  # border: a step in depth
        -2.639,  # border: a large step in depth
        1.585,  # border: convex
        3.491,  # border: concave
        -1.177,  # border: normals differ
        1.489,  # border: depth unknown
        2.329,  # regions: colour differs
        -3.167,  # regions: colour differs much
        5.425,  # regions: colour differs for their spread
        1.029,  # regions: not in one plane
        2.52,  # regions: far from one plane
        -0.779,  # regions: normals differ
        -5.339,  # regions: convex
        0.162,  # regions: concave
        -0.415,  # regions: not flat
        0.566,  # log share of the smaller
        -0.065,  # log share of the larger
        -0.357,  # length of the border
        4.203,  # one plane, regions' colour differs
        0.123,  # one plane, border's colour differs
        -5.768,  # one plane
        -4.702,  # concave, colour differs much
        -2.168,  # step, colour differs
    ),
    offset=-7.678,
    most=0.6,
)
BY_COLOR = Weights(
    (
        4.154,  # border: colour differs
        0.387,  # border: colour differs much
        1.85,  # border: hue differs
        0.0,  # border: a step in depth
        0.0,  # border: a large step in depth
        0.0,  # border: convex
        0.0,  # border: concave
        0.0,  # border: normals differ
        -2.845,  # border: depth unknown
        2.32,  # regions: colour differs
        -1.482,  # regions: colour differs much
        3.403,  # regions: colour differs for their spread
        0.0,  # regions: not in one plane
        0.0,  # regions: far from one plane
        0.0,  # regions: normals differ
        0.0,  # regions: convex
        0.0,  # regions: concave
        0.0,  # regions: not flat
        0.355,  # log share of the smaller
        0.586,  # log share of the larger
        -0.594,  # length of the border
        0.0,  # one plane, regions' colour differs
        0.0,  # one plane, border's colour differs
        0.0,  # one plane
        0.0,  # concave, colour differs much
        0.0,  # step, colour differs
    ),
    offset=-2.951,
    most=0.6,
)
