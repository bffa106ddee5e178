"""Copies of scenes that people ask for on the Scenes page: mended, with masks made by the program, or to be edited.

They are made as imports are, in worker threads of `scene_imports`; the scene that is copied is never changed. Only an imported
scene that has no masks at all gets them without a copy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from engine.checking.mends import Mends, write_mended
from engine.errors import MaskgroupError
from engine.scenes import find_scene
from engine.segmenting.base import Segmenter
from engine.segmenting.registry import open_segmenter
from engine.segmenting.run import add_masks, may_add_masks, segment_scene
from engine.types import LeftOutView
from ui.services.scene_imports import MadeScene, Report, SceneImports
from ui.services.workbench import Workbench

BUILT_IN = "built-in"
MODEL = "model"


class SceneCopies:
    """All copies.

    Args:
        bench: Lists scenes.
        imports: Does the work, and tells how far it is.
        model: Mask generator of transformers that the app was started with, "" without one.
        device: Where it runs.
    """

    def __init__(self, bench: Workbench, imports: SceneImports, *, model: str = "", device: str = "auto") -> None:
        self.model = model
        self._bench, self._imports, self._device = bench, imports, device

    def mend(self, name: str, mends: Mends) -> threading.Thread:
        """Write a copy of a scene with some mends, in a thread, which is returned.

        Raises:
            MaskgroupError: If there is no such scene, nothing to mend, or as many copies as may be are under way.
        """
        if mends == Mends():
            raise MaskgroupError("There is nothing in this that can be mended; reload the page, and look at the scene.")
        listed = self._bench.find_listed(name)

        def work(report: Report, is_cancelled: Callable[[], bool]) -> MadeScene:
            scene = find_scene(name, listed.place)
            out = self._imports.folder / self._imports.free_name(f"{name}_mended")
            left_out = write_mended(scene, mends, out, on_progress=_views("Writing", report), is_cancelled=is_cancelled)
            return MadeScene(out.name, " ".join([*mends.tell(), *_tell_left_out(left_out)]))

        return self._imports.start("mend", listed.label, work, of=name)

    def make_masks(self, name: str, kind: str) -> threading.Thread:
        """Make masks of a scene's views, in a thread, which is returned.

        Args:
            name: The scene.
            kind: `BUILT_IN`, or `MODEL` for the app's mask generator.

        Raises:
            MaskgroupError: If there is no such scene or generator, or as many copies as may be are under way.
        """
        listed = self._bench.find_listed(name)
        if kind != BUILT_IN and not (kind == MODEL and self.model):
            raise MaskgroupError(
                "The app was started without a mask generator; use the built-in one, or start it with --mask-model."
            )

        def work(report: Report, is_cancelled: Callable[[], bool]) -> MadeScene:
            scene = find_scene(name, listed.place)
            tell = _views("Making masks", report)
            segmenter = self._open(kind, report)
            if listed.origin == "imported" and may_add_masks(scene):
                n_masks = add_masks(scene, segmenter, on_progress=tell, is_cancelled=is_cancelled)
                return MadeScene(name, f"It has {n_masks:,} masks now, by {segmenter.name}.")
            out = self._imports.folder / self._imports.free_name(f"{name}_masks")
            made = segment_scene(scene, segmenter, out, on_progress=tell, is_cancelled=is_cancelled)
            said = f"It has {made.n_masks:,} masks by {made.segmenter}, on {made.coverage:.0%} of the pixels."
            return MadeScene(made.name, " ".join([said, *_tell_left_out(made.left_out)]))

        return self._imports.start("masks", listed.label, work, of=name)

    def copy_for_editing(self, name: str) -> threading.Thread:
        """Write a copy of a scene whose masks can be edited, in a thread, which is returned.

        Raises:
            MaskgroupError: If there is no such scene, or as many copies as may be are under way.
        """
        listed = self._bench.find_listed(name)

        def work(report: Report, is_cancelled: Callable[[], bool]) -> MadeScene:
            scene = find_scene(name, listed.place)
            out = self._imports.folder / self._imports.free_name(f"{name}_edited")
            left_out = write_mended(
                scene, Mends(), out, own_masks=True, on_progress=_views("Copying", report), is_cancelled=is_cancelled
            )
            return MadeScene(out.name, " ".join(_tell_left_out(left_out)))

        return self._imports.start("copy", listed.label, work, of=name)

    def _open(self, kind: str, report: Report) -> Segmenter:
        if kind == BUILT_IN:
            return open_segmenter()
        report("Loading the mask generator", 0.0)
        return open_segmenter(self.model, device=self._device)


def _views(what: str, report: Report) -> Callable[[int, int], None]:
    return lambda done, total: report(f"{what}: {done:,} of {total:,} views", done / max(1, total))


def _tell_left_out(left_out: tuple[LeftOutView, ...]) -> list[str]:
    if not left_out:
        return []
    what = "One view is" if len(left_out) == 1 else f"{len(left_out):,} views are"
    return [f"{what} missing: {left_out[0].reason}"]
