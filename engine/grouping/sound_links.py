"""Links between masks by where they land, with masks over several objects found and silenced on the way."""

from __future__ import annotations

from engine.grouping.candidates import PairEvidence, add_rivals, propose_by_geometry
from engine.grouping.geometry import MaskTable, Projections
from engine.grouping.graph import MaskGraph, build_graph, cut_labels, weigh_geometry
from engine.grouping.undersegmented import BRIDGE_CONFLICT, Bridges, find_bridges, find_glue, without_observations
from engine.types import BoolArray


def propose_sound_links(
    table: MaskTable, projections: Projections, undersegmented: BoolArray, *, pose_error_m: float
) -> tuple[PairEvidence, BoolArray]:
    """Propose links, and find more masks over several objects by the links that they would make.

    Args:
        table: The masks.
        projections: Where they land in other views.
        undersegmented: (N,) masks that are known to cover several objects.
        pose_error_m: Error of the poses in use, metres.

    Returns:
        The evidence, in which those masks have no link, and all masks over several objects that were found, (N,) bool.
    """
    sound = without_observations(table, projections, undersegmented)
    evidence = propose_by_geometry(table, sound, pose_error_m=pose_error_m)
    bridges, is_new = None, True
    for least in BRIDGE_CONFLICT:
        if bridges is None or is_new:
            bridges = find_bridges(table, sound, evidence, attracts=weigh_geometry(evidence, pose_error_m=pose_error_m) > 0)
        more = bridges.conflict >= least
        is_new = bool(more.any())
        if is_new:
            undersegmented = undersegmented | more
            sound = without_observations(table, projections, undersegmented)
            evidence = propose_by_geometry(table, sound, pose_error_m=pose_error_m)
    assert bridges is not None
    rivals = _with_rivals(table, sound, evidence, bridges, pose_error_m)
    suspects = bridges.suspects & ~undersegmented
    if suspects.any():
        glue = _find_glue(table, rivals, suspects, pose_error_m)
        if glue.any():
            undersegmented = undersegmented | glue
            sound = without_observations(table, projections, undersegmented)
            evidence = propose_by_geometry(table, sound, pose_error_m=pose_error_m)
            rivals = _with_rivals(table, sound, evidence, bridges, pose_error_m)
    return rivals, undersegmented


def _with_rivals(
    table: MaskTable, projections: Projections, evidence: PairEvidence, bridges: Bridges, pose_error_m: float
) -> PairEvidence:
    attracts = weigh_geometry(evidence, pose_error_m=pose_error_m) > 0
    return add_rivals(table, projections, evidence, attracts=attracts, apart=bridges.apart)


def _find_glue(table: MaskTable, evidence: PairEvidence, suspects: BoolArray, pose_error_m: float) -> BoolArray:
    """Cut with and without the suspects, and return those that hold parts together, (N,) bool."""

    def build(some: PairEvidence) -> MaskGraph:
        return build_graph(table.keys, table.view_of, table.areas, some, pose_error_m=pose_error_m)

    sound = ~(suspects[evidence.pairs[:, 0]] | suspects[evidence.pairs[:, 1]])
    with_all = build(evidence)
    without = cut_labels(build(evidence.select(sound)))
    return find_glue(cut_labels(with_all), without, suspects, evidence.pairs, with_all.geometry)
