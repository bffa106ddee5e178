"""What a request looks like from outside, when a proxy stands before the app. Knows nothing about Gradio.

Anybody may send the headers that proxies add. They are believed only from the addresses that `--trusted-proxy` names.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from engine.errors import MaskgroupError
from ui.web.hosts import LOOPBACK_NAMES, parse_host

ROOT_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")
SCHEMES = ("http", "https")
PROXY_HEADERS = ("x-forwarded", "forwarded", "x-original", "x-rewrite", "x-real-ip", "x-gradio", "x-direct", "x-ip-token", "via")
"""How the names of headers begin that say what a request was before a proxy passed it on. None of them reaches Gradio."""

OUTSIDE = "maskgroup.outside"
"""Where a request's scope has its `Outside`."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Outside:
    """A request as its sender sees it.

    Attributes:
        scheme: "http" or "https".
        host: The host's name, and the port where one was given, as in a Host header; "" where it is not known.
        client: The sender's address; None where it came through a proxy that is not believed, or that does not tell.
    """

    scheme: str
    host: str
    client: Address | None

    def seen_from(self, origin: str | None) -> Outside:
        """Return it with the scheme and port of its page's origin, which a browser knows better than any proxy.

        Args:
            origin: The Origin header, checked by `AllowedHosts` to have this host's name; None without one.
        """
        if origin is None:
            return self
        parts = urlsplit(origin)
        return Outside(parts.scheme, parts.netloc, self.client)


class TrustedProxies:
    """The machines whose X-Forwarded headers are believed.

    Args:
        given: Addresses and networks, such as "10.0.0.5" and "fd00::/8".

    Raises:
        MaskgroupError: If one of them is neither.
    """

    def __init__(self, given: Iterable[str] = ()) -> None:
        self._networks = [parse_network(text, flag="--trusted-proxy") for text in given]

    def look_from_outside(self, peer: str | None, scheme: str, headers: Mapping[str, list[str]]) -> Outside:
        """Return a request as its sender sees it.

        A header that is there twice, or has several values (X-Forwarded-For apart), says nothing.

        Args:
            peer: The address that the connection comes from.
            scheme: What the connection speaks.
            headers: Values by lower-case name.
        """
        hosts = headers.get("host", [])
        host = hosts[0] if len(hosts) == 1 else ""
        is_passed_on = any(name.startswith(PROXY_HEADERS) for name in headers)
        client = parse_address(peer or "")
        if not self._trusts(client):
            return Outside(scheme, host, None if is_passed_on else client)
        said = _only(headers, "x-forwarded-proto")
        scheme = said if said in SCHEMES else scheme
        host = _only(headers, "x-forwarded-host") or host
        port = _only(headers, "x-forwarded-port") or ""
        parsed = parse_host(host)
        if parsed is not None and parsed[1] is None and port.isascii() and port.isdecimal():
            host = f"{host}:{port}"
        return Outside(scheme, host, self._first_foreign(headers.get("x-forwarded-for", [])) if is_passed_on else client)

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)

    def _first_foreign(self, chains: list[str]) -> Address | None:
        """Return the last address, counted from the sender, that no trusted proxy has: what is before it may be made up."""
        client: Address | None = None
        for text in reversed(",".join(chains).split(",")):
            address = parse_address(text.strip())
            if address is None:
                return None
            client = address
            if not self._trusts(address):
                break
        return client


class MetricsReaders:
    """Who may read what the app counts: this machine, asking without a proxy, and the machines that are named.

    Args:
        given: Addresses and networks, from `--metrics-from`.

    Raises:
        MaskgroupError: If one of them is neither.
    """

    def __init__(self, given: Iterable[str] = ()) -> None:
        self._networks = [parse_network(text, flag="--metrics-from") for text in given]

    def admit(self, outside: Outside) -> bool:
        """Return whether somebody may."""
        if outside.client is None:
            return False
        # A proxy that says nothing of itself looks like this machine; but it passes on the name that others use.
        host = parse_host(outside.host)
        is_here = outside.client.is_loopback and host is not None and host[0] in LOOPBACK_NAMES
        return is_here or any(outside.client in network for network in self._networks)


def parse_address(text: str) -> Address | None:
    """Return an IP address, an IPv4 one also where it is written as IPv6; None where it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped) or address


def parse_network(text: str, *, flag: str) -> Network:
    """Return a network, of one address where no more is given.

    Raises:
        MaskgroupError: If it is none; the sentence names `flag`.
    """
    try:
        return ipaddress.ip_network(text.strip().strip("[]"), strict=False)
    except ValueError as error:
        raise MaskgroupError(f"{flag} {text!r} is no address or network; give one such as 127.0.0.1 or 10.0.0.0/8.") from error


def clean_root_path(text: str) -> str:
    """Return the path below which the app is reached, without a final slash; "" for none.

    Raises:
        MaskgroupError: If it is no plain path.
    """
    root = text.strip().rstrip("/")
    if not ROOT_PATH.fullmatch(root) or len(root) > 200:
        raise MaskgroupError(
            f"--root-path {text!r} is no path; give one such as /maskgroup, of letters, digits, '.', '_', '~' and '-'."
        )
    return root


def below(root: str, path: str) -> str | None:
    """Return what of a path is below `root`, "" for `root` itself, None where the path is elsewhere or there is no `root`."""
    is_below = bool(root) and (path == root or path.startswith(root + "/"))
    return path[len(root) :] if is_below else None


def _only(headers: Mapping[str, list[str]], name: str) -> str | None:
    values = headers.get(name, [])
    return values[0].strip() if len(values) == 1 and "," not in values[0] else None
