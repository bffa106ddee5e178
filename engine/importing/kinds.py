"""The list of what is imported: recognises what was brought, and writes a scene of it into a new folder.

What was brought is a folder, a file, or a zip archive, which is unpacked first and then is a folder like another. A new kind is one
entry in `KINDS`; everything after it, checking and putting in place, is the same for all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from engine.errors import SceneError
from engine.importing.archive import ArchiveSource, open_archive
from engine.importing.locate import FoundScene, find_scene_in, say_content
from engine.importing.photos import FoundPhotos, find_photos, find_video, make_photo_scene, make_video_scene
from engine.importing.sources import Source, SourceFile, copy_files
from engine.importing.tree import FolderSource
from engine.importing.work import Work
from engine.photos.folder import HEIC, LEAST, PHOTOS
from engine.photos.video import VIDEOS, is_video
from engine.scenes.folders import is_entry, is_folder
from engine.scenes.registry import EXPECTED
from engine.scenes.replica import OWN_LABELS

PICTURES = frozenset((*PHOTOS, *HEIC, *VIDEOS))


@dataclass(frozen=True)
class Brought:
    """What was brought.

    Attributes:
        place: The folder or file; of an archive, the folder in which it was unpacked, which may be taken apart.
        shown: What the person named.
        name: What it is called.
        unpacked: The archive, None if it is none.
    """

    place: Path
    shown: Path
    name: str
    unpacked: Source | None = None


@dataclass(frozen=True)
class Staged:
    """What a new scene was made of.

    Attributes:
        n_passed_over: Files that were left: hidden, an operating system's, or beside the scene.
        told: Sentences that the person should read.
    """

    n_passed_over: int
    told: Sequence[str] = field(default=())


@dataclass(frozen=True)
class Content:
    """Something that a scene can be made of.

    Attributes:
        name: What the scene is called if nobody says otherwise.
        shown: Where it is, as the person knows it.
        stage: Makes the scene's folder, which is not there yet.
    """

    name: str
    shown: Path
    stage: Callable[[Path, Work], Staged]


Find = Callable[[Brought, Work], Content | None]


def _find_scene(brought: Brought, work: Work) -> Content | None:
    if not is_folder(brought.place):
        return None
    found = find_scene_in(brought.place.resolve(), shown=brought.shown)
    if found is None:
        return None
    if brought.unpacked is None:
        source = FolderSource(brought.shown, found, tick=work.tick)

        def copy(staged: Path, work: Work) -> Staged:
            copy_files(source, staged, partial(work.report, "copying"), work.tick)
            return Staged(source.n_passed_over)

        return Content(source.name, source.path, copy)
    archive = brought.unpacked
    inner = found.folder.relative_to(brought.place.resolve())

    def move(staged: Path, work: Work) -> Staged:
        taken = [file for file in archive.files if file.parts[: found.depth] == inner.parts]
        return Staged(archive.n_passed_over + len(archive.files) - len(taken) - _move(brought, found, staged))

    return Content(found.folder.name if found.depth else brought.name, brought.shown / inner, move)


def _move(brought: Brought, found: FoundScene, staged: Path) -> int:
    """Move an unpacked scene to its place, and the labels beside it, where it needs them; returns how many files those are."""
    os.rename(found.folder, staged)
    if found.labels is None or (staged / OWN_LABELS).exists():
        return 0
    os.rename(found.labels, staged / OWN_LABELS)
    return 1


def _find_photos(brought: Brought, work: Work) -> Content | None:
    found = find_photos(brought.place.resolve(), shown=brought.shown) if is_folder(brought.place) else None
    if found is None:
        return None

    def make(staged: Path, work: Work) -> Staged:
        told = make_photo_scene(found, staged, work)
        return Staged(_count_left(brought, found), told)

    return Content(found.folder.name if found.depth else brought.name, brought.shown, make)


def _count_left(brought: Brought, found: FoundPhotos) -> int:
    """Return how many files of an archive, or of a folder of photos, are neither photos nor their masks."""
    used = len(found.photos) + len(found.masks)
    if brought.unpacked is not None:
        return brought.unpacked.n_passed_over + len(brought.unpacked.files) - used
    return found.n_beside


def _find_video(brought: Brought, work: Work) -> Content | None:
    path = find_video(brought.place, shown=brought.shown)
    if path is None:
        return None

    def make(staged: Path, work: Work) -> Staged:
        told = make_video_scene(path, staged, work)
        archive = brought.unpacked
        return Staged(0 if archive is None else archive.n_passed_over + len(archive.files) - 1, told)

    return Content(path.stem, brought.shown, make)


KINDS: tuple[Find, ...] = (_find_scene, _find_photos, _find_video)
"""All kinds, in the order in which they are tried."""


@contextmanager
def open_source(path: Path, work: Work) -> Generator[Content | ArchiveSource]:
    """Open what is imported: gives what is in a folder or file, or an archive, whose content is known once it is unpacked.

    Raises:
        SceneError: If there is nothing at that path, it cannot be opened, or nothing in it can be imported.
    """
    if "\0" in str(path) or not is_entry(path):
        raise SceneError(
            f"{path}: found nothing, expected a folder or zip archive with a scene or photos in it, or a video; check the path."
        )
    if is_folder(path):
        yield recognise(Brought(path, path, path.resolve().name), work)
    elif is_video(path):
        yield recognise(Brought(path, path, path.stem), work)
    else:
        # The archive's reader says best what is wrong with a file that nobody can read.
        with open_archive(path) as archive:
            yield archive


def recognise(brought: Brought, work: Work) -> Content:
    """Return what was brought, by the first kind that finds something.

    Raises:
        SceneError: If none does, or there are several of one kind.
    """
    content = next((found for find in KINDS if (found := find(brought, work)) is not None), None)
    if content is None:
        raise SceneError(
            f"{brought.shown}: found {say_content(brought.place)}, expected {EXPECTED}, or at least {LEAST} photos, or a "
            "video; see docs/scene-formats.md."
        )
    return content


def unpack(archive: Source, aside: Path, work: Work) -> Brought:
    """Unpack an archive into a new folder.

    Raises:
        SceneError: If it is broken.
        OSError: If it cannot be written.
    """
    step = "unpacking" if all(_is_picture(file) for file in archive.files) else "copying"
    copy_files(archive, aside, partial(work.report, step), work.tick)
    return Brought(aside, archive.path, archive.name, archive)


def _is_picture(file: SourceFile) -> bool:
    return Path(file.parts[-1]).suffix.lower() in PICTURES
