"""Writes the tiny room in the formats of other tools: the same views, depth, poses and masks in each."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from engine.rendering import make_renderer, shade
from engine.rle import encode_mask
from tests.tiny_room import CAMERA, POSES, ply_text, tiny_mesh
from tests.tool_masks import cvat_of, label_studio_of, yolo_of

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
"""Between OpenCV's and OpenGL's camera axes."""


def instance_maps() -> dict[str, np.ndarray]:
    """The room's masks by view, (24, 32) int32 raw labels, -1 = none."""
    mesh = tiny_mesh()
    renderer = make_renderer(mesh, "embree")
    return {view: shade(renderer.rasterize(CAMERA, pose), mesh, CAMERA, pose).instance_map for view, pose in POSES.items()}


def write_transforms(room: Path, folder: Path, *, edit: Callable[[dict], object] = lambda _: None) -> Path:
    """As nerfstudio: OpenGL poses, pixel centres at one half, depth in millimetres. `edit` changes the list first."""
    copy_pictures(room, folder, photos="images", depth="depths", start="frame_")
    frames = [
        {
            "file_path": f"images/frame_{view}.png",
            "depth_file_path": f"depths/frame_{view}.png",
            "transform_matrix": (pose @ FLIP).tolist(),
        }
        for view, pose in POSES.items()
    ]
    content = {
        "camera_model": "OPENCV",
        **{
            "w": CAMERA.width,
            "h": CAMERA.height,
            "fl_x": CAMERA.fx,
            "fl_y": CAMERA.fy,
            "cx": CAMERA.cx + 0.5,
            "cy": CAMERA.cy + 0.5,
        },
        **{"k1": 0.0, "k2": 0.0, "p1": 0.0, "p2": 0.0},
        "frames": frames,
    }
    edit(content)
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


def write_colmap(room: Path, folder: Path, *, binary: bool, place: str = "sparse/0") -> Path:
    """As COLMAP: world-to-camera quaternions; photos in images/, depth as in posed masks. pycolmap 4.2 reads both models too."""
    copy_pictures(room, folder, photos="images", depth="depth")
    (folder / place).mkdir(parents=True, exist_ok=True)
    images = [(number, *_world_to_camera(pose), f"{view}.png") for number, (view, pose) in enumerate(POSES.items(), start=1)]
    params = (CAMERA.fx, CAMERA.fy, CAMERA.cx + 0.5, CAMERA.cy + 0.5)
    points = tiny_mesh().vertices
    if binary:
        (folder / place / "cameras.bin").write_bytes(struct.pack("<Qi", 1, 7) + struct.pack("<iQQ4d", 1, 32, 24, *params))
        data = struct.pack("<Q", len(images))
        for number, quaternion, translation, name in images:
            data += struct.pack("<i7di", number, *quaternion, *translation, 7) + name.encode() + b"\0"
            data += struct.pack("<Q", 2) + struct.pack("<ddqddq", 1.5, 2.5, -1, 3.5, 4.5, number)
        (folder / place / "images.bin").write_bytes(data)
        data = struct.pack("<Q", len(points))
        for number, point in enumerate(points, start=1):
            data += struct.pack("<Q3d3Bd", number, *point, 1, 2, 3, 0.5)
            data += struct.pack("<Qii", 1, number, 1) if number <= len(images) else struct.pack("<Q", 0)
        (folder / place / "points3D.bin").write_bytes(data)
    else:
        words = " ".join(f"{p:.17g}" for p in params)
        (folder / place / "cameras.txt").write_text(f"# Camera list\n7 PINHOLE 32 24 {words}\n")
        lines = ["# Image list with two lines of data per image"]
        for number, quaternion, translation, name in images:
            pose = " ".join(f"{n:.17g}" for n in (*quaternion, *translation))
            lines += [f"{number} {pose} 7 {name}", f"1.5 2.5 -1 3.5 4.5 {number}"]
        (folder / place / "images.txt").write_text("\n".join(lines) + "\n")
        rows = [
            f"{number} {x:.9g} {y:.9g} {z:.9g} 1 2 3 0.5{f' {number} 1' if number <= len(images) else ''}"
            for number, (x, y, z) in enumerate(points, start=1)
        ]
        (folder / place / "points3D.txt").write_text("# 3D point list\n" + "\n".join(rows) + "\n")
    return folder


def write_trajectory(room: Path, folder: Path) -> Path:
    """As NICE-SLAM's Replica: one pose a line; of its eleven frames three are kept."""
    (folder / "results").mkdir(parents=True)
    for view in POSES:
        shutil.copy(room / "color" / f"{view}.png", folder / "results" / f"frame{int(view):06d}.png")
        shutil.copy(room / "depth" / f"{view}.png", folder / "results" / f"depth{int(view):06d}.png")
    lines = [" ".join(f"{n:.17g}" for n in POSES.get(str(number), np.eye(4)).ravel()) for number in range(11)]
    (folder / "traj.txt").write_text("\n".join(lines) + "\n")
    camera = {"w": 32, "h": 24, "fx": CAMERA.fx, "fy": CAMERA.fy, "cx": CAMERA.cx, "cy": CAMERA.cy, "scale": 1000.0}
    (folder / "cam_params.json").write_text(json.dumps({"camera": camera}))
    return folder


def write_arkitscenes(room: Path, folder: Path, *, inner: str = "40000000_frames") -> Path:
    """As ARKitScenes: poses world-to-camera as rotation vectors, one before all photos; a file of intrinsics for each photo."""
    frames = folder / inner
    copy_pictures(room, frames, photos="lowres_wide", depth="lowres_depth")
    (frames / "lowres_wide_intrinsics").mkdir()
    lines: list[str] = ["99.5 0 0 0 0 0 0"]
    for view, pose in POSES.items():
        name = name_in("arkitscenes", view)
        for kind in ("lowres_wide", "lowres_depth"):
            (frames / kind / f"{view}.png").rename(frames / kind / f"{name}.png")
        numbers = " ".join(f"{n:g}" for n in (32, 24, CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy))
        (frames / "lowres_wide_intrinsics" / f"{name}.pincam").write_text(numbers + "\n")
        rotation = pose[:3, :3].T
        vector, translation = Rotation.from_matrix(rotation).as_rotvec(), -rotation @ pose[:3, 3]
        lines.append(" ".join(f"{n:.17g}" for n in (100 + int(view) + 0.001, *vector, *translation)))
    (frames / "lowres_wide.traj").write_text("\n".join(lines) + "\n")
    (folder / f"{folder.name}_3dod_mesh.ply").write_text(ply_text(tiny_mesh()))
    return folder


def write_scannetpp(room: Path, folder: Path, *, with_objects: bool = False) -> Path:
    """As ScanNet++: frames of the iPhone with aligned poses, intrinsics for photos of 1920x1440, and the mesh."""
    copy_pictures(room, folder, photos="iphone/rgb", depth="iphone/depth")
    scaled = CAMERA.resized(1920, 1440)
    listed = {}
    for view, pose in POSES.items():
        for kind in ("rgb", "depth"):
            (folder / "iphone" / kind / f"{view}.png").rename(folder / "iphone" / kind / f"frame_{int(view):06d}.png")
        listed[f"frame_{int(view):06d}"] = {
            "timestamp": float(view),
            "pose": np.eye(4).tolist(),
            "aligned_pose": pose.tolist(),
            "intrinsic": [[scaled.fx, 0, scaled.cx], [0, scaled.fy, scaled.cy], [0, 0, 1]],
        }
    listed["frame_999999"] = listed["frame_000000"]  # a frame whose photo was not unpacked
    (folder / "iphone" / "pose_intrinsic_imu.json").write_text(json.dumps(listed))
    (folder / "scans").mkdir()
    mesh = tiny_mesh()
    (folder / "scans" / "mesh_aligned_0.05.ply").write_text(ply_text(mesh))
    if with_objects:
        (folder / "scans" / "segments.json").write_text(json.dumps({"segIndices": [i // 4 for i in range(len(mesh.vertices))]}))
        groups = [
            {"id": k, "objectId": k, "label": name, "segments": [2 * k, 2 * k + 1]} for k, name in ((1, "chair"), (2, "lamp"))
        ]
        (folder / "scans" / "segments_anno.json").write_text(json.dumps({"segGroups": groups}))
    return folder


def write_posed_masks(room: Path, folder: Path) -> Path:
    """As posed masks, still without masks."""
    copy_pictures(room, folder, photos="color", depth="depth")
    shutil.copytree(room / "poses", folder / "poses")
    shutil.copy(room / "intrinsics.txt", folder)
    return folder


LISTED: dict[str, Callable[[Path, Path], Path]] = {
    "transforms": write_transforms,
    "colmap text": lambda room, folder: write_colmap(room, folder, binary=False),
    "colmap binary": lambda room, folder: write_colmap(room, folder, binary=True),
    "trajectory": write_trajectory,
    "arkitscenes": write_arkitscenes,
    "scannet++": write_scannetpp,
    "posed masks": write_posed_masks,
}
"""Writers by what they write. Each takes the tiny room's folder and a new one; none writes masks."""


def copy_pictures(room: Path, folder: Path, *, photos: str, depth: str, start: str = "") -> None:
    for name, source in ((photos, "color"), (depth, "depth")):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for view in POSES:
            shutil.copy(room / source / f"{view}.png", folder / name / f"{start}{view}.png")


def name_in(writer: str, view: str) -> str:
    """What a view of the room is called in a format."""
    if writer == "transforms":
        return f"frame_{view}"
    if writer == "arkitscenes":
        return f"40000000_{100 + int(view)}.000"
    if writer == "scannet++":
        return f"frame_{int(view):06d}"
    return f"frame{int(view):06d}" if writer == "trajectory" else view


def put_png(folder: Path, names: dict[str, str], *, palette: bool = False) -> None:
    """Masks as pictures of ids, local to each view, in a palette or 16-bit grey."""
    (folder / "masks").mkdir()
    for number, (view, ids) in enumerate(instance_maps().items()):
        local = np.zeros(ids.shape, np.uint8)
        for position, one in enumerate(np.unique(ids[ids >= 0])):
            local[ids == one] = 1 + (position + number) % 2
        image = Image.fromarray(local, "P") if palette else Image.fromarray(local.astype(np.uint16))
        if palette:
            image.putpalette([255, 255, 255, 200, 0, 0, 0, 0, 200])
        image.save(folder / "masks" / f"{names[view]}.png")


def put_npz(folder: Path, names: dict[str, str]) -> None:
    """Masks as booleans; one covers all of an object and more, and gives way to it."""
    (folder / "masks").mkdir()
    for view, ids in instance_maps().items():
        masks = [ids == one for one in np.unique(ids[ids >= 0])]
        np.savez_compressed(folder / "masks" / f"{names[view]}.npz", masks=np.stack(masks), scores=np.ones(len(masks)))


def coco_of(names: dict[str, str], *, kind: str, ending: str = ".png") -> dict:
    """Masks as COCO: "polygons" (a box for each pixel run of a row), "packed" or "plain" run lengths."""
    images, annotations = [], []
    for number, (view, ids) in enumerate(instance_maps().items(), start=1):
        images.append({"id": number, "file_name": f"photos/{names[view]}{ending}", "width": 32, "height": 24})
        for one in np.unique(ids[ids >= 0]):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "iscrowd": 0,
                    "segmentation": segmentation(ids == one, kind),
                }
            )
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}


def segmentation(mask: np.ndarray, kind: str) -> object:
    """One mask as COCO writes it."""
    if kind == "packed":
        return {"size": list(mask.shape), "counts": encode_mask(mask)}
    if kind == "plain":
        flat = np.concatenate([[False], mask.T.ravel(), [False]])
        changes = np.flatnonzero(flat[1:] != flat[:-1])
        return {"size": list(mask.shape), "counts": np.diff([0, *changes.tolist(), mask.size]).tolist()}
    polygons = []
    for row in range(mask.shape[0]):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], mask[row].astype(int), [0]])))
        for start, stop in edges.reshape(-1, 2).tolist():
            polygons.append([start, row, stop, row, stop, row + 1, start, row + 1])
    return polygons


def put_coco(folder: Path, names: dict[str, str], *, kind: str) -> None:
    (folder / "masks.json").write_text(json.dumps(coco_of(names, kind=kind)))


def put_cvat(folder: Path, names: dict[str, str], *, kind: str) -> None:
    (folder / "annotations.xml").write_text(cvat_of(instance_maps(), names, kind=kind))


def put_label_studio(folder: Path, names: dict[str, str], *, kind: str) -> None:
    (folder / "label_studio.json").write_text(json.dumps(label_studio_of(instance_maps(), names, kind=kind)))


def put_yolo(folder: Path, names: dict[str, str]) -> None:
    (folder / "labels" / "train").mkdir(parents=True)
    for view, ids in instance_maps().items():
        (folder / "labels" / "train" / f"{names[view]}.txt").write_text(yolo_of(ids))
    (folder / "data.yaml").write_text("train: images/train\nnames:\n  0: red box\n  1: 'blue box'\nnc: 2\n")


MASKS: dict[str, Callable[[Path, dict[str, str]], None]] = {
    "png": put_png,
    "palette": lambda folder, names: put_png(folder, names, palette=True),
    "npz": put_npz,
    "coco polygons": lambda folder, names: put_coco(folder, names, kind="polygons"),
    "coco packed": lambda folder, names: put_coco(folder, names, kind="packed"),
    "coco plain": lambda folder, names: put_coco(folder, names, kind="plain"),
    "cvat polygons": lambda folder, names: put_cvat(folder, names, kind="polygon"),
    "cvat masks": lambda folder, names: put_cvat(folder, names, kind="mask"),
    "label studio polygons": lambda folder, names: put_label_studio(folder, names, kind="polygon"),
    "label studio brushes": lambda folder, names: put_label_studio(folder, names, kind="brush"),
    "yolo": put_yolo,
}
"""Writers of masks, by kind."""


def write_room(room: Path, folder: Path, writer: str, masks: str) -> Path:
    """Write the room in a format with masks of a kind."""
    LISTED[writer](room, folder)
    MASKS[masks](folder, {view: name_in(writer, view) for view in POSES})
    return folder


def _world_to_camera(pose: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    rotation = pose[:3, :3].T
    x, y, z, w = Rotation.from_matrix(rotation).as_quat()
    return (w, x, y, z), tuple(-rotation @ pose[:3, 3])
