"""Attacks on uploads of scenes, over HTTP against the real server: nothing is read, written elsewhere, or kept without bound."""

from __future__ import annotations

import contextlib
import http.client
import json
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from tests.browser.app_process import running_app
from tests.format_rooms import write_room
from tests.http_attacker import TIMEOUT_S, Answer, Attacker
from tests.tiny_room import write_tiny_room

UPLOAD = "/maskgroup/scenes/upload"
BATCH = "ab" * 16
BYTES = {"Content-Type": "application/octet-stream"}
MAX_MB = 2


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("uploads-attacked")
    write_tiny_room(place / "scenes")
    return place


@pytest.fixture(scope="module")
def attacker(place: Path) -> Iterator[Attacker]:
    flags = ("--scenes", str(place / "scenes"), "--max-upload-mb", str(MAX_MB))
    with running_app(place / "data" / "labels.db", *flags) as address:
        yield Attacker(address)


def send(attacker: Attacker, path: str, body: bytes, *, batch: str = BATCH, cookie: str | None = None, **headers: str) -> Answer:
    query = urlencode({"upload": batch, "path": path})
    given = {
        **BYTES,
        **({"Cookie": cookie} if cookie else {}),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return attacker.send("POST", f"{UPLOAD}?{query}", body, given)


def uploaded(place: Path) -> list[Path]:
    return [path for path in (place / "data" / "uploads").rglob("*") if path.is_file() and not path.name.endswith(".lock")]


def test_only_a_page_of_the_app_may_send_and_only_bytes(attacker: Attacker, place: Path) -> None:
    cookie = attacker.page_cookie()
    assert send(attacker, "a.zip", b"x").status == 403
    assert send(attacker, "a.zip", b"x", cookie="maskgroup-0=x.y").status == 403
    assert send(attacker, "a.zip", b"x", cookie=cookie, Origin="http://evil.example").status == 403
    assert send(attacker, "a.zip", b"x", cookie=cookie, Sec_Fetch_Site="cross-site").status == 403
    for kind in ("text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "application/json", ""):
        assert send(attacker, "a.zip", b"x", cookie=cookie, Content_Type=kind).status == 415
    assert attacker.get(f"{UPLOAD}?upload={BATCH}&path=a", Cookie=cookie).status in (404, 405)
    assert uploaded(place) == []


@pytest.mark.parametrize(
    "path", ["../../escaped", "/tmp/escaped", "a/../../escaped", "..\\escaped", "C:\\escaped", "a\0", "a" * 300]
)
def test_no_file_goes_elsewhere(attacker: Attacker, place: Path, path: str) -> None:
    answer = send(attacker, path, b"x", cookie=attacker.page_cookie())
    assert answer.status == 413
    assert "cannot be taken" in answer.json["error"]
    assert not list(place.rglob("escaped"))
    assert uploaded(place) == []


def test_it_has_bounds_whatever_it_announces(attacker: Attacker, place: Path) -> None:
    cookie = attacker.page_cookie()
    answer = send(attacker, "a.zip", b"", cookie=cookie, Content_Length=str(2**40))
    assert (answer.status, "may have 2 MB" in answer.json["error"]) == (413, True)
    # Without a length, in pieces.
    connection = http.client.HTTPConnection(attacker.host, attacker.port, timeout=TIMEOUT_S)
    # The answer comes before all pieces are sent, and may end their sending.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request(
            "POST", f"{UPLOAD}?upload={BATCH}&path=a.zip", iter([b"x"] * 3), {**BYTES, "Cookie": cookie}, encode_chunked=True
        )
    assert connection.getresponse().status == 413
    connection.close()
    assert send(attacker, "a.zip", bytes(2**20), cookie=cookie).json == {"taken": True}
    assert send(attacker, "b.zip", bytes(2**20 + 1), cookie=cookie).status == 413
    # Cut off: what has come is deleted.
    cut = http.client.HTTPConnection(attacker.host, attacker.port, timeout=TIMEOUT_S)
    cut.putrequest("POST", f"{UPLOAD}?upload={BATCH}&path=cut.zip")
    for name, value in {**BYTES, "Cookie": cookie, "Content-Length": "1000"}.items():
        cut.putheader(name, value)
    cut.endheaders(b"x" * 10)
    cut.close()
    assert send(attacker, "c.zip", b"", cookie=cookie, batch="not a name").status == 413
    assert call(attacker, "drop_upload", {"upload": BATCH}, cookie) == "complete"
    assert [path.name for path in uploaded(place) if path.name != "cut.zip"] == []


def call(attacker: Attacker, name: str, event: object, cookie: str | None) -> str:
    """Trigger an event of the drop zone as the page does; returns how it ended."""
    entry = next(one for one in attacker.get("/config").json["dependencies"] if one["api_name"] == name)
    values = {
        "data": [None] * len(entry["inputs"]),
        "fn_index": entry["id"],
        "event_data": event,
        "trigger_id": entry["targets"][0][0],
        "session_hash": f"attack-{name}",
    }
    headers = {"Content-Type": "application/json", **({"Cookie": cookie} if cookie else {})}
    assert attacker.send("POST", "/gradio_api/queue/join", json.dumps(values), headers).status == 200
    told = attacker.send("GET", f"/gradio_api/queue/data?session_hash=attack-{name}", headers=headers).body.decode()
    last = [json.loads(line[6:]) for line in told.splitlines() if line.startswith("data: ") and "process_completed" in line][-1]
    return "complete" if last["success"] else str(last["output"]["error"])


def test_nobody_else_s_upload_can_be_imported_or_dropped_or_read(attacker: Attacker, place: Path) -> None:
    owner, thief = attacker.page_cookie(), attacker.page_cookie()
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("notes.txt", "private")
    assert send(attacker, "private.zip", packed.getvalue(), cookie=owner).json == {"taken": True}
    (file,) = [path for path in uploaded(place) if path.name == "private.zip"]
    for path in (str(file), f"../{file.relative_to(place / 'data')}"):
        assert attacker.get(f"/gradio_api/file={quote(path)}", Cookie=thief).status == 403
    assert "no such upload" in call(attacker, "take_upload", {"upload": BATCH}, thief)
    assert "no such upload" in call(attacker, "take_upload", {"upload": str(file)}, owner)
    assert "Only the app" in call(attacker, "take_upload", {"upload": BATCH}, None)
    assert call(attacker, "drop_upload", {"upload": BATCH}, thief) == "complete"
    assert file.exists()
    assert call(attacker, "drop_upload", {"upload": BATCH}, owner) == "complete"
    assert not file.exists()


def test_no_path_of_the_machine_is_imported_and_nothing_removed(attacker: Attacker, place: Path) -> None:
    cookie = attacker.page_cookie()
    for name in ("take_path", "remove", "rename", "ask_removal", "mend", "make_masks", "copy_to_edit"):
        assert call(attacker, name, None, cookie) != "complete"
        assert "Only the app" in call(attacker, name, None, None)
    assert (place / "scenes" / "tiny").is_dir()
    assert list((place / "data").glob("scenes/tiny*")) == []


def test_masks_are_edited_by_a_page_of_the_app_only_and_in_imported_scenes_only(attacker: Attacker, place: Path) -> None:
    mine = write_room(place / "scenes" / "tiny", place / "data" / "scenes" / "mine", "posed masks", "png")
    before = {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()}
    cookie = attacker.page_cookie()
    where = {"token": "a" * 32, "scene": "mine", "view": "2"}
    for name in ("open_view", "change_masks", "save_masks", "close_view"):
        refused = attacker.ask_element(name, where, "mg-mask-editor")
        assert refused.status == 500, "Gradio's answer where a handler refuses"
        assert b"step" not in refused.body
    opened = attacker.ask("open_view", where, element="mg-mask-editor", Cookie=cookie)
    draw = {**where, "do": "remove", "step": opened["step"], "masks": [1]}
    for scene, view in (("tiny", "2"), ("../scenes/mine", "2"), ("/etc", "2"), ("mine", "../0"), ("mine", "../../x")):
        for name in ("open_view", "change_masks", "save_masks"):
            answer = attacker.ask(name, {**draw, "scene": scene, "view": view}, element="mg-mask-editor", Cookie=cookie)
            assert answer.keys() & {"error", "fault"}, answer
    stranger = {**draw, "token": "b" * 32}
    assert "begin anew" in attacker.ask("change_masks", stranger, element="mg-mask-editor", Cookie=cookie)["error"]
    assert "masks" not in attacker.ask("change_masks", [1], element="mg-mask-editor", Cookie=cookie)
    for query in ("scene=mine&view=../masks/2", "scene=../scenes/mine&view=2", "scene=none&view=2"):
        assert attacker.get(f"/maskgroup/scenes/photo?{query}", Cookie=cookie).status == 404
    assert attacker.get("/maskgroup/scenes/photo?scene=mine&view=2").headers["content-type"] == "image/jpeg"
    assert {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()} == before
    assert len(attacker.ask("change_masks", draw, element="mg-mask-editor", Cookie=cookie)["colors"]) == 1


@pytest.mark.parametrize(
    "query", ["scene=tiny&kind=../../labels.db", "scene=../scenes/tiny&kind=photo", "scene=%2Fetc&kind=passwd"]
)
def test_pictures_are_all_that_is_read(attacker: Attacker, query: str) -> None:
    answer = attacker.get(f"/maskgroup/scenes/picture?{query}", Cookie=attacker.page_cookie())
    assert answer.status == 404
    assert attacker.get(f"/maskgroup/scenes/picture?{query}").status == 404
