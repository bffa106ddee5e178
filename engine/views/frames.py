"""Gives each view of a scene as a `Frame`: picture, masks, depth and camera of one size, whatever the scene's format.

Masks that the scene stores are used as they are; otherwise the labelled mesh is rendered. Frames are kept, the least recently used
go first. Knows nothing about models or the app.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from PIL import Image

from engine.errors import LeftOutError, SceneError
from engine.rendering import BackendName, Renderer, make_renderer, shade
from engine.types import Camera, Float32Array, Frame, Int32Array, LeftOutView, Scene, SceneMesh, UInt8Array, View

MapT = TypeVar("MapT", Int32Array, Float32Array)

DEFAULT_WIDTH = 640
DEFAULT_HEIGHT = 360


class FrameSource:
    """Makes and keeps the frames of one scene; safe to call from several threads.

    Args:
        scene: Where the views come from.
        width: Largest width of a frame, pixels; None = the colour images' width.
        height: Largest height of a frame, pixels; None = the colour images' height.
        backend: Renders the masks where the scene does not store them.
        max_frames: How many frames are kept.
        photo: Take the scene's photo as the picture where it has one; False = render the picture as well.
        keep_aspect: Fit the frame into `width` x `height` without distortion; False = exactly that size.
    """

    def __init__(
        self,
        scene: Scene,
        *,
        width: int | None = DEFAULT_WIDTH,
        height: int | None = DEFAULT_HEIGHT,
        backend: BackendName = "auto",
        max_frames: int = 64,
        photo: bool = True,
        keep_aspect: bool = True,
    ) -> None:
        self.scene = scene
        self._width, self._height = width, height
        self._backend: BackendName = backend
        self._max_frames = max(max_frames, 1)
        self.photo = photo
        self._keep_aspect = keep_aspect
        self._frames: OrderedDict[str, Frame] = OrderedDict()
        self._lock = threading.Lock()
        self._render_lock = threading.Lock()
        self._renderer: Renderer | None = None
        self._lost: dict[str, LeftOutView] = {}

    @property
    def left_out(self) -> tuple[LeftOutView, ...]:
        """Views that the scene left out, and those whose pictures, masks or depth turned out to be broken so far."""
        return (*self.scene.left_out, *self._lost.values())

    def frame(self, view: str) -> Frame:
        """Return a view's frame.

        Raises:
            MaskError: If the scene has no such view.
            LeftOutError: If a file of this view is broken.
            SceneError: If another file is broken, or the scene has neither stored masks nor a labelled mesh.
        """
        with self._lock:
            if view in self._frames:
                self._frames.move_to_end(view)
                return self._frames[view]
        try:
            frame = self._make(view)
        except LeftOutError as error:
            self._lost[view] = LeftOutView(view, str(error))
            raise
        self._lost.pop(view, None)
        # Two threads may make the same frame; the result is the same.
        with self._lock:
            self._frames[view] = frame
            self._frames.move_to_end(view)
            while len(self._frames) > self._max_frames:
                self._frames.popitem(last=False)
        return frame

    def usable(self, views: Iterable[str]) -> Iterator[Frame]:
        """Yield the frames of views in order. Views with a broken file are skipped; `left_out` lists them.

        Raises:
            LeftOutError: If not one of them can be used.
            SceneError: If the scene itself is broken.
        """
        first: LeftOutError | None = None
        has_any = False
        for view in views:
            try:
                frame = self.frame(view)
            except LeftOutError as error:
                first = first or error
                continue
            has_any = True
            yield frame
        if first is not None and not has_any:
            raise first

    def size_for(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) of a frame made from images of the given size."""
        return fit_size(width, height, self._width or width, self._height or height, keep_aspect=self._keep_aspect)

    def _make(self, name: str) -> Frame:
        view = self.scene.view(name)
        with _files_of(name):
            stored = self.scene.stored_instance_map(name)
        return self._from_stored(view, stored) if stored is not None else self._from_mesh(view)

    def _from_stored(self, view: View, stored: Int32Array) -> Frame:
        with _files_of(view.name):
            photo = self.scene.color(view.name)
            if photo is None:
                raise SceneError(f"{self.scene.folder}: view {view.name!r} has masks but no picture; add its photo.")
            depth = self.scene.depth(view.name)
        width, height = self.size_for(photo.shape[1], photo.shape[0])
        return Frame(
            view=view.name,
            rgb=resize_rgb(photo, width, height),
            instance_map=resize_nearest(stored, width, height),
            depth=None if depth is None else resize_nearest(depth, width, height),
            camera=None if view.camera is None else view.camera.resized(width, height),
            pose=view.pose,
        )

    def _from_mesh(self, view: View) -> Frame:
        mesh = self._labelled_mesh()
        if view.camera is None or view.pose is None:
            raise SceneError(
                f"{self.scene.folder}: view {view.name!r} has no camera or pose, without which no masks can be rendered."
            )
        camera = self._fitted(view.camera)
        with self._render_lock:
            if self._renderer is None:
                self._renderer = make_renderer(mesh, self._backend)
            fragments = self._renderer.rasterize(camera, view.pose)
        rendered = shade(fragments, mesh, camera, view.pose)
        with _files_of(view.name):
            photo = self.scene.color(view.name) if self.photo else None
        return Frame(
            view=view.name,
            rgb=rendered.rgb if photo is None else resize_rgb(photo, camera.width, camera.height),
            instance_map=rendered.instance_map,
            depth=rendered.depth,
            camera=camera,
            pose=view.pose,
        )

    def _fitted(self, camera: Camera) -> Camera:
        return camera.resized(*self.size_for(camera.width, camera.height))

    def _labelled_mesh(self) -> SceneMesh:
        mesh = self.scene.mesh
        if mesh is None or mesh.vertex_instances is None:
            missing = "no mesh" if mesh is None else "a mesh without instance labels"
            raise SceneError(
                f"{self.scene.folder}: found no stored masks and {missing}, expected stored masks, or a mesh with "
                f"ground_truth/{self.scene.name}.txt beside the scene's folder; add one of them, or make masks with "
                "maskgroup segment."
            )
        return mesh


@contextmanager
def _files_of(view: str) -> Generator[None]:
    """Turn errors in a view's own files into an error that names the view, so that other views are not affected."""
    try:
        yield
    except LeftOutError:
        raise
    except SceneError as error:
        raise LeftOutError(f"View {view!r} cannot be used: {error}") from error


def fit_size(width: int, height: int, box_width: int, box_height: int, *, keep_aspect: bool = True) -> tuple[int, int]:
    """Return the largest (width, height) of the same aspect inside the box, or the box itself; pixels, at least 1."""
    if not keep_aspect:
        return box_width, box_height
    scale = min(box_width / width, box_height / height)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def resize_rgb(image: UInt8Array, width: int, height: int) -> UInt8Array:
    """Return (height, width, 3) uint8, averaged when it shrinks."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0))


def resize_nearest(values: MapT, width: int, height: int) -> MapT:
    """Return (height, width) of the same dtype: each pixel takes the nearest source pixel; nothing is mixed."""
    if values.shape == (height, width):
        return values
    rows = np.minimum(((np.arange(height) + 0.5) * values.shape[0] / height).astype(int), values.shape[0] - 1)
    columns = np.minimum(((np.arange(width) + 0.5) * values.shape[1] / width).astype(int), values.shape[1] - 1)
    return values[rows[:, None], columns[None]]
