"""A small reader for the OBJ and MTL files inside furniture libraries: triangles, texture coordinates, diffuse materials."""

from __future__ import annotations

import posixpath
import zipfile
from dataclasses import dataclass

import numpy as np

from engine.types import Float32Array, Int32Array


@dataclass(frozen=True)
class Material:
    """Diffuse colour, RGB in [0, 1], and the archive member of its texture, or None."""

    diffuse: tuple[float, float, float]
    texture: str | None


@dataclass(frozen=True, eq=False)
class ObjModel:
    """A triangle soup.

    Attributes:
        corners: (F, 3, 3) float32 positions, in the file's units and axes.
        uvs: (F, 3, 2) float32 texture coordinates, 0 where the file has none.
        face_materials: (F,) int32 indices into `material_names`.
        material_names: Names as the faces use them.
        libraries: Names of the material files.
    """

    corners: Float32Array
    uvs: Float32Array
    face_materials: Int32Array
    material_names: tuple[str, ...]
    libraries: tuple[str, ...]


def read_obj(text: str) -> ObjModel:
    """Parse an OBJ file; polygons become fans.

    Raises:
        ValueError, IndexError: If a number or an index in the file is broken.
    """
    positions: list[tuple[float, float, float]] = []
    coordinates: list[tuple[float, float]] = []
    faces: list[tuple[int, int, int, int, int, int]] = []
    face_materials: list[int] = []
    names: dict[str, int] = {"": 0}
    libraries: list[str] = []
    current = 0
    for line in text.splitlines():
        if line.startswith("v "):
            x, y, z = line.split()[1:4]
            positions.append((float(x), float(y), float(z)))
        elif line.startswith("vt "):
            parts = line.split()
            coordinates.append((float(parts[1]), float(parts[2])))
        elif line.startswith("f "):
            corners: list[tuple[int, int]] = []
            for part in line.split()[1:]:
                numbers = part.split("/")
                p = int(numbers[0])
                t = int(numbers[1]) if len(numbers) > 1 and numbers[1] else 0
                corners.append((p - 1 if p > 0 else len(positions) + p, (t if t > 0 else len(coordinates) + t + 1) if t else 0))
            for k in range(1, len(corners) - 1):
                faces.append((*corners[0], *corners[k], *corners[k + 1]))
                face_materials.append(current)
        elif line.startswith("usemtl"):
            current = names.setdefault(line[6:].strip(), len(names))
        elif line.startswith("mtllib"):
            libraries.append(line[6:].strip())
    indices = np.array(faces, np.int64).reshape(-1, 3, 2)
    points = np.array(positions, np.float32).reshape(-1, 3)
    # Row 0 stands for "no texture coordinate".
    uvs = np.concatenate([np.zeros((1, 2), np.float32), np.array(coordinates, np.float32).reshape(-1, 2)])
    return ObjModel(
        corners=points[indices[..., 0]],
        uvs=uvs[indices[..., 1]],
        face_materials=np.array(face_materials, np.int32),
        material_names=tuple(names),
        libraries=tuple(libraries),
    )


def read_materials(archive: zipfile.ZipFile, obj_member: str, libraries: tuple[str, ...]) -> dict[str, Material]:
    """Read the material files beside an OBJ file in the archive; missing files give no materials."""
    folder = posixpath.dirname(obj_member)
    members = set(archive.namelist())
    materials: dict[str, Material] = {}
    for library in libraries:
        member = posixpath.normpath(posixpath.join(folder, library))
        if member not in members:
            continue
        name = ""
        for line in archive.read(member).decode("utf-8", "replace").splitlines():
            parts = line.split()
            if not parts:
                continue
            if parts[0] == "newmtl":
                name = line.split(None, 1)[1].strip()
                materials[name] = Material((0.8, 0.8, 0.8), None)
            elif parts[0] == "Kd" and name:
                red, green, blue = (float(v) for v in parts[1:4])
                materials[name] = Material((red, green, blue), materials[name].texture)
            elif parts[0] == "map_Kd" and name:
                texture = posixpath.normpath(posixpath.join(folder, parts[-1].replace("\\", "/")))
                materials[name] = Material(materials[name].diffuse, texture)
    return materials
