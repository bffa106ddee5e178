"""A scene's mesh, read at its first use and kept. Knows no scene format: a format says how its mesh is read."""

from __future__ import annotations

import threading
from collections.abc import Callable

from engine.errors import SceneError
from engine.types import SceneMesh


class KeptMesh:
    """Reads a mesh once; safe to call from several threads.

    Args:
        load: Reads it; gives None if the scene has none.
    """

    def __init__(self, load: Callable[[], SceneMesh | None]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._is_read = False
        self._mesh: SceneMesh | None = None
        self._error: SceneError | None = None

    def get(self) -> SceneMesh | None:
        """Return the mesh, or None if the scene has none.

        Raises:
            SceneError: If it is broken. Every view asks for it, so a large broken file is read only once, too.
        """
        with self._lock:
            if not self._is_read:
                try:
                    self._mesh = self._load()
                except SceneError as error:
                    self._error = error
                self._is_read = True
            if self._error is not None:
                raise self._error
            return self._mesh
