"""Mask generators of transformers: SAM and its relatives, and models that cut a picture into segments of classes.

Only safetensors are read and no model's own code is run. transformers takes seconds to import, so it is imported when it is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from PIL import Image

from engine.errors import ModelError, SceneError
from engine.judging.local.loading import pick_device, shorten
from engine.scenes.masks_in.overlaps import Layers
from engine.segmenting.base import Picture
from engine.types import BoolArray, Int32Array

Task = Literal["mask-generation", "image-segmentation"]
LEAST_PX = 16
"""Masks of fewer pixels are specks."""
_BROKEN = (MemoryError, OSError, ValueError, ArithmeticError, RuntimeError, LookupError, TypeError, AttributeError, ImportError)


class GeneratorSegmenter:
    """A mask generator of transformers. Where its masks overlap, the rule of `overlaps` decides.

    Args:
        model: A hub id, or a folder written by save_pretrained.
        device: auto, cpu, cuda, cuda:N or mps.
        points: Points along each side that SAM and its relatives are asked about; None = 32, as they were made for.

    Raises:
        ModelError: If there is no such model, it makes no masks, or it cannot be loaded.
    """

    size = None

    def __init__(self, model: str, *, device: str = "auto", points: int | None = None) -> None:
        self.name = Path(model).name if Path(model).is_dir() else model
        self._where = pick_device(device)
        self._points = points
        self.task = _find_task(model)
        from transformers import pipeline  # pyright: ignore[reportUnknownVariableType]  # transformers' types are partial

        make: Any = pipeline
        try:
            self._pipeline: Any = make(
                self.task,
                model=model,
                device=self._where,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
        except _BROKEN as error:
            raise ModelError(f"The model {model!r} could not be loaded as a mask generator: {shorten(error)}") from error

    def segment(self, picture: Picture) -> Int32Array:
        """Return the mask of every pixel, (H, W) int32, numbered from 1 in the model's order, -1 = none.

        Raises:
            ModelError: If the model cannot be run.
            SceneError: If it gives masks of more pixels than one view may have.
        """
        height, width = picture.rgb.shape[:2]
        extra = {} if self._points is None or self.task != "mask-generation" else {"points_per_crop": self._points}
        try:
            given: Any = self._pipeline(Image.fromarray(picture.rgb), **extra)
            masks = _masks_of(given, (height, width))
        except SceneError:
            raise
        except _BROKEN as error:
            if _is_about_no_masks(error):
                masks = []
            else:
                raise ModelError(f"The model {self.name!r} failed on a picture: {shorten(error)}") from error
        layers = Layers(width, height, f"masks of {self.name}")
        for number, mask in enumerate(masks, start=1):
            if np.count_nonzero(mask) >= LEAST_PX:
                layers.reserve(mask.size)
                layers.add(number, mask)
        return layers.flatten()


def _find_task(model: str) -> Task:
    """Return what a model can do, from its configuration alone.

    Raises:
        ModelError: If it has none, or makes no masks.
    """
    from transformers import AutoConfig
    from transformers.models.auto import modeling_auto

    configs: Any = AutoConfig
    try:
        kind = str(configs.from_pretrained(model, trust_remote_code=False).model_type)
    except _BROKEN as error:
        raise ModelError(
            f"There is no mask generator {model!r} ({shorten(error)}); give a hub id such as facebook/sam2.1-hiera-small, or a "
            "folder written by save_pretrained."
        ) from error
    names: Any = modeling_auto
    if kind in names.MODEL_FOR_MASK_GENERATION_MAPPING_NAMES:
        return "mask-generation"
    if kind in names.MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES or kind in names.MODEL_FOR_INSTANCE_SEGMENTATION_MAPPING_NAMES:
        return "image-segmentation"
    raise ModelError(
        f"The model {model!r} is of the kind {kind!r}, expected one that makes masks: SAM, SAM 2, SAM 3, EdgeTAM, Mask2Former, "
        "MaskFormer, OneFormer."
    )


def _masks_of(given: Any, shape: tuple[int, int]) -> list[BoolArray]:
    """Return the masks that a pipeline gave, each (H, W) bool.

    Raises:
        ValueError: If one has another size than the picture.
    """
    listed: list[Any]
    if isinstance(given, dict):
        listed = list(cast("dict[str, Any]", given)["masks"])
    else:
        listed = [one["mask"] for one in cast("list[Any]", given)]
    masks: list[BoolArray] = []
    for one in listed:
        mask = np.asarray(one.cpu() if hasattr(one, "cpu") else one) != 0
        if mask.shape != shape:
            raise ValueError(f"a mask has the shape {mask.shape}, expected {shape}")
        masks.append(mask)
    return masks


def _is_about_no_masks(error: BaseException) -> bool:
    """Whether a pipeline failed only because no mask was left to it: its tools expect at least one."""
    return "expected a non-empty list of Tensors" in str(error) or "index 0 is out of bounds for axis 0" in str(error)
