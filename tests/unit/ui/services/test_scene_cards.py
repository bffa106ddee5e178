"""Pictures and findings of scenes, made in the background and kept."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import SceneError
from engine.importing import import_scene
from engine.scenes.scene_settings import write_title
from tests.tiny_room import write_tiny_room
from ui.services import scene_cards
from ui.services.scene_cards import DEPTH, FILE, KINDS, MASKS, PHOTO, SceneCard, SceneCards
from ui.services.scene_list import ListedScene, SceneFolders


@pytest.fixture
def room(tmp_path: Path) -> Path:
    return write_tiny_room(tmp_path / "scenes")


@pytest.fixture
def cards(tmp_path: Path) -> SceneCards:
    return SceneCards(tmp_path / "cards")


def listed(room: Path) -> ListedScene:
    found = SceneFolders(room.parent).find(room.name)
    assert found is not None
    return found


def made(cards: SceneCards, scene: ListedScene) -> SceneCard:
    cards.get(scene)
    cards.wait()
    card = cards.get(scene)
    assert card is not None
    return card


def test_a_card_is_made_once_and_kept(cards: SceneCards, room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = listed(room)
    assert cards.get(scene) is None
    cards.wait()
    card = cards.get(scene)
    assert card is not None
    assert (card.n_masks, card.n_looked_at, card.doubts, card.problem) == (6, 3, [], "")
    assert card.pictures == {MASKS[0]: "0", MASKS[1]: "2", MASKS[2]: "10", PHOTO: "2", DEPTH: "2"}
    for kind in KINDS:
        picture = Image.open(io.BytesIO(cards.picture(scene, kind)))
        assert (picture.format, picture.size) == ("JPEG", (320, 240))
    lit = np.asarray(Image.open(io.BytesIO(cards.picture(scene, MASKS[1]))), np.int16)
    plain = np.asarray(Image.open(io.BytesIO(cards.picture(scene, PHOTO))), np.int16)
    assert np.abs(lit - plain).max() > 60, "masks are seen"

    monkeypatch.setattr(scene_cards, "make_card", None)
    again = SceneCards(tmp_path / "cards").get(scene)
    assert again is not None
    assert [(one.topic, one.level, one.text) for one in again.findings] == [(o.topic, o.level, o.text) for o in card.findings]
    assert again.pictures == card.pictures


def test_a_scene_that_changed_is_looked_at_again(cards: SceneCards, room: Path) -> None:
    before = made(cards, listed(room))
    write_title(room, "Attic")
    assert cards.get(listed(room)) is None
    assert made(cards, listed(room)).key != before.key


def test_what_an_import_found_is_not_looked_for_again(cards: SceneCards, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = import_scene(room, room.parent, name="hall")
    cards.know(imported)
    monkeypatch.setattr(scene_cards, "check_scene", None)
    card = made(cards, listed(imported.folder))
    assert card.findings == imported.report.findings
    assert card.pictures is not None
    assert set(card.pictures) == set(KINDS)


def test_a_scene_that_cannot_be_read_says_why_and_stops_no_other(cards: SceneCards, room: Path) -> None:
    broken = import_scene(room, room.parent, name="broken").folder
    scenes = [listed(broken), listed(room)]
    (broken / "intrinsics.txt").write_text("x")
    for scene in scenes:
        cards.get(scene)
    cards.wait()
    card = cards.get(scenes[0])
    assert card is not None
    assert "intrinsics.txt" in card.problem
    assert made(cards, scenes[1]).problem == ""


def test_a_fault_of_the_program_is_said(cards: SceneCards, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_cards, "make_card", None)
    assert "by a mistake of the program" in made(cards, listed(room)).problem


@pytest.mark.parametrize("kind", ["", "card.json", "../card", "masks-9", "photo.jpg", "/etc/passwd"])
def test_nothing_but_pictures_is_given_out(cards: SceneCards, room: Path, kind: str) -> None:
    made(cards, listed(room))
    with pytest.raises(SceneError, match="no such picture"):
        cards.picture(listed(room), kind)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": 1}', '{"version": 0}', "x", '{"version": 1, "findings": 3}'])
def test_a_broken_card_is_made_anew(cards: SceneCards, room: Path, tmp_path: Path, content: str) -> None:
    card = made(cards, listed(room))
    file = tmp_path / "cards" / card.key / FILE
    file.write_text(content)
    assert made(SceneCards(tmp_path / "cards"), listed(room)).n_masks == 6
    assert json.loads(file.read_text())["n_masks"] == 6


def test_old_cards_are_deleted(cards: SceneCards, room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_cards, "MAX_KEPT", 2)
    for title in ("a", "b", "c"):
        write_title(room, title)
        made(cards, listed(room))
    assert len(list((tmp_path / "cards").iterdir())) == 2
