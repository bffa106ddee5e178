"""What the Scenes page shows of each scene: small pictures and what the check found, made one by one in a thread of its own.

They are kept in a folder beside the database, by the scene's place and what changes when it changes. Knows nothing about Gradio.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import shutil
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from PIL import Image

from engine.checking.findings import CheckReport, Finding, Level, Topic
from engine.checking.mends import Mends, pack_mends, plan_mend, unpack_mends
from engine.checking.run import check_scene
from engine.errors import MaskgroupError, SceneError
from engine.files import write_atomically, writing_folder
from engine.importing import ImportedScene
from engine.scenes import find_scene
from engine.scenes.registry import scene_signature
from engine.types import LeftOutView, Scene, UInt8Array
from engine.views.frames import FrameSource
from ui.services.scene_list import ListedScene
from ui.view3d.pictures import draw_depth, draw_masks, thumbnail

FOLDER = "scene_cards"
FILE = "card.json"
VERSION = 2
"""Of what is kept; what an older program has kept is made anew."""
MAX_KEPT = 200
MAX_LEFT_OUT = 20
"""Left-out views that are kept one by one; the rest is counted."""
SHOWN_VIEWS = 3
WIDTH, HEIGHT = 320, 240
QUALITY = 80
MASKS = tuple(f"masks-{number}" for number in range(SHOWN_VIEWS))
PHOTO, DEPTH = "photo", "depth"
KINDS = (*MASKS, PHOTO, DEPTH)
"""All pictures that a scene can have: three views with their masks, and the photo and the depth of the middle one."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SceneCard:
    """What was found in a scene.

    Attributes:
        key: Changes when the scene does.
        n_masks: Masks in the views that were looked at.
        n_looked_at: How many these were.
        findings: What the check says.
        left_out: The first views that cannot be used, and why.
        n_left_out: How many there are.
        pictures: The view that each picture shows, by its kind.
        problem: Why there is nothing of all this, "" where there is.
        mends: What each finding can be mended by, in the order of `findings`; nothing at all where it cannot.
    """

    key: str
    n_masks: int = 0
    n_looked_at: int = 0
    findings: tuple[Finding, ...] = ()
    left_out: tuple[LeftOutView, ...] = ()
    n_left_out: int = 0
    pictures: Mapping[str, str] | None = None
    problem: str = ""
    mends: tuple[Mends, ...] = ()

    def mends_of(self, number: int) -> Mends:
        """Return what the finding at a place of `findings` can be mended by, nothing at all where there is no such finding."""
        return self.mends[number] if 0 <= number < len(self.mends) else Mends()

    @property
    def all_mends(self) -> Mends:
        """All of them together."""
        mends = Mends()
        for one in self.mends:
            mends = mends.beside(one)
        return mends

    @property
    def doubts(self) -> list[Finding]:
        """What results will suffer from."""
        return [finding for finding in self.findings if finding.level == "doubt"]


class SceneCards:
    """All cards.

    Args:
        folder: Where they are kept; it is made when the first is.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cards: OrderedDict[str, SceneCard] = OrderedDict()
        self._reports: dict[Path, CheckReport] = {}
        self._waiting: OrderedDict[str, ListedScene] = OrderedDict()
        self._worker: threading.Thread | None = None
        self._lock = threading.Lock()

    def get(self, listed: ListedScene) -> SceneCard | None:
        """Return a scene's card; None where it is not made yet, which then is under way."""
        key = _key_of(listed)
        with self._lock:
            if key in self._cards:
                return self._cards[key]
        kept = _read(self._folder / key, key)
        with self._lock:
            if kept is not None:
                self._cards[key] = kept
                return kept
            self._waiting[key] = listed
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, daemon=True, name="scene-cards")
                self._worker.start()
        return None

    def wait(self) -> None:
        """Wait until all cards that were asked for are made."""
        with self._lock:
            worker = self._worker
        if worker is not None:
            worker.join()

    def know(self, imported: ImportedScene) -> None:
        """Take what an import has found: the scene need not be checked again."""
        with self._lock:
            self._reports[imported.folder.resolve()] = imported.report

    def picture(self, listed: ListedScene, kind: str) -> bytes:
        """Return one of a scene's pictures as JPEG.

        Raises:
            SceneError: If there is none.
        """
        if kind in KINDS:
            try:
                return (self._folder / _key_of(listed) / f"{kind}.jpg").read_bytes()
            except OSError:
                pass
        raise SceneError(f"There is no such picture of scene {listed.info.name!r}; reload the page.")

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._worker = None
                    return
                key, listed = next(iter(self._waiting.items()))
                report = self._reports.pop(listed.info.folder, None)
            try:
                card, pictures = make_card(find_scene(listed.info.name, listed.place), key, report)
                _write(self._folder / key, card, pictures)
            except (MaskgroupError, OSError) as error:
                card = SceneCard(key, problem=str(error))
            except Exception:
                # A thread's exception would reach nobody, and the other scenes are to have their cards.
                log.exception("the card of %s was not made", listed.info.name)
                card = SceneCard(key, problem="It was not looked at, by a mistake of the program; its log has the details.")
            with self._lock:
                self._cards[key] = card
                while len(self._cards) > MAX_KEPT:
                    self._cards.popitem(last=False)
                self._waiting.pop(key, None)
            _delete_old(self._folder)


def make_card(scene: Scene, key: str, report: CheckReport | None = None) -> tuple[SceneCard, dict[str, bytes]]:
    """Look at a scene; returns its card and its pictures, JPEG by kind.

    Args:
        scene: The scene.
        key: The card's.
        report: What a check has found before; None = it is checked now.

    Raises:
        SceneError: If it cannot be read.
    """
    report = check_scene(scene) if report is None else report
    lost = {view.name for view in report.left_out}
    names = [name for name in scene.view_names if name not in lost]
    count = min(len(names), SHOWN_VIEWS)
    views = [names[(2 * number + 1) * len(names) // (2 * count)] for number in range(count)]
    pictures: dict[str, bytes] = {}
    shows: dict[str, str] = {}

    def add(kind: str, view: str, pixels: UInt8Array) -> None:
        pictures[kind], shows[kind] = _to_jpeg(thumbnail(pixels, width=WIDTH)), view

    frames = FrameSource(scene, width=WIDTH, height=HEIGHT, max_frames=1)
    for kind, view in zip(MASKS, views, strict=False):
        try:
            add(kind, view, draw_masks(frames.frame(view)))
        except SceneError as error:
            log.info("View %s of %s has no picture with masks: %s", view, scene.name, error)
    for view in views[len(views) // 2 :][:1]:
        try:
            photo = scene.color(view)
            if photo is not None:
                add(PHOTO, view, photo)
            depth = scene.depth(view)
            if depth is not None:
                add(DEPTH, view, draw_depth(depth))
        except SceneError as error:
            log.info("View %s of %s has no picture: %s", view, scene.name, error)
    counts = [finding.figures.get("masks") for finding in report.findings if finding.topic == "masks"]
    n_masks = max((count for count in counts if isinstance(count, int)), default=0)
    left_out = report.left_out[:MAX_LEFT_OUT]
    mends = tuple(plan_mend(scene, finding) for finding in report.findings)
    card = SceneCard(key, n_masks, report.n_looked_at, report.findings, left_out, len(report.left_out), shows, mends=mends)
    return card, pictures


def _key_of(listed: ListedScene) -> str:
    state = repr((str(listed.info.folder), scene_signature(listed.info.folder)))
    return hashlib.sha256(state.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _to_jpeg(pixels: UInt8Array) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _write(folder: Path, card: SceneCard, pictures: Mapping[str, bytes]) -> None:
    with writing_folder(folder, replaces=True) as unfinished:
        for kind, content in pictures.items():
            (unfinished / f"{kind}.jpg").write_bytes(content)
        values: dict[str, object] = {
            "version": VERSION,
            "n_masks": card.n_masks,
            "n_looked_at": card.n_looked_at,
            "n_left_out": card.n_left_out,
            "findings": [[one.topic, one.level, one.text] for one in card.findings],
            "left_out": [[view.name, view.reason] for view in card.left_out],
            "pictures": dict(card.pictures or {}),
            "mends": [pack_mends(one) for one in card.mends],
        }
        write_atomically(unfinished / FILE, values)


def _read(folder: Path, key: str) -> SceneCard | None:
    """Return a kept card, None where there is none that this program has written."""
    try:
        values = cast("dict[str, Any]", json.loads((folder / FILE).read_text(encoding="utf-8")))
        if values["version"] != VERSION:
            return None
        findings = [Finding(topic, level, str(text)) for topic, level, text in values["findings"]]
        if not all(one.topic in get_args(Topic) and one.level in get_args(Level) for one in findings):
            return None
        left_out = tuple(LeftOutView(str(name), str(reason)) for name, reason in values["left_out"])
        shows = {str(kind): str(view) for kind, view in values["pictures"].items() if kind in KINDS}
        mends = tuple(unpack_mends(one) for one in values["mends"])
        numbers = [int(values[name]) for name in ("n_masks", "n_looked_at", "n_left_out")]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return SceneCard(key, numbers[0], numbers[1], tuple(findings), left_out, numbers[2], shows, mends=mends)


def _delete_old(folder: Path) -> None:
    try:
        kept = sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    except OSError:
        return
    for path in kept[: max(0, len(kept) - MAX_KEPT)]:
        shutil.rmtree(path, ignore_errors=True)
