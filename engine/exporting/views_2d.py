"""Groups as pictures and annotations of the views: 16-bit masks with global ids, and COCO. One pass over the frames feeds both."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from engine.exporting.source import GroupedScene
from engine.files import write_text_atomically
from engine.rle import encode_mask
from engine.strict_json import to_json_text
from engine.types import Frame, HasPhotoFiles, Int32Array, MaskKey
from engine.views.posed_folder import save_ids

OBJECT = "object"
"""Category of groups whose class nobody knows."""


class ViewWriter(Protocol):
    """Writes something of every view."""

    def add(self, frame: Frame, numbers: Int32Array) -> None:
        """Take a view, with the number of the group at each pixel, (H, W) int32, 0 = none.

        Raises:
            OSError: If it cannot be written.
        """
        ...

    def close(self) -> None:
        """Write what is written once, after the last view.

        Raises:
            OSError: If it cannot be written.
        """
        ...


class MaskPictures:
    """Writes `<view>.png` a view into a folder: 16-bit grey, the number of the group at each pixel, 0 = none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def add(self, frame: Frame, numbers: Int32Array) -> None:
        """Write a view."""
        save_ids(numbers, self._folder / f"{frame.view}.png")

    def close(self) -> None:
        """Nothing is left to write."""


@dataclass
class CocoFile:
    """Collects all views into one COCO file: an annotation a mask, `track_id` the number of its group.

    `tracks` and `videos` are as in TAO, for programs that follow objects through views; others pass over them.
    """

    grouped: GroupedScene
    path: Path
    _images: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    _annotations: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def __post_init__(self) -> None:
        """Number the categories."""
        names = sorted({name for name in self.grouped.called if name is not None})
        without = OBJECT not in names and (None in self.grouped.called or not names)
        self._categories = {name: number for number, name in enumerate([*names, *([OBJECT] if without else [])], start=1)}
        self._row_of = {number: row for row, number in enumerate(self.grouped.numbers)}
        self._confidences = dict(zip(self.grouped.table.keys, self.grouped.confidences.tolist(), strict=True))

    def add(self, frame: Frame, numbers: Int32Array) -> None:
        """Describe a view and its masks."""
        height, width = frame.instance_map.shape
        image = {
            "id": len(self._images) + 1,
            "file_name": self._file_name(frame.view),
            "width": width,
            "height": height,
            "view": frame.view,
            "video_id": 1,
            "frame_index": len(self._images),
        }
        self._images.append(image)
        for mask in sorted(frame.mask_areas):
            key = MaskKey(frame.view, mask)
            number = self.grouped.number_of.get(key)
            if number is None:
                continue
            inside = frame.instance_map == mask
            rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
            x, y = int(columns[0]), int(rows[0])
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image["id"],
                    "category_id": self._category(number),
                    "track_id": number,
                    "iscrowd": 0,
                    "area": frame.mask_areas[mask],
                    "bbox": [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1],
                    "segmentation": {"size": [height, width], "counts": encode_mask(inside)},
                    "confidence": round(self._confidences[key], 4),
                    "mask": mask,
                }
            )

    def close(self) -> None:
        """Write the file."""
        scene = self.grouped.scene.name
        document = {
            "info": {"description": f"Masks of {scene}; equal track_id = one object"},
            "videos": [{"id": 1, "name": scene}],
            "images": self._images,
            "annotations": self._annotations,
            "categories": [{"id": number, "name": name} for name, number in self._categories.items()],
            "tracks": [
                {"id": number, "video_id": 1, "category_id": self._category(number), "name": self.grouped.title(row)}
                for row, number in enumerate(self.grouped.numbers)
            ],
        }
        write_text_atomically(self.path, to_json_text(document))

    def _category(self, number: int) -> int:
        return self._categories[self.grouped.called[self._row_of[number]] or OBJECT]

    def _file_name(self, view: str) -> str:
        """Return the photo's path in the scene's folder; the view's name where it has none."""
        scene = self.grouped.scene
        path = scene.reader.photo_file(view) if isinstance(scene.reader, HasPhotoFiles) else None
        return f"{view}.png" if path is None or not path.is_relative_to(scene.folder) else path.relative_to(scene.folder).as_posix()


def count_lost(grouped: GroupedScene, frame: Frame) -> int:
    """Return how many masks of a view had a group, but are not in the frame."""
    return len(grouped.grouped_in.get(frame.view, set[int]()) - frame.mask_areas.keys())
