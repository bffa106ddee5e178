"""The 3D room as Plotly JSON: a cloud that the browser fetches once, and small overlays that change with every pick.

The cloud never travels twice: a page update holds only its address and the overlays, so the camera stays where the person put it.
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
from engine.types import Float32Array, UInt8Array
from ui.escape import escape_plot
from ui.view3d.pictures import COLOR_A, COLOR_B
from ui.view3d.room import RoomCloud

CLOUD_ROUTE = "/maskgroup/cloud/"
PLOTLY_ROUTE = "/maskgroup/plotly.min.js"
ROOM_TEMPLATE = '<div class="mg-room"><div class="mg-plot"></div><div class="mg-plot-note" role="status"></div></div>'
"""What `VIEW_SCRIPT` draws into."""
VIEW_SCRIPT = (Path(__file__).parent / "plotly_view.js").read_text(encoding="utf-8")
PALETTE_SIZE = 256
SYMBOL = "square"
"""Two triangles a point; Plotly makes its round markers of dozens, which no eye can tell apart at this size."""


def cloud_trace(cloud: RoomCloud) -> dict[str, Any]:
    """Return the cloud as one scatter3d trace: float32 coordinates and one byte a colour, through a 256-colour palette."""
    image = Image.fromarray(cloud.colors[None]).quantize(PALETTE_SIZE, kmeans=0)
    palette = np.asarray(image.getpalette(), np.uint8).reshape(-1, 3)
    last = max(len(palette) - 1, 1)
    scale = [[i / last, f"rgb({r},{g},{b})"] for i, (r, g, b) in enumerate(palette.tolist())]
    return {
        "type": "scatter3d",
        "mode": "markers",
        "name": "room",
        **_coordinates(cloud.points),
        "marker": {
            "size": 2.2,
            "symbol": SYMBOL,
            "color": _typed(np.asarray(image, np.uint8).reshape(-1), "u1"),
            "colorscale": scale if len(scale) > 1 else [[0, scale[0][1]], [1, scale[0][1]]],
            "cmin": 0,
            "cmax": last,
            "showscale": False,
        },
        "hoverinfo": "none",
        "meta": {"up": cloud.up.tolist(), "of_vertices": cloud.of_vertices},
    }


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


def room_view(scene_name: str, traces: list[dict[str, Any]], *, permalink: str, paint: dict[str, Any] | None = None) -> str:
    """Return what the page's 3D component takes as its value, as JSON text; `paint` replaces the cloud's own colours."""
    url = CLOUD_ROUTE + quote(scene_name, safe="")
    return to_json_text({"cloud_url": url, "traces": traces, "permalink": permalink, "paint": paint})


def paint_patch(indices: UInt8Array, palette: UInt8Array) -> dict[str, Any]:
    """Return the part of the cloud's marker that says its colours: (P,) uint8 indices into a (C, 3) uint8 palette, C >= 2."""
    last = len(palette) - 1
    scale = [[i / last, _css((r, g, b))] for i, (r, g, b) in enumerate(palette.tolist())]
    return {"color": _typed(indices, "u1"), "colorscale": scale, "cmin": 0, "cmax": last}


def _coordinates(points: Float32Array) -> dict[str, Any]:
    return {axis: _typed(np.ascontiguousarray(points[:, k], np.float32), "f4") for k, axis in enumerate("xyz")}


def _typed(values: NDArray[Any], dtype: str) -> dict[str, str]:
    return {"dtype": dtype, "bdata": base64.b64encode(values.tobytes()).decode("ascii")}


def _css(color: tuple[int, int, int]) -> str:
    return "rgb({},{},{})".format(*color)


MASK_COLORS = {"A": COLOR_A, "B": COLOR_B}
PICK_COLOR = (20, 200, 90)
