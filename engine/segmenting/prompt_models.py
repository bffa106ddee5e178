"""Promptable models of transformers: SAM and its relatives make a mask from a click or a box.

Only safetensors are read and no model's own code is run. transformers takes seconds to import, so it is imported when it is needed.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.errors import ModelError
from engine.judging.local.loading import pick_device, shorten
from engine.segmenting.edits import EditError, Point
from engine.segmenting.prompts import Box, PromptedPicture
from engine.types import BoolArray, Float32Array, UInt8Array, View

_BROKEN = (MemoryError, OSError, ValueError, ArithmeticError, RuntimeError, LookupError, TypeError, AttributeError, ImportError)


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
