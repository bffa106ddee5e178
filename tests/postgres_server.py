"""A PostgreSQL server of the tests' own, in a temporary folder, reachable through a socket there only."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
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

        call("initdb", "-D", f"{folder}/data", "-U", "maskgroup", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        call("pg_ctl", "-D", f"{folder}/data", "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            yield str(folder)
        finally:
            call("pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop")


def fresh_database(host: str) -> str:
    """Create an empty database on the server and return its URL."""
    name = f"test_{uuid4().hex}"
    engine = create_engine(f"postgresql+psycopg://maskgroup@/postgres?host={host}", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    return f"postgresql+psycopg://maskgroup@/{name}?host={host}"
