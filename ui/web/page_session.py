"""Tells requests that the app's own pages send from others: each browser that opens the app gets a signed cookie.

It is no login: whoever can open the page gets one. It says that a request comes from a browser in which somebody opened the app.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

KEY_FILE = "page.key"
KEY_BYTES = 32
ID_CHARACTERS = 32


class PageSessions:
    """Signs and checks the cookies of one app.

    Args:
        folder: Where the key is kept, so that pages that are open go on working when the app is started again.
    """

    def __init__(self, folder: Path) -> None:
        self._key = _read_or_make_key(folder / KEY_FILE)
        # Browsers do not tell the ports of a machine apart: two apps would take each other's cookies for theirs.
        self.cookie = f"maskgroup-{hashlib.sha256(self._key).hexdigest()[:12]}"

    def new(self) -> str:
        """Return the cookie's value for a browser that has none."""
        name = secrets.token_hex(ID_CHARACTERS // 2)
        return f"{name}.{self._sign(name)}"

    def read(self, cookies: Mapping[str, str]) -> str | None:
        """Return the name of the browser that sent these cookies, None where this app gave it none."""
        name, _, signature = cookies.get(self.cookie, "").partition(".")
        is_ours = len(name) == ID_CHARACTERS and hmac.compare_digest(signature.encode(), self._sign(name).encode())
        return name if is_ours else None

    def _sign(self, name: str) -> str:
        return hmac.new(self._key, name.encode(), hashlib.sha256).hexdigest()


def _read_or_make_key(path: Path) -> bytes:
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        if not path.exists():
            descriptor = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
            with contextlib.suppress(FileExistsError):
                os.link(unfinished, path)
        key = path.read_bytes()
        if len(key) == KEY_BYTES:
            return key
    except OSError:
        # Nothing can be kept here: pages that are open are then to be reloaded when the app is started again.
        pass
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()
    return secrets.token_bytes(KEY_BYTES)
