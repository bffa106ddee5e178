"""The 3D room as JSON: a mesh or cloud that the browser fetches once, and small overlays that change with every pick.

The room never travels twice: a page update holds only its address and the overlays, so the camera stays where the person put it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.strict_json import to_json_text
from engine.types import BoolArray, Float32Array, UInt8Array
from ui.escape import escape_plot
from ui.view3d.pictures import COLOR_A, COLOR_B
from ui.view3d.room import RoomCloud, height_of_ceiling

CLOUD_ROUTE = "/maskgroup/cloud/"
PLOTLY_ROUTE = "/maskgroup/plotly.min.js"
ROOM_TEMPLATE = (Path(__file__).parent / "room.html").read_text(encoding="utf-8")
"""What `VIEW_SCRIPT` draws into."""
VIEW_SCRIPT = (Path(__file__).parent / "plotly_view.js").read_text(encoding="utf-8")
PALETTE_SIZE = 256
SYMBOL = "square"
"""Two triangles a point; Plotly makes its round markers of dozens, which no eye can tell apart at this size."""


def room_values(cloud: RoomCloud) -> dict[str, Any]:
    """Return what the browser fetches of a room: coordinates, colours of one byte through a palette, faces of a mesh.

    Coordinates are 16 bits each, between the room's ends on that axis: a room of 10 m is told to 0.2 mm.
    """
    mesh = cloud.mesh
    corners = cloud.points if mesh is None else mesh.vertices
    colors = cloud.colors if mesh is None else mesh.colors
    image = Image.fromarray(colors[None]).quantize(PALETTE_SIZE, kmeans=0)
    palette = np.asarray(image.getpalette(), np.uint8).reshape(-1, 3)
    low, high = corners.min(axis=0).astype(np.float64), corners.max(axis=0).astype(np.float64)
    steps = np.maximum(high - low, 1e-9) / 65535
    bottom, top, ceiling = height_of_ceiling(cloud.points, cloud.up)
    values: dict[str, Any] = {
        "up": cloud.up.tolist(),
        "low": low.tolist(),
        "step": steps.tolist(),
        "corners": _typed(np.rint((corners - low) / steps).astype(np.uint16), "u2"),
        "colors": _typed(np.asarray(image, np.uint8).reshape(-1), "u1"),
        "palette": palette.tolist(),
        "heights": [bottom, top, ceiling],
        "of_faces": cloud.of_faces,
    }
    if mesh is not None:
        wide = len(corners) > 65535
        values["faces"] = _typed(mesh.faces.astype(np.uint32 if wide else np.uint16), "u4" if wide else "u2")
    return values


def mask_trace(points: Float32Array, color: tuple[int, int, int], name: str) -> dict[str, Any]:
    """Return a lit mask as a scatter3d trace."""
    marker = {"size": 3.4, "symbol": SYMBOL, "color": _css(color)}
    return {
        "type": "scatter3d",
        "mode": "markers",
        "name": escape_plot(name),
        **_coordinates(points),
        "marker": marker,
        "hoverinfo": "name",
    }


def camera_trace(path: Float32Array, color: tuple[int, int, int], name: str) -> dict[str, Any]:
    """Return a camera's outline as a scatter3d line."""
    line = {"width": 5, "color": _css(color)}
    return {
        "type": "scatter3d",
        "mode": "lines",
        "name": escape_plot(name),
        **_coordinates(path),
        "line": line,
        "hoverinfo": "name",
    }


def cameras_trace(paths: Sequence[Float32Array], color: tuple[int, int, int], name: str) -> dict[str, Any]:
    """Return many cameras' outlines as one scatter3d line; clicks go through it to the room."""
    gap = np.full((1, 3), np.nan, np.float32)
    joined = np.concatenate([part for path in paths for part in (path, gap)])
    line = {"width": 3, "color": _css(color)}
    return {
        "type": "scatter3d",
        "mode": "lines",
        "name": escape_plot(name),
        **_coordinates(joined),
        "line": line,
        "hoverinfo": "skip",
    }


def names_trace(places: Float32Array, names: Sequence[str]) -> dict[str, Any]:
    """Return names, written at (n, 3) float32 places."""
    text = {
        "mode": "text",
        "text": [escape_plot(name) for name in names],
        "textfont": {"size": 15},
        "showlegend": False,
        "hoverinfo": "skip",
    }
    return {"type": "scatter3d", "name": "names", **_coordinates(places), **text}


def room_view(
    scene_name: str,
    traces: list[dict[str, Any]],
    *,
    permalink: str,
    paint: dict[str, Any] | None = None,
    lit: Sequence[dict[str, Any]] = (),
    cameras: Sequence[dict[str, Any]] = (),
    framed: str = "",
) -> str:
    """Return what the page's 3D component takes as its value, as JSON text.

    Args:
        scene_name: The scene whose room is shown.
        traces: What is drawn over the room.
        permalink: The page's address from now on, "" = as it is.
        paint: Replaces the room's own colours, as `paint_patch` gives it.
        lit: Parts of the room in a colour of their own, as `lit_part` gives them; the first can be hidden, isolated and zoomed to.
        cameras: Cameras that a click opens, as `camera_place` gives them.
        framed: Where this becomes another text, the first of `lit` is brought into the middle.
    """
    url = CLOUD_ROUTE[1:] + quote(scene_name, safe="")
    parts = {"lit": list(lit), "cameras": list(cameras), "framed": framed}
    return to_json_text({"cloud_url": url, "traces": traces, "permalink": permalink, "paint": paint, **parts})


def lit_part(chosen: BoolArray, color: tuple[int, int, int], name: str) -> dict[str, Any]:
    """Return a part of the room to light: (N,) bool, a bit for each point or face."""
    return {
        "name": escape_plot(name),
        "color": _css(color),
        "bits": base64.b64encode(np.packbits(chosen).tobytes()).decode("ascii"),
    }


def camera_place(name: str, path: Float32Array) -> dict[str, Any]:
    """Return where a view's camera is, from its outline."""
    return {"name": name, "at": [round(float(value), 4) for value in path[0]]}


def paint_patch(indices: UInt8Array, palette: UInt8Array) -> dict[str, Any]:
    """Return colours for the room's points or faces: (N,) uint8 indices into a (C, 3) uint8 palette, C <= 256."""
    return {"colors": _typed(indices, "u1"), "palette": palette.tolist()}


def _coordinates(points: Float32Array) -> dict[str, Any]:
    return {axis: _typed(np.ascontiguousarray(points[:, k], np.float32), "f4") for k, axis in enumerate("xyz")}


def _typed(values: NDArray[Any], dtype: str) -> dict[str, str]:
    return {"dtype": dtype, "bdata": base64.b64encode(values.tobytes()).decode("ascii")}


def _css(color: tuple[int, int, int]) -> str:
    return "rgb({},{},{})".format(*color)


MASK_COLORS = {"A": COLOR_A, "B": COLOR_B}
PICK_COLOR = (20, 200, 90)
