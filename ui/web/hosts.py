"""Who may be asked, and by which page: checks the Host, Origin and Sec-Fetch headers of a request. Knows nothing about Gradio.

A page of another site may send requests to an app on its visitor's own machine, and by DNS rebinding under a host name of its own.
So the Host must be a name that this app was told to answer to, and a page that asks must be one of that same host.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from engine.errors import MaskgroupError

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
USUAL_PORTS = {"http": 80, "https": 443}
HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_.-]{1,253})(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
FOREIGN_PAGE = "This request came from another web page and was refused."


class AllowedHosts:
    """The names that an app answers to, whatever the port.

    Args:
        names: Host names and addresses, without ports.

    Raises:
        MaskgroupError: If one of them is no host name.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(map(clean_name, names))

    def refuse(self, headers: Mapping[str, list[str]], method: str) -> tuple[int, str] | None:
        """Return why a request is not answered, as status and sentence, or None.

        Args:
            headers: Values by lower-case name, `host` as it is seen from outside. Those that proxies add are not looked at.
            method: GET, POST, ...
        """
        hosts = headers.get("host", [])
        host = parse_host(hosts[0]) if len(hosts) == 1 else None
        if host is None:
            return 400, "The request has no proper Host header; expected one, with a host name and perhaps a port."
        if host[0] not in self._names:
            return 400, "This app does not answer to that host name; start it with --allowed-host NAME if it should."
        origins = headers.get("origin", [])
        site = headers.get("sec-fetch-site", ["none"])
        if len(origins) > 1 or (origins and not is_same_origin(origins[0], host, is_sure=site == ["same-origin"])):
            return 403, FOREIGN_PAGE
        if site in (["same-origin"], ["none"]):
            return None
        # A link on another page may open the app; it may neither fetch from it nor show it within itself.
        is_opened = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == (["navigate"], ["document"])
        return None if is_opened and method in ("GET", "HEAD") else (403, FOREIGN_PAGE)


def allowed_hosts(host: str, given: Iterable[str]) -> AllowedHosts:
    """Return the names for an app that listens on `host`.

    Raises:
        MaskgroupError: If other machines can reach it and nobody said under which name.
    """
    names = [*given]
    if not names and not is_loopback(host):
        raise MaskgroupError(
            f"--host {host or '(empty)'} lets other machines reach the app, so it has to know the names that they use for it; "
            "give each with --allowed-host NAME."
        )
    return AllowedHosts([*LOOPBACK_NAMES, *names, *([host] if is_loopback(host) else [])])


def is_loopback(host: str) -> bool:
    """Return whether an address to listen on is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def clean_name(name: str) -> str:
    """Return a host name as it is compared: lower case, no final dot, no brackets, IPv6 in its shortest form.

    Raises:
        MaskgroupError: If it is none, or has a port.
    """
    given = f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name
    parsed = parse_host(given)
    if parsed is None or parsed[1] is not None:
        raise MaskgroupError(f"--allowed-host {name!r} is no host name; give a name or an address alone, without http:// and port.")
    return parsed[0]


def parse_host(text: str) -> tuple[str, int | None] | None:
    """Return the name and port of a Host header, the name as it is compared; None where it is malformed."""
    found = HOST.fullmatch(text)
    if found is None:
        return None
    name = found["name"].lower()
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port < 65536:
        return None
    if name.startswith("["):
        try:
            return ipaddress.IPv6Address(name[1:-1]).compressed, port
        except ValueError:
            return None
    name = name.removesuffix(".")
    return (name, port) if name else None


def is_same_origin(origin: str, host: tuple[str, int | None], *, is_sure: bool = False) -> bool:
    """Return whether an Origin header names the page of this very host and port; "null" never does.

    Args:
        origin: The header.
        host: The name and port of the Host header.
        is_sure: Whether the browser itself says that both are the same. A proxy may have dropped the port of the Host header;
            then any port will do.
    """
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    usual = USUAL_PORTS.get(parts.scheme)
    parsed = parse_host(parts.netloc)
    if usual is None or parsed is None or parts.path or parts.query or parts.fragment:
        return False
    is_port = (parsed[1] or usual) == (host[1] or usual) or (is_sure and host[1] is None)
    return parsed[0] == host[0] and is_port
