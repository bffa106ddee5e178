"""A scene with its frames, and what masks each view has. Knows nothing about labels or judges."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field

from engine.errors import MaskgroupError
from engine.types import Frame, Scene
from engine.views.frames import FrameSource


@dataclass(frozen=True, eq=False)
class OpenScene:
    """A scene that is open; safe to call from several threads.

    Frames are large, so only the latest are kept. Which masks a view has is small, and asked for with every pair that is named,
    shown or labelled: it is kept for all views.
    """

    scene: Scene
    frames: FrameSource
    _masks: dict[str, dict[int, int]] = field(default_factory=dict[str, dict[int, int]], repr=False)

    def frame(self, view: str) -> Frame:
        """Return a view's frame; if it was read anew, its masks are those that `masks` gives from now on."""
        frame = self.frames.frame(view)
        self._masks[view] = dict(sorted(frame.mask_areas.items(), key=lambda mask: (-mask[1], mask[0])))
        return frame

    def masks(self, view: str) -> dict[int, int]:
        """Return the pixels of each mask of a view, by mask id, largest first: the order in which pages number masks."""
        if view not in self._masks:
            self.frame(view)
        return self._masks[view]

    def mask_ids(self, views: Iterable[str]) -> dict[str, Set[int]]:
        """Return the masks of each of some views; none where a view is not there or cannot be read, which is found out once."""
        lost = {view.name for view in self.frames.left_out}
        return {view: self._ids_of(view) if view in self.scene.view_names and view not in lost else set[int]() for view in views}

    def _ids_of(self, view: str) -> Set[int]:
        try:
            return self.masks(view).keys()
        except (MaskgroupError, OSError):
            return set[int]()
