"""Reads all that a scene knows of its views, for copies of the scene. Says nothing about what a copy changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.errors import SceneError
from engine.rendering import RenderedView, make_renderer, shade
from engine.types import NOTHING, Float32Array, HasGroundTruth, Int32Array, Scene, UInt8Array, View
from engine.views.frames import resize_nearest
from engine.views.posed_folder import MAX_UNITS

INSTANCES_IN_CLASS = 1000


@dataclass(frozen=True, eq=False)
class SeenView:
    """What a scene shows in a view, at its photo's size; depth as it is stored."""

    view: View
    rgb: UInt8Array
    depth: Float32Array | None
    truth: Int32Array | None


class ViewReader:
    """Reads the views of a scene, and renders what it has no pictures of."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.mesh = scene.mesh
        self._renderer = None if self.mesh is None or not len(self.mesh.faces) else make_renderer(self.mesh, "auto")

    def read(self, name: str) -> SeenView:
        """Return a view.

        Raises:
            SceneError: If it cannot be read, or has neither a photo nor a mesh to render one from.
        """
        scene = self._scene
        view, photo, depth = scene.view(name), scene.color(name), scene.depth(name)
        truth = self._read_truth(name)
        is_truth_rendered = scene.mask_ids_are_instances and truth is None and self._has_labels
        rendered = self._render(view) if photo is None or depth is None or is_truth_rendered else None
        if rendered is not None:
            photo = rendered.rgb if photo is None else photo
            depth = rendered.depth if depth is None else depth
            truth = rendered.instance_map if is_truth_rendered else truth
        if photo is None:
            raise SceneError(f"{scene.folder}: view {name!r} has neither a photo nor a mesh to render, expected a photo; add it.")
        return SeenView(view, photo, depth, None if truth is None else resize_nearest(truth, photo.shape[1], photo.shape[0]))

    @property
    def _has_labels(self) -> bool:
        return self.mesh is not None and self.mesh.vertex_instances is not None

    def _render(self, view: View) -> RenderedView | None:
        if self._renderer is None or self.mesh is None or view.camera is None or view.pose is None:
            return None
        return shade(self._renderer.rasterize(view.camera, view.pose), self.mesh, view.camera, view.pose)

    def _read_truth(self, name: str) -> Int32Array | None:
        if self._scene.mask_ids_are_instances:
            return self._scene.stored_instance_map(name)
        reader = self._scene.reader
        return reader.read_ground_truth_map(name) if isinstance(reader, HasGroundTruth) else None


class SmallIds:
    """Objects as 16-bit pictures hold them: by their own ids where these are small enough, else numbered as they come."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._numbers: dict[int, int] = {}
        self.classes: dict[str, str] = {}
        self.is_used = False

    def number(self, truth: Int32Array | None) -> Int32Array | None:
        """Return the objects of a view, (H, W) int32, 0 = unlabelled, or None as it was given."""
        if truth is None:
            return None
        self.is_used = True
        ids, place = np.unique(truth, return_inverse=True)
        return np.array([self._number(int(one)) for one in ids], np.int32)[place].reshape(truth.shape)

    def _number(self, one: int) -> int:
        if one == NOTHING:
            return 0
        if one not in self._numbers:
            is_free = 0 < one <= MAX_UNITS and one not in self._numbers.values()
            self._numbers[one] = one if is_free else self._find_free()
            name = self._scene.name_of(one)
            if is_free and name is not None and one >= INSTANCES_IN_CLASS:
                self.classes[str(one // INSTANCES_IN_CLASS)] = name
        return self._numbers[one]

    def _find_free(self) -> int:
        used = set(self._numbers.values())
        number = next((number for number in range(1, MAX_UNITS + 1) if number not in used), None)
        if number is None:
            raise SceneError(f"{self._scene.folder}: found more than {MAX_UNITS:,} objects, expected those of a scene; split it.")
        return number
