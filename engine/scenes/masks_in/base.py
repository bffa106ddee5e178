"""What every kind of masks in files provides to the scene formats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from engine.types import Int32Array


class MaskSource(Protocol):
    """The masks of a scene's views, in whatever files. Ids are local to a view."""

    @property
    def views(self) -> frozenset[str]:
        """The views that have masks, perhaps none in the picture."""
        ...

    @property
    def faults(self) -> Mapping[str, str]:
        """Why a view's masks cannot be read, found without opening them."""
        ...

    def __contains__(self, view: str) -> bool:
        """Whether there is something for the view, readable or not."""
        ...

    def place(self, view: str) -> Path:
        """Return the file that holds a view's masks, for messages."""
        ...

    @property
    def classes(self) -> Mapping[int, str]:
        """What classes are called, by id // 1000; empty where ids say nothing about classes."""
        ...

    def size(self, view: str) -> tuple[int, int] | None:
        """Return (width, height) of a view's masks, pixels, before anything is decoded; None = whatever its photo has."""
        ...

    def read(self, view: str, size: tuple[int, int] | None = None) -> Int32Array:
        """Return the ids of a view's masks, (H, W) int32, -1 = none, given the size of its photo."""
        ...

    def notes(self) -> tuple[str, ...]:
        """Return sentences about what is not used."""
        ...


class SizedPicture(Protocol):
    """A picture that a file lists, with its size in pixels."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...


Picture = TypeVar("Picture", bound=SizedPicture)


class MasksOfOneFile(Generic[Picture]):
    """What all kinds of one file with the masks of many views have in common; the rest of a `MaskSource` is the kind's own."""

    _path: Path
    _views: dict[str, Picture]
    faults: dict[str, str]

    def __contains__(self, view: str) -> bool:
        """Whether the file lists the view."""
        return view in self._views or view in self.faults

    def place(self, view: str) -> Path:
        """Return the file, for messages."""
        return self._path

    def size(self, view: str) -> tuple[int, int]:
        """Return (width, height) of the view's picture as the file says."""
        own = self._views[view]
        return own.width, own.height
