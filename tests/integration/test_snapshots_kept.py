"""What failures saw on a real Postgres: beside its tick, once, never at its cost, and not for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg
import pytest
from msgspec import structs

from pipeline.cleaning import cleaned
from pipeline.declared import RegionIn, SiteIn
from pipeline.errors import InvalidInputError
from pipeline.store import kept_snapshots
from pipeline.store.engine import plain_dsn
from pipeline.store.kept_snapshots import forget_snapshots
from pipeline.store.newest import Place
from pipeline.store.overview import site_row
from pipeline.store.regions import create_region
from pipeline.store.sites import create_site
from pipeline.store.snapshots import Sightings, find
from pipeline.vocabulary import Certificate, Hop, Outcome, Snapshot, Source, Tick
from tests.harness import count, now, rows_of, writing
from workers.recorder import record
from workers.wire import pack, unpack_tick

AT = now().replace(microsecond=0) - timedelta(minutes=5)
END = datetime(2030, 1, 1, tzinfo=UTC)
SEEN = Snapshot(
    "answer",
    ("HTTP 503, expected 200-299",),
    (Hop("http://shop.example/", "192.0.2.1", 301), Hop("https://shop.example/", "192.0.2.1", 503)),
    "TLSv1.3 TLS_AES_256_GCM_SHA384",
    Certificate("CN=shop.example", "CN=Some CA", ("shop.example",), datetime(2026, 1, 1, tzinfo=UTC), END, "ab" * 32),
    "HTTP/1.1 503 Service Unavailable",
    (("server", "nginx"),),
    "<h1>Sorry</h1>",
)


@pytest.fixture(scope="module")
def series(dsn: str) -> tuple[int, int]:
    """A site and its region."""
    with writing(dsn) as connection:
        region = create_region(connection, RegionIn(key="eu"), now=now(), actor="test")
        site = create_site(connection, SiteIn(key="s", url="https://127.0.0.1/"), now=now(), actor="test")
    return site.id, region.id


def failed(series: tuple[int, int], at: datetime, snapshot: Snapshot | None = SEEN, **fields: object) -> Tick:
    tick = Tick(*series, at, 0, at, Outcome.STATUS, True, 60, 1, "p", status=503, snapshot=snapshot)
    return structs.replace(tick, **fields)


def recorded(dsn: str, *ticks: Tick) -> list[Tick]:
    """The ticks as a recorder takes them off the wire."""
    with psycopg.connect(plain_dsn(dsn), autocommit=True) as connection, connection.transaction():
        return record(connection, [cleaned(unpack_tick(pack(tick))) for tick in ticks], now=now())


def found(dsn: str, series: tuple[int, int], at: datetime, **wanted: object) -> Sightings:
    wanted = {"since": at, "before": Place(at + timedelta(seconds=1)), "limit": 10, **wanted}
    with writing(dsn) as connection:
        return find(connection, series[0], **wanted)  # type: ignore[arg-type]


def test_what_a_failure_saw_comes_back_as_it_was(dsn: str, series: tuple[int, int]) -> None:
    recorded(dsn, failed(series, AT))
    [seen] = found(dsn, series, AT).items
    assert (seen.scheduled_at, seen.region, seen.attempt, seen.outcome) == (AT, "eu", 0, Outcome.STATUS)
    assert seen.snapshot == SEEN


def test_a_tick_that_comes_twice_leaves_one_and_a_repeated_batch_none_more(dsn: str, series: tuple[int, int]) -> None:
    at = AT - timedelta(minutes=1)
    batch = [failed(series, at), failed(series, at), failed(series, at + timedelta(milliseconds=500))]
    assert len(recorded(dsn, *batch)) == 2
    assert recorded(dsn, *batch) == []
    assert len(found(dsn, series, at).items) == 2


def test_a_tick_that_changes_nothing_keeps_what_the_first_one_saw(dsn: str, series: tuple[int, int]) -> None:
    at = AT - timedelta(minutes=2)
    recorded(dsn, failed(series, at))
    other = failed(series, at, structs.replace(SEEN, body="something else"))
    assert recorded(dsn, other, failed(series, at + timedelta(milliseconds=1))) != []
    assert [seen.snapshot.body for seen in found(dsn, series, at).items] == ["<h1>Sorry</h1>"] * 2


def test_a_probers_tick_brings_its_own_where_the_reconciler_had_none(dsn: str, series: tuple[int, int]) -> None:
    at = AT - timedelta(minutes=3)
    absent = failed(series, at, None, outcome=Outcome.WORKER_LOST, source=Source.RECONCILER)
    recorded(dsn, absent)
    assert found(dsn, series, at).items == []
    recorded(dsn, failed(series, at))
    assert len(found(dsn, series, at).items) == 1


HOSTILE = Snapshot(
    "nowhere",
    ("a\x00b\ud800",) * 1000,
    (Hop("x" * 5000, "y" * 5000, 10**9),) * 1000,
    "\x00" * 5000,
    None,
    "\udfff",
    (("name\x00" * 100, "\u202e" * 5000),) * 1000,
    "<script>\x00\ud83d" * 100_000,
)


def test_text_that_postgres_refuses_is_mended_and_everything_has_an_end(dsn: str, series: tuple[int, int]) -> None:
    at = AT - timedelta(minutes=4)
    with psycopg.connect(plain_dsn(dsn), autocommit=True) as connection, connection.transaction():
        assert len(record(connection, [cleaned(failed(series, at, HOSTILE))], now=now())) == 1
    [seen] = found(dsn, series, at).items
    assert seen.snapshot.body is not None
    assert seen.snapshot.body.startswith("<script>\N{REPLACEMENT CHARACTER}?")
    assert len(msgspec.json.encode(seen.snapshot)) < kept_snapshots.LARGEST
    assert (len(seen.snapshot.headers), len(seen.snapshot.problems), seen.snapshot.phase) == (50, 20, "dns")


def test_one_that_is_broken_or_too_large_never_costs_the_tick(
    dsn: str, series: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = AT - timedelta(minutes=6)
    broken = msgspec.msgpack.decode(pack(failed(series, at))[b"1"])
    broken[Tick.__struct_fields__.index("snapshot")] = ["answer", 7, {"not": "hops"}]
    tick = unpack_tick({b"1": msgspec.msgpack.encode(broken)})
    assert (tick.snapshot, tick.outcome) == (None, Outcome.STATUS)
    monkeypatch.setattr(kept_snapshots, "LARGEST", 10)
    assert len(recorded(dsn, tick, failed(series, at + timedelta(milliseconds=1)))) == 2
    assert found(dsn, series, at).items == []


def test_a_certificate_without_a_time_zone_is_left_out_and_nothing_else(dsn: str, series: tuple[int, int]) -> None:
    at = AT - timedelta(minutes=7)
    assert SEEN.certificate is not None
    naive = structs.replace(SEEN.certificate, not_after=datetime(2030, 1, 1))  # noqa: DTZ001
    recorded(dsn, failed(series, at, structs.replace(SEEN, certificate=naive)))
    [seen] = found(dsn, series, at).items
    assert seen.snapshot == structs.replace(SEEN, certificate=None)


def test_a_tick_of_a_site_that_is_not_there_leaves_none(dsn: str, series: tuple[int, int]) -> None:
    at = AT - timedelta(minutes=8)
    recorded(dsn, failed((999_999, series[1]), at), failed(series, at))
    assert len(rows_of(dsn, "select 1 from snapshots where scheduled_at = %s", at)) == 1


def test_pages_follow_each_other_and_regions_and_outcomes_are_picked(dsn: str, series: tuple[int, int]) -> None:
    at = AT - timedelta(hours=2)
    recorded(dsn, *(failed(series, at - timedelta(seconds=n)) for n in range(5)))
    recorded(dsn, failed(series, at - timedelta(seconds=9), outcome=Outcome.SLOW))
    wanted = {"since": at - timedelta(minutes=1), "limit": 4}
    first = found(dsn, series, at, **wanted)
    assert first.end is not None
    rest = found(dsn, series, at, **wanted | {"before": first.end})
    assert rest.end is None
    times = [seen.scheduled_at for seen in (*first.items, *rest.items)]
    assert times == sorted(times, reverse=True)
    assert len(times) == 6
    assert len(found(dsn, series, at, **wanted, outcome=Outcome.SLOW).items) == 1
    assert len(found(dsn, series, at, **wanted, regions=["eu"]).items) == 4
    with pytest.raises(InvalidInputError):
        found(dsn, series, at, **wanted, regions=["nowhere"])


def test_old_ones_go_and_of_one_series_only_the_newest_stay(
    dsn: str, series: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_snapshots, "MOST_A_SERIES", 3)
    old = now() - timedelta(days=31)
    recorded(dsn, failed(series, old))
    with psycopg.connect(plain_dsn(dsn), autocommit=True) as connection:
        forget_snapshots(connection, before=now() - timedelta(days=30))
    kept = [at for (at,) in rows_of(dsn, "select scheduled_at from snapshots order by 1 desc")]
    assert len(kept) == 3
    assert kept[0] == AT
    assert count(dsn, "select count(*) from ticks where scheduled_at < now() - interval '30 days'") == 1


def test_a_site_knows_when_its_certificate_ends(dsn: str, series: tuple[int, int]) -> None:
    def ends() -> datetime | None:
        with writing(dsn) as connection:
            return site_row(connection, "s", now()).certificate_expires_at

    at = now() - timedelta(seconds=30)
    fine: dict[str, Any] = {"snapshot": None, "outcome": Outcome.OK}
    recorded(dsn, failed(series, at, **fine, expires_at=END))
    assert ends() == END
    recorded(dsn, failed(series, at + timedelta(seconds=1), None))
    assert ends() == END, "a failure may end before there is a certificate"
    recorded(dsn, failed(series, at + timedelta(seconds=2), **fine, expires_at=END + timedelta(days=90)))
    assert ends() == END + timedelta(days=90)
    recorded(dsn, failed(series, at + timedelta(seconds=3), **fine))
    assert ends() is None, "it answers without TLS by now"
