"""What the pages do, without Gradio: opens scenes, finds masks under clicks, asks the judge, keeps labels.

One workbench serves all browser tabs; it holds caches and connections, never a person's choices (those live in each page's state).
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from db.labels.store import Label, LabelStore, NewLabel, ShownVerdict
from engine.errors import MaskError, MaskgroupError, SceneError
from engine.judging.base import CropPair, Judge
from engine.judging.calibration.operating_point import OperatingPoints
from engine.review.proposals import propose_pair
from engine.scenes import LeftOutFolder, find_scene
from engine.types import NOTHING, Decision, Float32Array, Frame, LeftOutView, MaskKey, MaskPair, UInt8Array, Verdict
from engine.views.crops import PictureStyle, show_mask
from engine.views.frames import FrameSource
from ui.services.judges import Judges
from ui.services.open_scene import OpenScene
from ui.services.scene_list import ListedScene, ListedScenes, SceneFolders
from ui.view3d.pictures import thumbnail
from ui.view3d.room import MAX_MASK_POINTS, RoomCloud, back_project, build_room, camera_outline, nearest_instance
from ui.web.metrics import judging

log = logging.getLogger(__name__)

MAX_THUMBNAILS = 48
"""Views shown as pictures to choose from; longer scenes show evenly spaced ones, the list has all."""
MAX_OPEN_SCENES = 4
MAX_VERDICTS = 10_000


class Workbench:
    """Everything the pages need.

    Args:
        scenes_dir: Folder of scenes.
        labels: Where labels go.
        judges: The judges by name; a function that makes the only one will do.
        style: How masks are shown before the judge is loaded: as its prompt will want them.
        points: Thresholds that people chose; None = every model decides at its own.
        folders: All folders of scenes, that of `scenes_dir` first; None = only that one.
    """

    def __init__(
        self,
        scenes_dir: Path,
        labels: LabelStore,
        judges: Judges | Callable[[], Judge],
        *,
        style: PictureStyle = "on_black",
        points: OperatingPoints | None = None,
        folders: SceneFolders | None = None,
    ) -> None:
        self.scenes_dir = scenes_dir
        self.folders = folders or SceneFolders(scenes_dir)
        self.labels = labels
        self.judges = judges if isinstance(judges, Judges) else Judges(_only(judges), "base")
        self.points = points
        self._style: PictureStyle = style
        self._verdicts: OrderedDict[tuple[str, MaskPair, str], Verdict] = OrderedDict()
        self._verdicts_lock = threading.Lock()
        self.open_scene = lru_cache(maxsize=MAX_OPEN_SCENES)(self._open_scene)
        self.room = lru_cache(maxsize=MAX_OPEN_SCENES)(self._build_room)
        self.thumbnails = lru_cache(maxsize=MAX_OPEN_SCENES)(self._make_thumbnails)
        self._forgetful: list[Callable[[str], None]] = []

    def scene_names(self) -> list[str]:
        """Return the names of all scenes, those of the first folder first.

        Raises:
            SceneError: If there is none, or none in the folder of --scenes.
        """
        return [scene.info.name for scene in self.list_scenes().scenes]

    def list_scenes(self) -> ListedScenes:
        """Return all scenes, and what was left out.

        Raises:
            SceneError: If there is none, or none in the folder of --scenes.
        """
        found = self.folders.survey()
        origin, first = self.folders.places[0]
        if not any(scene.place == first for scene in found.scenes) and not (origin == "imported" and found.scenes):
            why = "".join(f" {entry.name}: {entry.reason}" for entry in found.left_out[:3])
            raise SceneError(f"{self.scenes_dir} holds no scene; give a folder of scene folders with --scenes.{why}")
        return found

    def scene_choices(self) -> list[tuple[str, str]]:
        """Return what a chooser of scenes offers: what each is called, and its name."""
        return [(scene.label, scene.info.name) for scene in self.list_scenes().scenes]

    def usual_scenes(self) -> list[str]:
        """Return the names of the scenes in the first folder: what is taken where nobody chose."""
        listed = self.list_scenes().scenes
        return [scene.info.name for scene in listed if scene.place == listed[0].place]

    def scene_argument(self, scene: str) -> str:
        """Return what a command calls a scene: its name, or its folder if it lies neither in that of --scenes nor came with us."""
        found = self.folders.find(scene)
        if found is None or found.origin == "bundled" or found.place == self.scenes_dir:
            return scene
        return str(found.info.folder)

    def forget(self, scene: str) -> None:
        """Forget what was read of a scene, because its folder was removed or became another one."""
        for kept in (self.open_scene, self.room, self.thumbnails):
            kept.cache_clear()
        with self._verdicts_lock:
            for key in [key for key in self._verdicts if key[0] == scene]:
                del self._verdicts[key]
        for forget in self._forgetful:
            forget(scene)

    def when_forgotten(self, forget: Callable[[str], None]) -> None:
        """Have a function called with the name of each scene that is forgotten, for others that keep what they made of scenes."""
        self._forgetful.append(forget)

    def left_out(self) -> tuple[list[LeftOutFolder], dict[str, tuple[LeftOutView, ...]]]:
        """Return the folders that are no scenes or broken, and the left-out views of each scene that has any."""
        found = self.folders.survey()
        return list(found.left_out), {one.info.name: one.info.left_out for one in found.scenes if one.info.left_out}

    def is_bundled(self, scene: str) -> bool:
        """Return whether a scene came with the program."""
        found = self.folders.find(scene)
        return found is not None and found.origin == "bundled"

    def _open_scene(self, name: str) -> OpenScene:
        # Only names of the list are opened: a name that comes from a page is never used as a path.
        found = self.find_listed(name)
        scene = find_scene(name, found.place)
        return OpenScene(scene, FrameSource(scene))

    def find_listed(self, name: str) -> ListedScene:
        """Return a scene of the list.

        Raises:
            SceneError: If there is no scene of that name.
        """
        listed = self.list_scenes().scenes
        found = next((scene for scene in listed if scene.info.name == name), None)
        if found is None:
            names = ", ".join(scene.info.name for scene in listed)
            raise SceneError(f"There is no scene {name!r} in {self.scenes_dir}; the scenes are {names}.")
        return found

    def frame(self, scene: str, view: str) -> Frame:
        """Return a view with its masks."""
        return self._open_view(scene, view).frame(view)

    def masks(self, scene: str, view: str) -> dict[int, int]:
        """Return the pixels of each mask of a view, by mask id, in the order in which pages number them."""
        return self._open_view(scene, view).masks(view)

    def _open_view(self, scene: str, view: str) -> OpenScene:
        opened = self.open_scene(scene)
        if view not in opened.scene.view_names:
            names = opened.scene.view_names
            raise MaskError(f"Scene {scene!r} has no view {view!r}; its {len(names)} views are {names[0]} to {names[-1]}.")
        return opened

    def views(self, scene: str) -> tuple[str, ...]:
        """Return the names of a scene's views."""
        return self.open_scene(scene).scene.view_names

    def _make_thumbnails(self, scene: str) -> list[tuple[UInt8Array, str]]:
        opened = self.open_scene(scene)
        names = opened.scene.view_names
        places = np.unique(np.linspace(0, len(names) - 1, min(len(names), MAX_THUMBNAILS)).astype(int))
        shown = [names[int(i)] for i in places]
        pictures: list[tuple[UInt8Array, str]] = []
        for name in shown:
            try:
                photo = opened.scene.color(name)
                pictures.append((thumbnail(photo if photo is not None else opened.frames.frame(name).rgb), name))
            except SceneError as error:
                log.warning("View %s of %s has no picture to choose it by: %s", name, scene, error)
        return pictures

    def mask_choices(self, scene: str, view: str) -> list[tuple[str, int]]:
        """Return (words, mask id) of a view's masks, largest first. The words hide ids, which may give the truth away."""
        total = self.frame(scene, view).instance_map.size
        masks = self.masks(scene, view)
        return [(f"mask {rank} of {len(masks)} ({area / total:.1%})", i) for rank, (i, area) in enumerate(masks.items(), start=1)]

    def mask_number(self, scene: str, key: MaskKey) -> int:
        """Return a mask's place in its view's list, counted from 1.

        Raises:
            MaskgroupError: If there is no such mask, view or scene.
        """
        ids = list(self.masks(scene, key.view))
        if key.mask not in ids:
            raise MaskError(f"View {key.view!r} of scene {scene!r} has no mask {key.mask} any more; pick another.")
        return ids.index(key.mask) + 1

    def mask_by_number(self, scene: str, view: str, number: int | None) -> int | None:
        """Return the mask at a place of its view's list, or None where there is none."""
        ids = list(self.masks(scene, view))
        return ids[number - 1] if number is not None and 1 <= number <= len(ids) else None

    def mask_name(self, scene: str, key: MaskKey) -> str:
        """Return a mask's name as the pages show it, e.g. "mask 3 of view 12"."""
        return f"mask {self.mask_number(scene, key)} of view {key.view}"

    def pair_words(self, scene: str, pair: MaskPair) -> str:
        """Return both masks' names as the pages show them; by ids, and marked, where one is not there any more."""
        if self.stale_pairs(scene, [pair]):
            return stale_words(pair)
        return " and ".join(self.mask_name(scene, key) for key in (pair.a, pair.b))

    def stale_pairs(self, scene: str, pairs: Iterable[MaskPair]) -> set[MaskPair]:
        """Return the pairs of which a mask is not there: labels outlive the scenes, views and masks that they are about."""
        asked = set(pairs)
        try:
            opened = self.open_scene(scene)
        except (MaskgroupError, OSError):
            return asked
        there = opened.mask_ids({key.view for pair in asked for key in (pair.a, pair.b)})
        return {pair for pair in asked if not all(key.mask in there[key.view] for key in (pair.a, pair.b))}

    def stale_labels(self, labels: Iterable[Label]) -> list[Label]:
        """Return the labels whose pair `stale_pairs` has; each scene is opened once."""
        listed = list(labels)
        pairs: dict[str, set[MaskPair]] = {}
        for label in listed:
            pairs.setdefault(label.scene, set()).add(label.pair)
        stale = {scene: self.stale_pairs(scene, named) for scene, named in pairs.items()}
        return [label for label in listed if label.pair in stale[label.scene]]

    def mask_at(self, scene: str, view: str, x: int, y: int) -> int | None:
        """Return the mask under pixel (x, y) = (column, row), or None where there is none."""
        instance_map = self.frame(scene, view).instance_map
        if not (0 <= y < instance_map.shape[0] and 0 <= x < instance_map.shape[1]):
            return None
        mask = int(instance_map[y, x])
        return None if mask == NOTHING else mask

    def crop(self, scene: str, key: MaskKey, *, model: str | None = None) -> UInt8Array:
        """Return a mask's picture, exactly as the judge sees it."""
        judge = self.judges.loaded(model)
        style = self._style if judge is None else judge.prompt.picture
        return show_mask(self.frame(scene, key.view), key, style=style)

    def judge(self, model: str | None = None) -> Judge:
        """Return a judge by name (None = the default one), loading it at first use."""
        return self.judges.get(model)

    def verdict(self, scene: str, pair: MaskPair, *, model: str | None = None) -> Verdict:
        """Ask a judge about a pair, in the order given; an answer that was given before is not asked again."""
        return self.verdicts(scene, [pair], model=model)[0]

    def verdicts(self, scene: str, pairs: Sequence[MaskPair], *, model: str | None = None) -> list[Verdict]:
        """Ask a judge about pairs, all that it does not know yet in one batch.

        Returns:
            One verdict a pair, in order, deciding at the threshold that people chose for the model.
        """
        # Asked once: "tuned" may come to stand for another run meanwhile, whose answers and threshold are its own.
        name = self.judges.behind(model or self.judges.default)
        known = self._known(scene, pairs, name)
        missing = [pair for pair in dict.fromkeys(pairs) if pair not in known]
        if missing:
            judge = self.judge(name)
            crops = [CropPair(self.crop(scene, pair.a, model=name), self.crop(scene, pair.b, model=name)) for pair in missing]
            with judging(name, len(crops)):
                known |= zip(missing, judge.judge(crops), strict=True)
            with self._verdicts_lock:
                self._verdicts.update({(scene, pair, name): known[pair] for pair in missing})
                while len(self._verdicts) > MAX_VERDICTS:
                    self._verdicts.popitem(last=False)
        threshold = self.threshold(name)
        return [known[pair] if threshold is None else replace(known[pair], threshold=threshold) for pair in pairs]

    def threshold(self, model: str) -> float | None:
        """Return the threshold that people chose for a model, None where they did not."""
        point = self.points.get(model) if self.points is not None else None
        return None if point is None else point.threshold

    def _known(self, scene: str, pairs: Sequence[MaskPair], name: str) -> dict[MaskPair, Verdict]:
        with self._verdicts_lock:
            found = {pair: self._verdicts.get((scene, pair, name)) for pair in pairs}
        return {pair: verdict for pair, verdict in found.items() if verdict is not None}

    def name_of(self, scene: str, instance: int) -> str | None:
        """Return what an object of a scene is called, None where that is unknown or the scene is not there any more."""
        try:
            return self.open_scene(scene).scene.name_of(instance)
        except MaskgroupError:
            return None

    def truth(self, scene: str, pair: MaskPair) -> bool | None:
        """Return whether ground truth says "same object", or None where there is none."""
        return pair.a.mask == pair.b.mask if self.open_scene(scene).scene.mask_ids_are_instances else None

    def propose(self, scene: str, *, seed: int | None = None) -> MaskPair | None:
        """Return a pair worth looking at that nobody has labelled yet, or None where the scene has none."""
        opened = self.open_scene(scene)
        rng = np.random.default_rng(seed)
        return propose_pair(opened.scene.view_names, opened.frame, rng=rng, avoid=self.labels.pairs_labelled(scene))

    def save_label(
        self,
        scene: str,
        pair: MaskPair,
        decision: Decision,
        *,
        annotator: str,
        seconds: float | None,
        shown: Sequence[ShownVerdict] = (),
    ) -> Label:
        """Write a label at once, with the verdicts that were shown, in their places."""
        first = shown[0] if shown else None
        return self.labels.add(
            NewLabel(
                annotator=annotator,
                scene=scene,
                pair=pair,
                decision=decision,
                model=first.model if first else None,
                prompt=first.prompt if first else None,
                p_same=first.p_same if first else None,
                ambiguity=first.ambiguity if first else None,
                beside=tuple(shown[1:]),
                seconds=seconds,
                queue="judge-page",
                source="app",
            )
        )

    def _build_room(self, scene: str) -> RoomCloud | None:
        opened = self.open_scene(scene)
        return build_room(opened.scene, opened.frames)

    def mask_points(self, scene: str, key: MaskKey) -> Float32Array:
        """Return where a mask lies in the room, (n, 3) float32 metres; empty where there is no geometry."""
        return back_project(self.frame(scene, key.view), key.mask, max_points=MAX_MASK_POINTS)[0]

    def camera_path(self, scene: str, view: str) -> Float32Array | None:
        """Return the outline of a view's camera, or None where its pose is unknown."""
        return camera_outline(self.frame(scene, view))

    def instance_at(self, scene: str, point: Float32Array) -> tuple[int | None, Float32Array]:
        """Return the instance at a point of the room (None where unlabelled) and that instance's points, (n, 3) float32."""
        cloud = self.room(scene)
        if cloud is None:
            return None, np.zeros((0, 3), np.float32)
        instance = nearest_instance(cloud, point)
        if instance == NOTHING:
            return None, np.zeros((0, 3), np.float32)
        return instance, cloud.points[cloud.instances == instance][:MAX_MASK_POINTS]


def stale_words(pair: MaskPair) -> str:
    """Return the name of a pair that is not there any more."""
    return f"{pair.a} and {pair.b} (stale: not there now)"


def _only(make: Callable[[], Judge]) -> Callable[[str], Judge]:
    return lambda _name: make()
