"""Groups as a scene of its own: posed masks that `maskgroup` and nerfstudio open, with the groups as mask ids."""

from __future__ import annotations

import numpy as np

from engine.exporting.groups_json import groups_document
from engine.exporting.source import GroupedScene
from engine.strict_json import to_json_text
from engine.types import Frame, Int32Array, MaskKey
from engine.views.posed_folder import PosedFolder, PosedView


class PosedSceneFolder:
    """Writes the views of a grouping into a folder of posed masks, or of another layout with the same parts.

    Photos are copied where they have the size of the frames, and written anew otherwise. Poses are those that the grouping used.
    `groups.json` holds the groups of these very masks, so that `maskgroup export` reads the folder back with all corrections.
    """

    def __init__(self, grouped: GroupedScene, posed: PosedFolder) -> None:
        self._grouped, self._posed = grouped, posed
        self._poses = {view.name: view.pose for view in grouped.table.views}
        self._numbers: dict[MaskKey, int] = {}
        self._size = (0, 0)

    def add(self, frame: Frame, numbers: Int32Array) -> None:
        """Write a view, if the folder's layout has a place for it."""
        pose = self._poses.get(frame.view, frame.pose)
        view = PosedView(frame.view, frame.rgb, numbers, frame.depth, frame.camera, pose)
        if not self._posed.takes(view):
            return
        self._posed.add(view)
        self._numbers |= {MaskKey(frame.view, int(number)): int(number) for number in np.unique(numbers) if number}
        self._size = (max(self._size[0], numbers.shape[1]), max(self._size[1], numbers.shape[0]))

    def close(self) -> None:
        """Write what the views share."""
        self._posed.close()
        kept = groups_document(self._grouped, scene_folder=".", number_of=self._numbers, size=self._size)
        (self._posed.folder / "groups.json").write_text(to_json_text(kept, indent=1), encoding="utf-8")
