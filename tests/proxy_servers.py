"""Real proxies in front of an app, with TLS and a certificate made for them: nginx and Caddy, as the documentation sets them up."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.browser.app_process import end_process
from tests.docs_blocks import ROOT, blocks

ROOT_PATH = "/maskgroup"
START_TIMEOUT_S = 240
UPSTREAM = "127.0.0.1:7860"
"""What the documentation's configurations call the app."""
CARELESS = """
server {
    listen 443 ssl;
    ssl_certificate /etc/ssl/lab.example.crt;
    ssl_certificate_key /etc/ssl/lab.example.key;
    client_max_body_size 2g;
    location /maskgroup {
        proxy_pass http://127.0.0.1:7860;
        # Without its port.
        proxy_set_header Host $host;
    }
}
"""
NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {servers}
}}
"""


@dataclass(frozen=True)
class Certificate:
    """Files of a certificate that nobody signed."""

    crt: Path
    key: Path


def find_proxy(name: str) -> str | None:
    """Return the path of a proxy's program, or None."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def why_no_proxy(*names: str) -> str | None:
    """Return what is missing to run these programs, or None."""
    missing = [name for name in (*names, "openssl") if find_proxy(name) is None]
    return f"{' and '.join(missing)} not found; tests/install_proxies.sh says how to get it" if missing else None


def make_certificate(folder: Path) -> Certificate:
    """Make a certificate for localhost."""
    made = Certificate(folder / "own.crt", folder / "own.key")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", str(made.key), "-out", str(made.crt)], check=True, capture_output=True)
    return made


def documented(language: str) -> str:
    """Return the configuration in docs/deploy.md, as it is there."""
    (found,) = [block.text for block in blocks() if block.page == "docs/deploy.md" and block.language == language]
    assert found in (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    return found


@contextmanager
def nginx(folder: Path, app: str, certificate: Certificate, *configurations: str) -> Iterator[list[str]]:
    """Run one nginx with some servers; yields the address of the app behind each.

    Args:
        folder: An empty folder, for its files.
        app: The app's host and port.
        certificate: What it speaks TLS with.
        configurations: The servers, as they would listen on port 443.
    """
    ports = [_free_port() for _ in configurations]
    servers = ""
    for port, text in zip(ports, configurations, strict=True):
        for before, after in (
            ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
            (UPSTREAM, app),
            ("/etc/ssl/lab.example.crt", str(certificate.crt)),
            ("/etc/ssl/lab.example.key", str(certificate.key)),
        ):
            assert before in text
            text = text.replace(before, after)
        servers += text
    file = folder / "nginx.conf"
    file.write_text(NGINX.format(folder=folder, servers=servers, user="user root;" if os.geteuid() == 0 else ""))
    with _running([find_proxy("nginx") or "nginx", "-e", "stderr", "-p", str(folder), "-c", str(file)], ports):
        yield [f"https://localhost:{port}{ROOT_PATH}" for port in ports]


@contextmanager
def caddy(folder: Path, app: str, certificate: Certificate, configuration: str) -> Iterator[str]:
    """Run Caddy; yields the address of the app behind it."""
    port = _free_port()
    assert "lab.example {" in configuration
    assert UPSTREAM in configuration
    text = configuration.replace(UPSTREAM, app)
    text = text.replace("lab.example {", f"https://localhost:{port} {{\n    tls {certificate.crt} {certificate.key}", 1)
    file = folder / "Caddyfile"
    file.write_text("{\n    admin off\n    auto_https disable_redirects\n    skip_install_trust\n}\n" + text)
    environment = {**os.environ, "XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config")}
    command = [find_proxy("caddy") or "caddy", "run", "--adapter", "caddyfile", "--config", str(file)]
    with _running(command, [port], environment):
        yield f"https://localhost:{port}{ROOT_PATH}"


@contextmanager
def _running(command: list[str], ports: list[int], environment: dict[str, str] | None = None) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, text=True)
    try:
        for port in ports:
            _wait_for(process, port)
        yield
    finally:
        end_process(process)


def _wait_for(process: subprocess.Popen[str], port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args} ended: {process.stderr.read() if process.stderr else ''}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=60).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"{process.args} does not listen on {port}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
