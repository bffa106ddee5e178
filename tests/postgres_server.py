"""A PostgreSQL server of the tests' own, in a temporary folder, reachable through a socket there only."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from sqlalchemy import create_engine, text


def why_no_postgres() -> str | None:
    """Return what is missing to run a server here, or None."""
    if programs() is None:
        return "no PostgreSQL server is installed (initdb was not found; Debian: apt-get install postgresql)"
    if importlib.util.find_spec("psycopg") is None:
        return 'the driver psycopg is not installed (pip install "psycopg[binary]")'
    if os.geteuid() == 0 and not (shutil.which("runuser") and user_exists("postgres")):
        return "PostgreSQL refuses to run as root and there is no user postgres"
    return None


def programs() -> Path | None:
    """Return the folder of initdb and pg_ctl, of the newest version found."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3].split(".")[0]))
    return found[-1].parent if found else None


def user_exists(name: str) -> bool:
    """Return whether this machine has a user of that name."""
    return subprocess.run(["id", name], capture_output=True, check=False).returncode == 0


@contextmanager
def running_server() -> Iterator[str]:
    """Start a server; gives the socket folder, which is the host to connect to."""
    with _server_folder() as (folder, call):
        _initialise(folder, call, "--auth=trust")
        _start(folder, call, "-c listen_addresses=''")
        try:
            yield str(folder)
        finally:
            _stop(folder, call)


@contextmanager
def password_server() -> Iterator[tuple[int, str]]:
    """Start a server on 127.0.0.1 that asks for a password; gives its port and the password of its user maskgroup."""
    with _server_folder() as (folder, call):
        password = uuid4().hex
        secret = folder / "password"
        secret.write_text(password)
        secret.chmod(0o644)
        _initialise(folder, call, "--auth=scram-sha-256", f"--pwfile={secret}")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        _start(folder, call, f"-c listen_addresses=127.0.0.1 -p {port}")
        try:
            yield port, password
        finally:
            _stop(folder, call)


@contextmanager
def stopped_server() -> Iterator[tuple[str, Callable[[], None]]]:
    """Start a server; gives the URL of an empty database on it, and what stops the server."""
    with _server_folder() as (folder, call):
        _initialise(folder, call, "--auth=trust")
        _start(folder, call, "-c listen_addresses=''")
        running = True

        def stop() -> None:
            nonlocal running
            running = False
            _stop(folder, call)

        try:
            yield fresh_database(str(folder)), stop
        finally:
            if running:
                stop()


@contextmanager
def _server_folder() -> Iterator[tuple[Path, Callable[..., None]]]:
    bin_folder = programs()
    assert bin_folder is not None
    with tempfile.TemporaryDirectory(prefix="mg-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        as_user: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
            as_user = ["runuser", "-u", "postgres", "--"]

        def call(program: str, *args: str) -> None:
            done = subprocess.run(
                [*as_user, str(bin_folder / program), *args],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd="/",
                check=False,
            )
            assert done.returncode == 0, f"{program} failed: {done.stderr.decode()}"

        yield folder, call


def _initialise(folder: Path, call: Callable[..., None], *options: str) -> None:
    call("initdb", "-D", f"{folder}/data", "-U", "maskgroup", "--no-sync", "-E", "UTF8", "--locale=C", *options)


def _start(folder: Path, call: Callable[..., None], options: str) -> None:
    call("pg_ctl", "-D", f"{folder}/data", "-w", "-l", f"{folder}/log", "-o", f"-k {folder} -c fsync=off {options}", "start")


def _stop(folder: Path, call: Callable[..., None]) -> None:
    call("pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop")


def fresh_database(host: str) -> str:
    """Create an empty database on the server and return its URL."""
    name = f"test_{uuid4().hex}"
    engine = create_engine(f"postgresql+psycopg://maskgroup@/postgres?host={host}", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    return f"postgresql+psycopg://maskgroup@/{name}?host={host}"
