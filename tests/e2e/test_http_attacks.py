"""Attacks on the real server by HTTP: no file of the machine is read, none outside its folder written, nobody kept waiting."""

from __future__ import annotations

import json
import re
import socket
import stat
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.e2e.conftest import SECRET
from tests.http_attacker import Answer, Attacker, canary
from tests.tiny_room import NAME

ENOUGH = 10
"""Reports by which a median is one."""


@pytest.fixture(scope="module")
def handlers(attacker: Attacker) -> list[tuple[int, str, int]]:
    """Number, name and count of inputs of every handler, public and private."""
    found = attacker.get("/config").json["dependencies"]
    listed = [(entry["id"], entry["api_name"] or f"fn{entry['id']}", len(entry["inputs"])) for entry in found]
    assert len(listed) > 100
    return listed


def file_data(path: Any, **more: Any) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


def payloads(folder: Path, address: str) -> list[Any]:
    """What Gradio could take for a file, as itself and within others."""
    database, secret = str(folder / "data" / "labels.db"), str(folder / "secret.txt")
    plain = [
        file_data("/etc/passwd"),
        file_data(database),
        file_data(secret, url=secret),
        file_data(f"file://{secret}"),
        file_data(f"{address}/path"),
        file_data("http://169.254.169.254/latest/meta-data/"),
        file_data("http://[::1]:80/"),
        file_data(f"{address.upper()}/path"),
        file_data(None, url=f"{address}/url"),
        file_data(str(folder / "data" / "served" / ".." / "labels.db")),
        file_data("/proc/self/environ", is_stream=True),
        {"url": f"{address}/bare"},
        {"path": secret},
    ]
    nested = [[{"x": [plain[1]]}], {"scene": NAME, "first": plain[2]}, {"root": [{"image": plain[4], "caption": "c"}]}]
    return [*plain, *nested]


def test_no_handler_takes_a_file_or_an_address_on_any_route(
    attacker: Attacker, handlers: list[tuple[int, str, int]], folder: Path
) -> None:
    with canary() as (address, asked):
        for payload in payloads(folder, address):
            for number, name, inputs in handlers:
                data = [payload] * max(inputs, 1)
                joined = attacker.post("/gradio_api/queue/join", {"data": data, "fn_index": number, "session_hash": "attacker"})
                called = attacker.post(f"/gradio_api/call/{name}", {"data": data})
                assert (joined.status, called.status) == (403, 403), (name, payload)
        for name in ("next_cards", "answer", "hints", "undo", "pause"):
            for payload in payloads(folder, address):
                values = {"data": payload, "component_id": 1, "session_hash": "s", "fn_name": name}
                assert attacker.post("/gradio_api/component_server", values).status == 403
        event = {"data": [1], "fn_index": 0, "session_hash": "s", "event_data": file_data("/etc/passwd")}
        assert attacker.post("/gradio_api/queue/join", event).status == 403
        assert asked == []
    assert not copies_of_secrets(folder)


def copies_of_secrets(folder: Path) -> list[Path]:
    """Return files that the app made and that hold what was asked for."""
    inside = (path for path in (folder / "data" / "served").rglob("*") if path.is_file())
    return [path for path in inside if re.search(rb"root:|SQLite format 3|only-for-the-owner", path.read_bytes())]


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/run/promote",
        "/gradio_api/api/promote",
        "/gradio_api/run/review_next_cards/",
        "/gradio_api/vibe-code/",
        "/gradio_api/vibe-edit",
        "/gradio_api/undo-vibe-edit",
        "/gradio_api/process_recording",
        "/gradio_api/stream/x",
        "/gradio_api/run-history/connect",
        "/login",
        "/gradio_api/profiling/clear",
        "/gradio_api/mcp/",
        "/",
        "/config",
        "/maskgroup/report/shipped",
    ],
)
def test_addresses_that_no_page_posts_to_are_shut(attacker: Attacker, path: str) -> None:
    assert attacker.post(path, {"data": ["x"], "body": "x"}, Cookie=attacker.page_cookie()).status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/gradio_api/proxy=https://example.hf.space/",
        "/gradio_api/stream/s/r/1/playlist.m3u8",
        "/gradio_api/file/etc/passwd",
        "/gradio_api/deep_link?session_hash=x",
        "/gradio_api/runs",
        "/gradio_api/run-history/buckets",
        "/gradio_api/dev/reload",
        "/gradio_api/vibe-code",
        "/gradio_api/openapi.json",
        "/gradio_api/custom_component/a/client/b/c",
        "/monitoring",
        "/monitoring/summary",
        "/docs",
        "/openapi.json",
        "/pwa_icon",
        "/nothing/here",
    ],
)
def test_addresses_that_no_page_reads_are_shut(attacker: Attacker, path: str) -> None:
    assert attacker.get(path).status == 404


def test_no_file_of_the_machine_and_no_address_is_served(attacker: Attacker, folder: Path) -> None:
    served = folder / "data" / "served"
    with canary() as (address, asked):
        for path in (
            "/etc/passwd",
            "etc/passwd",
            str(folder / "secret.txt"),
            str(folder / "data" / "labels.db"),
            f"{served}/../labels.db",
            f"{served}/%2e%2e/labels.db",
            f"{served}/.lock",
            f"{served}/",
            "pyproject.toml",
            "/proc/self/environ",
            "/dev/zero",
            str(folder / "fifo"),
            f"file://{folder}/secret.txt",
            f"{address}/file",
            f"%0a{address}/file",
            address.replace("://", ":/"),
            "//127.0.0.1/x",
            "%00/etc/passwd",
        ):
            answer = attacker.get(f"/gradio_api/file={path}")
            assert answer.status in (400, 403, 404), path
            assert SECRET.encode() not in answer.body
        for prefix in ("/static/", "/assets/", "/svelte/"):
            for path in (
                "../../../../etc/passwd",
                "%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
                "/etc/passwd",
                "..%5c..%5cetc%5cpasswd",
            ):
                assert attacker.get(prefix + path).status in (400, 403, 404)
        assert asked == []


def test_a_read_of_zeros_a_pipe_or_two_gigabytes_keeps_nobody_waiting(attacker: Attacker, folder: Path) -> None:
    # Each of these would be waited for until the attacker gives up, if it were opened.
    for path in ("/dev/zero", str(folder / "fifo"), str(folder / "huge")):
        assert attacker.post("/gradio_api/call/review_pause", {"data": [file_data(path)]}).status == 403
        assert attacker.get(f"/gradio_api/file={path}").status == 403
        assert attacker.get("/gradio_api/app_id").status == 200


def test_slow_work_and_slow_senders_keep_nobody_waiting(attacker: Attacker) -> None:
    """While reports are drawn and requests trickle in, a small question is answered in between, not after a report."""
    done = threading.Event()
    reports: list[float] = []

    def work() -> None:
        while not done.is_set():
            started = time.monotonic()
            assert attacker.get("/maskgroup/report/shipped").status == 200
            reports.append(time.monotonic() - started)
            attacker.get("/maskgroup/cloud/" + NAME)

    trickling = []
    for _ in range(20):
        connection = socket.create_connection((attacker.host, attacker.port))
        head = "POST /gradio_api/queue/join HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000"
        connection.sendall(f"{head}\r\n\r\n{{".encode())
        trickling.append(connection)
    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    waits: list[float] = []
    try:
        until = time.monotonic() + 8
        while time.monotonic() < until or (len(reports) < ENOUGH and workers[0].is_alive()):
            started = time.monotonic()
            assert attacker.get("/gradio_api/app_id").status == 200
            waits.append(time.monotonic() - started)
            time.sleep(0.05)
    finally:
        done.set()
        for worker in workers:
            worker.join()
        for connection in trickling:
            connection.close()
    assert len(reports) >= ENOUGH
    # As a ratio, which no slow machine changes.
    assert median(waits) < median(reports) / 2


NO_JSON = {
    "lists": "[" * 100_000,
    "objects": '{"a":' * 100_000,
    "nan": '{"data":[NaN]}',
    "cut": "{",
    "words": "nonsense",
    "digits": '{"data": ' + "9" * 5000 + "}",
    "half a character": "\ud83d".encode("utf-8", "surrogatepass"),
}


@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
def test_what_is_no_json_is_refused(attacker: Attacker, body: str | bytes) -> None:
    answer = attacker.send("POST", "/gradio_api/queue/join", body, {"Content-Type": "application/json"})
    assert answer.status == 400
    assert attacker.get("/gradio_api/app_id").status == 200


def test_requests_are_bounded_and_of_the_expected_kind(attacker: Attacker) -> None:
    large = json.dumps({"data": ["x" * 2**21]})
    assert attacker.send("POST", "/gradio_api/queue/join", large, {"Content-Type": "application/json"}).status == 413
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        assert attacker.send("POST", "/gradio_api/component_server", "{}", {"Content-Type": kind}).status == 415
    assert attacker.get("/?" + "x" * 20_000).status in (400, 431)


def upload(attacker: Attacker, content: bytes, name: str = "a.txt") -> Answer:
    head = f"Content-Disposition: form-data; name=files; filename={json.dumps(name)}".encode()
    body = b"--b\r\n" + head + b"\r\n\r\n" + content + b"\r\n--b--\r\n"
    return attacker.send("POST", "/gradio_api/upload", body, {"Content-Type": "multipart/form-data; boundary=b"})


def test_uploads_stay_in_the_private_folder_and_have_a_bound(attacker: Attacker, folder: Path) -> None:
    before = {path for path in folder.rglob("*") if "served" not in path.parts}
    for name in ("a.html", "a.svg", "a.txt", "../../../escaped.txt", "/tmp/escaped.txt", "..\\..\\escaped.txt", "a\0b", "." * 300):
        answer = upload(attacker, b"<script>alert(1)</script>", name)
        if answer.status == 200:
            (path,) = answer.json
            assert Path(path).resolve().is_relative_to((folder / "data" / "served").resolve())
            assert stat.S_IMODE(Path(path).stat().st_mode) & 0o077 == 0
            got = attacker.get(f"/gradio_api/file={path}")
            assert got.headers["content-type"].partition(";")[0] in ("application/octet-stream", "text/plain")
            assert got.headers["x-content-type-options"] == "nosniff"
    assert {path for path in folder.rglob("*") if "served" not in path.parts} == before
    assert upload(attacker, b"x" * (13 * 2**20)).status == 413
    answers = [upload(attacker, bytes([number]) * (9 * 2**20)) for number in range(25)]
    assert answers[0].status == 200
    assert answers[-1].status == 413
    assert "try again in" in answers[-1].json["error"]
    assert attacker.get("/gradio_api/app_id").status == 200


def test_what_changes_something_is_refused_without_the_page(attacker: Attacker) -> None:
    cookie = attacker.page_cookie()
    name, _, value = cookie.partition("=")
    forged = [f"{name}={'0' * 32}.{'0' * 64}", f"{name}={value[:-1]}x", f"{name}=", "maskgroup=x"]
    # Handlers without choosers among their inputs: those check what was chosen first.
    for handler, data in (("roll_back", []), ("choose_share", [50]), ("settle", ["1", 0, "me"]), ("cancel_2", ["shipped"])):
        for headers in ({}, *({"Cookie": text} for text in forged)):
            assert (
                "Only the app&#39;s own page may"
                in json.loads(attacker.call(handler, data, **headers).partition("data: ")[2])["error"]
            )
        assert "own page may" not in attacker.call(handler, data, Cookie=cookie)


def test_nobody_takes_back_the_label_of_another(attacker: Attacker) -> None:
    wanted = {"scene": NAME, "queue": "random", "annotator": "ann", "session": "a"}
    card = attacker.ask("next_cards", {**wanted, "count": 1, "blind": True})["cards"][0]
    label = attacker.ask("answer", {**wanted, "pair": card["pair"], "decision": "same", "seconds": 1.0})["label"]
    refused = attacker.ask("undo", {**wanted, "annotator": "bob", "label": label})
    assert "is ann's, and you are bob" in refused["error"]
    assert "bob" not in str(attacker.call("review_undo", [{**wanted, "label": label}]))
    assert "undone before" in attacker.ask("undo", {**wanted, "label": label})["error"]
