"""Which host names an app answers to."""

from __future__ import annotations

import pytest

from engine.errors import MaskgroupError
from ui.settings import Settings
from ui.web.hosts import allowed_hosts, is_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "", "192.0.2.7", "lab.example", "fe80::1", "127.0.0.1.evil.example"])
def test_an_address_that_others_reach_needs_names(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(MaskgroupError, match="--allowed-host NAME"):
        allowed_hosts(host, ())
    hosts = allowed_hosts(host, ["lab.example"])
    assert hosts.refuse({"host": ["lab.example:80"]}, "GET") is None
    assert hosts.refuse({"host": ["localhost:80"]}, "GET") is None
    assert hosts.refuse({"host": ["evil.example"]}, "GET") is not None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "::1", "127.0.0.53"])
def test_an_address_of_this_machine_needs_none(host: str) -> None:
    assert is_loopback(host)
    name = f"[{host}]" if ":" in host else host
    assert allowed_hosts(host, ()).refuse({"host": [f"{name}:7860"]}, "GET") is None


@pytest.mark.parametrize("name", ["http://lab.example", "lab.example:80", "lab example", "", "*", "lab.example/x"])
def test_a_name_is_a_name_alone(name: str) -> None:
    with pytest.raises(MaskgroupError, match="is no host name"):
        allowed_hosts("0.0.0.0", [name])


@pytest.mark.parametrize("given", ["lab.example,10.0.0.5", "lab.example, 10.0.0.5,", '["lab.example", "10.0.0.5"]'])
def test_names_come_from_the_environment(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKGROUP_ALLOWED_HOST", given)
    assert Settings().allowed_host == ("lab.example", "10.0.0.5")
