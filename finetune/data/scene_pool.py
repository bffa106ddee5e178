"""The masks of one scene for training: the object that each shows, the part of the data that this object belongs to, and the crop.

Objects come from the ground truth, or without it from the confident groups of the 3D grouping. Without geometry no objects are
known, and only corrections can be used. Knows nothing about models.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from engine.errors import MaskgroupError
from engine.evaluation.pair_sampling import SeenMask, class_of
from engine.evaluation.run import color_embedding, masks_of_objects
from engine.grouping.pipeline import GroupingOptions, group_scene
from engine.scenes import open_scene
from engine.types import Float32Array, MaskKey, UInt8Array
from engine.views.crops import PictureStyle, show_mask
from engine.views.frames import FrameSource
from engine.views.identical_copies import find_identical_copies

Part = Literal["training", "validation", "evaluation"]
Origin = Literal["truth", "groups", "labels"]
Role = Literal["train", "evaluate", "both"]
MIN_AREA_PX = 230
"""Smaller masks, below 0.1 % of a 640x360 view, are not sampled."""
MIN_CONFIDENCE = 0.9
"""A mask belongs to a confident group from this probability on."""
EVALUATION_SHARE, VALIDATION_SHARE = 0.25, 0.1
FEWEST_GROUPS = 6
"""With fewer groups of objects than this, a scene has nothing to hold back."""


@dataclass(frozen=True, eq=False)
class ScenePool:
    """One scene. Only its crops are kept, so many scenes fit into memory.

    Attributes:
        name: The scene's name, as labels have it.
        origin: Where the objects come from: ground truth, groups, or nowhere.
        masks: Masks whose object is known and that are large enough.
        parts: Which part of the data each object is in, by its number.
        copies: For every object that has identical copies, the number of its set of copies.
        object_of: Object of every mask for which it is known.
        crops: Every mask as a judge sees it, (h, w, 3) uint8.
        vectors: Colour histogram of every mask, (64,) float32.
    """

    name: str
    origin: Origin
    masks: tuple[SeenMask, ...]
    parts: Mapping[int, Part]
    copies: Mapping[int, int]
    object_of: Mapping[MaskKey, int] = field(repr=False)
    crops: Mapping[MaskKey, UInt8Array] = field(repr=False)
    vectors: Mapping[MaskKey, Float32Array] = field(repr=False)

    def masks_of(self, part: Part) -> list[SeenMask]:
        """Return the masks of one part's objects."""
        return [mask for mask in self.masks if self.parts[mask.instance] == part]

    def part_of(self, key: MaskKey) -> Part:
        """Return the part that a mask belongs to: training where its object is not known."""
        found = self.object_of.get(key)
        return "training" if found is None else self.parts.get(found, "training")

    def embed(self, key: MaskKey) -> Float32Array:
        """Return a mask's colour histogram, (64,) float32."""
        return self.vectors[key]


def open_pool(folder: Path, *, role: Role, style: PictureStyle = "on_black") -> ScenePool:
    """Open a scene, cut its crops and find out which objects its masks show.

    Args:
        folder: The scene's folder.
        role: "train" = its objects are trained on or give the held-out curve; "evaluate" = all are for the result; "both" = some
            objects are held back for the result.
        style: How masks are shown.

    Raises:
        SceneError: If the folder is not a scene, or a file is broken.
    """
    scene = open_scene(folder)
    frames = FrameSource(scene, max_frames=2)
    areas: dict[MaskKey, int] = {}
    crops: dict[MaskKey, UInt8Array] = {}
    vectors: dict[MaskKey, Float32Array] = {}
    object_of: dict[MaskKey, int] = {}
    for frame in frames.usable(scene.view_names):
        for mask, area in frame.mask_areas.items():
            key = MaskKey(frame.view, mask)
            areas[key] = area
            crops[key] = show_mask(frame, key, style=style)
            vectors[key] = color_embedding(frames, key)
        object_of |= {seen.key: seen.instance for seen in masks_of_objects(scene, frame)}
    if object_of:
        origin: Origin = "truth"
        copies = {} if scene.mesh is None else find_identical_copies(scene.mesh)
    else:
        object_of, copies = find_confident_groups(frames), {}
        origin = "groups" if object_of else "labels"
    masks = [SeenMask(key, object_of[key], area) for key, area in areas.items() if key in object_of and area >= MIN_AREA_PX]
    parts = divide(scene.name, sorted({mask.instance for mask in masks}), copies, role=role)
    return ScenePool(scene.name, origin, tuple(masks), parts, copies, object_of, crops, vectors)


def find_confident_groups(frames: FrameSource) -> dict[MaskKey, int]:
    """Return the group of every mask that surely belongs to one, by geometry alone; empty where there is no geometry."""
    try:
        run = group_scene(frames.scene, frames, options=GroupingOptions(lift=False))
    except MaskgroupError:
        return {}
    if not run.table.has_geometry:
        return {}
    # Ids below 1000 have no class, and groups have none.
    number = {label: i + 1 for i, label in enumerate(sorted(set(run.grouping.labels.tolist()))[:999])}
    labelled = zip(run.table.keys, run.grouping.labels.tolist(), run.grouping.confidences.tolist(), strict=True)
    return {key: number[label] for key, label, sure in labelled if sure >= MIN_CONFIDENCE and label in number}


def divide(scene: str, objects: Sequence[int], copies: Mapping[int, int], *, role: Role) -> dict[int, Part]:
    """Divide a scene's objects, always the same way: whole classes go together, so that look-alikes and copies of a held-back
    object are held back with it.

    Returns:
        Part of every object; where there are too few objects, all go where `role` needs them most.
    """
    if role == "evaluate":
        return dict.fromkeys(objects, "evaluation")
    by_class: dict[int, list[int]] = defaultdict(list)
    by_copies: dict[int, list[int]] = defaultdict(list)
    for one in objects:
        kind = class_of(one)
        leader = copies.get(one, one)
        by_class[-leader if kind is None else kind].append(one)
        by_copies[leader].append(one)
    groups = next((list(g.values()) for g in (by_class, by_copies) if len(g) >= FEWEST_GROUPS), None)
    if groups is None:
        return dict.fromkeys(objects, "training")
    groups.sort(key=lambda group: hashlib.sha256(f"{scene}/{group[0]}".encode()).digest())
    wanted: list[tuple[Part, float]] = [("validation", VALIDATION_SHARE)]
    if role == "both":
        wanted.insert(0, ("evaluation", EVALUATION_SHARE))
    parts: dict[int, Part] = {}
    for part, share in wanted:
        taken = 0
        # At least two objects, because one alone has no negatives.
        while groups and (taken < share * len(objects) or taken < 2):
            group = groups.pop(0)
            parts |= dict.fromkeys(group, part)
            taken += len(group)
    for group in groups:
        parts |= dict.fromkeys(group, "training")
    return parts
