"""The scannet format: a mesh whose segments carry the objects, and frames as its exporter writes them.

``<scene>/{<scene>_vh_clean_2.ply, <scene>_vh_clean_2*.segs.json, <scene>.aggregation.json, color/, depth/, pose/, intrinsic/}``,
or frames alone as in scannet_frames_25k. See docs/scene-formats.md. Knows nothing about the app or models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import numpy as np

from engine.errors import SceneError
from engine.scenes import depth_scale, files, layouts, pictures
from engine.scenes.folders import Listing, SceneFolder
from engine.scenes.kept_mesh import KeptMesh
from engine.scenes.ply import read_ply
from engine.scenes.posed_views import DEPTH_ASPECT, PosedViews, ViewFiles, same_aspect, to_metres, union_of
from engine.scenes.scannet_labels import label_vertices, read_segments
from engine.scenes.scene_settings import SceneSettings, read_settings
from engine.types import NOTHING, Camera, Float32Array, Float64Array, Int32Array, Scene, SceneMesh, UInt8Array, View

NAME = "scannet"
MESH = "_vh_clean_2.ply"
SEGMENTS = ".segs.json"
OBJECTS = ".aggregation.json"
INSTANCES = ("instance", "instance-filt")
"""Folders of instance maps that come with some exports."""


def matches(root: SceneFolder) -> bool:
    """Whether the folder looks like this format: its mesh, or frames with pose/ and color/ or intrinsics."""
    if root.ending(MESH):
        return True
    intrinsics = (*layouts.COLOR_INTRINSICS, *layouts.DEPTH_INTRINSICS)
    return root.has_folder("pose") and (root.has_folder("color") or layouts.find_parts(root, intrinsics) is not None)


def count_views(root: SceneFolder) -> int:
    """Number of views, from directory listings only; views that lost their pose are among them."""
    return len(_list_files(root).names)


def open_folder(root: SceneFolder) -> Scene:
    """Open the scene; reads poses, intrinsics and the headers of photos, as views whose pose was lost are left out.

    Raises:
        SceneError: If there is no usable view, the intrinsics are missing, or a path leaves the folder.
    """
    listed = _list_files(root)
    if not listed.names:
        raise SceneError(f"{root.path}: found no view, expected pose/<view>.txt with color/<view>.jpg; export the frames again.")
    instances = next((root.list_files(name, pictures.MAPS) for name in INSTANCES if root.has_folder(name)), None)
    return open_frames(root, NAME, listed, load_mesh=lambda: _load_mesh(root), instances=instances)


def open_frames(
    root: SceneFolder,
    name: str,
    listed: ViewFiles,
    *,
    load_mesh: Callable[[], SceneMesh | None],
    instances: Listing | None = None,
) -> Scene:
    """Open a scene of posed frames whose colour and depth have separate cameras.

    Raises:
        SceneError: If there is no usable view, the intrinsics are missing, or no photo belongs to a pose.
    """
    camera, note = layouts.color_camera(root, listed.depths)
    if camera is None:
        raise SceneError(
            f"{root.path / 'intrinsic' / 'intrinsic_color.txt'}: found no file, expected the photos' 3x3 or 4x4 intrinsics "
            "there or in intrinsics.txt; add it."
        )
    if listed.colors.files and not any(view in listed.colors for view in listed.poses.files):
        photo, pose = next(iter(listed.colors.files.values())), next(iter(listed.poses.files.values()), ("none",))
        raise SceneError(
            f"{root.path}: found no pose for any photo, expected files of the same name; the first are {'/'.join(photo)} and "
            f"{'/'.join(pose)}, rename one kind."
        )
    views = PosedViews(root, listed, camera)
    depth_matrix: Float64Array | None = None
    if note is None:  # otherwise the depth camera is used for both, and nothing is resampled
        info = layouts.read_sequence_info(root)
        own = layouts.read_matrix_of(root, layouts.DEPTH_INTRINSICS)
        depth_matrix = own.matrix if own is not None else info[1] if info is not None else None
    notes = () if note is None else (note,)
    reader = ScanNetReader(
        root, views, read_settings(root), load_mesh=load_mesh, depth_matrix=depth_matrix, instances=instances, notes=notes
    )
    return views.make_scene(name, reader, mask_ids_are_instances=True)


def _list_files(root: SceneFolder) -> ViewFiles:
    poses = root.list_files("pose", (".txt",))
    return ViewFiles(
        names=union_of(poses),
        colors=root.list_files("color", pictures.PHOTOS),
        depths=root.list_files("depth", layouts.DEPTHS),
        poses=poses,
        pose_place="pose/{view}.txt",
    )


class ScanNetReader:
    """Reads parts of one scene, each at its first use; safe to call from several threads.

    Args:
        root: The scene's folder.
        views: Its usable views.
        settings: The scene's maskgroup.json.
        load_mesh: Reads the mesh with its objects, None if the scene has none.
        depth_matrix: The depth camera's intrinsics, (3, 3) float64, where it is not the photos'.
        instances: Stored instance maps, used where there is no labelled mesh.
        notes: Sentences about how the scene was opened.
    """

    def __init__(
        self,
        root: SceneFolder,
        views: PosedViews,
        settings: SceneSettings,
        *,
        load_mesh: Callable[[], SceneMesh | None],
        depth_matrix: Float64Array | None,
        instances: Listing | None,
        notes: tuple[str, ...],
    ) -> None:
        self._root = root
        self._views = views
        self._settings = settings
        self._kept_mesh = KeptMesh(lambda: self._leave_out_ignored(load_mesh()))
        self._depth_matrix = depth_matrix
        self._instances = instances
        self._notes = notes

    def read_view(self, name: str) -> View:
        """Return camera and pose."""
        return self._views.read_view(name)

    def read_color(self, name: str) -> UInt8Array | None:
        """Return the photo, (H, W, 3) uint8, or None if the view has none."""
        return self._views.read_color(name)

    def read_depth(self, name: str) -> Float32Array | None:
        """Return depth along z, (H, W) float32 metres, 0 = unknown, or None if the view has none.

        The depth camera sees a little more or less than the colour camera, from the same place: the image is resampled to the
        colour camera's field of view, at about its own size.
        """
        raw = self._views.read_depth_units(name, any_aspect=self._depth_matrix is not None)
        if raw is None:
            return None
        metres = to_metres(raw, self.depth_scale)
        camera = self._views.read_view(name).camera
        if self._depth_matrix is None or camera is None:
            return metres
        height, width = raw.shape
        own = self._depth_camera(self._depth_matrix, width, height)
        rows_out = height
        if not same_aspect((camera.width, camera.height), (width, height), DEPTH_ASPECT):
            rows_out = max(round(width * camera.height / camera.width), 1)  # another aspect than the photo's: take the photo's
        wanted = camera.resized(width, rows_out)
        across, down = np.arange(width, dtype=np.float64), np.arange(rows_out, dtype=np.float64)
        columns = np.rint((across - wanted.cx) / wanted.fx * own.fx + own.cx).astype(np.int64)
        rows = np.rint((down - wanted.cy) / wanted.fy * own.fy + own.cy).astype(np.int64)
        seen = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))[None]
        taken = metres[np.clip(rows, 0, height - 1)[:, None], np.clip(columns, 0, width - 1)[None]]
        return np.where(seen, taken, 0).astype(np.float32)

    def read_instance_map(self, name: str) -> Int32Array | None:
        """Return the instance map that some exports store, (H, W) int32, -1 = nothing; None if the mesh keeps the objects."""
        self._views.require(name)
        if self._instances is None or name not in self._instances.files:
            return None
        mesh = self.read_mesh()
        if mesh is not None and mesh.vertex_instances is not None:
            return None
        path = self._root.file(*self._instances.files[name])
        ids = pictures.read_ids(path)
        size = self._views.size(name)
        if size is not None and not same_aspect(size, (ids.shape[1], ids.shape[0]), DEPTH_ASPECT):
            raise SceneError(
                f"{path}: found {ids.shape[1]}x{ids.shape[0]} pixels, expected the aspect of the photo, {size[0]}x{size[1]}; "
                "export it again."
            )
        if int(ids.max(initial=0)) > files.MAX_ID or int(ids.min(initial=0)) < 0:
            raise SceneError(f"{path}: found the id {int(ids.max())}, expected ids of 0 to {files.MAX_ID}; export it again.")
        ids[(ids == 0) | np.isin(ids, self._settings.ignore_ids or ())] = NOTHING
        return ids

    def read_mesh(self) -> SceneMesh | None:
        """Return the mesh with its objects, read once, or None if the scene has none."""
        return self._kept_mesh.get()

    def read_notes(self) -> tuple[str, ...]:
        """Return sentences about what was read so far."""
        return (*self._notes, *self._views.notes())

    @cached_property
    def depth_scale(self) -> float:
        """Units of the depth images in a metre."""
        written = files.find_depth_scale(self._root)
        return depth_scale.DEFAULT if written is None else written

    def _leave_out_ignored(self, mesh: SceneMesh | None) -> SceneMesh | None:
        if mesh is None or mesh.vertex_instances is None or not self._settings.ignore_ids:
            return mesh
        ignored = np.isin(mesh.vertex_instances, self._settings.ignore_ids)
        return replace(mesh, vertex_instances=np.where(ignored, NOTHING, mesh.vertex_instances).astype(np.int32))

    def _depth_camera(self, matrix: Float64Array, width: int, height: int) -> Camera:
        parts = layouts.find_parts(self._root, layouts.DEPTH_INTRINSICS) or (layouts.SEQUENCE_INFO,)
        return files.plain_camera(matrix, width, height, self._root.path.joinpath(*parts))


def _load_mesh(root: SceneFolder) -> SceneMesh | None:
    meshes = root.ending(MESH)
    if not meshes:
        return None
    mesh = read_ply(root.file(_one(root, meshes, MESH)))
    # The same scene comes with segments of a finer mesh, which have other vertices; the coarse one's begin with its name.
    segments = [name for name in root.ending(SEGMENTS) if "_vh_clean_2" in name.lower()]
    objects = [name for name in root.ending(OBJECTS) if not name.lower().endswith("_vh_clean" + OBJECTS)]
    if not segments or not objects:
        return mesh
    segment_of = read_segments(root.file(_one(root, segments, SEGMENTS)), len(mesh.vertices))
    return replace(mesh, vertex_instances=label_vertices(segment_of, root.file(_one(root, objects, OBJECTS))))


def _one(root: SceneFolder, names: list[str], ending: str) -> str:
    own = [name for name in names if name.startswith(root.path.name)] or names
    if len(own) > 1:
        raise SceneError(f"{root.path}: found {', '.join(own)}, expected one file *{ending}; remove the others.")
    return own[0]
