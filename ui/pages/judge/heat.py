"""Heat maps of the Judge page: asks each model where it looks, keeps the maps, and draws them over the crops."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from engine.errors import MaskgroupError
from engine.evaluation.saliency import METHOD, HeatMaps, explain_pair
from engine.judging.base import CropPair
from engine.types import Float32Array, MaskPair, UInt8Array
from ui.components.templates import render
from ui.services.workbench import Workbench
from ui.view3d.pictures import frame_crop

MAX_KEPT = 200
FOR_SAME, FOR_DIFFERENT = (22, 163, 74), (234, 88, 12)
"""Green speaks for "same", orange-red for "different"."""


@dataclass(frozen=True, eq=False)
class HeatPicture:
    """One crop with a model's heat over it, (S, S, 3) uint8, and its caption."""

    pixels: UInt8Array
    caption: str


class HeatmapCache:
    """Computes maps on demand and keeps the latest."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._kept: OrderedDict[tuple[str, MaskPair, str], HeatMaps] = OrderedDict()
        bench.when_forgotten(self._forget)

    def _forget(self, scene: str) -> None:
        for key in [key for key in self._kept if key[0] == scene]:
            del self._kept[key]

    def pictures(
        self,
        scene: str,
        pair: MaskPair | None,
        models: Sequence[str],
        *,
        on_progress: Callable[[float, str], object] = lambda share, words: None,
    ) -> list[HeatPicture]:
        """Return both crops with the heat of each model, model by model.

        Raises:
            MaskgroupError: If no pair is picked, or a model cannot answer.
        """
        if pair is None:
            raise MaskgroupError("Pick a mask in both views first: then each model shows where it looks.")
        drawn: list[HeatPicture] = []
        for number, model in enumerate(models):

            def tell(done: int, total: int, number: int = number, model: str = model) -> None:
                on_progress((number + done / total) / len(models), f"asking {model}")

            # Asked once: "tuned" may come to stand for another run while this one is asked.
            name = self._bench.judges.behind(model)
            maps = self.maps(scene, pair, name, on_progress=tell)
            for word, key, heat in (("left", pair.a, maps.a), ("right", pair.b, maps.b)):
                crop = self._bench.crop(scene, key, model=name)
                drawn.append(HeatPicture(draw_heat(crop, heat, maps.strongest), f"{model}, {word} crop"))
        return drawn

    def maps(
        self, scene: str, pair: MaskPair, model: str, *, on_progress: Callable[[int, int], None] = lambda done, total: None
    ) -> HeatMaps:
        """Return a model's maps of a pair, computed once; `model` is what its name stands for now."""
        key = (scene, pair, model)
        known = self._kept.get(key)
        if known is None:
            judge = self._bench.judge(model)
            crops = CropPair(self._bench.crop(scene, pair.a, model=model), self._bench.crop(scene, pair.b, model=model))
            known = self._kept[key] = explain_pair(judge, crops, on_progress=on_progress)
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return known


def legend_html() -> str:
    """Return what the colours mean."""
    return render("pages/judge/heat_legend.html.j2", same=FOR_SAME, different=FOR_DIFFERENT, method=METHOD)


def draw_heat(crop: UInt8Array, heat: Float32Array, strongest: float, *, size: int = 220) -> UInt8Array:
    """Draw a map over its crop on a square, (size, size, 3) uint8; the crop is greyed so that only heat has colour.

    Args:
        crop: (h, w, 3) uint8.
        heat: (h, w) float32.
        strongest: The value that is drawn in full colour.
        size: Side of the square, pixels.
    """
    grey = np.asarray(Image.fromarray(crop).convert("L"), np.float32)[..., None].repeat(3, axis=2)
    share = np.clip(np.abs(heat) / strongest if strongest > 0 else np.zeros_like(heat), 0, 1)[..., None]
    color = np.where(heat[..., None] > 0, np.array(FOR_SAME, np.float32), np.array(FOR_DIFFERENT, np.float32))
    return frame_crop(((1 - 0.75 * share) * grey * 0.8 + 0.75 * share * color).round().astype(np.uint8), size=size)
