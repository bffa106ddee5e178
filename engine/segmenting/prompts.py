"""A mask from a click or a box: by the regions of the built-in segmenter, or by a promptable model of transformers (SAM and its
relatives)."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from engine.errors import ModelError
from engine.judging.local.loading import pick_device, shorten
from engine.segmenting.edits import EditError, Point
from engine.segmenting.registry import open_segmenter
from engine.segmenting.run import segment_picture
from engine.types import NOTHING, BoolArray, Float32Array, Int32Array, UInt8Array, View

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels; whole numbers are pixel centres."""
_BROKEN = (MemoryError, OSError, ValueError, ArithmeticError, RuntimeError, LookupError, TypeError, AttributeError, ImportError)


class PromptedPicture(Protocol):
    """One view, ready to be asked about many times."""

    def at(self, point: Point) -> BoolArray:
        """Return the mask of what lies at a point, (H, W) bool.

        Raises:
            EditError: If nothing is found there.
            ModelError: If a model fails.
        """
        ...

    def within(self, box: Box) -> BoolArray:
        """Return the mask of what a box holds, (H, W) bool; raises as `at` does."""
        ...


class Prompter(Protocol):
    """Makes masks from clicks and boxes."""

    @property
    def name(self) -> str:
        """What it is called, for people."""
        ...

    def prepare(self, rgb: UInt8Array, depth: Float32Array | None, view: View) -> PromptedPicture:
        """Look at a view once; see `segment_picture` for the arguments."""
        ...


def open_prompter(model: str = "", *, device: str = "auto") -> Prompter:
    """Return the built-in prompter, or that of a model.

    Args:
        model: A hub id, or a folder written by save_pretrained; "" = built in.
        device: Where a model runs.

    Raises:
        ModelError: If there is no such model, or it takes no clicks.
    """
    return ModelPrompter(model, device=device) if model else RegionPrompter()


class RegionPrompter:
    """Cuts the view into the regions of the built-in segmenter, and gives the one that is asked about."""

    name = "built in, by surface and colour"

    def prepare(self, rgb: UInt8Array, depth: Float32Array | None, view: View) -> PromptedPicture:
        """Cut the view."""
        return RegionPicture(segment_picture(open_segmenter(), rgb, depth, view))


class RegionPicture:
    """A view cut into regions.

    Args:
        regions: (H, W) int32, -1 = none.
    """

    def __init__(self, regions: Int32Array) -> None:
        self._regions = regions

    def at(self, point: Point) -> BoolArray:
        """Return the region under a point."""
        column, row = round(point[0]), round(point[1])
        height, width = self._regions.shape
        if not (0 <= row < height and 0 <= column < width) or self._regions[row, column] == NOTHING:
            raise EditError("There is nothing at this point; click on something in the picture.")
        return self._regions == self._regions[row, column]

    def within(self, box: Box) -> BoolArray:
        """Return the largest region that lies mostly in the box, else the one that has most of it; what lies outside is cut off."""
        inside = _fill_box(box, self._regions.shape)
        found, pixels = np.unique(self._regions[inside & (self._regions != NOTHING)], return_counts=True)
        if not len(found):
            raise EditError("There is nothing in this box; draw it around something in the picture.")
        whole = np.asarray([np.count_nonzero(self._regions == one) for one in found])
        mostly = pixels > whole / 2
        best = found[np.argmax(np.where(mostly, pixels, 0) if mostly.any() else pixels)]
        return inside & (self._regions == best)


class ModelPrompter:
    """A promptable model of transformers. Only safetensors are read, and none of its own code is run.

    Args:
        model: A hub id, or a folder written by save_pretrained.
        device: auto, cpu, cuda, cuda:N or mps.

    Raises:
        ModelError: If there is no such model, it takes no clicks, or it cannot be loaded.
    """

    def __init__(self, model: str, *, device: str = "auto") -> None:
        self.name = Path(model).name if Path(model).is_dir() else model
        self._where = pick_device(device)
        self._lock = threading.Lock()
        from transformers import AutoModelForMaskGeneration, AutoProcessor

        models: Any = AutoModelForMaskGeneration
        processors: Any = AutoProcessor
        try:
            self._model: Any = models.from_pretrained(model, trust_remote_code=False, use_safetensors=True).eval().to(self._where)
            self._processor: Any = processors.from_pretrained(model, trust_remote_code=False)
        except _BROKEN as error:
            raise ModelError(
                f"The model {model!r} takes no clicks, or could not be loaded ({shorten(error)}); give one such as "
                "facebook/sam2.1-hiera-small, or none."
            ) from error

    def prepare(self, rgb: UInt8Array, depth: Float32Array | None, view: View) -> PromptedPicture:
        """Encode the view."""
        return _ModelPicture(self, rgb)

    def ask(self, rgb: UInt8Array, kept: Any, prompt: dict[str, Any], *, several: bool) -> tuple[BoolArray, Any]:
        """Return the likeliest mask of a prompt, (H, W) bool, and the picture's encoding, to be given the next time.

        Raises:
            ModelError: If the model fails.
        """
        import torch

        try:
            with self._lock, torch.inference_mode():
                inputs = self._processor(images=Image.fromarray(rgb), return_tensors="pt", **prompt).to(self._where)
                pixels, sizes = inputs.pop("pixel_values"), [inputs.pop("original_sizes").cpu()]
                if "reshaped_input_sizes" in inputs:
                    sizes.append(inputs.pop("reshaped_input_sizes").cpu())
                kept = self._model.get_image_embeddings(pixels) if kept is None else kept
                given = self._model(**inputs, image_embeddings=kept, multimask_output=several)
                masks = self._processor.post_process_masks(given.pred_masks.cpu(), *sizes)[0]
                best = int(given.iou_scores.reshape(-1).argmax())
                mask = np.asarray(masks.reshape(-1, *masks.shape[-2:])[best], bool)
        except _BROKEN as error:
            raise ModelError(f"The model {self.name!r} failed on a picture: {shorten(error)}") from error
        if mask.shape != rgb.shape[:2]:
            raise ModelError(f"The model {self.name!r} gave a mask of {mask.shape}, expected {rgb.shape[:2]}.")
        return mask, kept


class _ModelPicture:
    def __init__(self, prompter: ModelPrompter, rgb: UInt8Array) -> None:
        self._prompter, self._rgb = prompter, rgb
        self._kept: Any = None

    def at(self, point: Point) -> BoolArray:
        """Return the mask that the model finds likeliest at a point."""
        return self._ask({"input_points": [[[list(point)]]], "input_labels": [[[1]]]}, several=True)

    def within(self, box: Box) -> BoolArray:
        """Return the mask that the model gives for a box."""
        return self._ask({"input_boxes": [[list(box)]]}, several=False)

    def _ask(self, prompt: dict[str, Any], *, several: bool) -> BoolArray:
        mask, self._kept = self._prompter.ask(self._rgb, self._kept, prompt, several=several)
        if not mask.any():
            raise EditError(f"The model {self._prompter.name} finds nothing there; click elsewhere, or draw the mask.")
        return mask


def _fill_box(box: Box, shape: tuple[int, ...]) -> BoolArray:
    left, top, right, bottom = box
    inside = np.zeros(shape, bool)
    rows = slice(max(0, int(np.ceil(min(top, bottom)))), max(0, int(np.floor(max(top, bottom))) + 1))
    columns = slice(max(0, int(np.ceil(min(left, right)))), max(0, int(np.floor(max(left, right))) + 1))
    inside[rows, columns] = True
    return inside
