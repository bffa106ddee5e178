"""Both backends against geometry worked out by hand: the half pixel, perspective, both sides of a face, the near plane."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from engine.errors import RenderError
from engine.rendering import choose_backend, make_renderer, shade
from engine.types import Camera, SceneMesh
from tests.tiny_room import CAMERA, POSES, tiny_mesh

needs_pytorch3d = pytest.mark.skipif(find_spec("pytorch3d") is None, reason="pytorch3d is not installed (extra 'pytorch3d')")
both = pytest.mark.parametrize("backend", ["embree", pytest.param("pytorch3d", marks=needs_pytorch3d)])
SIDEWAYS = Camera(width=12, height=8, fx=6.0, fy=5.0, cx=4.2, cy=3.1)


def mesh_of(vertices: object, faces: object, colors: object = None) -> SceneMesh:
    points = np.array(vertices, np.float32)
    rgb = np.array(colors, np.uint8) if colors is not None else np.full(points.shape, 100, np.uint8)
    return SceneMesh(points, np.array(faces, np.int32), rgb, np.full(len(points), 5, np.int32))


def rectangle(u0: float, u1: float, v0: float, v1: float, z: float, camera: Camera) -> SceneMesh:
    """A rectangle that covers the pixel coordinates u0..u1, v0..v1 at depth z."""
    corners = [((u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z) for v in (v0, v1) for u in (u0, u1)]
    return mesh_of(corners, [[0, 1, 2], [1, 3, 2]])


@both
def test_a_pixel_is_hit_when_its_centre_is_covered(backend: str) -> None:
    """Edges 0.1 px on either side of pixel centres: half a pixel of offset anywhere would change the count."""
    mesh = rectangle(1.9, 6.1, 2.1, 4.9, 3.0, SIDEWAYS)
    fragments = make_renderer(mesh, backend).rasterize(SIDEWAYS, np.eye(4))
    expected = np.zeros((8, 12), bool)
    expected[3:5, 2:7] = True
    np.testing.assert_array_equal(fragments.face_ids >= 0, expected)
    np.testing.assert_allclose(fragments.depth, np.where(expected, 3.0, 0.0), atol=1e-5)


@both
def test_depth_and_barycentrics_are_perspective_correct(backend: str) -> None:
    """On a slanted triangle, the weights must give back the very point on the pixel's ray."""
    mesh = mesh_of([(-3, -3, 2), (4, -2, 9), (-1, 5, 4)], [[0, 1, 2]])
    fragments = make_renderer(mesh, backend).rasterize(SIDEWAYS, np.eye(4))
    hit = fragments.face_ids >= 0
    assert np.count_nonzero(hit) > 20
    points = fragments.barycentrics[hit] @ mesh.vertices
    np.testing.assert_allclose(points, SIDEWAYS.rays[hit] * fragments.depth[hit][:, None], atol=1e-4)
    np.testing.assert_allclose(fragments.barycentrics[hit].sum(axis=1), 1, atol=1e-5)
    assert not fragments.barycentrics[~hit].any()


@both
def test_both_sides_of_a_face_are_drawn_and_normals_face_the_camera(backend: str) -> None:
    mesh = rectangle(0, 11, 0, 7, 2.0, SIDEWAYS)
    turned = mesh_of(mesh.vertices, mesh.faces[:, ::-1])
    for each in (mesh, turned):
        fragments = make_renderer(each, backend).rasterize(SIDEWAYS, np.eye(4))
        rendered = shade(fragments, each, SIDEWAYS, np.eye(4), with_normals=True)
        assert (rendered.instance_map[1:-1, 1:-1] == 5).all()
        assert rendered.normals is not None
        np.testing.assert_allclose(rendered.normals[4, 6], (0, 0, -1), atol=1e-6)


@both
def test_a_face_that_passes_the_camera_is_cut_at_the_near_plane(backend: str) -> None:
    """A floor from behind the camera to far in front: the lower pixels see it at the depth that the rays give."""
    mesh = mesh_of([(-50, 1, -20), (50, 1, -20), (0, 1, 60)], [[0, 1, 2]])
    fragments = make_renderer(mesh, backend).rasterize(SIDEWAYS, np.eye(4))
    down = SIDEWAYS.rays[..., 1] > 0.05
    np.testing.assert_allclose(fragments.depth[down], 1 / SIDEWAYS.rays[down][:, 1], rtol=1e-3)
    assert (fragments.face_ids[SIDEWAYS.rays[..., 1] < 0] == -1).all()


@both
def test_nothing_is_seen_behind_or_beside_the_camera(backend: str) -> None:
    behind = mesh_of([(-1, -1, -3), (1, -1, -3), (0, 1, -3)], [[0, 1, 2]])
    beside = mesh_of([(50, -1, 3), (52, -1, 3), (51, 1, 3)], [[0, 1, 2]])
    for mesh in (behind, beside):
        fragments = make_renderer(mesh, backend).rasterize(SIDEWAYS, np.eye(4))
        assert (fragments.face_ids == -1).all()
        assert not fragments.depth.any()


@both
def test_colours_are_interpolated(backend: str) -> None:
    mesh = rectangle(-0.5, 11.5, -0.5, 7.5, 1.0, SIDEWAYS)
    ramp = mesh_of(mesh.vertices, mesh.faces, [(0, 0, 0), (240, 0, 0), (0, 0, 0), (240, 0, 0)])
    rendered = shade(make_renderer(ramp, backend).rasterize(SIDEWAYS, np.eye(4)), ramp, SIDEWAYS, np.eye(4))
    expected = (np.arange(12) + 0.5) / 12 * 240
    np.testing.assert_allclose(rendered.rgb[4, :, 0], expected, atol=1)
    assert not rendered.rgb[..., 1:].any()


@needs_pytorch3d
@pytest.mark.parametrize("view", POSES)
def test_backends_agree_on_the_tiny_room(view: str) -> None:
    mesh = tiny_mesh()
    embree, torch3d = (
        shade(make_renderer(mesh, name).rasterize(CAMERA, POSES[view]), mesh, CAMERA, POSES[view])
        for name in ("embree", "pytorch3d")
    )
    assert np.mean(embree.instance_map == torch3d.instance_map) >= 0.995
    assert np.mean(np.abs(embree.depth - torch3d.depth) <= 0.005) >= 0.99


@needs_pytorch3d
def test_culling_changes_nothing() -> None:
    from engine.rendering.pytorch3d import PyTorch3DRenderer

    mesh = tiny_mesh()
    with_tiles, plain = (PyTorch3DRenderer(mesh, cull=cull).rasterize(CAMERA, POSES["2"]) for cull in (True, False))
    np.testing.assert_allclose(with_tiles.depth, plain.depth, atol=1e-4)
    assert np.mean(with_tiles.face_ids == plain.face_ids) > 0.99


def test_camera_is_scaled_about_pixel_centres() -> None:
    half = CAMERA.resized(16, 12)
    assert (half.fx, half.cx, half.cy) == (12.0, 7.5, 5.5)
    assert half.resized(32, 24) == CAMERA


def test_auto_is_pytorch3d_only_with_a_gpu() -> None:
    torch = pytest.importorskip("torch")
    expected = "pytorch3d" if torch.cuda.is_available() and find_spec("pytorch3d") else "embree"
    assert choose_backend() == expected
    assert make_renderer(tiny_mesh()).name == expected


@both
def test_mesh_without_faces_is_refused(backend: str) -> None:
    with pytest.raises(RenderError, match="no faces, at least one was expected"):
        make_renderer(mesh_of([(0, 0, 1)], np.zeros((0, 3), int)), backend)


def test_unknown_backend_is_refused() -> None:
    with pytest.raises(RenderError, match="no rendering backend 'opengl'; choose one of auto, embree, pytorch3d"):
        make_renderer(tiny_mesh(), "opengl")
