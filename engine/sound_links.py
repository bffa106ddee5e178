"""Links between masks by where they land, with masks over several objects found and silenced on the way."""

from __future__ import annotations

from engine.candidates import PairEvidence, add_rivals, propose_by_geometry
from engine.geometry import Landings, MaskTable
from engine.grouping import weigh_geometry
from engine.types import BoolArray
from engine.undersegmented import BRIDGE_CONFLICT, find_bridges, without_testimony


def propose_sound_links(
    table: MaskTable, landings: Landings, undersegmented: BoolArray, *, pose_error_m: float
) -> tuple[PairEvidence, BoolArray]:
    """Propose links, and find more masks over several objects by the links that they would make.

    Args:
        table: The masks.
        landings: Where they land in other views.
        undersegmented: (N,) masks that are known to cover several objects.
        pose_error_m: Error of the poses in use, metres.

    Returns:
        The evidence, in which those masks have no link, and all masks over several objects that were found, (N,) bool.
    """
    sound = without_testimony(table, landings, undersegmented)
    evidence = propose_by_geometry(table, sound, pose_error_m=pose_error_m)
    bridges = None
    for least in BRIDGE_CONFLICT:
        bridges = find_bridges(table, sound, evidence, attracts=weigh_geometry(evidence, pose_error_m=pose_error_m) > 0)
        more = bridges.conflict >= least
        if more.any():
            undersegmented = undersegmented | more
            sound = without_testimony(table, landings, undersegmented)
            evidence = propose_by_geometry(table, sound, pose_error_m=pose_error_m)
    attracts = weigh_geometry(evidence, pose_error_m=pose_error_m) > 0
    apart = None if bridges is None else bridges.apart
    return add_rivals(table, sound, evidence, attracts=attracts, apart=apart), undersegmented
