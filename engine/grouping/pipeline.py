"""From a scene to 3D instances: runs the stages in order, reports progress, stops when asked, and writes the results.

Stages: frames, photos, poses, overlap, judge, cut, 3D, scores. Each stage's own module holds the method.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from engine.errors import MaskgroupError, SceneError
from engine.grouping.constraints import Constraint
from engine.grouping.evidence import gather_by_geometry, gather_by_looks, gather_by_photos
from engine.grouping.findings import Findings, find_out
from engine.grouping.geometry import MaskTable, tabulate_masks
from engine.grouping.graph import Evidence, Grouping, MaskGraph, cut
from engine.grouping.input_doubts import doubt_input
from engine.grouping.instances import InstanceCloud, fuse_cloud, label_mesh
from engine.grouping.judge_rounds import MaskEmbedder, PairJudge, ask_in_rounds
from engine.grouping.metrics import MaskScores, PointScores, score_masks, score_points
from engine.grouping.photo_stage import HELPS, place_scene
from engine.grouping.point_scores import score_mask_points
from engine.grouping.registration import Registration, register_views
from engine.photos.placed import PlacedPhotos, say_placed
from engine.types import NOTHING, Float32Array, Frame, HasGroundTruth, Int32Array, LeftOutView, MaskKey, Scene
from engine.views.appearance import describe_masks
from engine.views.frames import FrameSource, resize_nearest

logger = logging.getLogger(__name__)

Stage = Literal["frames", "photos", "poses", "overlap", "judge", "cut", "3D", "scores"]
POOR_POSES_M = 0.03
MANY_UNDERSEGMENTED = 0.005
"""Share of masks over several objects that is worth a warning; fewer are listed only."""
LEFT_OUT_SAID = 3
"""Left-out views that a warning names; the result lists all."""
VISION_WEIGHT = 0.25
"""What a judge's embeddings count for beside colours among the neighbours of a mask without geometry; see docs/grouping.md."""


class GroupingCancelled(MaskgroupError):
    """A person stopped the run."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands: stage, share of the stage done in [0, 1], pairs asked, seconds so far."""

    stage: Stage
    share: float
    asked: int
    seconds: float


@dataclass(frozen=True)
class GroupingOptions:
    """How to group.

    Attributes:
        evidence: What the links' weights come from. Pairs are chosen by geometry wherever there is any.
        budget: Calls of the judge in all; None = a few for each mask.
        repair: Whether poses may be repaired.
        lift: Whether groups are carried over to the mesh or a cloud.
        photos: Whether the cameras of a scene without depth and poses are looked for, where pycolmap is installed.
    """

    evidence: Evidence = "geometry"
    budget: int | None = None
    repair: bool = True
    lift: bool = True
    photos: bool = False


@dataclass(frozen=True, eq=False)
class GroupingRun:
    """What a run gave. `graph` with other constraints can be cut again without any of the other stages.

    Attributes:
        options: How it was run.
        table: The masks, with the poses that were used.
        registration: What was found about the poses.
        graph: Masks and links.
        grouping: The groups.
        cloud: Points with their groups, None where there is neither mesh nor depth.
        truth: (N,) int32 object of each mask, -1 = unknown; None without ground truth.
        mask_scores: Scores over masks, None without ground truth.
        point_scores: Scores over the mesh's vertices, None without their ground truth.
        undersegmented: Masks that seem to cover several objects.
        left_out: Views of the scene that could not be used, and why.
        findings: What was found out about depth, poses and masks; None in a kept run of an earlier version.
        calls: Pairs that the judge was asked.
        seconds: Wall-clock time of each stage.
        warnings: Sentences about what looks wrong with the scene.
    """

    options: GroupingOptions
    table: MaskTable
    registration: Registration
    graph: MaskGraph
    grouping: Grouping
    cloud: InstanceCloud | None
    truth: Int32Array | None
    mask_scores: MaskScores | None
    point_scores: PointScores | None
    calls: int
    seconds: dict[str, float]
    warnings: tuple[str, ...]
    undersegmented: tuple[MaskKey, ...] = ()
    left_out: tuple[LeftOutView, ...] = ()
    findings: Findings | None = None


@dataclass
class _Clock:
    """Times the stages, passes progress on and stops where asked."""

    report: Callable[[Progress], None]
    is_cancelled: Callable[[], bool]
    started: float = field(default_factory=time.perf_counter)
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    stage: Stage = "frames"
    asked: int = 0

    @contextmanager
    def time(self, stage: Stage) -> Generator[None]:
        self.stage = stage
        before = time.perf_counter()
        self.tick(0.0)
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - before

    def tick(self, share: float) -> None:
        if self.is_cancelled():
            raise GroupingCancelled(f"Grouping was stopped in the stage {self.stage!r}; start it again to get a result.")
        self.report(Progress(self.stage, share, self.asked, time.perf_counter() - self.started))

    def tick_calls(self, done: int, total: int) -> None:
        self.asked = done
        self.tick(done / max(1, total))


def group_scene(
    scene: Scene,
    frames: FrameSource,
    *,
    options: GroupingOptions | None = None,
    judge: PairJudge | None = None,
    constraints: Sequence[Constraint] = (),
    keep_in: Path | None = None,
    report: Callable[[Progress], None] = lambda _: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> GroupingRun:
    """Group all masks of a scene.

    Args:
        scene: The scene.
        frames: Gives its frames.
        options: How to group.
        judge: Whom to ask; needed where `options.evidence` is not "geometry".
        constraints: What people said, oldest first.
        keep_in: Folder in which placed photos are kept, and looked for first; None = nowhere.
        report: Called with progress, from this thread.
        is_cancelled: Asked often; True stops the run.

    Raises:
        GroupingCancelled: If the run was stopped.
        MaskgroupError: If evidence was asked for that is not there.
    """
    clock = _Clock(report, is_cancelled)
    loaded: list[Frame] = []
    with clock.time("frames"):
        for frame in frames.usable(scene.view_names):
            loaded.append(frame)
            clock.tick(len(loaded) / len(scene.view_names))
    with clock.time("scores"):
        truth_maps = _read_truth_maps(scene, loaded)
        truth = _name_objects(scene, loaded, truth_maps)
    placed, note = None, None
    if options is not None and options.photos and options.evidence != "vlm" and not _has_geometry(loaded) and len(loaded) > 1:
        with clock.time("photos"):
            views = tuple(frame.view for frame in loaded)
            placed = place_scene(scene, views, keep_in=keep_in, tick=clock.tick, is_cancelled=is_cancelled)
            note = HELPS if placed is None else None
    return group_frames(
        loaded,
        scene=scene,
        placed=placed,
        note=note,
        left_out=frames.left_out,
        truth=truth,
        truth_maps=truth_maps,
        options=options,
        judge=judge,
        constraints=constraints,
        clock=clock,
    )


def group_frames(
    frames: Sequence[Frame],
    *,
    scene: Scene | None = None,
    left_out: Sequence[LeftOutView] = (),
    truth: Int32Array | None = None,
    truth_maps: Sequence[Int32Array | None] | None = None,
    embeddings: Float32Array | None = None,
    placed: PlacedPhotos | None = None,
    note: str | None = None,
    options: GroupingOptions | None = None,
    judge: PairJudge | None = None,
    constraints: Sequence[Constraint] = (),
    clock: _Clock | None = None,
) -> GroupingRun:
    """Group the masks of frames that are loaded already; see `group_scene`.

    Args:
        frames: The views; masks are numbered in this order, then by id.
        scene: Gives the mesh, where there is one.
        left_out: Views of the scene that are not among `frames` because they cannot be used.
        truth: (N,) int32 object of each mask, for scores.
        truth_maps: (H, W) int32 objects of each frame's pixels, -1 = unlabelled, for scores over points; None = those of the masks.
        embeddings: (N, D) float32 appearance of each mask, used where there is no geometry; None = its colours and,
            where the judge has a vision tower, what that sees.
        placed: Where the photos of frames without geometry were taken, in the frames' order.
        note: A sentence that is told with the result.
        options: How to group.
        judge: Whom to ask.
        constraints: What people said.
        clock: Progress of the run that this belongs to.
    """
    options = options or GroupingOptions()
    clock = clock or _Clock(lambda _: None, lambda: False)
    if options.evidence != "geometry" and judge is None:
        raise MaskgroupError(
            f"Evidence {options.evidence!r} needs a judge and none was given; choose a model or the evidence 'geometry'."
        )
    with clock.time("frames"):
        table = tabulate_masks(frames)
    if options.evidence == "geometry" and not table.has_geometry and placed is None and len(table.views) > 1:
        raise MaskgroupError(
            "The scene has no depth, poses or intrinsics in at least two views, which grouping by geometry needs; "
            f"add them, or group with the evidence 'vlm'.{'' if note is None else f' {note}'}"
        )
    by_photos = placed is not None and not table.has_geometry and options.evidence != "vlm"
    warnings = [*_tell_left_out(scene, left_out, len(frames)), *doubt_input(table), *([] if note is None else [note])]
    with clock.time("poses"):
        registration = register_views(table, repair=options.repair and not by_photos, tick=clock.tick)
        table = table.with_poses(registration.poses)
    error = registration.error_after_m
    if error > POOR_POSES_M:
        warnings.append(
            f"Poses and depth disagree by about {error * 100:.0f} cm between views and could not be repaired; "
            "check depth_scale.txt, the intrinsics and the poses."
        )
    with clock.time("overlap"):
        if placed is not None and by_photos:
            colors = [frame.rgb for frame in frames]
            found = gather_by_photos(table, placed, _describe(table, frames, embeddings, judge), colors)
            warnings += say_placed(placed)
        elif table.has_geometry:
            found = gather_by_geometry(table, [frame.rgb for frame in frames], pose_error_m=error)
        else:
            found = gather_by_looks(table, _describe(table, frames, embeddings, judge), pose_error_m=error)
        if len(found.pairs) == 0 and len(table.views) > 1 and len(table) > 1:
            warnings.append("No mask is seen by a second view, so every mask is a group of its own; check the poses and the depth.")
        graph = found.build(use_geometry=options.evidence != "vlm" and (table.has_geometry or by_photos))
    calls = 0
    if judge is not None and options.evidence != "geometry":
        with clock.time("judge"):
            known = found.known_different
            asked = ask_in_rounds(graph, judge, budget=options.budget, look_alikes=known, tick=clock.tick_calls)
            graph, calls = asked.graph, asked.calls
            clock.asked = calls
    with clock.time("cut"):
        grouping = cut(graph, constraints=constraints)
    merged = int(found.undersegmented.sum())
    if merged > MANY_UNDERSEGMENTED * len(table):
        warnings.append(
            f"{merged} of {len(table)} masks seem to cover several objects: each stands with the object that it "
            "shows most of; split them for a cleaner result."
        )
    is_placed = np.isin(np.arange(len(table)), found.placed.pairs[:, 0])
    findings = find_out(
        table, grouping, depthless=found.depthless, merged=found.undersegmented, placed=is_placed, rough=found.rough
    )
    if found.rough is not None:
        table = found.rough.table
        registration = replace(registration, poses={i: view.pose for i, view in enumerate(table.views) if view.pose is not None})
    with clock.time("3D"):
        is_rough = found.rough is not None
        cloud = _lift(scene, table, grouping, frames, pose_error_m=error, is_rough=is_rough) if options.lift else None
    with clock.time("scores"):
        mask_scores = score_masks(truth, grouping.labels) if truth is not None else None
        objects = truth if truth is None or truth_maps is None else truth_maps
        point_scores = _score_points(scene, table, grouping, cloud, objects) if options.lift and not is_rough else None
    return GroupingRun(
        options=options,
        table=table,
        registration=registration,
        graph=graph,
        grouping=grouping,
        cloud=cloud,
        truth=truth,
        mask_scores=mask_scores,
        point_scores=point_scores,
        left_out=tuple(left_out),
        findings=findings,
        undersegmented=tuple(table.keys[row] for row in np.flatnonzero(found.undersegmented).tolist()),
        calls=calls,
        seconds={stage: round(seconds, 4) for stage, seconds in clock.seconds.items()},
        warnings=tuple(warnings),
    )


def _has_geometry(frames: Sequence[Frame]) -> bool:
    return sum(frame.depth is not None and frame.camera is not None and frame.pose is not None for frame in frames) >= 2


def _lift(
    scene: Scene | None, table: MaskTable, grouping: Grouping, frames: Sequence[Frame], *, pose_error_m: float, is_rough: bool
) -> InstanceCloud | None:
    """Return the groups in 3D: on the scene's mesh where it has one, else on a cloud fused from depth."""
    mesh = scene.mesh if scene is not None and not is_rough else None  # placed photos have a frame of their own
    if mesh is not None and table.has_geometry:
        return label_mesh(mesh, table, grouping.labels, pose_error_m=pose_error_m)
    return fuse_cloud(table, grouping.labels, colors=[frame.rgb for frame in frames])


def _score_points(
    scene: Scene | None,
    table: MaskTable,
    grouping: Grouping,
    cloud: InstanceCloud | None,
    truth: Int32Array | Sequence[Int32Array | None] | None,
) -> PointScores | None:
    """Return average precision on the mesh where its vertices are labelled, else on the points that the views measure."""
    mesh = scene.mesh if scene is not None else None
    if cloud is not None and mesh is not None and mesh.vertex_instances is not None:
        return score_points(mesh.vertex_instances, cloud.labels, [group.confidence for group in grouping.groups])
    return None if truth is None else score_mask_points(table, truth, grouping)


def _describe(table: MaskTable, frames: Sequence[Frame], embeddings: Float32Array | None, judge: PairJudge | None) -> Float32Array:
    """Return how each mask looks, (N, D) float32."""
    if embeddings is None:
        described = [describe_masks(frame) for frame in frames]
        embeddings = np.concatenate(described) if described else np.zeros((0, 1), np.float32)
        seen = judge.embed(table.keys) if isinstance(judge, MaskEmbedder) else None
        if seen is not None:
            embeddings = np.concatenate([embeddings, VISION_WEIGHT * seen], axis=1)
    return embeddings


def _tell_left_out(scene: Scene | None, left_out: Sequence[LeftOutView], used: int) -> Iterator[str]:
    """Say which views are missing, and what was guessed when the scene's files were read, a sentence each."""
    if left_out:
        named = " ".join(f"{view.name} — {view.reason}" for view in left_out[:LEFT_OUT_SAID])
        more = f" And {len(left_out) - LEFT_OUT_SAID} more." if len(left_out) > LEFT_OUT_SAID else ""
        yield f"{len(left_out)} of {used + len(left_out)} views were left out: {named}{more}"
    if scene is not None:
        yield from scene.notes


def find_truth(scene: Scene, frames: Sequence[Frame]) -> Int32Array | None:
    """Return the object of each mask, (N,) int32 in table order, -1 = unknown; None where the scene has no ground truth.

    Masks of most formats carry the object's id; where ids are local to a view, a mask is the object most of its pixels show.
    """
    return _name_objects(scene, frames, _read_truth_maps(scene, frames))


def _name_objects(scene: Scene, frames: Sequence[Frame], maps: Sequence[Int32Array | None] | None) -> Int32Array | None:
    """Return the object of each mask as `find_truth` does, given what `_read_truth_maps` gave."""
    if maps is None:
        return (
            np.asarray([i for frame in frames for i in sorted(frame.mask_areas)], np.int32)
            if scene.mask_ids_are_instances
            else None
        )
    truth: list[int] = []
    for frame, objects in zip(frames, maps, strict=True):
        for mask in sorted(frame.mask_areas):
            if objects is None:
                truth.append(NOTHING)
                continue
            under, counts = np.unique(objects[frame.instance_map == mask], return_counts=True)
            truth.append(int(under[counts.argmax()]))
    return np.asarray(truth, np.int32)


def _read_truth_maps(scene: Scene, frames: Sequence[Frame]) -> list[Int32Array | None] | None:
    """Return the objects of each frame's pixels, (H, W) int32 or None; None where the scene has no such map of any frame."""
    reader = scene.reader
    maps = [_read_truth(reader, frame) for frame in frames] if isinstance(reader, HasGroundTruth) else []
    return None if all(objects is None for objects in maps) else maps


def _read_truth(reader: HasGroundTruth, frame: Frame) -> Int32Array | None:
    """Return the object of each pixel at the frame's size, (H, W) int32, or None where the view has no ground truth."""
    try:
        objects = reader.read_ground_truth_map(frame.view)
    except SceneError as error:
        logger.warning("The ground truth of view %r is not used: %s", frame.view, error)
        return None
    height, width = frame.instance_map.shape
    return None if objects is None else resize_nearest(objects, width, height)
