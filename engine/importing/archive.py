"""A zip archive as a source. Nothing is unpacked before all entries were looked at, and nothing in an archive is believed."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from engine.errors import SceneError
from engine.importing.names import split_path
from engine.importing.sources import CHUNK_BYTES, Bounds, SourceFile
from engine.scenes.names import normal_form, printable
from engine.scenes.regular_files import require_file
from engine.scenes.zip_end import read_end

ENDING = ".zip"
WHAT = "a folder, or a zip archive with a scene in it"
MAX_DIRECTORY_BYTES = 8 * 2**20
"""Length of an archive's table of contents: 400 bytes for each of the most files that a scene may have."""
MAX_RATIO = 100
"""How many times its own size an archive may unpack to, where that is much."""
MUCH_BYTES = 2**30
HEADER_BYTES = 30
"""What stands at least before each file in an archive."""
ENCRYPTED = 0x1 | 0x40 | 0x2000
"""Bits of an entry that say that its bytes or its name cannot be read without a password."""

BROKEN = (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError, ValueError, OverflowError, OSError)


class ArchiveSource:
    """The files of an opened archive; see `Source`."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, files: Sequence[SourceFile], n_passed_over: int) -> None:
        self.path = path
        self.name = path.name[: -len(ENDING)] if path.name.lower().endswith(ENDING) else path.name
        self.files = files
        self.n_passed_over = n_passed_over
        self._archive = archive

    def read(self, file: SourceFile) -> Iterator[bytes]:
        """Yield the bytes of a file, piece by piece; at its end they are compared with their sum in the archive.

        Raises:
            SceneError: If it cannot be unpacked.
        """
        assert isinstance(file.key, zipfile.ZipInfo)
        try:
            with self._archive.open(file.key) as stream:
                while chunk := stream.read(CHUNK_BYTES):
                    yield chunk
        except BROKEN as error:
            raise SceneError(
                f"{self.path}: {printable('/'.join(file.parts))} cannot be unpacked ({error}), expected {WHAT}; pack it again."
            ) from error


@contextmanager
def open_archive(path: Path) -> Generator[ArchiveSource]:
    """Open an archive and check all of its entries.

    Raises:
        SceneError: If it is no archive that can be read, or an entry may not be unpacked.
    """
    size = require_file(path, WHAT)
    with ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("rb"))
            _check_end(path, file)
            archive = stack.enter_context(_read_table(file))
        except BROKEN as error:
            raise SceneError(f"{path}: cannot be read as a zip archive ({error}), expected {WHAT}; pack it again.") from error
        files, passed_over = _check_entries(path, archive.infolist(), size)
        yield ArchiveSource(path, archive, files, passed_over)


def _check_end(path: Path, file: IO[bytes]) -> None:
    end = read_end(file)
    if end is None:
        raise SceneError(f"{path}: found a file that is no zip archive, or is cut short, expected {WHAT}; unpack or pack it again.")
    if end.directory_bytes > MAX_DIRECTORY_BYTES:
        raise SceneError(
            f"{path}: found a table of contents of {end.directory_bytes:,} bytes, expected one scene, and at most "
            f"{MAX_DIRECTORY_BYTES:,}; leave out views, or split it."
        )


def _read_table(file: IO[bytes]) -> zipfile.ZipFile:
    try:
        # Many programs write names as UTF-8 without saying so.
        return zipfile.ZipFile(file, metadata_encoding="utf-8")
    except UnicodeDecodeError:
        return zipfile.ZipFile(file)


def _check_entries(path: Path, entries: Sequence[zipfile.ZipInfo], archive_bytes: int) -> tuple[list[SourceFile], int]:
    """Return the files to unpack, and how many are passed over."""
    files: list[SourceFile] = []
    passed_over = 0
    bounds = Bounds(path)
    kept: dict[tuple[str, ...], str] = {}
    above: dict[tuple[str, ...], str] = {}
    for entry in entries:
        bounds.add(entry.file_size)
        try:
            parts = split_path(entry.orig_filename)
            if parts is None:
                passed_over += not entry.is_dir()
                continue
            _check_kind(entry)
        except ValueError as error:
            raise SceneError(
                f"{path}: holds {printable(entry.orig_filename)}, which is not unpacked: {error}, expected {WHAT}; pack it again."
            ) from error
        if not parts or entry.is_dir() or entry.orig_filename.endswith("\\"):
            continue
        alike = tuple(normal_form(part).casefold() for part in parts)
        other = kept.get(alike) or above.get(alike)
        for depth in range(1, len(alike)):
            above[alike[:depth]] = entry.orig_filename
            other = other or kept.get(alike[:depth])
        if other is not None:
            raise SceneError(
                f"{path}: holds {printable(other)} and {printable(entry.orig_filename)}, which would be one file, expected one of "
                "each name; pack it again."
            )
        kept[alike] = entry.orig_filename
        files.append(SourceFile(parts, entry.file_size, entry))
    if bounds.n_bytes > max(MUCH_BYTES, MAX_RATIO * archive_bytes):
        raise SceneError(
            f"{path}: would unpack from {archive_bytes:,} to {bounds.n_bytes:,} bytes, expected at most {MAX_RATIO} times its "
            "size; unpack it yourself, and import the folder."
        )
    _check_places(path, entries, archive_bytes)
    return files, passed_over


def _check_kind(entry: zipfile.ZipInfo) -> None:
    """Refuse what is no plain file or folder, or cannot be unpacked.

    Raises:
        ValueError: With the reason.
    """
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind == stat.S_IFLNK:
        raise ValueError("it is a link")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ValueError("it is neither a file nor a folder")
    if entry.flag_bits & ENCRYPTED:
        raise ValueError("it is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"it is packed by method {entry.compress_type}, not by one that every program reads (store, deflate)")


def _check_places(path: Path, entries: Sequence[zipfile.ZipInfo], archive_bytes: int) -> None:
    """Refuse entries that share bytes of the archive, as those of bombs do."""
    free_from = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < free_from:
            raise SceneError(f"{path}: holds entries that overlap, expected {WHAT}; pack it again.")
        free_from = entry.header_offset + HEADER_BYTES + entry.compress_size
    if free_from > archive_bytes:
        raise SceneError(f"{path}: is cut short, expected {WHAT}; copy it again.")
