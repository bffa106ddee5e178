"""The values that cross module boundaries: frozen dataclasses, no behaviour beyond small derivations.

Conventions: poses are camera-to-world, 4x4, OpenCV axes (x right, y down, z forward), metres. Pixel (u, v) = (column, row);
integer coordinates are pixel centres. Images are (H, W, 3) uint8 RGB. Instance maps are (H, W) int32 with -1 for nothing.
This module knows nothing about files, renderers, models or the app.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engine.errors import MaskError, ModelError

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
Int32Array = NDArray[np.int32]
UInt8Array = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]

NOTHING = -1
"""Value of an instance map where there is no instance (background, or raw ground-truth id 0)."""

Answer = Literal["same", "different"]
Decision = Literal["same", "different", "unsure", "skip"]
USUAL_THRESHOLD = 0.5
"""P(same) from which a judge says "same", where nobody chose another threshold for it."""


@dataclass(frozen=True)
class Camera:
    """Pinhole intrinsics for images of one size; integer pixel coordinates are pixel centres."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def resized(self, width: int, height: int) -> Camera:
        """Return the same camera for images of another size, scaled about pixel centres."""
        sx, sy = width / self.width, height / self.height
        return Camera(
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
        )

    @property
    def rays(self) -> Float32Array:
        """Ray directions in camera axes, (H, W, 3) float32 with z = 1, through each pixel centre; not to be written to."""
        return _make_rays(self)


@lru_cache(maxsize=64)
def _make_rays(camera: Camera) -> Float32Array:
    """Return a camera's rays. All views of most scenes have equal cameras; a phone's scan has one for each view."""
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], axis=-1).astype(np.float32)
    rays.setflags(write=False)
    return rays


@dataclass(frozen=True, eq=False)
class View:
    """One posed image of a scene.

    Attributes:
        name: The view's name, unique in its scene (a frame number in most formats).
        camera: Intrinsics at the colour image's own size, or None if the scene has none.
        pose: Camera-to-world, (4, 4) float64, or None if the scene has none.
    """

    name: str
    camera: Camera | None
    pose: Float64Array | None


@dataclass(frozen=True, eq=False)
class SceneMesh:
    """A triangle mesh with colours and instance labels on its vertices.

    Attributes:
        vertices: (V, 3) float32, metres, world frame.
        faces: (F, 3) int32 vertex indices.
        colors: (V, 3) uint8 RGB.
        vertex_instances: (V,) int32 raw ground-truth ids (class * 1000 + instance), -1 where unlabelled;
            None if the scene has no ground truth.
    """

    vertices: Float32Array
    faces: Int32Array
    colors: UInt8Array
    vertex_instances: Int32Array | None

    @cached_property
    def face_instances(self) -> Int32Array:
        """Instance of each face, (F,) int32: the majority of its three vertices, -1 where all three differ or most have none."""
        if self.vertex_instances is None:
            return np.full(len(self.faces), NOTHING, np.int32)
        a, b, c = self.vertex_instances[self.faces].T
        return np.where((a == b) | (a == c), a, np.where(b == c, b, NOTHING)).astype(np.int32)


class SceneReader(Protocol):
    """What a scene format must provide. Every method reads lazily and may be called from several threads."""

    def read_view(self, name: str) -> View: ...

    def read_color(self, name: str) -> UInt8Array | None: ...

    def read_depth(self, name: str) -> Float32Array | None: ...

    def read_instance_map(self, name: str) -> Int32Array | None: ...

    def read_mesh(self) -> SceneMesh | None: ...


@dataclass(frozen=True)
class LeftOutView:
    """A view that is in the scene's folder but cannot be used, and why, as one sentence."""

    name: str
    reason: str


@runtime_checkable
class HasNotes(Protocol):
    """A scene reader that has something to say about how it read the files, such as a guess that it made."""

    def read_notes(self) -> tuple[str, ...]:
        """Return sentences about what was read so far."""
        ...


@runtime_checkable
class KnowsNames(Protocol):
    """A scene reader that knows what its objects are called."""

    def name_of(self, instance: int) -> str | None:
        """Return what an object with a raw ground-truth id is called ("chair"), None where that is unknown."""
        ...


@runtime_checkable
class KnowsMaskNames(Protocol):
    """A scene reader that knows what classes its masks were given by the tool that made them."""

    def mask_name_of(self, mask: int) -> str | None:
        """Return what a mask with an id is called ("chair"), None where that is unknown."""
        ...


@runtime_checkable
class HasGroundTruth(Protocol):
    """A scene reader that knows which object each pixel shows, apart from the masks."""

    def read_ground_truth_map(self, name: str) -> Int32Array | None:
        """Return (H, W) int32 objects, -1 = unlabelled, or None where the view has none."""
        ...


@runtime_checkable
class HasPhotoFiles(Protocol):
    """A scene reader that can say in which file a view's photo lies."""

    def photo_file(self, name: str) -> Path | None:
        """Return the photo's path, None where the view has none or it is shown otherwise than it is stored (turned upright)."""
        ...


@dataclass(frozen=True, eq=False)
class Scene:
    """A scene folder, opened lazily: only names are known until something is asked for.

    Attributes:
        name: Shown to people and stored with labels.
        folder: Absolute path of the scene's folder.
        format: Name of the format in the registry, e.g. "replica".
        view_names: All views that can be used, in numeric order (2 before 10).
        reader: Reads the parts; use the methods below rather than the reader.
        mask_ids_are_instances: Whether equal mask ids in two views mean one object (ground truth); False = ids are local to a view.
            Every format says so itself.
        left_out: Views that the folder holds but that cannot be used, in the same order.
    """

    name: str
    folder: Path
    format: str
    view_names: tuple[str, ...]
    reader: SceneReader = field(repr=False)
    mask_ids_are_instances: bool
    left_out: tuple[LeftOutView, ...] = ()

    def view(self, name: str) -> View:
        """Return camera and pose of a view (either may be None)."""
        return self.reader.read_view(name)

    def color(self, name: str) -> UInt8Array | None:
        """Return the view's photo, (H, W, 3) uint8, or None if the scene has none."""
        return self.reader.read_color(name)

    def depth(self, name: str) -> Float32Array | None:
        """Return the view's depth along z, (H, W) float32 metres, 0 = unknown, or None if the scene has none."""
        return self.reader.read_depth(name)

    def stored_instance_map(self, name: str) -> Int32Array | None:
        """Return masks that the scene stores itself, (H, W) int32, -1 = nothing; None if they must be rendered."""
        return self.reader.read_instance_map(name)

    @cached_property
    def mesh(self) -> SceneMesh | None:
        """The scene's mesh, read at first use and kept."""
        return self.reader.read_mesh()

    def name_of(self, instance: int) -> str | None:
        """Return what an object with a raw ground-truth id is called ("chair"), None where the scene does not know."""
        return self.reader.name_of(instance) if isinstance(self.reader, KnowsNames) else None

    def mask_name_of(self, mask: int) -> str | None:
        """Return what a mask's own class is called, None where its maker gave none."""
        return self.reader.mask_name_of(mask) if isinstance(self.reader, KnowsMaskNames) else None

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about the files that were read so far: guesses that were made, things that are missing."""
        return self.reader.read_notes() if isinstance(self.reader, HasNotes) else ()


@dataclass(frozen=True, eq=False)
class Frame:
    """One view with its masks, all arrays of one size.

    Attributes:
        view: The view's name.
        rgb: (H, W, 3) uint8.
        instance_map: (H, W) int32, -1 = nothing; other values are mask ids of this view.
        depth: (H, W) float32 metres along z, 0 = unknown; None if there is none.
        camera: Intrinsics at this size, or None.
        pose: Camera-to-world (4, 4) float64, or None.
    """

    view: str
    rgb: UInt8Array
    instance_map: Int32Array
    depth: Float32Array | None
    camera: Camera | None
    pose: Float64Array | None

    @cached_property
    def mask_areas(self) -> dict[int, int]:
        """Pixels of every mask in the view, by mask id."""
        ids, counts = np.unique(self.instance_map[self.instance_map != NOTHING], return_counts=True)
        return {int(i): int(n) for i, n in zip(ids, counts, strict=True)}


@dataclass(frozen=True, order=True)
class MaskKey:
    """One mask of one view. Written ``VIEW:MASK`` on the command line."""

    view: str
    mask: int

    def __str__(self) -> str:
        return f"{self.view}:{self.mask}"

    @classmethod
    def parse(cls, text: str) -> MaskKey:
        """Read what `str` gave; a view's name may hold colons.

        Raises:
            MaskError: If the text has another form.
            TypeError: If it is no text.
        """
        match = re.fullmatch(r"(.*):(-?[0-9]{1,18})", text, re.DOTALL)
        if match is None:
            raise MaskError(f"{text!r} is no mask: expected VIEW:MASK, for example 0:12.")
        return cls(match[1], int(match[2]))


@dataclass(frozen=True, order=True)
class MaskPair:
    """Two masks, in the order in which they are shown to the judge."""

    a: MaskKey
    b: MaskKey

    def swapped(self) -> MaskPair:
        """Return the pair with its masks in the other order."""
        return MaskPair(self.b, self.a)

    def canonical(self) -> MaskPair:
        """Return the pair with its smaller key first, so that (a, b) and (b, a) are one pair."""
        return self if self.a <= self.b else self.swapped()


def no_probability(model: str, value: float) -> ModelError:
    """Return the error for a model that answered with a number that is not a probability, NaN for instance."""
    return ModelError(
        f"The model {model!r} answered {value:g}, expected a probability: its weights are broken, or its numbers overflow; "
        "try --dtype float32 or bfloat16, else copy, download or train it again."
    )


@dataclass(frozen=True)
class Verdict:
    """What a judge said about two crops.

    Attributes:
        p_same: Probability of "same object", in [0, 1]: softmax over the yes- and no-tokens.
        ambiguity: Probability mass of the answer on neither yes nor no, in [0, 1].
        model: Name of the model that answered.
        prompt: Name and version of the prompt that was asked, e.g. "original@1".
        latency_s: Seconds for this verdict.
        threshold: p_same from which the answer is "same".
        swap_disagreement: Distance between the two orders' probabilities, in [0, 1]; None if one order was asked.
        forced: Whether the first answer was ambiguous, so that this one was asked for again, in one word.
        uncalibrated: p_same before calibration; None if the model has none.
    """

    p_same: float
    ambiguity: float
    model: str
    prompt: str
    latency_s: float
    threshold: float = USUAL_THRESHOLD
    swap_disagreement: float | None = None
    forced: bool = False
    uncalibrated: float | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that are no probabilities: what a broken model says is an error, never an answer.

        Raises:
            ModelError: If one of them is not in [0, 1].
        """
        for value in (self.p_same, self.ambiguity, self.swap_disagreement, self.uncalibrated):
            if value is not None and not 0 <= value <= 1:
                raise no_probability(self.model, value)

    @property
    def answer(self) -> Answer:
        """The answer in one word."""
        return "same" if self.p_same >= self.threshold else "different"
