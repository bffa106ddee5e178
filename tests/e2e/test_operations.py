"""What those who run the real app ask it: is it alive, is it ready, what has it counted; and who may ask that."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.browser.app_process import running_app
from tests.e2e.test_label_durability import ask_for_pairs
from tests.http_attacker import Attacker
from tests.tiny_room import NAME, write_tiny_room


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("operated")
    write_tiny_room(folder / "scenes")
    return folder


@pytest.fixture(scope="module")
def app(folder: Path) -> Iterator[Attacker]:
    flags = ("--scenes", str(folder / "scenes"), "--allowed-host", "lab.example", "--log-format", "json", "--log-level", "debug")
    proxies = ("--trusted-proxy", "127.0.0.1", "--metrics-from", "203.0.113.0/24", "--root-path", "/lab")
    with running_app(folder / "data" / "labels.db", *flags, *proxies) as address:
        yield Attacker(address)


def read_metrics(app: Attacker) -> dict[str, float]:
    """Return what is counted, by name and labels."""
    answer = app.get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        sample.name + json.dumps(sample.labels, sort_keys=True): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def test_it_is_alive_and_ready(app: Attacker) -> None:
    for below in ("", "/lab"):
        assert app.get(f"{below}/healthz").json == {"status": "ok"}
        assert app.get(f"{below}/readyz").json == {"status": "ok", "database": "ok", "scenes": "ok"}
    assert app.get("/readyz", Host="evil.example").status == 400


def test_decisions_calls_and_requests_are_counted(app: Attacker) -> None:
    (pair, *_) = ask_for_pairs(app)
    before = read_metrics(app)
    request = {"scene": NAME, "queue": "random", "annotator": "counted", "pair": pair, "decision": "different"}
    number = app.ask("answer", request)["label"]
    app.ask("undo", {"annotator": "counted", "label": number})
    assert app.get("/nothing").status == 404
    after = read_metrics(app)

    def grown(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    assert grown('maskgroup_decisions_total{"decision": "different"}') == 1
    assert grown('maskgroup_decisions_total{"decision": "undo"}') == 1
    assert grown('maskgroup_handler_seconds_count{"action": "label"}') == 1
    assert grown('maskgroup_requests_total{"kind": "ask", "method": "POST", "status": "200"}') == 2
    assert grown('maskgroup_requests_total{"kind": "static", "method": "GET", "status": "404"}') == 1
    assert after['maskgroup_queue_events{"state": "waiting"}'] == 0
    assert after['maskgroup_jobs_running{"kind": "import"}'] == 0
    assert after["process_resident_memory_bytes{}"] > 2**20


def test_only_this_machine_and_those_named_read_metrics(app: Attacker) -> None:
    cookie = app.page_cookie()
    refused: list[dict[str, str]] = [
        # Through a proxy, of somebody elsewhere; of nobody in particular; and with what a visitor says before it.
        {"X_Forwarded_For": "198.51.100.7"},
        {"X_Forwarded_For": "unknown"},
        {"X_Forwarded_Proto": "https"},
        {"Via": "1.1 proxy"},
        {"X_Forwarded_For": "127.0.0.1, 198.51.100.7"},
        # A proxy that says nothing of itself passes on the name that others use.
        {"Host": "lab.example"},
        {"Host": "lab.example", "Cookie": cookie},
        {"X_Forwarded_For": "198.51.100.7", "Cookie": cookie},
    ]
    for headers in refused:
        answer = app.get("/metrics", **headers)
        assert answer.status == 403, headers
        assert b"maskgroup_" not in answer.body
    assert app.get("/metrics", Host="lab.example", X_Forwarded_For="203.0.113.9").status == 200
    assert app.get("/metrics", Host="localhost").status == 200


def test_it_is_not_ready_without_scenes_or_database(tmp_path: Path) -> None:
    write_tiny_room(tmp_path / "scenes")
    with running_app(tmp_path / "data" / "labels.db", "--scenes", str(tmp_path / "scenes")) as address:
        app = Attacker(address)
        shutil.rmtree(tmp_path / "scenes" / NAME)
        answer = app.get("/readyz")
        assert (answer.status, answer.json) == (503, {"status": "not ready", "database": "ok", "scenes": "failed"})
        # It lives all the same.
        assert app.get("/healthz").status == 200
        assert str(tmp_path).encode() not in answer.body
