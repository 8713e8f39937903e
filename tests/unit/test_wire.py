"""Entries travel whole, and what cannot be read is said so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from pipeline.vocabulary import Check, Network, Outcome, Phases, Snapshot, Spec, Tick
from workers.wire import UnreadableError, pack, unpack_check, unpack_tick

AT = datetime(2026, 1, 1, 12, 30, 1, 123456, tzinfo=UTC)
times = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)).map(lambda t: t.replace(tzinfo=UTC))  # noqa: DTZ001
latency = st.none() | st.floats(0, 1e6)


@given(at=times, url=st.text(max_size=50), headers=st.dictionaries(st.text(max_size=9), st.text(max_size=9)))
def test_a_check_arrives_as_it_was_sent(at: datetime, url: str, headers: dict[str, str]) -> None:
    network = Network("127.0.0.2", None, ("9.9.9.9",))
    check = Check(1, 2, at, 3, 30, Spec(url, headers=headers), network, not_before=at + timedelta(seconds=1))
    assert unpack_check(pack(check)) == check


@given(at=times, outcome=st.sampled_from(Outcome), ms=latency, detail=st.none() | st.text(max_size=20))
def test_a_tick_arrives_as_it_was_sent(at: datetime, outcome: Outcome, ms: float | None, detail: str | None) -> None:
    tick = Tick(1, 2, at, 0, at, outcome, True, 30, 3, "p", Phases(dns_ms=ms), latency_ms=ms, detail=detail)
    assert unpack_tick(pack(tick)) == tick


@pytest.mark.parametrize(
    "entry", [{}, {b"2": b""}, {b"1": b""}, {b"1": b"\xff\xff"}, {b"1": msgspec.msgpack.encode([1])}]
)
def test_what_cannot_be_read_is_said_so(entry: dict[bytes, bytes]) -> None:
    with pytest.raises(UnreadableError):
        unpack_check(entry)


def test_a_time_without_its_zone_and_a_nest_without_a_bottom_are_said_so() -> None:
    check = msgspec.msgpack.decode(pack(Check(1, 2, AT, 3, 30, Spec("https://example.org/")))[b"1"])
    check[2] = "2026-01-01T00:00:00"
    deep = msgspec.msgpack.encode([*check[:2], AT, *check[3:]])[:-1] + b"\xc0" + b"\x91" * 20_000 + b"\xc0"
    for value in (msgspec.msgpack.encode(check), deep):
        with pytest.raises(UnreadableError):
            unpack_check({b"1": value})


def test_an_older_reader_skips_what_a_newer_writer_appended() -> None:
    check = Check(1, 2, AT, 3, 30, Spec("https://example.org/"))
    longer = [*msgspec.msgpack.decode(pack(check)[b"1"]), "a field of tomorrow"]
    assert unpack_check({b"1": msgspec.msgpack.encode(longer)}) == check


def test_a_newer_reader_fills_in_what_an_older_writer_left_out() -> None:
    check = Check(1, 2, AT, 3, 30, Spec("https://example.org/"))
    shorter = msgspec.msgpack.decode(pack(check)[b"1"])[:6]
    assert unpack_check({b"1": msgspec.msgpack.encode(shorter)}) == check


@pytest.mark.parametrize("broken", [7, ["answer", 7], ["answer", ["p"], [["url", 1, "x"]]], {"phase": "dns"}])
def test_a_snapshot_that_cannot_be_read_never_costs_its_tick(broken: object) -> None:
    tick = Tick(1, 2, AT, 0, AT, Outcome.STATUS, True, 30, 3, "p", snapshot=Snapshot("dns"))
    fields = msgspec.msgpack.decode(pack(tick)[b"1"])
    fields[Tick.__struct_fields__.index("snapshot")] = broken
    assert unpack_tick({b"1": msgspec.msgpack.encode(fields)}) == structs.replace(tick, snapshot=None)
    fields[0] = "no number"
    with pytest.raises(UnreadableError, match="Expected `int`"):
        unpack_tick({b"1": msgspec.msgpack.encode(fields)})
