"""What the Scenes page shows, as plain functions tested without Gradio running: scenes, imports and findings as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from engine.checking.findings import Level, Topic
from engine.errors import MaskgroupError
from engine.scenes import FORMATS, SceneInfo
from ui.components.left_out import left_out_list
from ui.components.templates import render
from ui.services.scene_cards import DEPTH, MASKS, PHOTO, SceneCard, SceneCards
from ui.services.scene_imports import ImportState, Task
from ui.services.scene_list import ListedScene, Origin
from ui.services.scene_uploads import MAX_FILES
from ui.services.workbench import Workbench

Found = Sequence[tuple[ListedScene, SceneCard | None]]
"""All scenes with their cards, None where a card is being made."""
SCENES_TAB = "scenes"
PICTURE_ROUTE = "/maskgroup/scenes/picture"
LOOKING = "Being looked at …"
MARKS: Mapping[Level, str] = {"ok": "✓", "note": "ℹ", "doubt": "⚠"}
ABOUT: Mapping[Topic, tuple[str, ...]] = {
    "pictures": (PHOTO,),
    "camera": (PHOTO,),
    "depth": (DEPTH,),
    "poses": (DEPTH, PHOTO),
    "mesh": (DEPTH,),
    "masks": (MASKS[1], MASKS[0]),
    "ground truth": (MASKS[1], MASKS[0]),
}
"""Which picture shows what a finding is about, the first that there is."""
SHOWS: Mapping[str, str] = {
    **dict.fromkeys(MASKS, "with its masks, each in a colour of its own"),
    PHOTO: "as it was taken",
    DEPTH: "its depth, near dark and far light",
}
MAKING = (
    "Masks are made by surface and colour, which needs no download: a start, not what people would draw. An imported scene "
    "without any gets them; of every other scene a copy is made, and the scene stays as it is."
)
HEADINGS: Sequence[tuple[Origin, str, str]] = (
    ("imported", "Your scenes", "None yet. Drop a zip or a folder above: it is copied, checked and listed here."),
    ("given", "Scenes of the folder in --scenes", ""),
    ("bundled", "Examples that come with the program", ""),
)
STOPS: Mapping[Task, str] = {
    "import": "the import of",
    "mend": "the mended copy of",
    "masks": "making masks of",
    "copy": "the copy of",
}
DONE: Mapping[Task, str] = {
    "import": "was imported as",
    "mend": "was mended in the copy",
    "masks": "was given masks in the copy",
    "copy": "was copied to",
}
FAILED: Mapping[Task, str] = {
    "import": "was not imported",
    "mend": "was not mended",
    "masks": "got no masks",
    "copy": "was not copied",
}
KEPT: Mapping[Origin, str] = {
    "imported": "",
    "given": "It belongs to the folder that the app was started with; it is renamed or removed there.",
    "bundled": "It comes with the program and stays as it is.",
}


@dataclass(frozen=True)
class ShownCard:
    """A scene in the list, in words.

    Attributes:
        name: Its name.
        label: What it is called.
        facts: Format, views and masks.
        finding: What the check found, in short.
        mark: The class of that line.
        picture: Address of its picture, "" without one.
        alt: What the picture shows.
        instead: What stands in its place.
        judge: Query that opens it on the Judge page; `grouping` and `details` likewise.
        is_chosen: Whether its details are shown.
    """

    name: str
    label: str
    facts: str
    finding: str
    mark: str
    picture: str
    alt: str
    instead: str
    judge: str
    grouping: str
    details: str
    is_chosen: bool


@dataclass(frozen=True)
class ShownFinding:
    """A finding with the picture that shows what it is about, "" without one.

    Attributes:
        number: Its place in the card.
        mend: What the button says that mends it in a copy, "" where it cannot be mended.
    """

    level: Level
    mark: str
    topic: Topic
    text: str
    picture: str
    alt: str
    number: int
    mend: str


def scene_query(scene: str, tab: str | None = None) -> str:
    """Return the query that opens a scene, on the Judge page or on another one."""
    return urlencode({"tab": tab, "scene": scene} if tab else {"scene": scene})


def edit_query(scene: str, view: str) -> str:
    """Return the query that opens the masks of a view to be edited; of the first view where none is named."""
    return urlencode({"tab": SCENES_TAB, "scene": scene, "view": view})


def show_drop(max_bytes: int) -> str:
    """Return where files are dropped."""
    names = [one.NAME for one in FORMATS]
    return render("pages/scenes/drop.html.j2", limit_mb=max_bytes // 2**20, max_files=MAX_FILES, formats=names)


def look_up(bench: Workbench, cards: SceneCards) -> Found:
    """Return all scenes with their cards, None where a card is being made."""
    return [(scene, cards.get(scene)) for scene in bench.list_scenes().scenes]


def show_imports(states: Sequence[ImportState]) -> str:
    """Return where imports stand."""
    links = {one.scene: scene_query(one.scene, SCENES_TAB) for one in states}
    return render("pages/scenes/imports.html.j2", imports=states, links=links, names=STOPS, done=DONE, failed=FAILED)


def show_cards(bench: Workbench, found: Found, chosen: str) -> str:
    """Return all scenes, those that were imported first."""
    sections = [
        (heading, [show_card(scene, card, is_chosen=scene.info.name == chosen) for scene, card in own], nothing)
        for origin, heading, nothing in HEADINGS
        if (own := [(scene, card) for scene, card in found if scene.origin == origin]) or nothing
    ]
    return render("pages/scenes/cards.html.j2", sections=sections, left_out=left_out_list(bench))


def show_card(scene: ListedScene, card: SceneCard | None, *, is_chosen: bool = False) -> ShownCard:
    """Return a scene in words."""
    name = scene.info.name
    kind = _first_picture(card, (MASKS[1], MASKS[0], MASKS[2], PHOTO))
    mark, finding = say_findings(card)
    return ShownCard(
        name=name,
        label=scene.label,
        facts=say_facts(scene.info, card),
        finding=finding,
        mark=mark,
        picture=picture_address(name, kind, card),
        alt=say_picture(kind, card),
        instead=LOOKING if card is None else "No picture",
        judge=scene_query(name),
        grouping=scene_query(name, "grouping"),
        details=scene_query(name, SCENES_TAB),
        is_chosen=is_chosen,
    )


def say_facts(info: SceneInfo, card: SceneCard | None) -> str:
    """Return a scene's format, views and masks, e.g. "replica · 38 of 40 views · 312 masks"."""
    total = info.n_views + len(info.left_out)
    views = f"{info.n_views:,} of {total:,} views" if info.left_out else f"{info.n_views:,} view{'' if info.n_views == 1 else 's'}"
    facts = [info.format, views]
    if card is not None and not card.problem:
        where = "" if card.n_looked_at >= info.n_views else f" in {card.n_looked_at} views"
        facts.append(f"{card.n_masks:,} masks{where}")
    return " · ".join(facts)


def say_findings(card: SceneCard | None) -> tuple[str, str]:
    """Return the class of the line that says what the check found, and the line."""
    if card is None:
        return "mg-quiet", LOOKING
    if card.problem:
        return "mg-doubt", f"{MARKS['doubt']} {card.problem}"
    if card.doubts:
        topics = ", ".join(dict.fromkeys(one.topic for one in card.doubts))
        count = "Something looks" if len(card.doubts) == 1 else f"{len(card.doubts)} things look"
        return "mg-doubt", f"{MARKS['doubt']} {count} wrong: {topics}. See the details."
    notes = sum(one.level == "note" for one in card.findings)
    return "mg-quiet", f"{MARKS['ok']} Nothing looks wrong" + (f"; {notes} note{'' if notes == 1 else 's'}" if notes else "")


def show_details(bench: Workbench, found: Found, name: str, *, model: str = "") -> str:
    """Return one scene with all that was found in it, "" where none is chosen or it is not there any more.

    Args:
        bench: Counts its labels.
        found: All scenes with their cards.
        name: The scene.
        model: Mask generator that is offered besides the built-in one, "" without one.
    """
    scene, card = next(((scene, card) for scene, card in found if scene.info.name == name), (None, None))
    if scene is None:
        return ""
    findings = None if card is None or card.problem else show_findings(name, card)
    shows = (card.pictures or {}) if card is not None else {}
    kinds = [kind for kind in MASKS if kind in shows]
    return render(
        "pages/scenes/details.html.j2",
        label=scene.label,
        name=name,
        key="" if card is None else card.key,
        facts=f"{say_facts(scene.info, card)} · {say_labels(bench, name)}",
        pictures=[(picture_address(name, kind, card), say_picture(kind, card), edit_query(name, shows[kind])) for kind in kinds],
        edit=edit_query(name, next(iter(shows.values()), "")),
        findings=findings,
        mend_all=say_all_mends(card),
        model=model,
        making=MAKING,
        instead=LOOKING if card is None else card.problem,
        left_out=[(view.name, view.reason) for view in card.left_out] if card is not None else [],
        n_left_out=0 if card is None else card.n_left_out,
        kept=KEPT[scene.origin],
    )


def show_findings(name: str, card: SceneCard) -> list[ShownFinding]:
    """Return a scene's findings, what results suffer from first; each picture stands beside the first finding that it shows."""
    order = {"doubt": 0, "note": 1, "ok": 2}
    shown: list[ShownFinding] = []
    used: set[str] = set()
    for number, one in sorted(enumerate(card.findings), key=lambda finding: order[finding[1].level]):
        kind = _first_picture(card, ABOUT.get(one.topic, ()))
        kind = "" if kind in used else kind
        used.add(kind)
        address = picture_address(name, kind, card)
        shown.append(
            ShownFinding(
                one.level,
                MARKS[one.level],
                one.topic,
                one.text,
                address,
                say_picture(kind, card),
                number,
                card.mends_of(number).offer(),
            )
        )
    return shown


def say_all_mends(card: SceneCard | None) -> str:
    """Return what the button says that mends all findings at once, "" where there are not several to be mended."""
    if card is None:
        return ""
    several = {one.offer() for one in card.mends} - {""}
    return card.all_mends.offer() if len(several) > 1 else ""


def say_labels(bench: Workbench, name: str) -> str:
    """Return how many labels count on a scene."""
    count = len(bench.labels.current(name))
    return f"{count:,} label{'' if count == 1 else 's'}"


def say_removal(bench: Workbench, name: str) -> str:
    """Return what is asked before a scene is removed, as plain text.

    Raises:
        MaskgroupError: If it cannot be removed.
    """
    scene = require_imported(bench, name)
    kept = "It has no labels."
    if labels := len(bench.labels.current(name)):
        kept = f"Labels on it ({labels:,}) stay in the database, and count again if it is imported anew under the name {name}."
    return f"Remove {scene.label}? Its folder {scene.place / name} is deleted with all files. {kept}"


def require_imported(bench: Workbench, name: str) -> ListedScene:
    """Return a scene that was imported, which may be renamed and removed.

    Raises:
        MaskgroupError: If it is not there, or is another one.
    """
    scene = bench.find_listed(name)
    if scene.origin != "imported":
        raise MaskgroupError(f"The scene {scene.label} was not imported, so it is not changed here. {KEPT[scene.origin]}")
    return scene


def picture_address(name: str, kind: str, card: SceneCard | None) -> str:
    """Return where a picture is, "" without one. Relative: a proxy may serve the app below another path."""
    if card is None or not kind:
        return ""
    return PICTURE_ROUTE[1:] + "?" + urlencode({"scene": name, "kind": kind, "of": card.key[:8]})


def say_picture(kind: str, card: SceneCard | None) -> str:
    """Return what a picture shows."""
    view = (card.pictures or {}).get(kind, "") if card is not None else ""
    return f"View {view}, {SHOWS[kind]}" if view else ""


def find_copy(states: Sequence[ImportState], told: frozenset[int], chosen: str) -> str | None:
    """Return the copy of the chosen scene that was finished since the page looked last, None where there is none."""
    done = (one for one in states if one.status == "done" and one.number not in told)
    return next((one.scene for one in done if chosen and one.of == chosen), None)


def new_failures(states: Sequence[ImportState], told: frozenset[int]) -> tuple[list[ImportState], frozenset[int]]:
    """Return the imports that failed since the page looked last, and all that have ended."""
    ended = frozenset(one.number for one in states if not one.is_running)
    return [one for one in states if one.status == "failed" and one.number not in told], told | ended


def _first_picture(card: SceneCard | None, kinds: Sequence[str]) -> str:
    there = (card.pictures or {}) if card is not None else {}
    return next((kind for kind in kinds if kind in there), "")
