"""What masks say about each other before a judge is asked: the stage "overlap", by geometry or, without it, by looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from engine.grouping.candidates import PairEvidence, code_pairs, physical_sizes, propose_by_appearance, unique_pairs
from engine.grouping.continuation import find_continuations
from engine.grouping.geometry import MaskTable, follow_masks, sample_masks
from engine.grouping.graph import SPLIT_MAX_ERROR_M, MaskGraph, build_graph, cut_labels
from engine.grouping.photo_depth import RoughGeometry, estimate_depth
from engine.grouping.photo_links import link_by_photos, odds_of, points_of
from engine.grouping.photo_places import weigh_places
from engine.grouping.placement import NO_PLACEMENTS, Placements, find_depthless, lay_out, place_masks
from engine.grouping.similarity import APPEARANCE_CAP, MIN_KNOWN, find_look_alikes, likeness_of, weigh_against, weigh_likeness
from engine.grouping.sound_links import propose_sound_links
from engine.grouping.undersegmented import find_undersegmented
from engine.photos.placed import PlacedPhotos
from engine.types import BoolArray, Float32Array, Float64Array, Int32Array, MaskPair, UInt8Array

PLACING_ROUNDS = 2
ROUGH_ERROR_M = 0.05
"""What geometry by rough depth is taken to be off, in the unit to which rooms are scaled."""
LOOK_NEIGHBOURS = 20
"""Look-alikes of a mask whose place is not known that are weighed; most of them are ruled out by where they are."""


@dataclass(frozen=True, eq=False)
class MaskEvidence:
    """All that is known about N masks and their E candidate pairs.

    Attributes:
        table: The masks, with repaired poses.
        pairs: The candidate pairs and what speaks for and against each.
        pose_error_m: How far depths of two views still disagree.
        undersegmented: (N,) bool, masks that seem to cover several objects.
        depthless: (N,) bool, masks with too little depth to be followed.
        placed: Links of masks that cannot be followed, from what other views show in their place.
        look_alikes: (P, 2) int32 rows of masks of one view that look alike, so known to differ; empty with geometry.
        alike: (P,) float64 cosine of their looks.
        likeness: (E,) float64 log-odds from looks; None with geometry, or where too few pairs are known to differ.
        sizes_m: (N,) float64 size of each mask in the room, metres; None without geometry.
        beyond: (E,) float64 log-odds from shared points of photos, looks and places, added to those of geometry; None without.
        rough: Where the masks of photos are; None for all other scenes.
    """

    table: MaskTable
    pairs: PairEvidence
    pose_error_m: float
    undersegmented: BoolArray
    depthless: BoolArray
    placed: Placements
    look_alikes: Int32Array
    alike: Float64Array
    likeness: Float64Array | None
    sizes_m: Float64Array | None = None
    beyond: Float64Array | None = None
    rough: RoughGeometry | None = None

    def build(self, *, use_geometry: bool) -> MaskGraph:
        """Return the signed graph of the masks; without geometry its weights come from looks and answers alone."""
        return build_graph(
            self.table.keys,
            self.table.view_of,
            self.table.areas,
            self.pairs,
            sizes_m=self.sizes_m,
            pose_error_m=self.pose_error_m,
            use_geometry=use_geometry,
            likeness=self.likeness,
            beyond=self.beyond,
        )

    @property
    def known_different(self) -> list[tuple[MaskPair, float]]:
        """The look-alikes of single views by name, each with how alike they are: what a judge is measured on without geometry."""
        keys = self.table.keys
        pairs, alike = cast("list[list[int]]", self.look_alikes.tolist()), cast("list[float]", self.alike.tolist())
        return [(MaskPair(keys[a], keys[b]), like) for (a, b), like in zip(pairs, alike, strict=True)]


def gather_by_geometry(table: MaskTable, colors: Sequence[UInt8Array], *, pose_error_m: float) -> MaskEvidence:
    """Follow masks from view to view, continue cut-off surfaces, and place the masks that cannot be followed.

    Args:
        table: Masks with depth and repaired poses.
        colors: (H, W, 3) uint8 picture of each view.
        pose_error_m: How far depths of two views still disagree.
    """
    points = sample_masks(table)
    projections = follow_masks(table, points=points, pose_error_m=pose_error_m)
    undersegmented = np.zeros(len(table), bool)
    if pose_error_m < SPLIT_MAX_ERROR_M:  # beyond it, small masks scatter whatever they show
        undersegmented = find_undersegmented(table, projections)
    pairs, undersegmented = propose_sound_links(table, projections, undersegmented, pose_error_m=pose_error_m)
    found = MaskEvidence(
        table,
        pairs,
        pose_error_m,
        undersegmented,
        find_depthless(table),
        NO_PLACEMENTS,
        look_alikes=np.zeros((0, 2), np.int32),
        alike=np.zeros(0),
        likeness=None,
        sizes_m=physical_sizes(table),
    )
    parts = cut_labels(found.build(use_geometry=True))
    continued = find_continuations(table, points, parts, colors=colors, pose_error_m=pose_error_m)
    pairs = found.pairs.with_continuations(continued.pairs, continued.gaps_m)
    if pairs is not found.pairs:
        found, parts = replace(found, pairs=pairs), None
    return _place(found, parts)


def _place(found: MaskEvidence, parts: Int32Array | None) -> MaskEvidence:
    """Link masks without depth, and those over several objects, to the groups that other views show in their place.

    Args:
        found: The masks and the links so far.
        parts: (N,) int32 groups by these links, where they are known.
    """
    apart = found.depthless | found.undersegmented
    if not apart.any():
        return found
    layout = lay_out(found.table, apart, pose_error_m=found.pose_error_m)
    placed = found.placed
    for _ in range(PLACING_ROUNDS):  # groups that a placed mask shows as one fill more places once they are joined
        placed = place_masks(layout, cut_labels(found.build(use_geometry=True)) if parts is None else parts)
        if len(placed.joins) == 0:
            break  # another round would cut the same links
        found = replace(found, pairs=found.pairs.with_witnesses(placed.joins, placed.agree, placed.witnesses))
        parts = None
    return replace(found, pairs=found.pairs.with_placements(placed.pairs, placed.fits), placed=placed)


def gather_by_looks(table: MaskTable, embeddings: Float32Array, *, pose_error_m: float) -> MaskEvidence:
    """Compare how masks look, weighed against pairs of one view, which are known to differ.

    Args:
        table: The masks.
        embeddings: (N, D) float32 looks of each.
        pose_error_m: How far depths of two views disagree, where there are any.
    """
    pairs = propose_by_appearance(table, embeddings)
    look_alikes = find_look_alikes(table, embeddings)
    alike = likeness_of(embeddings, look_alikes)
    nothing = np.zeros(len(table), bool)
    return MaskEvidence(
        table,
        pairs,
        pose_error_m,
        nothing,
        nothing,
        NO_PLACEMENTS,
        look_alikes,
        alike,
        weigh_likeness(pairs, alike) if len(look_alikes) >= MIN_KNOWN else None,
    )


def gather_by_photos(
    table: MaskTable, placed: PlacedPhotos, embeddings: Float32Array, colors: Sequence[UInt8Array]
) -> MaskEvidence:
    """Weigh what photos alone show: points that masks share, where masks land by rough depth, looks, and where masks cannot be.

    Masks of photos that could not be placed are compared by their looks, and by what features they share.

    Args:
        table: The masks, without depth and poses.
        placed: The photos of the table's views, in their order.
        embeddings: (N, D) float32 looks of each mask.
        colors: (H, W, 3) uint8 picture of each view.
    """
    rough = estimate_depth(table, placed, embeddings)
    links = link_by_photos(table, placed)
    look_alikes = find_look_alikes(table, embeddings)
    alike = likeness_of(embeddings, look_alikes)
    if rough.table.has_geometry:
        found = gather_by_geometry(rough.table, colors, pose_error_m=ROUGH_ERROR_M)
    else:
        found = replace(gather_by_looks(table, embeddings, pose_error_m=0.0), likeness=None)
    nearest, near = propose_by_appearance(table, embeddings), propose_by_appearance(table, embeddings, neighbours=LOOK_NEIGHBOURS)
    # More of them where places can tell; two masks whose places are known are linked by those, however much they look alike.
    in_placed = placed.is_placed[table.view_of]
    near = unique_pairs(np.concatenate([nearest.pairs, near.pairs[in_placed[near.pairs].all(axis=1)]]))
    near = near[~rough.has_place[near].all(axis=1)]
    pairs = unique_pairs(np.concatenate([found.pairs.pairs, links.pairs, near]))
    new = pairs[~np.isin(code_pairs(pairs), code_pairs(found.pairs.pairs))]
    nan, zero = np.full(len(new), np.nan, np.float32), np.zeros(len(new), np.int32)
    evidence = found.pairs.with_pairs(PairEvidence(new, nan, zero, zero, nan, nan, nan))
    similarity = likeness_of(embeddings, evidence.pairs).astype(np.float32)
    evidence = replace(evidence, similarity=similarity, shared=points_of(links, evidence.pairs))
    apart = table.view_of[evidence.pairs[:, 0]] != table.view_of[evidence.pairs[:, 1]]
    beyond = odds_of(links, evidence.pairs)
    if len(alike) >= MIN_KNOWN and len(evidence):
        usual = nearest.similarity.astype(np.float64)
        looks = weigh_against(evidence.similarity.astype(np.float64), alike, cap=APPEARANCE_CAP, usual=usual)
        beyond += np.where(apart, looks, 0.0)
    by_looks = np.isin(code_pairs(evidence.pairs), code_pairs(near))
    beyond[by_looks] += weigh_places(rough.table, evidence.pairs[by_looks])
    return replace(found, pairs=evidence, beyond=beyond, rough=rough)
