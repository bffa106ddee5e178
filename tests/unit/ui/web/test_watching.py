"""What is counted and logged of requests and handlers, and that no secret gets into a line of the log."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ui.web import metrics
from ui.web.logs import set_up_logging
from ui.web.watch import WatchedRequest, kind_of

DATABASE = "postgresql+psycopg://ada:hunter2secret@db.example/labels"


def value(name: str, **labels: str) -> float:
    """Return a value as Prometheus reads it, 0 where there is none yet."""
    found = [
        sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return sum(found)


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Gives what was written to standard error; logging is as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield lambda: capsys.readouterr().err
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "page"),
        ("", "page"),
        ("/gradio_api/queue/join", "ask"),
        ("/gradio_api/component_server/", "ask"),
        ("/gradio_api/queue/data", "answers"),
        ("/gradio_api/heartbeat/abc", "answers"),
        ("/gradio_api/call/judge/4af", "api"),
        ("/maskgroup/scenes/upload", "upload"),
        ("/gradio_api/file=/x", "file"),
        ("/maskgroup/cloud/a", "picture"),
        ("/metrics", "health"),
        ("/assets/index.js", "static"),
        ("/config", "static"),
        ("/../etc/passwd", "other"),
        ("/x" * 1000, "other"),
    ],
)
def test_addresses_are_of_few_kinds(path: str, kind: str) -> None:
    assert kind_of(path) == kind


def test_a_request_is_counted_once_with_its_status() -> None:
    before = value("maskgroup_requests_total", kind="page", method="GET", status="200")
    with WatchedRequest("GET", "/", client="") as watched:
        assert value("maskgroup_open_requests", kind="page") == 1
        watched.__dict__["_status"] = 200
    assert value("maskgroup_requests_total", kind="page", method="GET", status="200") == before + 1
    assert value("maskgroup_open_requests", kind="page") == 0
    with pytest.raises(RuntimeError), WatchedRequest("BREW", "/", client=""):
        raise RuntimeError
    assert value("maskgroup_requests_total", kind="page", method="other", status="500") == 1


def test_handlers_and_judges_are_timed_also_when_they_fail() -> None:
    with metrics.handling("look"):
        pass
    with pytest.raises(ValueError, match="x"), metrics.handling("look"):
        raise ValueError("x")
    assert value("maskgroup_handler_errors_total", action="look") >= 1
    with metrics.judging("http://ada:hunter2secret@gpu.example/v1", 3):
        pass
    with pytest.raises(ValueError, match="x"), metrics.judging("http://ada:hunter2secret@gpu.example/v1", 3):
        raise ValueError("x")
    count = metrics.count_pairs("http://ada:hunter2secret@gpu.example/v1")
    count(4)
    count(6)
    assert value("maskgroup_judge_calls_total", outcome="failed") >= 1
    assert value("maskgroup_judge_pairs_total", model="http://ada:***@gpu.example/v1") == 9
    assert b"hunter2secret" not in metrics.render()


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_line_of_the_log_has_a_password(form: str, logged: Callable[[], str]) -> None:
    set_up_logging(form, level="info", database=DATABASE)  # type: ignore[arg-type]
    log = logging.getLogger("tests.secret")
    log.warning("cannot reach %s with hunter2secret", DATABASE)
    log.info("asking https://ada:other9secret@gpu.example/v1?api_key=third9secret")
    try:
        raise RuntimeError(f"no way to {DATABASE} (password=hunter2secret)")
    except RuntimeError:
        log.exception("it failed")
    logging.getLogger("httpx").info("GET https://example.test/?token=x")
    log.debug("too small")
    text = logged()
    assert "cannot reach postgresql+psycopg://ada:***@db.example/labels" in text
    assert "it failed" in text
    for secret in ("hunter2secret", "other9secret", "third9secret", "token=x", "too small"):
        assert secret not in text


def test_a_line_of_json_is_one_object(logged: Callable[[], str]) -> None:
    set_up_logging("json", level="debug", database="labels.db")
    with pytest.raises(RuntimeError, match="gone"), WatchedRequest("GET", "/odd\npath\u2028é", client="203.0.113.9"):
        raise RuntimeError("gone")
    logging.getLogger("tests.lines").error("two\nlines")
    request, lines = (json.loads(line) for line in logged().splitlines())
    assert {**request, "time": "", "seconds": 0} == {
        "time": "",
        "level": "warning",
        "logger": "ui.web.watch",
        "message": "GET /odd?path\\u2028\\xe9: 500",
        "method": "GET",
        "path": "/odd?path\\u2028\\xe9",
        "status": 500,
        "seconds": 0,
        "client": "203.0.113.9",
    }
    assert lines["message"] == "two\nlines"
    assert lines["time"].endswith("+00:00")
