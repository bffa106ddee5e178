"""The frame-files format: every frame's files side by side, as in 3RScan and 7-Scenes.

``<scene>/frame-000000.{color.jpg, depth.pgm, pose.txt}`` or the same in ``<scene>/sequence/``, with ``_info.txt`` (3RScan) or
``intrinsics.txt``. Objects come from ``labels.instances*.ply``, whose vertices have an objectId. See docs/scene-formats.md.
"""

from __future__ import annotations

from engine.errors import SceneError
from engine.scenes import layouts, pictures
from engine.scenes.folders import SceneFolder
from engine.scenes.ply import read_ply
from engine.scenes.posed_views import ViewFiles, union_of
from engine.scenes.scannet import open_frames
from engine.types import Scene, SceneMesh

NAME = "frame files"
POSE_ENDING = ".pose.txt"
PLACES = ("", "sequence")
"""Where the frames lie: in the scene's folder, or in 3RScan's subfolder."""


def matches(root: SceneFolder) -> bool:
    """Whether the folder looks like this format: a frame's pose in it or in sequence/."""
    return _place(root) is not None


def count_views(root: SceneFolder) -> int:
    """Number of views, from directory listings only."""
    return len(_list_files(root).names)


def open_folder(root: SceneFolder) -> Scene:
    """Open the scene; reads poses, intrinsics and the headers of photos.

    Raises:
        SceneError: If there is no usable view, the intrinsics are missing, or a path leaves the folder.
    """
    listed = _list_files(root)
    if not listed.names:
        raise SceneError(f"{root.path}: found no view, expected frame-000000.pose.txt and frame-000000.color.jpg; add the frames.")
    return open_frames(root, NAME, listed, load_mesh=lambda: _load_mesh(root))


def _place(root: SceneFolder) -> str | None:
    if root.ending(POSE_ENDING):
        return PLACES[0]
    if root.has_folder(PLACES[1]):
        names = root.names_in(root.actual(PLACES[1]))
        if any(name.lower().endswith(POSE_ENDING) for name in names):
            return PLACES[1]
    return None


def _list_files(root: SceneFolder) -> ViewFiles:
    place = _place(root) or ""
    poses = root.list_files(place, (".txt",), role=".pose")
    colors = root.list_files(place, pictures.PHOTOS, role=".color")
    return ViewFiles(
        names=union_of(poses, colors),
        colors=colors if colors.files or colors.faults else root.list_files(place, pictures.PHOTOS, role=".rgb"),
        depths=root.list_files(place, layouts.DEPTHS, role=".depth"),
        poses=poses,
        pose_place="/".join(part for part in (place, "{view}.pose.txt") if part),
    )


def _load_mesh(root: SceneFolder) -> SceneMesh | None:
    labelled = [name for name in root.ending(".ply") if name.lower().startswith("labels.instances")]
    meshes = labelled or root.ending(".ply")
    if len(meshes) > 1:
        raise SceneError(f"{root.path}: found {', '.join(meshes[:5])}, expected one mesh; remove the others.")
    return read_ply(root.file(meshes[0]), with_instances=True) if meshes else None
