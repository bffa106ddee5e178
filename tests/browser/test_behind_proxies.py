"""The real app below a sub-path behind real proxies that speak TLS: nginx and Caddy as documented, and a careless nginx."""

from __future__ import annotations

import http.client
import shutil
import ssl
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.app_process import WAIT_MS, running_app
from tests.proxy_servers import CARELESS, ROOT_PATH, caddy, documented, make_certificate, nginx, why_no_proxy
from tests.tiny_room import write_tiny_room

pytestmark = pytest.mark.browser

WAIT_S = WAIT_MS / 1000
KINDS = ("nginx", "careless nginx", "caddy")
WIDE = "document.querySelectorAll('#mg-image-a img, #mg-image-b img').length === 2 && " \
       "[...document.querySelectorAll('#mg-image-a img, #mg-image-b img')].every((image) => image.naturalWidth > 0)"  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("behind")
    room = write_tiny_room(folder / "given")
    shutil.copy(room.parent / "ground_truth" / "tiny.txt", room / "ground_truth.txt")
    for number, _ in enumerate(KINDS):
        with zipfile.ZipFile(folder / f"room{number}.zip", "w") as packed:
            for file in sorted(room.rglob("*.*")):
                packed.write(file, file.relative_to(room).as_posix())
    return folder


@pytest.fixture(scope="module")
def app(folder: Path) -> Iterator[str]:
    """The app that all of them stand before."""
    flags = ("--root-path", ROOT_PATH, "--trusted-proxy", "127.0.0.1", "--scenes", str(folder / "given"))
    with running_app(folder / "data" / "labels.db", *flags) as address:
        yield address.removeprefix("http://")


@pytest.fixture(scope="module")
def nginx_addresses(folder: Path, app: str) -> Iterator[list[str]]:
    if (missing := why_no_proxy("nginx")) is not None:
        pytest.skip(missing)
    (folder / "nginx").mkdir()
    with nginx(folder / "nginx", app, make_certificate(folder / "nginx"), documented("nginx"), CARELESS) as addresses:
        yield addresses


@pytest.fixture(scope="module")
def caddy_address(folder: Path, app: str) -> Iterator[str]:
    if (missing := why_no_proxy("caddy")) is not None:
        pytest.skip(missing)
    (folder / "caddy").mkdir()
    with caddy(folder / "caddy", app, make_certificate(folder / "caddy"), documented("caddy")) as address:
        yield address


@pytest.fixture(params=KINDS)
def address(request: pytest.FixtureRequest) -> str:
    """Where people reach the app, without the final slash."""
    if request.param == "caddy":
        return request.getfixturevalue("caddy_address")
    return request.getfixturevalue("nginx_addresses")[KINDS.index(request.param)]


def connect(address: str) -> http.client.HTTPSConnection:
    parts = urlsplit(address)
    assert parts.hostname is not None
    # Nobody signed the certificate.
    return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=WAIT_S, context=ssl._create_unverified_context())


def get(address: str, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    """Get what is at a path below the address."""
    connection = connect(address)
    connection.request("GET", ROOT_PATH + path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


def test_a_person_works_behind_it(chromium: Browser, address: str, folder: Path, request: pytest.FixtureRequest) -> None:
    number = KINDS.index(request.node.callspec.params["address"])
    page = chromium.new_context(viewport={"width": 1280, "height": 900}, ignore_https_errors=True).new_page()
    page.set_default_timeout(WAIT_MS)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "requestfailed",
        lambda failed: problems.append(f"{failed.url}: {failed.failure}") if failed.failure != "net::ERR_ABORTED" else None,
    )
    page.on("response", lambda answer: problems.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None)
    asked: list[str] = []
    page.on("request", lambda sent: asked.append(sent.url))

    # Without the slash, and with more behind it.
    page.goto(f"{address}?tab=scenes")
    page.wait_for_function("location.pathname === '/maskgroup/' && location.search.startsWith('?tab=scenes')")
    page.locator(".mg-drop-files").set_input_files(str(folder / f"room{number}.zip"))
    expect(page.locator("#mg-scene-imports")).to_contain_text(f"room{number}.zip was imported as room{number}.")
    page.wait_for_function("document.querySelector('.mg-scene img')?.naturalWidth === 320")

    page.goto(f"{address}/")
    page.wait_for_function(WIDE)
    expect(page.locator("#mg-verdict .mg-headline").first).to_be_visible()
    page.get_by_role("tab", name="3D grouping", exact=True).click()
    page.wait_for_function(
        "window.Plotly !== undefined && performance.getEntriesByType('resource').some((one) => one.name.includes('/cloud/'))"
    )
    assert problems == []
    # Everything came from below the sub-path, with the scheme and port that the browser sees.
    assert [url for url in asked if not url.startswith((f"{address}/", f"{address}?", "data:", "blob:"))] == []


def test_answers_come_as_they_are_made(address: str) -> None:
    """The stream stays open: what its first event waits for behind it would never come."""
    connection = connect(address)
    connection.request("GET", f"{ROOT_PATH}/gradio_api/heartbeat/behind")
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.read(len(b"data: ALIVE")) == b"data: ALIVE"
    connection.close()


def test_an_upload_reaches_the_disk_while_it_goes_on(folder: Path, nginx_addresses: list[str]) -> None:
    """With nginx as documented, a slow upload is not kept in the proxy until it is whole."""
    address = nginx_addresses[0]
    cookie = get(address, "/")[0].headers["set-cookie"].partition(";")[0]
    half = bytes(3 * 2**20)
    connection = connect(address)
    connection.putrequest("POST", f"{ROOT_PATH}/maskgroup/scenes/upload?upload={'a' * 32}&path=slow.zip")
    for name, value in {"Cookie": cookie, "Content-Type": "application/octet-stream", "Content-Length": str(2 * len(half))}.items():
        connection.putheader(name, value)
    connection.endheaders(half)
    deadline = time.monotonic() + WAIT_S
    while not any(file.stat().st_size for file in (folder / "data" / "uploads").rglob("slow.zip*")):
        assert time.monotonic() < deadline, "nothing has reached the app's disk"
        time.sleep(0.05)
    connection.send(half)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b'{"taken":true}')
    connection.close()


def test_the_cookie_is_for_this_path_and_for_https(nginx_addresses: list[str], caddy_address: str) -> None:
    for address in (nginx_addresses[0], caddy_address):
        assert get(address, "/")[0].headers["set-cookie"].endswith("; Path=/maskgroup; Secure; HttpOnly; SameSite=Strict")
    # It does not say that it speaks TLS.
    assert get(nginx_addresses[1], "/")[0].headers["set-cookie"].endswith("; Path=/maskgroup; HttpOnly; SameSite=Strict")


def test_what_a_visitor_says_of_the_way_changes_nothing(nginx_addresses: list[str], caddy_address: str) -> None:
    said = {"X_Forwarded_Host": "evil.example", "X_Forwarded_Port": "1", "X_Forwarded_Proto": "http", "X_Forwarded_Prefix": "/evil"}
    for address in (nginx_addresses[0], caddy_address):
        answer, content = get(address, "/config", **said)
        assert answer.status == 200
        assert b"evil" not in content
        assert f'"root":"{address}"'.encode() in content


def test_other_pages_are_refused_behind_it_too(address: str) -> None:
    port = urlsplit(address).port
    for origin, site in (("https://evil.example", "cross-site"), ("https://localhost:1", "same-site"), ("null", "same-origin")):
        assert get(address, "/config", Origin=origin, Sec_Fetch_Site=site)[0].status == 403
    assert get(address, "/config", Origin=f"https://localhost:{port}", Sec_Fetch_Site="same-origin")[0].status == 200
