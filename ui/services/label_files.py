"""Writes labels with their pictures: COCO masks with group ids, and a Hugging Face dataset folder of pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from db.labels.settling import Settled
from db.labels.store import Label
from engine.errors import LabelError, MaskgroupError, SceneError
from engine.files import write_text_atomically, writing_folder
from engine.rle import encode_mask
from engine.scenes import find_scene
from engine.strict_json import to_json_text
from engine.types import Frame, MaskKey
from engine.views.crops import show_mask
from engine.views.frames import FrameSource
from ui.services.open_scene import OpenScene

CARD = """---
task_categories: [image-classification]
configs:
- config_name: default
  data_files: data.parquet
---
Pairs of instance masks seen in two views, each with what people decided: is it one physical object?

`image_a`, `image_b`: the masks cut out on black. `decision`: same, different or unsure. `basis`: gold (settled), majority (most
people), latest. `scene`, `view_a`, `mask_a`, `view_b`, `mask_b`: where they are from. `votes_*`: how many people said what.
"""


class SceneShelf:
    """Opens the scenes that labels name, each once."""

    def __init__(self, places: Path | Sequence[Path]) -> None:
        self._places = places
        self._open: dict[str, OpenScene | None] = {}

    def open(self, name: str) -> OpenScene | None:
        """Return a scene with its frames, None where there is none of this name or it cannot be read."""
        if name not in self._open:
            # A name comes from a file that anybody may have written: it is never a path.
            is_name = name not in ("", ".", "..") and not set(name) & set("/\\\0")
            try:
                scene = find_scene(name, self._places) if is_name else None
                self._open[name] = None if scene is None else OpenScene(scene, FrameSource(scene))
            except MaskgroupError:
                self._open[name] = None
        return self._open[name]

    def has_mask(self, name: str, key: MaskKey) -> bool | None:
        """Return whether a scene has a mask, None where the scene cannot be opened or the view is left out because it is broken."""
        opened = self.open(name)
        if opened is None:
            return None
        if key.view not in opened.scene.view_names:
            return None if any(view.name == key.view for view in opened.scene.left_out) else False
        try:
            return key.mask in opened.masks(key.view)
        except SceneError:
            return None


def missing_masks(labels: Sequence[Label], shelf: SceneShelf) -> tuple[list[tuple[Label, MaskKey]], Counter[str]]:
    """Return the labels on masks that do not exist, each with the mask, and how many labels of which scenes cannot be checked."""
    found: list[tuple[Label, MaskKey]] = []
    unchecked: Counter[str] = Counter()
    for label in labels:
        for key in (label.pair.a, label.pair.b):
            exists = shelf.has_mask(label.scene, key)
            if exists is None:
                unchecked[label.scene] += 1
                break
            if not exists:
                found.append((label, key))
                break
    return found, unchecked


def split_stale(settled: Sequence[Settled], shelf: SceneShelf) -> tuple[list[Settled], list[Settled]]:
    """Return the labelled pairs whose masks are there, and the stale ones.

    Raises:
        LabelError: If none is there: another folder of scenes is meant then.
    """
    there: list[Settled] = []
    stale: list[Settled] = []
    for entry in settled:
        is_there = all(shelf.has_mask(entry.scene, key) for key in (entry.pair.a, entry.pair.b))
        (there if is_there else stale).append(entry)
    if settled and not there:
        # Which says what to do.
        _frame(
            shelf,
            settled[0].scene,
            next(k for k in (settled[0].pair.a, settled[0].pair.b) if not shelf.has_mask(settled[0].scene, k)),
        )
    return there, stale


def write_coco(settled: Sequence[Settled], shelf: SceneShelf, out: Path) -> int:
    """Write the labelled masks as COCO annotations: one an object mask, `group_id` the same for masks that labels join.

    Returns:
        How many masks were written.

    Raises:
        LabelError: If a mask is not there, or the file cannot be written.
    """
    images: dict[tuple[str, str], dict[str, Any]] = {}
    annotations: list[dict[str, Any]] = []
    for (scene, key), group in sorted(_group_ids(settled).items()):
        frame = _frame(shelf, scene, key)
        mask = frame.instance_map == key.mask
        height, width = mask.shape
        place = images.setdefault(
            (scene, key.view),
            {
                "id": len(images) + 1,
                "file_name": f"{scene}/{key.view}",
                "width": width,
                "height": height,
                "scene": scene,
                "view": key.view,
            },
        )
        rows, columns = np.nonzero(mask)
        box = [int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": place["id"],
                "category_id": 1,
                "iscrowd": 0,
                "area": int(mask.sum()),
                "bbox": box,
                "segmentation": {"size": [height, width], "counts": encode_mask(mask)},
                "group_id": group,
                "mask": key.mask,
            }
        )
    document = {
        "info": {"description": "Instance masks; equal group_id = people called them one object"},
        "images": list(images.values()),
        "annotations": annotations,
        "categories": [{"id": 1, "name": "object"}],
    }
    try:
        write_text_atomically(out, to_json_text(document))
    except OSError as error:
        raise LabelError(f"{out} cannot be written ({error.strerror}); give another file with --out.") from error
    return len(annotations)


def write_dataset(settled: Sequence[Settled], shelf: SceneShelf, out: Path) -> int:
    """Write a folder that `datasets.load_dataset` opens: one row a decided pair, with both crops.

    Returns:
        How many pairs were written.

    Raises:
        LabelError: If the folder exists already, a mask is not there, or it cannot be written.
    """
    import datasets

    datasets.disable_progress_bars()
    if out.exists():
        raise LabelError(f"{out} exists already and is not overwritten; give another folder with --out.")
    decided = [entry for entry in settled if entry.decision != "skip"]
    if not decided:
        raise LabelError("There is no labelled pair to write; label some first.")
    image = datasets.Image()
    features = datasets.Features(
        {"image_a": image, "image_b": image}
        | {name: datasets.Value("string") for name in ("decision", "basis", "scene", "view_a", "view_b")}
        | {name: datasets.Value("int32") for name in ("mask_a", "mask_b", "votes_same", "votes_different", "votes_unsure")}
    )
    rows = [_dataset_row(entry, shelf) for entry in decided]
    try:
        with writing_folder(out) as unfinished:
            datasets.Dataset.from_list(rows, features=features).to_parquet(unfinished / "data.parquet")
            (unfinished / "README.md").write_text(CARD, encoding="utf-8")
    except OSError as error:
        raise LabelError(f"{out} cannot be written ({error.strerror}); give another folder with --out.") from error
    return len(rows)


def _dataset_row(entry: Settled, shelf: SceneShelf) -> dict[str, Any]:
    row: dict[str, Any] = {"decision": entry.decision, "basis": entry.basis, "scene": entry.scene}
    for side, key in (("a", entry.pair.a), ("b", entry.pair.b)):
        file = BytesIO()
        Image.fromarray(show_mask(_frame(shelf, entry.scene, key), key)).save(file, "PNG")
        row |= {f"image_{side}": {"bytes": file.getvalue(), "path": None}, f"view_{side}": key.view, f"mask_{side}": key.mask}
    return row | {f"votes_{decision}": entry.said.get(decision, 0) for decision in ("same", "different", "unsure")}


def _frame(shelf: SceneShelf, scene: str, key: MaskKey) -> Frame:
    opened = shelf.open(scene)
    if opened is None or not shelf.has_mask(scene, key):
        raise LabelError(
            f"Mask {key} of scene {scene!r} is not there; give the scenes' folder with --scenes, or one scene with --scene, "
            "and see `maskgroup labels audit`."
        )
    return opened.frame(key.view)


def _group_ids(settled: Sequence[Settled]) -> dict[tuple[str, MaskKey], int]:
    """Return the group of every mask that somebody labelled, from 1: masks joined by "same" have one."""
    masks = sorted({(entry.scene, key) for entry in settled if entry.decision != "skip" for key in (entry.pair.a, entry.pair.b)})
    row_of = {mask: row for row, mask in enumerate(masks)}
    joined = [(row_of[e.scene, e.pair.a], row_of[e.scene, e.pair.b]) for e in settled if e.decision == "same"]
    ends = np.asarray(joined, np.int64).reshape(-1, 2)
    links = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(masks), len(masks)))
    groups = connected_components(links, directed=False)[1] if masks else np.zeros(0, np.int32)
    return {mask: int(groups[row]) + 1 for mask, row in row_of.items()}
