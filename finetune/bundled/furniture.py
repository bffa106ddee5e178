"""Reads furniture models of Sweet Home 3D libraries (.sh3f) as pieces for procedural rooms.

Owns the catalogue, the OBJ/MTL reader and the baking of textures into vertex colours; knows nothing about rooms or training.
The libraries are in Debian's package `sweethome3d-furniture` (CC0 and CC-BY). Nothing has to be installed, only unpacked:

    apt-get download sweethome3d-furniture && dpkg -x sweethome3d-furniture_*.deb sh3d
    ls sh3d/usr/share/sweethome3d/furniture/*.sh3f
"""

from __future__ import annotations

import csv
import io
import logging
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zlib import crc32

import numpy as np
from PIL import Image

from engine.errors import SceneError
from engine.scenes.procedural_pieces import Mount, Piece, make_piece
from engine.types import Float32Array, Float64Array, Int32Array, UInt8Array
from finetune.bundled.furniture_obj import ObjModel, read_materials, read_obj

LOG = logging.getLogger(__name__)
MAX_OBJ_BYTES = 12_000_000
MAX_FACES = 8000
TEXTURE_SIDE_PX = 128
Split = Literal["train", "val"]


@dataclass(frozen=True)
class CatalogEntry:
    """One model of a library, as its catalogue describes it.

    Attributes:
        library: Stem of the .sh3f file, e.g. "Scopia".
        model: Catalogue id, e.g. "Scopia#bed1".
        name: English name, e.g. "Bed".
        creator: Author as written in the catalogue.
        member: Path of the OBJ file inside the library.
        size_m: Width (x), depth (y) and height (z) in metres.
        elevation_m: Height above the floor at which the catalogue places it.
        is_opening: True for doors and windows.
        rotation: (3, 3) float64 that turns the file's axes into the catalogue's (y up).
    """

    library: str
    model: str
    name: str
    creator: str
    member: str
    size_m: tuple[float, float, float]
    elevation_m: float
    is_opening: bool
    rotation: Float64Array

    @property
    def split(self) -> Split:
        """Which side of the train/validation split the model is on: stable, 10 % validation."""
        return "val" if crc32(f"{self.name}|{self.creator}|{self.model}".encode()) % 10 == 0 else "train"


def read_catalog(library: Path) -> list[CatalogEntry]:
    """List the OBJ models of a library.

    Raises:
        SceneError: If the file is no Sweet Home 3D library.
    """
    try:
        with zipfile.ZipFile(library) as archive:
            text = archive.read("PluginFurnitureCatalog.properties").decode("latin-1")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise SceneError(f"{library} is no furniture library (a .sh3f file was expected): {error}") from error
    fields: dict[int, dict[str, str]] = {}
    for line in text.splitlines():
        match = re.match(r"(\w+)#(\d+)=(.*)", line.strip())
        if match:
            value = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), match[3])
            fields.setdefault(int(match[2]), {})[match[1]] = value.strip()
    entries: list[CatalogEntry] = []
    for row in fields.values():
        member = row.get("model", "").lstrip("/")
        if not member.endswith(".obj") or not all(k in row for k in ("id", "width", "depth", "height")):
            continue
        rotation = np.array(row["modelRotation"].split(), float).reshape(3, 3) if "modelRotation" in row else np.eye(3)
        entries.append(
            CatalogEntry(
                library=library.stem,
                model=row["id"],
                name=row.get("name", row["id"]),
                creator=row.get("creator", ""),
                member=member,
                size_m=(float(row["width"]) / 100, float(row["depth"]) / 100, float(row["height"]) / 100),
                elevation_m=float(row.get("elevation", "0")) / 100,
                is_opening=row.get("doorOrWindow", "false") == "true",
                rotation=rotation,
            )
        )
    return entries


@dataclass(frozen=True)
class HeldOut:
    """A model that may never be trained on."""

    library: str
    model: str
    name: str
    creator: str

    def covers(self, entry: CatalogEntry) -> bool:
        """Whether `entry` is this model, or its twin in another library (same name, same creator)."""
        if entry.model == self.model:
            return True
        is_twin = (entry.name.lower(), entry.creator.lower()) == (self.name.lower(), self.creator.lower())
        return is_twin and entry.library != self.library


def read_held_out(path: Path) -> list[HeldOut]:
    """Read the list of held-out models: tab-separated columns library, model, name, creator."""
    with path.open(encoding="utf-8", newline="") as file:
        return [HeldOut(r["library"], r["model"], r["name"], r["creator"]) for r in csv.DictReader(file, delimiter="\t")]


def training_entries(folder: Path, held_out: Path) -> list[CatalogEntry]:
    """List all models of the folder's libraries, less the held-out ones and their twins in other libraries.

    Raises:
        SceneError: If the folder has no libraries.
    """
    libraries = sorted(folder.glob("*.sh3f"))
    if not libraries:
        raise SceneError(f"{folder} has no .sh3f files; unpack Debian's sweethome3d-furniture and name its furniture folder.")
    excluded = read_held_out(held_out)
    entries = [entry for library in libraries for entry in read_catalog(library)]
    return [entry for entry in entries if not any(h.covers(entry) for h in excluded)]


def kind_of(entry: CatalogEntry) -> str:
    """Return the class of a model from its name: lower case, digits and qualifiers dropped ("Sofa 3 seats" -> "sofa")."""
    name = re.sub(r"[^a-z ]", " ", entry.name.lower())
    words = [w for w in name.split() if w not in _QUALIFIERS]
    for noun in _NOUNS:
        if noun in words:
            return noun
    return " ".join(words[:2]) or "thing"


_QUALIFIERS = set("little big small large seats seat square round oval wooden double single triple with".split())  # noqa: SIM905
_NOUNS = tuple(
    (  # noqa: SIM905
        "armchair chair sofa couch bed table desk lamp light shelf shelves bookcase cabinet wardrobe door window plant vase frame "
        "box mirror sink washbasin bath shower tv clock curtain stairs fridge oven computer phone bottle stool bench"
    ).split()
)


def load_piece(entry: CatalogEntry, folder: Path) -> Piece | None:
    """Read a model and bake it: subdivided to at most `MAX_FACES` faces, textures and colours on the vertices.

    Returns:
        The piece in metres (z up, base at 0, footprint centred), or None if the model cannot be read or is out of proportion.
    """
    if not 0.04 <= max(entry.size_m) <= 3.5 or min(entry.size_m) <= 0:
        return None
    with zipfile.ZipFile(folder / f"{entry.library}.sh3f") as archive:
        try:
            if archive.getinfo(entry.member).file_size > MAX_OBJ_BYTES:
                return None
            obj = read_obj(archive.read(entry.member).decode("utf-8", "replace"))
            materials = read_materials(archive, entry.member, obj.libraries)
            if len(obj.corners) == 0:
                return None
            textures = {
                name: _texture(archive, m.texture) for name, m in materials.items() if m.texture and name in obj.material_names
            }
        except (KeyError, ValueError, IndexError, OSError) as error:
            LOG.info("skipped %s: %s", entry.model, error)
            return None
    points = _to_catalog_box(obj.corners.astype(np.float64) @ entry.rotation.T, entry.size_m)
    points, uvs, face_materials = _coarsen(points, obj)
    points, uvs, face_materials = _refine(points, uvs, face_materials, max_edge=max(0.03, max(entry.size_m) / 60))
    colors = np.full((*points.shape[:2], 3), 200, np.uint8)
    for index, name in enumerate(obj.material_names):
        chosen = face_materials == index
        if not chosen.any():
            continue
        material = materials.get(name)
        texture = textures.get(name)
        if texture is not None:
            colors[chosen] = _sample(texture, uvs[chosen])
        elif material is not None:
            colors[chosen] = np.clip(np.asarray(material.diffuse) * 255, 8, 250).astype(np.uint8)
    faces = np.arange(points.shape[0] * 3, dtype=np.int32).reshape(-1, 3)
    return make_piece(
        model=f"{entry.library}/{entry.model}",
        kind=kind_of(entry),
        vertices=points.reshape(-1, 3).astype(np.float32),
        faces=faces,
        colors=colors.reshape(-1, 3),
        mount=_mount(entry),
        elevation=entry.elevation_m,
    )


def _mount(entry: CatalogEntry) -> Mount:
    if entry.is_opening:
        return "wall"
    if entry.elevation_m >= 1.7:
        return "ceiling" if min(entry.size_m[:2]) > 0.15 else "wall"
    if entry.elevation_m > 0.25:
        return "wall"
    return "table" if max(entry.size_m) < 0.6 else "floor"


def _to_catalog_box(points: Float64Array, size_m: tuple[float, float, float]) -> Float64Array:
    """Turn y-up model points (F, 3, 3) into z-up metres in the catalogue's box, base at z = 0, front towards -y."""
    points = np.stack([points[..., 0], -points[..., 2], points[..., 1]], axis=-1)
    low, high = points.min(axis=(0, 1)), points.max(axis=(0, 1))
    points = (points - (low + high) / 2) * (np.asarray(size_m) / np.maximum(high - low, 1e-9))
    points[..., 2] += size_m[2] / 2
    return points


def _coarsen(points: Float64Array, obj: ObjModel) -> tuple[Float64Array, Float32Array, Int32Array]:
    """Merge points on ever coarser grids until at most `MAX_FACES` faces are left."""
    uvs, materials = obj.uvs, obj.face_materials
    extent = float(np.ptp(points, axis=(0, 1)).max())
    for cells in (150, 110, 80, 60, 45, 32):
        if len(points) <= MAX_FACES:
            break
        grid = extent / cells
        snapped = np.rint(points / grid) * grid
        keys = np.rint(points / grid).astype(np.int64) @ np.array([1, 4001, 4001 * 4001])
        alive = (keys[:, 0] != keys[:, 1]) & (keys[:, 1] != keys[:, 2]) & (keys[:, 0] != keys[:, 2])
        _, first = np.unique(np.sort(keys, axis=1)[alive], axis=0, return_index=True)
        chosen = np.flatnonzero(alive)[np.sort(first)]
        points, uvs, materials = snapped[chosen], uvs[chosen], materials[chosen]
    return points, uvs, materials


def _refine(
    points: Float64Array, uvs: Float32Array, materials: Int32Array, *, max_edge: float
) -> tuple[Float64Array, Float32Array, Int32Array]:
    """Halve the longest edge of every face longer than `max_edge` metres, until none is or `MAX_FACES` is reached."""
    for _ in range(16):
        edges = np.linalg.norm(points - np.roll(points, -1, axis=1), axis=2)
        long = np.flatnonzero(edges.max(axis=1) > max_edge)
        if len(long) == 0 or len(points) + len(long) > MAX_FACES:
            break
        start = edges[long].argmax(axis=1)
        order = (start[:, None] + np.arange(3)) % 3
        p, t = np.take_along_axis(points[long], order[..., None], 1), np.take_along_axis(uvs[long], order[..., None], 1)
        pm, tm = (p[:, 0] + p[:, 1]) / 2, (t[:, 0] + t[:, 1]) / 2
        keep = np.ones(len(points), bool)
        keep[long] = False
        points = np.concatenate([points[keep], np.stack([p[:, 0], pm, p[:, 2]], 1), np.stack([pm, p[:, 1], p[:, 2]], 1)])
        uvs = np.concatenate([uvs[keep], np.stack([t[:, 0], tm, t[:, 2]], 1), np.stack([tm, t[:, 1], t[:, 2]], 1)]).astype(
            np.float32
        )
        materials = np.concatenate([materials[keep], materials[long], materials[long]])
    return points, uvs, materials


def _texture(archive: zipfile.ZipFile, member: str) -> UInt8Array | None:
    try:
        image = Image.open(io.BytesIO(archive.read(member))).convert("RGB")
    except (KeyError, OSError):
        return None
    image.thumbnail((TEXTURE_SIDE_PX, TEXTURE_SIDE_PX), Image.Resampling.BOX)
    return np.asarray(image)


def _sample(texture: UInt8Array, uvs: Float32Array) -> UInt8Array:
    height, width = texture.shape[:2]
    wrapped = np.nan_to_num(uvs) % 1.0
    columns = np.minimum((wrapped[..., 0] * width).astype(int), width - 1)
    rows = np.minimum(((1 - wrapped[..., 1]) * height).astype(int), height - 1)
    return texture[rows, columns]
