"""The Scenes page without a browser: what it shows, what it offers, and what it refuses."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from db.labels.store import LabelStore, NewLabel
from db.schema.session import open_database
from engine.assets import SCENES_DIR
from engine.checking.findings import Finding
from engine.checking.mends import Mends
from engine.errors import MaskgroupError
from engine.grouping.pipeline import GroupingCancelled
from engine.importing import import_scene
from engine.segmenting.base import Segmenter
from engine.types import MaskKey, MaskPair
from tests.format_rooms import write_transforms
from tests.stub_judge import StubJudge
from tests.tiny_room import BLUE_BOX, RED_BOX, write_tiny_room
from tests.unit.engine.checking.test_check import SPOILED, write_dining_room
from ui.pages.scenes import actions as scene_actions
from ui.pages.scenes import handlers as page
from ui.pages.scenes.actions import SceneActions
from ui.services import grouping_runs, scene_copies
from ui.services.grouping_runs import GroupingRuns
from ui.services.scene_cards import SceneCard, SceneCards
from ui.services.scene_copies import SceneCopies
from ui.services.scene_imports import ImportState, SceneImports
from ui.services.scene_list import ListedScene, SceneFolders
from ui.services.scene_uploads import SceneUploads, UploadError
from ui.services.workbench import Workbench
from ui.web.gradio_parts import leave_as_is
from ui.web.page_session import PageSessions

BATCH = "0" * 32


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    given = write_tiny_room(tmp_path / "given").parent
    import_scene(given / "tiny", tmp_path / "scenes", name="hall")
    folders = SceneFolders(given, imported=tmp_path / "scenes", bundled=SCENES_DIR)
    return Workbench(given, LabelStore(open_database(str(tmp_path / "labels.db"))), StubJudge, folders=folders)


@pytest.fixture
def cards(bench: Workbench, tmp_path: Path) -> SceneCards:
    made = SceneCards(tmp_path / "cards")
    # The bundled room takes seconds, and none of these tests is about it.
    for name in ("hall", "tiny"):
        made.get(bench.find_listed(name))
    made.wait()
    return made


class Parts:
    """The page's events, with what is behind them."""

    def __init__(self, bench: Workbench, cards: SceneCards, folder: Path) -> None:
        self.imports = SceneImports(bench, folder / "scenes", roots=[folder / "given"])
        (folder / "uploads").mkdir()
        self.uploads = SceneUploads(folder / "uploads", max_bytes=2**20)
        self.sessions = PageSessions(folder)
        self.runs = GroupingRuns(bench)
        self.copies = SceneCopies(bench, self.imports)
        self.actions = SceneActions(bench, self.imports, self.copies, self.uploads, cards, self.runs, self.sessions)

    def request(self, query: dict[str, str] | None = None) -> tuple[Any, str]:
        """A request of a browser, and the browser's name."""
        cookie = self.sessions.new()
        cookies = {self.sessions.cookie: cookie}
        return SimpleNamespace(cookies=cookies, query_params=query or {}), self.sessions.read(cookies) or ""


@pytest.fixture
def parts(bench: Workbench, cards: SceneCards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parts:
    def get(scene: ListedScene, real: Any = cards.get) -> SceneCard | None:
        return SceneCard("0") if scene.origin == "bundled" else real(scene)

    monkeypatch.setattr(cards, "get", get)
    return Parts(bench, cards, tmp_path)


@pytest.fixture
def toasts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    shown: list[str] = []
    monkeypatch.setattr(scene_actions.gr, "Warning", shown.append)
    return shown


def event(**values: Any) -> Any:
    """What a component's script tells."""
    return SimpleNamespace(**values)


def wait_for_imports(kind: str = "import-") -> None:
    for worker in [thread for thread in threading.enumerate() if thread.name.startswith(kind)]:
        worker.join()


def label(bench: Workbench, scene: str) -> None:
    pair = MaskPair(MaskKey("0", RED_BOX), MaskKey("2", BLUE_BOX))
    bench.labels.add(NewLabel(annotator="me", scene=scene, pair=pair, decision="different"))


def test_the_list_has_every_scene_with_what_can_be_done(parts: Parts, bench: Workbench, cards: SceneCards) -> None:
    html = page.show_cards(bench, page.look_up(bench, cards), "hall")
    yours, given, examples = html.split("<section")[1:]
    assert "Your scenes" in yours
    assert "replica · 3 views · 6 masks" in yours
    assert "✓ Nothing looks wrong" in yours
    assert "maskgroup/scenes/picture?scene=hall&amp;kind=masks-1" in yours
    assert "href='?tab=grouping&amp;scene=hall'" in yours
    assert "mg-chosen" in yours
    assert "Scenes of the folder in --scenes" in given
    assert ">tiny<" in given
    assert "sh3d_living" in examples
    assert "mg-chosen" not in given + examples


def test_without_scenes_of_ones_own_it_says_what_to_do(parts: Parts, bench: Workbench, cards: SceneCards) -> None:
    parts.actions.remove("hall", "hall", frozenset(), None)
    assert "None yet. Drop a zip or a folder above" in page.show_cards(bench, page.look_up(bench, cards), "")


def test_every_finding_is_a_line_and_names_are_escaped(bench: Workbench, cards: SceneCards, tmp_path: Path) -> None:
    html = page.show_details(bench, page.look_up(bench, cards), "hall")
    assert html.count("<li class='mg-ok'>") == 8
    assert "alt='View 2, its depth, near dark and far light'" in html
    assert "0 labels" in html
    odd = import_scene(tmp_path / "given" / "tiny", tmp_path / "scenes", name="a&b 'c'").name
    html = page.show_cards(bench, page.look_up(bench, cards), odd) + page.show_details(bench, page.look_up(bench, cards), odd)
    assert "a&amp;b &#x27;c&#x27;" in html
    assert "a&b" not in html
    assert page.show_details(bench, page.look_up(bench, cards), "<img src=x>") == ""


def test_an_address_opens_its_scene_the_first_time(parts: Parts) -> None:
    request, _ = parts.request({"tab": "scenes", "scene": "hall"})
    opened = parts.actions.open_tab(request, False, "")
    assert opened[0] is True
    assert "What the check found" in opened[5]
    chosen, title, box, changing, asking = opened[7:]
    assert (chosen, title) == ("hall", "hall")
    assert (box["visible"], changing["visible"], asking["visible"]) == (True, True, False)
    assert parts.actions.open_tab(request, True, "tiny")[7] == "tiny"
    other, _ = parts.request({"tab": "scenes", "scene": "../../etc"})
    assert parts.actions.open_tab(other, False, "")[7] == ""
    other, _ = parts.request({"tab": "judge", "scene": "hall"})
    assert parts.actions.open_tab(other, False, "")[7] == ""


def test_only_imported_scenes_can_be_renamed_and_removed(parts: Parts, tmp_path: Path) -> None:
    for name in ("tiny", "sh3d_living"):
        assert parts.actions.show_chosen(name)[3]["visible"] is False
        for refused in (
            lambda name=name: parts.actions.rename(name, "x", frozenset(), None),
            lambda name=name: parts.actions.ask_removal(name),
            lambda name=name: parts.actions.remove(name, name, frozenset(), None),
        ):
            with pytest.raises(MaskgroupError, match="was not imported"):
                refused()
    for name in ("", "none", "../given/tiny"):
        with pytest.raises(MaskgroupError, match="no scene"):
            parts.actions.remove(name, name, frozenset(), None)
    assert (tmp_path / "given" / "tiny").is_dir()
    assert (SCENES_DIR / "sh3d_living").is_dir()


def test_a_renamed_scene_keeps_its_labels(parts: Parts, bench: Workbench) -> None:
    label(bench, "hall")
    shown = parts.actions.rename("hall", "Grandma's attic", frozenset(), None)
    assert "Grandma&#x27;s attic" in shown[3]
    assert shown[7] == "Grandma's attic"
    assert ("Grandma's attic", "hall") in bench.scene_choices()
    assert len(bench.labels.current("hall")) == 1
    assert bench.stale_labels(bench.labels.current("hall")) == []
    parts.actions.rename("hall", "hall", frozenset(), None)
    assert ("hall", "hall") in bench.scene_choices()


def test_a_removed_scene_leaves_its_labels_and_says_so(parts: Parts, bench: Workbench, tmp_path: Path) -> None:
    assert "It has no labels." in parts.actions.ask_removal("hall")[1]
    label(bench, "hall")
    asked_of, question, row = parts.actions.ask_removal("hall")
    assert (asked_of, row["visible"]) == ("hall", True)
    assert f"folder {tmp_path / 'scenes' / 'hall'} is deleted" in question
    assert "Labels on it (1) stay in the database, and count again" in question
    with pytest.raises(MaskgroupError, match="nothing was removed"):
        parts.actions.remove("hall", "tiny", frozenset(), None)
    shown = parts.actions.remove("hall", "hall", frozenset(), None)
    assert shown[6] == ""
    assert "hall" not in bench.scene_names()
    assert len(bench.labels.current("hall")) == 1
    import_scene(tmp_path / "given" / "tiny", tmp_path / "scenes", name="hall")
    assert bench.stale_labels(bench.labels.current("hall")) == []


def test_a_scene_that_is_being_grouped_stays(parts: Parts, bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()

    def held(*_: Any, **__: Any) -> Any:
        assert goes_on.wait(60)
        raise GroupingCancelled("It was stopped.")

    monkeypatch.setattr(grouping_runs, "group_scene", held)
    worker = parts.runs.start("hall")
    assert worker is not None
    with pytest.raises(MaskgroupError, match="is being grouped"):
        parts.actions.remove("hall", "hall", frozenset(), None)
    assert "hall" in bench.scene_names()
    goes_on.set()
    worker.join()
    parts.actions.remove("hall", "hall", frozenset(), None)
    assert parts.runs.state("hall") is None


def test_an_upload_is_imported_for_its_own_browser_only(parts: Parts, tmp_path: Path) -> None:
    (request, browser), (stranger, _) = parts.request(), parts.request()
    room = tmp_path / "given" / "tiny"
    for path in sorted(room.rglob("*.*")):
        file = parts.uploads.open_file(browser, BATCH, f"attic/{path.relative_to(room).as_posix()}", path.stat().st_size)
        assert file is not None
        file.write(path.read_bytes())
        file.close()
    event: Any = SimpleNamespace(upload=BATCH)
    parts.actions.drop_upload(stranger, event)
    for other in (stranger, SimpleNamespace(cookies={}, query_params={})):
        with pytest.raises(UploadError, match="no such upload"):
            parts.actions.take_upload(other, "", frozenset(), None, event)
    parts.actions.take_upload(request, "Attic, left", frozenset(), None, event)
    wait_for_imports()
    assert parts.imports.states()[0].scene == "Attic, left"
    assert list((tmp_path / "uploads").iterdir()) == []


def test_a_failed_import_is_one_toast_in_each_page(parts: Parts, toasts: list[str], tmp_path: Path) -> None:
    (tmp_path / "given" / "<img src=x>").mkdir()
    parts.imports.start_path("<img src=x>").join()
    told, drawn, *_ = parts.actions.poll(frozenset(), None)
    assert len(toasts) == 1
    assert "<" not in toasts[0]
    assert "found nothing" in toasts[0]
    parts.actions.poll(told, drawn)
    assert len(toasts) == 1
    request, _ = parts.request()
    parts.actions.open_tab(request, False, "")
    assert len(toasts) == 1, "what ended before a page was opened is listed, and no news"


def test_what_has_not_changed_is_not_sent_again(parts: Parts) -> None:
    told, drawn, *first, _ = parts.actions.show_news(frozenset(), None, "hall")
    assert all(isinstance(html, str) for html in first[1:])
    _, again, *second, timer = parts.actions.poll(told, drawn)[:6]
    assert again == drawn
    assert second == [leave_as_is()] * 3
    assert timer.active is False


def test_a_tick_that_is_older_than_a_click_does_not_close_the_details(parts: Parts) -> None:
    event: Any = SimpleNamespace(scene="hall")
    told, drawn, *_ = parts.actions.poll(frozenset(), None)
    picked = parts.actions.pick(told, drawn, event)
    assert "hall" in picked[4]
    # The page sent it before it had the answer to the click, and so knew of no details.
    _, _, *changed, _ = parts.actions.poll(told, picked[1])[:6]
    assert changed == [leave_as_is()] * 3


@pytest.mark.parametrize("end", ["import", "card"])
def test_what_ends_while_the_page_is_drawn_is_shown_by_the_next_tick(
    parts: Parts, cards: SceneCards, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    running, ended = ImportState(1, "a.zip", words="Copying"), ImportState(1, "a.zip", "cancelled")
    states = [running if end == "import" else ended, ended, ended]
    seen = [None if end == "card" else SceneCard("0"), SceneCard("0"), SceneCard("0")]
    monkeypatch.setattr(parts.imports, "states", lambda: [states.pop(0)] if len(states) > 1 else states)
    monkeypatch.setattr(cards, "get", lambda scene: seen.pop(0) if len(seen) > 1 else seen[0])
    told, drawn, *_, timer = parts.actions.poll(frozenset(), None)[:6]
    assert timer.active
    *_, timer = parts.actions.poll(told, drawn)[:6]
    assert not timer.active


def test_a_finding_is_mended_in_a_copy_that_the_page_then_shows(
    parts: Parts, bench: Workbench, cards: SceneCards, tmp_path: Path
) -> None:
    room = write_dining_room(tmp_path / "scenes" / "dining")
    SPOILED["OpenGL axes and other units"][0](room)
    before = {path: path.read_bytes() for path in room.rglob("*") if path.is_file()}
    cards.get(bench.find_listed("dining"))
    cards.wait()
    html = page.show_details(bench, page.look_up(bench, cards), "dining")
    assert "Turn the poses to camera-to-world with OpenCV axes" in html
    card = cards.get(bench.find_listed("dining"))
    assert card is not None
    number = next(place for place, one in enumerate(card.mends) if one.conventions)
    assert f"data-mend='{number}'" in html
    told, drawn, *_ = parts.actions.pick(frozenset(), None, event(scene="dining"))
    for wrong in ({"key": "old", "finding": number}, {"key": card.key, "finding": 99}):
        with pytest.raises(MaskgroupError, match=r"changed|nothing in this"):
            parts.actions.mend(told, drawn, event(scene="dining", **wrong))
    told, drawn, *_ = parts.actions.mend(told, drawn, event(scene="dining", key=card.key, finding=float(number)))
    wait_for_imports()
    assert {path: path.read_bytes() for path in room.rglob("*") if path.is_file()} == before
    (state,) = parts.imports.states()
    assert (state.status, state.scene, state.of, state.task) == ("done", "dining_mended", "dining", "mend"), state.message
    assert "Poses were read as OpenGL axes" in state.message
    html = page.show_imports([state])
    assert "<b>dining</b> was mended in the copy <b>dining_mended</b>." in html
    told, drawn, *shown = parts.actions.poll(told, drawn)
    assert shown[4] == "dining_mended"
    assert "data-scene='dining_mended'" in shown[2]
    # Once: a person who goes back to the scene stays there.
    parts.actions.pick(told, drawn, event(scene="dining"))
    assert parts.actions.poll(told, drawn)[6] == leave_as_is()


def test_a_copy_of_another_scene_does_not_take_the_page_away(parts: Parts) -> None:
    state = ImportState(1, "tiny", "done", scene="tiny_masks", task="masks", of="tiny")
    assert page.find_copy([state], frozenset(), "tiny") == "tiny_masks"
    for told, chosen in ((frozenset({1}), "tiny"), (frozenset[int](), "hall"), (frozenset[int](), "")):
        assert page.find_copy([state], told, chosen) is None


def test_several_mends_are_offered_at_once(bench: Workbench, cards: SceneCards) -> None:
    axes, units = Mends(conventions=("OpenGL axes",)), Mends(depth_factor=5.0)
    findings = (Finding("poses", "doubt", "p"), Finding("depth", "doubt", "d"), Finding("masks", "ok", "m"))
    both = SceneCard("0", findings=findings, mends=(axes, units, Mends()))
    assert page.say_all_mends(both) == "Turn the poses to camera-to-world with OpenCV axes and divide depth by 5"
    assert both.all_mends == Mends(("OpenGL axes",), 5.0)
    assert page.say_all_mends(SceneCard("0", findings=findings, mends=(axes, axes, Mends()))) == ""
    assert [one.mend != "" for one in page.show_findings("hall", both)] == [True, True, False]


def test_masks_are_made_in_a_copy_and_stopped_without_a_trace(parts: Parts, bench: Workbench, tmp_path: Path) -> None:
    parts.actions.make_masks(frozenset(), None, event(scene="tiny", kind="built-in"))
    wait_for_imports()
    (state,) = parts.imports.states()
    assert (state.status, state.scene) == ("done", "tiny_masks"), state.message
    assert "masks by surfaces" in state.message
    assert bench.masks("tiny_masks", "0")
    assert not (tmp_path / "given" / "tiny" / "masks").exists()
    for kind in ("model", "x"):
        with pytest.raises(MaskgroupError, match="without a mask generator"):
            parts.actions.make_masks(frozenset(), None, event(scene="tiny", kind=kind))
    with pytest.raises(MaskgroupError, match="no scene"):
        parts.actions.make_masks(frozenset(), None, event(scene="../tiny", kind="built-in"))


def test_the_same_is_not_made_twice_at_once_and_is_stopped(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()
    real = scene_copies.open_segmenter

    def held() -> Segmenter:
        assert goes_on.wait(60)
        return real()

    monkeypatch.setattr(scene_copies, "open_segmenter", held)
    worker = parts.copies.make_masks("tiny", "built-in")
    with pytest.raises(MaskgroupError, match="being done with tiny already"):
        parts.copies.make_masks("tiny", "built-in")
    parts.imports.cancel(1)
    goes_on.set()
    worker.join()
    (state,) = parts.imports.states()
    assert (state.status, state.message) == ("cancelled", "The segmentation was stopped; nothing was kept.")
    assert "<b>tiny</b> got no masks: The segmentation was stopped" in page.show_imports([state])
    assert [path.name for path in (tmp_path / "scenes").iterdir()] == ["hall"]


def test_an_imported_scene_without_masks_gets_them_itself(parts: Parts, bench: Workbench, tmp_path: Path) -> None:
    write_transforms(tmp_path / "given" / "tiny", tmp_path / "scenes" / "photos")
    with pytest.raises(MaskgroupError):
        bench.masks("photos", bench.views("photos")[0])
    parts.copies.make_masks("photos", "built-in").join()
    (state,) = parts.imports.states()
    assert (state.status, state.scene) == ("done", "photos"), state.message
    assert "<b>photos</b> was given masks. It has" in page.show_imports([state])
    assert all(bench.masks("photos", view) for view in bench.views("photos"))
    assert parts.runs.start("photos") is not None
    wait_for_imports("grouping-")
    grouped = parts.runs.state("photos")
    assert grouped is not None
    assert grouped.status == "done", grouped.message
    # It has some now: from here on a copy is made.
    parts.copies.make_masks("photos", "built-in").join()
    assert parts.imports.states()[0].scene == "photos_masks"


def test_imports_say_where_they_stand() -> None:
    states = [
        ImportState(3, "c.zip", words="Copying: 2 of 4 files", share=0.3),
        ImportState(2, "<b>", "failed", message="<b>: found nothing."),
        ImportState(1, "a.zip", "done", scene="a b"),
    ]
    html = page.show_imports(states)
    assert "data-act='stop' data-import='3'" in html
    assert "width:30%" in html
    assert "<b>&lt;b&gt;</b> was not imported: found nothing." in html
    assert "href='?tab=scenes&amp;scene=a+b'" in html


def test_buttons_of_imports_act_on_their_own(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, int]] = []
    monkeypatch.setattr(parts.imports, "cancel", lambda number: done.append(("cancel", number)))
    monkeypatch.setattr(parts.imports, "dismiss", lambda number: done.append(("dismiss", number)))
    for what in ("stop", "dismiss"):
        parts.actions.act(frozenset(), None, SimpleNamespace(what=what, number=4.0))  # type: ignore[arg-type]
    assert done == [("cancel", 4), ("dismiss", 4)]


def test_the_drop_zone_states_the_limits() -> None:
    html = page.show_drop(3 * 2**20)
    assert "Up to 3 MB and 5,000 files at once" in html
    assert "data-max-mb='3'" in html
    assert "transforms, colmap, trajectory, posed masks" in html
