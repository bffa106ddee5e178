"""The masks of a scene's views as files, and every version of them that was saved.

A version is a picture of ids in `mask_versions/<view>/`, the first one the masks as they were before anybody edited them. Saving
writes the new version, then puts it in the place of the view's own file, each aside and renamed. A mask that is as it was keeps its
id, so labels on it stay valid; every other one gets an id that the view never had.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from engine.errors import SceneError
from engine.files import write_atomically, writing_file, writing_folder
from engine.scenes.files import read_json
from engine.scenes.folders import is_entry
from engine.scenes.masks_in.source import FOLDER as MASKS
from engine.scenes.masks_in.source import read_id_picture
from engine.scenes.posed_masks import PosedMasksReader
from engine.scenes.scene_settings import write_ignore_ids
from engine.segmenting.edits import MAX_ID, list_masks, match_masks
from engine.types import NOTHING, Int32Array, Scene
from engine.views.posed_folder import save_ids

FOLDER = "mask_versions"
INDEX = "versions.json"
LOCK = ".lock"
LOCK_S = 20.0
MAX_KEPT = 50
"""Versions of a view that are kept: the first, and the latest."""
MAX_INDEX_BYTES = 2**20
EXAMPLE = '{"highest": 12, "versions": [{"number": 1, "saved": "2026-01-31T12:00:00Z", "masks": 12}]}'


@dataclass(frozen=True)
class MaskVersion:
    """A saved version of a view's masks.

    Attributes:
        number: Counted from 1.
        saved: When, in UTC, as 2026-01-31T12:00:00Z; of the first, when it was put aside.
        n_masks: Its masks.
    """

    number: int
    saved: str
    n_masks: int


@dataclass(frozen=True)
class SavedMasks:
    """What was saved.

    Attributes:
        ids: (H, W) int32 masks with the ids that they have now, -1 = none.
        kept: Ids that were there before and are still there.
        new: Ids that came.
        gone: Ids that went.
    """

    ids: Int32Array
    kept: frozenset[int]
    new: frozenset[int]
    gone: frozenset[int]


def fault_of_editing(scene: Scene) -> str:
    """Return why the masks of a scene cannot be edited where they are, as the end of a sentence; "" where they can."""
    if scene.mask_ids_are_instances:
        return "its masks are the objects of its ground truth"
    if not isinstance(scene.reader, PosedMasksReader) or not scene.reader.masks_are_own_files:
        return "its masks are not pictures of their own in masks/"
    return ""


class MaskVersions:
    """The masks of one scene, to be read and saved.

    Args:
        scene: The scene; its folder is written to.

    Raises:
        SceneError: If its masks cannot be edited.
    """

    def __init__(self, scene: Scene) -> None:
        fault = fault_of_editing(scene)
        if fault or not isinstance(scene.reader, PosedMasksReader):
            raise SceneError(f"{scene.folder}: its masks cannot be edited, as {fault}; make a copy, and edit that.")
        self._scene, self._reader = scene, scene.reader
        self._folder = scene.folder / FOLDER

    def read(self, view: str) -> Int32Array:
        """Return a view's masks as they are, (H, W) int32 at its photo's size, -1 = none; all none where the scene has no masks.

        Raises:
            SceneError: If they cannot be read, or there is no such view or photo.
        """
        ids = self._scene.stored_instance_map(view)
        if ids is not None:
            return ids
        rgb = self._scene.color(view)
        if rgb is None:
            raise SceneError(f"{self._scene.folder}: view {view!r} has no photo, which masks are drawn on; add it.")
        return np.full(rgb.shape[:2], NOTHING, np.int32)

    def versions(self, view: str) -> tuple[MaskVersion, ...]:
        """Return a view's saved versions, oldest first; none where nobody has edited it.

        Raises:
            SceneError: If their list is broken.
        """
        return self._read_index(view)[1]

    def read_version(self, view: str, number: int) -> Int32Array:
        """Return a version's masks, (H, W) int32, -1 = none.

        Raises:
            SceneError: If there is no such version, or it cannot be read.
        """
        if all(one.number != number for one in self.versions(view)):
            raise SceneError(f"{self._scene.folder}: view {view!r} has no version {number} of its masks; choose one of the list.")
        return read_id_picture(self._place(view, number))

    def save(self, view: str, ids: Int32Array, *, expected: Int32Array) -> SavedMasks:
        """Make masks a view's newest version.

        Args:
            view: The view.
            ids: (H, W) int32 masks, -1 = none; which ids they have does not matter.
            expected: The masks that `ids` were made from.

        Returns:
            The masks with their ids; those of unchanged masks are as they were.

        Raises:
            SceneError: If the view's masks are others than expected by now, the sizes differ, ids run out, or it cannot be written;
                the masks stay as they were.
        """
        if ids.shape != expected.shape:
            raise SceneError(
                f"The masks have {ids.shape[1]}x{ids.shape[0]} pixels, expected {expected.shape[1]}x{expected.shape[0]}."
            )
        try:
            self._folder.mkdir(exist_ok=True)
            with FileLock(self._folder / LOCK, timeout=LOCK_S):
                return self._save(view, ids, expected)
        except Timeout as error:
            raise SceneError(f"{self._folder}: another program is saving masks; try again in a moment.") from error
        except OSError as error:
            raise SceneError(
                f"{self._folder}: cannot be written ({error.strerror or error}), expected space for masks in a folder that may be "
                "changed; free some, or check its permissions."
            ) from error

    def _save(self, view: str, ids: Int32Array, expected: Int32Array) -> SavedMasks:
        present = self.read(view)
        if not np.array_equal(present, expected):
            raise SceneError(
                f"The masks of view {view} were changed by somebody else meanwhile, so nothing was saved; open the view anew to "
                "see theirs."
            )
        file = self._prepare(view)
        highest, versions = self._read_index(view)
        highest = max(highest, int(present.max(initial=0)), *self._reader.ignored_ids, 0)
        if highest > MAX_ID:
            raise SceneError(f"{file}: found the id {highest}, expected at most {MAX_ID}; make a copy of the scene, and edit that.")
        if not versions:
            versions = (self._write_version(view, 1, present),)
        settled = self._settle(view, ids, present, versions, highest)
        highest = max(highest, int(settled.max(initial=0)))
        if not np.array_equal(settled, present):
            versions = (*versions, self._write_version(view, versions[-1].number + 1, settled))
        dropped = versions[1 : 1 + max(0, len(versions) - MAX_KEPT)]
        versions = tuple(one for one in versions if one not in dropped)
        listed = [{"number": one.number, "saved": one.saved, "masks": one.n_masks} for one in versions]
        write_atomically(self._folder / view / INDEX, {"highest": highest, "versions": listed})
        with writing_file(file) as unfinished:
            numbers = np.where(settled == NOTHING, 0, settled)
            if file.suffix.lower() == ".npz":
                with unfinished.open("wb") as stream:
                    np.savez_compressed(stream, masks=numbers)
            else:
                save_ids(numbers, unfinished, kind="PNG")
        for one in dropped:
            self._place(view, one.number).unlink(missing_ok=True)
        old, new = _ids_of(present), _ids_of(settled)
        return SavedMasks(settled, old & new, new - old, old - new)

    def _prepare(self, view: str) -> Path:
        """Return the view's own file, a plain one in the scene's folder; where the scene has no masks, all views get empty ones."""
        if not self._reader.has_masks and not is_entry(self._scene.folder / MASKS):
            with writing_folder(self._scene.folder / MASKS) as unfinished:
                for name in self._scene.view_names:
                    with suppress(SceneError):
                        save_ids(np.where((ids := self.read(name)) == NOTHING, 0, ids), unfinished / f"{name}.png")
        file = self._reader.mask_file(view) or self._scene.folder / MASKS / f"{view}.png"
        for path in (self._folder, self._folder / view, file.parent, file):
            if path.is_symlink():
                raise SceneError(
                    f"{path}: found a link, expected a file of the scene's own; make a copy of the scene, and edit that."
                )
        is_inside = file.resolve().is_relative_to(self._scene.folder.resolve())
        if not is_inside or (self._folder / view).parent != self._folder or view in (".", ".."):
            raise SceneError(f"{file}: lies outside of the scene, expected a file of its own; make a copy, and edit that.")
        if self._reader.guessed_ids:
            # Else the guess, which needs them in nearly all views, would change with what is saved.
            write_ignore_ids(self._scene.folder, self._reader.guessed_ids)
        (self._folder / view).mkdir(exist_ok=True)
        return file

    def _settle(
        self, view: str, ids: Int32Array, present: Int32Array, versions: Collection[MaskVersion], highest: int
    ) -> Int32Array:
        """Return masks under the ids that they had, in the present version or else in the latest that had them, or new ones."""
        names: dict[int, int] = {}
        masks = sorted(_ids_of(ids))
        earlier = (self._try_version(view, one.number) for one in reversed(list(versions)))
        for before in chain([present], earlier):
            if len(names) == len(masks):
                break
            if before is not None and before.shape == ids.shape:
                same = match_masks(ids, before).items()
                names |= {new: old for new, old in same if new not in names and old not in names.values()}
        free = (number for number in range(1, MAX_ID + 1) if number > highest)
        for mask in masks:
            if mask not in names:
                number = next(free, None)
                if number is None:
                    raise SceneError(f"View {view} has had {MAX_ID:,} masks, as many as it can; edit a copy of the scene.")
                names[mask] = number
        result = np.full(ids.shape, NOTHING, np.int32)
        if masks:
            inside = ids != NOTHING
            result[inside] = np.asarray([names[mask] for mask in masks], np.int32)[np.searchsorted(masks, ids[inside])]
        return result

    def _try_version(self, view: str, number: int) -> Int32Array | None:
        try:
            return read_id_picture(self._place(view, number))
        except SceneError:
            return None

    def _write_version(self, view: str, number: int, ids: Int32Array) -> MaskVersion:
        with writing_file(self._place(view, number)) as unfinished:
            save_ids(np.where(ids == NOTHING, 0, ids), unfinished, kind="PNG")
        return MaskVersion(number, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", len(_ids_of(ids)))

    def _place(self, view: str, number: int) -> Path:
        return self._folder / view / f"{number:04d}.png"

    def _read_index(self, view: str) -> tuple[int, tuple[MaskVersion, ...]]:
        path = self._folder / view / INDEX
        if not path.is_file():
            return 0, ()
        content: Any = read_json(path, EXAMPLE, limit=MAX_INDEX_BYTES)
        try:
            versions = tuple(MaskVersion(int(one["number"]), str(one["saved"]), int(one["masks"])) for one in content["versions"])
            return int(content["highest"]), versions
        except (KeyError, TypeError, ValueError) as error:
            raise SceneError(
                f"{path}: is no list of versions, expected {EXAMPLE}; move the folder away to begin a new one."
            ) from error


def _ids_of(ids: Int32Array) -> frozenset[int]:
    return frozenset(list_masks(ids))
