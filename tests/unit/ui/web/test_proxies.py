"""What a request looks like from outside: whose headers are believed, and how far."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from engine.errors import MaskgroupError
from ui.settings import Settings
from ui.web.proxies import MetricsReaders, Outside, TrustedProxies, below, clean_root_path

SAID = {
    "host": ["lab.example"],
    "x-forwarded-proto": ["https"],
    "x-forwarded-host": ["outside.example"],
    "x-forwarded-port": ["8443"],
    "x-forwarded-for": ["203.0.113.9"],
}


def look(
    headers: dict[str, list[str]], peer: str | None = "10.0.0.5", trusted: tuple[str, ...] = ("10.0.0.0/8", "fd00::/8")
) -> Outside:
    return TrustedProxies(trusted).look_from_outside(peer, "http", headers)


@pytest.mark.parametrize("peer", ["192.0.2.7", "127.0.0.1", "fe80::1", "no address", "", None])
def test_headers_of_anybody_else_change_nothing(peer: str | None) -> None:
    alone = {"host": ["lab.example"]}
    said, plain = look(SAID, peer), look(alone, peer)
    assert (said.scheme, said.host) == (plain.scheme, plain.host) == ("http", "lab.example")
    # Whoever says that it came through a proxy is not taken for that proxy.
    assert said.client is None
    assert str(plain.client or "") == ("" if peer in ("no address", "", None) else peer)


@pytest.mark.parametrize("peer", ["10.0.0.5", "::ffff:10.0.0.5", "fd00::1"])
def test_a_trusted_proxy_is_believed(peer: str) -> None:
    assert look(SAID, peer) == Outside("https", "outside.example:8443", ip_address("203.0.113.9"))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("x-forwarded-proto", ["https", "https"]),
        ("x-forwarded-proto", ["https, http"]),
        ("x-forwarded-proto", ["HTTPS"]),
        ("x-forwarded-proto", ["javascript"]),
        ("x-forwarded-host", ["a.example, b.example"]),
        ("x-forwarded-host", ["a.example", "b.example"]),
        ("x-forwarded-host", [""]),
        ("x-forwarded-port", ["80, 81"]),
        ("x-forwarded-port", ["-1"]),
        ("x-forwarded-port", ["²"]),
        ("x-forwarded-for", ["unknown"]),
        ("x-forwarded-for", ["203.0.113.9, unknown"]),
        ("x-forwarded-for", ["203.0.113.9:1234"]),
        ("x-forwarded-for", [""]),
    ],
)
def test_a_header_that_is_doubled_or_odd_says_nothing(name: str, values: list[str]) -> None:
    assert look({"host": ["lab.example"], name: values}) == Outside("http", "lab.example", None)


def test_a_port_is_added_where_the_host_has_none() -> None:
    assert look({"host": ["lab.example:80"], "x-forwarded-port": ["8443"]}).host == "lab.example:80"
    assert look({"host": ["[fd00::1]"], "x-forwarded-port": ["8443"]}).host == "[fd00::1]:8443"
    assert look({"host": ["not a host"], "x-forwarded-port": ["8443"]}).host == "not a host"


def test_the_sender_is_the_last_who_is_no_proxy() -> None:
    for chain in (["1.1.1.1, 203.0.113.9, 10.9.9.9"], ["1.1.1.1", "203.0.113.9", "10.9.9.9"]):
        assert look({"x-forwarded-for": chain}).client == ip_address("203.0.113.9")
    assert look({"x-forwarded-for": ["10.1.1.1, 10.2.2.2"]}).client == ip_address("10.1.1.1")


def test_metrics_are_read_from_here_and_from_where_it_was_said() -> None:
    readers = MetricsReaders(["203.0.113.0/24"])
    assert readers.admit(Outside("http", "localhost:7860", ip_address("127.0.0.1")))
    assert readers.admit(Outside("http", "[::1]", ip_address("::1")))
    assert readers.admit(Outside("https", "lab.example", ip_address("203.0.113.9")))
    assert not readers.admit(Outside("http", "lab.example", ip_address("127.0.0.1")))
    assert not readers.admit(Outside("http", "localhost", ip_address("198.51.100.7")))
    assert not readers.admit(Outside("http", "localhost", None))
    assert not readers.admit(Outside("http", "not a host", ip_address("127.0.0.1")))
    with pytest.raises(MaskgroupError, match=r"--metrics-from 'here' is no address or network"):
        MetricsReaders(["here"])


def test_the_origin_of_a_page_says_more_than_a_proxy() -> None:
    seen = look({"host": ["lab.example"]}).seen_from("https://lab.example:8443")
    assert (seen.scheme, seen.host) == ("https", "lab.example:8443")
    assert look(SAID).seen_from(None) == look(SAID)


@pytest.mark.parametrize("given", ["lab.example", "10.0.0.5:80", "10.0.0.0/33", "*", "", "http://10.0.0.5"])
def test_a_proxy_is_an_address_or_network(given: str) -> None:
    with pytest.raises(MaskgroupError, match=r"--trusted-proxy .* is no address or network"):
        TrustedProxies([given])


def test_proxies_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKGROUP_TRUSTED_PROXY", "127.0.0.1, fd00::/8")
    assert Settings().trusted_proxy == ("127.0.0.1", "fd00::/8")


@pytest.mark.parametrize(("given", "root"), [("", ""), ("/", ""), ("/lab", "/lab"), ("/lab/", "/lab"), (" /a/b.c~d/ ", "/a/b.c~d")])
def test_a_root_path_is_cleaned(given: str, root: str) -> None:
    assert clean_root_path(given) == root


@pytest.mark.parametrize(
    "given", ["lab", "//lab", "/a//b", "/..", "/a/../b", "/a b", "/a?b", "/ä", "https://lab.example/x", "/%2e", "/" + "a" * 300]
)
def test_what_is_no_path_is_refused(given: str) -> None:
    with pytest.raises(MaskgroupError, match=r"--root-path .* is no path"):
        clean_root_path(given)


def test_what_is_below_a_path() -> None:
    assert below("/lab", "/lab/x") == "/x"
    assert below("/lab", "/lab") == ""
    assert below("/lab", "/laboratory") is None
    assert below("", "/x") is None
