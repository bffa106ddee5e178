"""Who may ask the real server: host names, origins, and the headers that every answer carries, whatever its status."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.http_attacker import Attacker

WRITE = ("/gradio_api/call/review_pause", {"data": [{"scene": "none"}]})


NAMES = ["localhost", "LOCALHOST:1", "localhost.", "127.0.0.1:80", "[::1]:7860", "lab.example", "LAB.EXAMPLE.:443", "[FD00:0::1]"]


@pytest.mark.parametrize("host", NAMES)
def test_names_that_it_was_told_are_answered(attacker: Attacker, host: str) -> None:
    assert attacker.get("/gradio_api/app_id", Host=host).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "lab.example.evil.example",
        "notlab.example",
        "127.0.0.1.evil.example",
        "127.0.0.2",
        "127.1",
        "2130706433",
        "0.0.0.0",
        "[::]",
        "[::ffff:127.0.0.1]",
        "localhost@evil.example",
        "localhost:evil.example",
        "localhost:99999",
        "localhost/",
        "localhost#",
        "localhost, evil.example",
        "..",
        "",
        "*",
    ],
)
def test_other_names_are_refused_whatever_else_is_sent(attacker: Attacker, host: str) -> None:
    believed = {"X-Forwarded-Host": "localhost", "Forwarded": "host=localhost", "X-Host": "localhost"}
    for path in ("/", "/config", "/gradio_api/app_id", "/maskgroup/plotly.min.js"):
        assert attacker.send("GET", path, headers={"Host": host, **believed}).status == 400


def test_headers_of_proxies_change_nothing(attacker: Attacker) -> None:
    """Nobody told this app to trust a proxy, not even one of its own machine."""
    forwarded = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Port": "1",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Server": "evil.example",
        "X-Original-URL": "/monitoring",
        "X-Rewrite-URL": "/monitoring",
        "X-Gradio-Server": "http://evil.example",
        "Forwarded": "for=127.0.0.1;host=evil.example;proto=https",
        "Via": "1.1 evil.example",
    }
    plain = {**attacker.get("/config").json, "headers": None}
    for given in (forwarded, {**forwarded, "X-Forwarded-Host": "lab.example"}):
        answer = attacker.send("GET", "/config", headers=given)
        assert answer.status == 200
        assert {**answer.json, "headers": None} == plain
        assert b"evil" not in answer.body
        assert "Secure" not in attacker.send("GET", "/", headers=given).headers["set-cookie"]
    # They open no other door either.
    assert (
        attacker.post(
            *WRITE, Origin="https://evil.example", **{name.replace("-", "_"): value for name, value in forwarded.items()}
        ).status
        == 403
    )


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "",
        "file://",
        "http://localhost",
        "http://127.0.0.1:1",
        "http://localhost.evil.example",
        "http://evil@HOST",
        "http://HOST/path",
        "ftp://HOST",
        "http://HOST http://evil.example",
        "HOST",
    ],
)
def test_pages_of_other_origins_may_not_ask(attacker: Attacker, origin: str) -> None:
    here = f"{attacker.host}:{attacker.port}"
    given = origin.replace("HOST", here)
    assert attacker.post(*WRITE, Origin=given).status == 403
    assert attacker.get("/gradio_api/app_id", Origin=given).status == 403
    assert "access-control-allow-origin" not in attacker.get("/config", Origin=given).headers
    preflight = {"Origin": given, "Access-Control-Request-Method": "POST"}
    refused = attacker.send("OPTIONS", WRITE[0], headers=preflight)
    assert refused.status in (403, 405)
    assert "access-control-allow-origin" not in refused.headers


def test_its_own_pages_and_programs_may_ask(attacker: Attacker) -> None:
    assert attacker.post(*WRITE).status == 200
    assert attacker.post(*WRITE, Origin=f"http://{attacker.host}:{attacker.port}").status == 200
    assert attacker.post(*WRITE, Host="lab.example", Origin="https://lab.example").status == 200
    assert attacker.post(*WRITE, Host="lab.example", Origin="https://LAB.example:443").status == 200
    assert attacker.post(*WRITE, Host="lab.example", Origin="http://lab.example:443").status == 403
    # A proxy dropped the port: only the browser's word says that the page is the app's own.
    dropped = {"Host": "lab.example", "Origin": "https://lab.example:8443"}
    assert attacker.post(*WRITE, **dropped).status == 403
    assert attacker.post(*WRITE, **dropped, Sec_Fetch_Site="same-origin").status == 200
    assert attacker.post(*WRITE, **dropped, Sec_Fetch_Site="same-site").status == 403
    assert (
        attacker.post(*WRITE, Host="lab.example:1", Origin="https://lab.example:8443", Sec_Fetch_Site="same-origin").status == 403
    )
    assert attacker.post(*WRITE, Host="lab.example", Origin="https://evil.example", Sec_Fetch_Site="same-origin").status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "unknown"])
def test_other_sites_may_link_to_a_page_but_not_use_it(attacker: Attacker, site: str) -> None:
    assert attacker.post(*WRITE, Sec_Fetch_Site=site).status == 403
    picture = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"}
    assert attacker.get("/review/picture?scene=x", **picture).status == 403
    assert attacker.get("/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="iframe").status == 403
    assert attacker.get("/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document").status == 200
    assert attacker.post(*WRITE, Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document").status == 403


def test_every_answer_carries_the_security_headers(attacker: Attacker) -> None:
    answers = {
        200: attacker.get("/"),
        400: attacker.get("/", Host="evil.example"),
        403: attacker.post(*WRITE, Origin="null"),
        404: attacker.get("/nothing"),
        405: attacker.send("DELETE", "/"),
        413: attacker.post(WRITE[0], "x" * 2**21),
        415: attacker.send("POST", WRITE[0], "{}", {"Content-Type": "text/plain"}),
        422: attacker.get("/review/picture"),
        # A component that is not there is an error that Gradio does not catch.
        500: attacker.post("/gradio_api/component_server", {"data": 1, "component_id": 10**6, "session_hash": "s", "fn_name": "x"}),
    }
    for status, answer in answers.items():
        assert answer.status == status
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "SAMEORIGIN"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        rules = answer.headers["content-security-policy"]
        assert "object-src 'none'" in rules
        assert "http" not in rules
        assert "unsafe-inline" not in rules.split("script-src ")[1].split(";")[0]
        assert "server" not in answer.headers


def test_what_is_no_http_is_answered_with_the_headers_too(attacker: Attacker) -> None:
    for request in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"):
        with socket.create_connection((attacker.host, attacker.port), timeout=60) as connection:
            connection.sendall(request)
            answer = connection.recv(65536).decode().lower()
        assert answer.startswith("http/1.1 400")
        assert "content-security-policy: default-src 'self'" in answer


def test_a_request_without_a_host_is_refused(attacker: Attacker) -> None:
    for request in (b"GET / HTTP/1.0\r\n\r\n", b"GET /config HTTP/1.0\r\nHost:\r\n\r\n"):
        with socket.create_connection((attacker.host, attacker.port), timeout=60) as connection:
            connection.sendall(request)
            assert connection.recv(65536).startswith(b"HTTP/1.1 400")


def test_the_cookie_is_kept_from_scripts_and_other_sites(attacker: Attacker) -> None:
    cookie = attacker.get("/").headers["set-cookie"]
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Strict")
    assert "set-cookie" not in attacker.get("/", Cookie=cookie.partition(";")[0]).headers
    # Of HTTPS, only a trusted proxy may tell.
    assert "Secure" not in attacker.get("/", X_Forwarded_Proto="https").headers["set-cookie"]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--trusted-proxy", "lab.example"), "--trusted-proxy 'lab.example' is no address or network"),
        (("--root-path", "https://lab.example/x"), "--root-path 'https://lab.example/x' is no path"),
    ],
)
def test_flags_for_proxies_are_checked_first(flags: tuple[str, str], sentence: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ui", "app", *flags, "--port", "0", "--db", str(tmp_path / "labels.db")],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert sentence in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("host", ["0.0.0.0", "lab.example"])
def test_an_address_for_other_machines_needs_its_names(host: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ui", "app", "--host", host, "--port", "0", "--db", str(tmp_path / "labels.db")]
    environment = {name: value for name, value in os.environ.items() if name != "MASKGROUP_ALLOWED_HOST"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"--host {host} lets other machines reach the app" in done.stderr
    assert "--allowed-host NAME" in done.stderr
    assert not list(tmp_path.iterdir())
