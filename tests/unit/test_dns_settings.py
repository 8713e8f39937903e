"""What `resolv.conf` and `hosts` say, and which name is asked for first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.vocabulary import Family, Outcome
from workers.probes import resolver
from workers.probes.dns_settings import ReadFile, read_hosts, read_settings, server
from workers.probes.trace import ProbeError


def test_a_resolv_conf_is_read_as_others_read_it() -> None:
    settings = read_settings(
        """
        # made by hand
        domain old.example
        search Corp.Example. lab.example  ; the last one counts
        nameserver 10.0.0.1
        nameserver not-an-address
        nameserver 2001:db8::53
        nameserver 10.0.0.3
        nameserver 10.0.0.4
        options ndots:2 timeout:1 attempts:1 rotate use-vc ndots:many unheard-of
        sortlist 10.0.0.0
        """
    )
    assert [str(each) for each in settings.servers] == ["10.0.0.1", "2001:db8::53", "10.0.0.3"]
    assert settings.domains == ("corp.example", "lab.example")
    assert (settings.dots, settings.rotate, settings.use_tcp) == (2, True, True)


def test_without_a_resolv_conf_this_machine_is_asked() -> None:
    settings = read_settings("")
    assert [str(each) for each in settings.servers] == ["127.0.0.1"]
    assert (settings.domains, settings.dots) == ((), 1)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("9.9.9.9", "9.9.9.9"),
        ("9.9.9.9:5353", "9.9.9.9:5353"),
        ("2620:fe::fe", "2620:fe::fe"),
        ("[2620:fe::fe]:5353", "[2620:fe::fe]:5353"),
        ("[2620:fe::fe]", "2620:fe::fe"),
    ],
)
def test_a_resolver_is_an_address_with_or_without_a_port(text: str, shown: str) -> None:
    assert str(server(text)) == shown


@pytest.mark.parametrize("text", ["", "dns.example", "9.9.9.9:port", "1.2.3", "9.9.9.9:99999999"])
def test_anything_else_is_no_resolver(text: str) -> None:
    assert server(text) is None


def test_a_hosts_file_is_read_as_others_read_it() -> None:
    table = read_hosts("127.0.0.1 localhost Box # me\n::1 localhost\nnonsense name\n10.0.0.1\n10.0.0.1 box box.lan.\n")
    assert table == {"localhost": ("127.0.0.1", "::1"), "box": ("127.0.0.1", "10.0.0.1"), "box.lan": ("10.0.0.1",)}


def test_a_file_is_read_again_where_it_changed_and_an_absent_one_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.probes.dns_settings.LOOKED_AT_EVERY_S", 0.0)
    file, reads = tmp_path / "file", list[str]()

    def read(text: str) -> str:
        reads.append(text)
        return text

    watched = ReadFile(file, read)
    assert watched.said() == ""
    file.write_bytes(b"one\xff")
    assert watched.said() == watched.said() == "one\ufffd"
    os.utime(file, (1, 1))
    file.write_text("two!")
    assert watched.said() == "two!"
    assert len(reads) == 3


def test_a_name_with_enough_dots_is_asked_for_as_it_is_first_and_else_last() -> None:
    settings = read_settings("search a.example b.example")
    assert list(resolver._candidates("web", settings)) == ["web.a.example", "web.b.example", "web"]
    assert list(resolver._candidates("x.org", settings)) == ["x.org", "x.org.a.example", "x.org.b.example"]
    assert list(resolver._candidates("web", read_settings("options ndots:0"))) == ["web"]


def test_a_name_of_another_network_is_asked_of_nobody() -> None:
    with pytest.raises(ProbeError, match="does not exist") as caught:
        list(resolver._candidates("abc.Onion", read_settings("")))
    assert caught.value.outcome is Outcome.DNS


def test_what_the_machine_knows_itself_is_asked_of_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text("10.0.0.1 db.example\n")
    monkeypatch.setattr(resolver, "TABLE", ReadFile(file, read_hosts))
    assert resolver._own("DB.example", Family.ANY) == ["10.0.0.1"]
    assert resolver._own("db.example", Family.IPV6) == []
    assert resolver._own("app.localhost", Family.ANY) == ["127.0.0.1", "::1"]
    assert resolver._own("localhost", Family.IPV6) == ["::1"]
    assert resolver._own("site.example", Family.ANY) == []
