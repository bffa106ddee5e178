"""The bundled living room at 160x90: Embree against PyTorch3D, and both against the depth images that came with the room.

Tolerances: at least 99.5 % of instance ids equal, at least 99 % of depths within 5 mm.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest

from engine.rendering import Fragments, make_renderer, shade
from engine.types import Camera, Scene, View

IDS_EQUAL, DEPTHS_EQUAL, DEPTH_TOLERANCE_M = 0.995, 0.99, 0.005
VIEWS = ("0", "17", "33")
needs_pytorch3d = pytest.mark.skipif(find_spec("pytorch3d") is None, reason="pytorch3d is not installed (extra 'pytorch3d')")


@pytest.fixture(scope="module")
def drawn(living_room: Scene) -> Callable[[str, str], Fragments]:
    """What a backend rasterizes of a view at 160x90, computed once for all tests: PyTorch3D takes seconds for it on a CPU."""
    assert living_room.mesh is not None
    mesh = living_room.mesh
    renderer = cache(lambda backend: make_renderer(mesh, backend))

    @cache
    def draw(backend: str, name: str) -> Fragments:
        view, camera = posed(living_room, name)
        return renderer(backend).rasterize(strided(camera), view.pose)

    return draw


def strided(camera: Camera) -> Camera:
    """Return the camera whose pixels' centres lie on just every fourth pixel of the stored images."""
    return Camera(160, 90, camera.fx / 4, camera.fy / 4, camera.cx / 4, camera.cy / 4)


def posed(scene: Scene, name: str) -> tuple[View, Camera]:
    view = scene.view(name)
    assert view.camera is not None
    assert view.pose is not None
    return view, view.camera


@needs_pytorch3d
def test_backends_agree(living_room: Scene, drawn: Callable[[str, str], Fragments]) -> None:
    mesh = living_room.mesh
    assert mesh is not None
    for name in VIEWS:
        view, camera = posed(living_room, name)
        small = strided(camera)
        embree, torch3d = (shade(drawn(backend, name), mesh, small, view.pose) for backend in ("embree", "pytorch3d"))
        assert len(np.unique(embree.instance_map)) > 10
        assert np.mean(embree.instance_map == torch3d.instance_map) >= IDS_EQUAL, name
        assert np.mean(np.abs(embree.depth - torch3d.depth) <= DEPTH_TOLERANCE_M) >= DEPTHS_EQUAL, name
        color_difference = np.abs(embree.rgb.astype(int) - torch3d.rgb).max(axis=-1)
        assert np.mean(color_difference <= 2) >= DEPTHS_EQUAL, name


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("backend", ["embree", pytest.param("pytorch3d", marks=needs_pytorch3d)])
def test_depth_is_the_depth_of_the_data_set(
    drawn: Callable[[str, str], Fragments], living_room: Scene, backend: str, name: str
) -> None:
    """Every fourth pixel of the stored image is one pixel of a camera whose centres lie on just those pixels."""
    stored = living_room.depth(name)
    assert stored is not None
    depth = drawn(backend, name).depth
    known = stored[::4, ::4] > 0
    assert known.mean() > 0.9
    assert np.mean(np.abs(depth - stored[::4, ::4])[known] <= DEPTH_TOLERANCE_M) >= DEPTHS_EQUAL


def test_rendered_colours_are_those_of_the_photos(living_room: Scene) -> None:
    """The photos are JPEGs of the same mesh: 9 of 10 pixels within 12 grey levels at full size."""
    mesh = living_room.mesh
    assert mesh is not None
    view, camera = posed(living_room, "5")
    photo = living_room.color("5")
    assert photo is not None
    rendered = shade(make_renderer(mesh, "embree").rasterize(camera, view.pose), mesh, camera, view.pose)
    difference = np.abs(rendered.rgb.astype(int) - photo).max(axis=-1)
    assert np.mean(difference <= 12) > 0.9
