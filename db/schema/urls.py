"""Shows a database's address without its password. Everything that prints an address uses this."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote_plus

from sqlalchemy import URL

HIDDEN = "***"
SECRETS = re.compile(r"pass|pwd|secret|token|credential|key|sslcert", re.IGNORECASE)
"""Names of query parameters (`?password=`, `?sslpassword=`, `?api_key=`) whose values are secrets."""
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>()]+")
SHORTEST = 3
"""A password of fewer characters is not looked for in other texts: "a" stands in every sentence."""


def show_url(target: str | URL) -> str:
    """Return a database's address with "***" in place of its secrets; the path of a SQLite file as it is.

    It never fails, because errors about mistyped addresses show them too.
    """
    if isinstance(target, URL):
        if target.get_backend_name() == "sqlite":
            return target.database or ":memory:"
        target = _written(target)
    scheme, mark, rest = target.partition("://")
    if not mark:
        return target
    rest, hash_mark, fragment = rest.partition("#")
    place, question, query = rest.partition("?")
    # The last "@", because passwords often contain an unescaped "@" or "/" by mistake.
    login, at, host = place.rpartition("@")
    if at:
        user, colon, _ = login.partition(":")
        place = f"{user}{colon}{HIDDEN if colon else ''}@{host}"
    elif "@" in query or "@" in fragment:
        # A "?" or "#" in a password: nothing after the scheme is safe to show.
        return f"{scheme}://{HIDDEN}"
    shown_query = "&".join(_show_parameter(part) for part in query.split("&"))
    return f"{scheme}://{place}{question}{shown_query}{hash_mark}{HIDDEN if fragment else ''}"


def hide_secrets(text: str, target: str | URL) -> str:
    """Return a text that may quote an address, such as a driver's error, without that address's secrets.

    Args:
        text: The text to show.
        target: The address whose secrets are replaced, both as written and unescaped.
    """
    target = _written(target)
    hidden = text.replace(target, show_url(target)) if "://" in target else text
    hidden = ADDRESS.sub(lambda found: show_url(found.group()), hidden)
    for secret in sorted(secrets_of(target), key=len, reverse=True):
        hidden = hidden.replace(secret, HIDDEN)
    # Drivers also quote their settings as words: password=abc, password='a b'.
    return re.sub(r"(?i)\b(\w*(?:password|passwd|pwd)\w*\s*=\s*)('[^']*'|\"[^\"]*\"|[^\s,;&)]+)", rf"\1{HIDDEN}", hidden)


def _written(target: str | URL) -> str:
    return target if isinstance(target, str) else target.render_as_string(hide_password=False)


def secrets_of(target: str) -> set[str]:
    """Return the secrets of an address, as written and unescaped."""
    _, mark, rest = target.partition("://")
    if not mark:
        return set()
    before, _, query = rest.partition("?")
    found = {value for name, value in parse_qsl(query) if SECRETS.search(name)}
    for place in (before, rest):
        login, at, _ = place.rpartition("@")
        _, colon, password = login.partition(":")
        if at and colon:
            found.add(password)
    found |= {unquote_plus(secret) for secret in found}
    return {secret for secret in found if len(secret) >= SHORTEST}


def _show_parameter(part: str) -> str:
    name, equals, _ = part.partition("=")
    return f"{name}={HIDDEN}" if equals and SECRETS.search(name) else part
