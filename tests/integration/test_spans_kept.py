"""Stored spans equal a recomputation whatever came when, and what is read of them is what a plain loop finds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import polars as pl
import psycopg
import pytest
from sqlalchemy import Connection

from pipeline.answers import UPTIME
from pipeline.declared import RegionIn, SiteIn
from pipeline.errors import InvalidInputError, NotFoundError
from pipeline.frames import PERIODS, SITE_SPANS, SPANS, check
from pipeline.store.engine import engine, plain_dsn
from pipeline.store.periods import add_period, end_period, list_periods, remove_period
from pipeline.store.regions import create_region
from pipeline.store.rollups import roll, verify
from pipeline.store.sites import create_sites, delete_sites, pause_sites
from pipeline.store.ticks import ensure_partitions, store_ticks
from pipeline.store.uptime import uptime_of
from pipeline.vocabulary import Outcome, Tick
from pipeline.workbench import Workbench
from tests.harness import writing
from tests.integration.tickmaker import tick
from tests.unit.oracle import Edit, History, Period, Slot

START = datetime(2026, 3, 1, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
END = START + 9 * HOUR  # over midnight
ALWAYS = datetime.max.replace(tzinfo=UTC)
STATES = {Outcome.OK: "up", Outcome.SLOW: "degraded", Outcome.STATUS: "down", Outcome.LATE: "unknown"}


@pytest.fixture
def raw(dsn: str) -> Iterator[psycopg.Connection]:
    """An empty store with the regions 1 to 3 and partitions for some days."""
    with psycopg.connect(plain_dsn(dsn), autocommit=True, options="-c timezone=UTC") as connection:
        connection.execute(
            "truncate sites, regions, revisions, ticks, dirty_hours, dirty_days, rollups_hour, rollups_day,"
            " spans_region, spans_site, periods restart identity cascade"
        )
        ensure_partitions(connection, [START.date() + timedelta(days=n) for n in range(-1, 4)])
        with writing(dsn) as store:
            for key in ("r1", "r2", "r3"):
                create_region(store, RegionIn(key=key), now=START - HOUR, actor="test")
        yield connection


def add_site(dsn: str, key: str = "shop", at: datetime = START) -> int:
    with writing(dsn) as store:
        site = SiteIn(key=key, url=f"https://{key}.example", interval_s=600)
        return create_sites(store, [site], now=at, actor="test")[0].id


def store_and_roll(connection: psycopg.Connection, ticks: list[Tick]) -> None:
    with connection.transaction():
        store_ticks(connection, ticks)
    rolled(connection)


def rolled(connection: psycopg.Connection, limit: int = 1000) -> None:
    after = None
    while True:
        with connection.transaction():
            done = roll(connection, before=ALWAYS, after=after, limit=limit)
        after = done.last
        if after is None:
            return


def edited(random: Random, store: Connection, keys: list[str], at: datetime) -> None:
    """One of the things that people do."""
    what = random.choice(["pause", "resume", "suspect", "maintenance"])
    if what in ("pause", "resume"):
        pause_sites(store, [random.choice(keys)], paused=what == "pause", now=at, actor="test")
        return
    since = at + timedelta(seconds=11)
    region = random.choice(["r1", "r2"]) if what == "suspect" else None
    place: dict[str, Any] = {"site": random.choice([*keys, None]), "region": region}
    until = since + random.choice([10, 90, 300]) * timedelta(minutes=1)
    add_period(store, what, **place, since=since, until=until, reason="a test", now=at, actor="test")  # type: ignore[arg-type] # one of two


def some_ticks(random: Random, sites: list[int], count: int) -> list[Tick]:
    outcomes = [Outcome.OK, Outcome.OK, Outcome.STATUS, Outcome.STATUS, Outcome.SLOW, Outcome.LATE]
    return [
        tick(
            START + timedelta(seconds=30 * random.randrange(int((END - START).total_seconds() / 30))),
            random.choice(outcomes),
            interval_s=random.choice([60, 600, 3600]),
            site=random.choice(sites),
            region=random.randint(1, 3),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_random_histories_are_what_the_loop_finds_in_whatever_order_they_came(
    raw: psycopg.Connection, dsn: str, seed: int
) -> None:
    random = Random(seed)
    keys = ["shop", "blog"]
    sites = [add_site(dsn, key) for key in keys]
    left = some_ticks(random, sites, 150)
    for hour in range(8):
        batch, left = left[:20], left[20:]
        store_and_roll(raw, [*batch, *batch[:3]])  # early, late, twice
        if random.random() < 0.7:
            with writing(dsn) as store:
                edited(random, store, keys, START + hour * HOUR + timedelta(seconds=7))
        if random.random() < 0.5:
            rolled(raw, limit=5)
    rolled(raw)
    assert raw.execute("select count(*) from dirty_days").fetchone() == (0,)
    assert verify(raw, START, END + timedelta(days=2)) == []
    with Workbench(dsn, clock=lambda: END) as bench:
        for number, key in zip(sites, keys, strict=True):
            found = check(bench.spans([key], START, level="global").collect(), SITE_SPANS)
            assert_as_the_loop_has_it(raw, number, found)
        the_list_says_the_same(dsn, bench, dict(zip(keys, sites, strict=True)))


def assert_as_the_loop_has_it(raw: psycopg.Connection, site: int, found: pl.DataFrame) -> None:
    """Second by second where something may have changed: the state of the site at that time, by the plain rules."""
    history = history_of(raw)
    maintained = periods_of(raw, "maintenance")
    rows = found.with_columns(
        ((pl.col(name) - START).dt.total_microseconds() / 1e6) for name in ("since", "until")
    ).to_dicts()
    for at in history.moments()[:-1]:
        votes = history.votes(site, at)
        expected = oracle_state(votes) if votes else "paused"
        if any(p.site in (None, site) and p.since <= at < p.until for p in maintained):
            expected = "maintenance"
        there = [row["state"] for row in rows if row["since"] <= at < row["until"]]
        assert there == [expected], at
    assert all(one["until"] == other["since"] and one["state"] != other["state"] for one, other in pairwise(rows))


def oracle_state(votes: dict[int, str]) -> str:
    from tests.unit.oracle import verdict

    return verdict(votes.values())


def history_of(raw: psycopg.Connection) -> History:
    outcomes = list(Outcome)
    slots = [
        Slot(site, region, (at - START).total_seconds(), STATES[outcomes[outcome]], interval)
        for site, region, at, outcome, interval in raw.execute(
            "select site_id, region_id, scheduled_at, outcome, interval_s from slot_ticks"
        )
    ]
    edits = [
        Edit(site, region, (at - START).total_seconds(), active)
        for site, region, at, active in raw.execute(
            "select site_id, region_id, effective_at, active from revisions order by id"
        )
    ]
    # What maintenance begins and ends is a moment, too.
    suspect = periods_of(raw, "suspect")
    ends = [Edit(0, 0, at, False) for p in periods_of(raw, "maintenance") for at in (p.since, p.until)]
    return History(slots, [*edits, *ends], suspect, 0.0, (END - START).total_seconds())


def periods_of(raw: psycopg.Connection, kind: str) -> list[Period]:
    rows = raw.execute(
        "select site_id, region_id, since, until from periods where kind = %s and deleted_at is null", [kind]
    )
    far = END + timedelta(days=9)
    return [
        Period(site, region, (since - START).total_seconds(), ((until or far) - START).total_seconds())
        for site, region, since, until in rows
    ]


def the_list_s_windows() -> list[datetime]:
    return [START, END - 3 * HOUR, START - timedelta(days=2)]


def the_list_says_the_same(dsn: str, bench: Workbench, numbers: dict[str, int]) -> None:
    store = engine(dsn)
    with store.connect() as connection:
        for since in the_list_s_windows():
            for region in (None, 1):
                named = None if region is None else ["r1"]
                by = ("site",) if region is None else ("site", "region")
                rows = {row["site"]: row for row in bench.uptime(by, since, regions=named).to_dicts()}
                found = uptime_of(connection, list(numbers.values()), since, END, region)
                for key, number in numbers.items():
                    # Of a site that nothing was expected of there is no row, whoever checked it.
                    row = rows.get(key, dict.fromkeys(UPTIME) | {"down_s": 0, "unknown_s": 0})
                    names = ["uptime", "low", "high", "coverage", "down_s", "unknown_s"]
                    names += ["checks"] if key in rows else []
                    said = {name: getattr(found[number], name) for name in names}
                    assert said == pytest.approx({name: row[name] for name in names}), (key, region, since)
    store.dispose()


def test_a_suspect_region_changes_the_vote_and_taking_it_back_brings_it_back(raw: psycopg.Connection, dsn: str) -> None:
    site = add_site(dsn)
    down = [tick(START, Outcome.STATUS, interval_s=3600, site=site, region=region) for region in (1, 2)]
    store_and_roll(raw, [*down, tick(START, interval_s=3600, site=site, region=3)])
    with Workbench(dsn, clock=lambda: START + HOUR) as bench:
        assert states(bench) == ["down"]
        with writing(dsn) as store:
            number = add_period(
                store, "suspect", site=None, region="r2", since=START, until=None, reason="its uplink", now=START,
                actor="test",
            )  # fmt: skip
        rolled(raw)
        assert states(bench) == ["degraded"]
        assert bench.spans(regions=["r2"]).collect()["state"].to_list() == ["unknown"]
        assert check(bench.periods(), PERIODS).select("kind", "site", "region").rows() == [("suspect", None, "r2")]
        with writing(dsn) as store:
            end_period(store, number, at=START + HOUR / 2, now=START + HOUR, actor="test")
        rolled(raw)
        assert states(bench) == ["degraded", "down"]
        with writing(dsn) as store:
            remove_period(store, number, now=START + HOUR, actor="test")
        rolled(raw)
        assert states(bench) == ["down"]
    assert verify(raw, START, END) == []


def states(bench: Workbench, site: str = "shop") -> list[str]:
    return bench.spans([site], START, level="global").collect()["state"].to_list()


def test_a_pause_is_paused_and_after_its_end_a_site_is_absent(raw: psycopg.Connection, dsn: str) -> None:
    site = add_site(dsn)
    store_and_roll(raw, [tick(START, interval_s=600, site=site, region=region) for region in (1, 2, 3)])
    with writing(dsn) as store:
        pause_sites(store, ["shop"], paused=True, now=START + HOUR, actor="test")
        pause_sites(store, ["shop"], paused=False, now=START + 2 * HOUR, actor="test")
        delete_sites(store, ["shop"], now=START + 3 * HOUR, actor="test")
    rolled(raw)
    with Workbench(dsn, clock=lambda: END) as bench:
        told = [("up", 20, 20), ("unknown", 20, 21), ("paused", 21, 22), ("unknown", 22, 23)]
        for level in ("global", "region"):
            found = bench.spans(["shop"], START, regions=["r1"] if level == "region" else None, level=level).collect()
            rows = found.select("state", pl.col("since").dt.hour(), pl.col("until").dt.hour()).rows()
            assert rows == told, level


def test_a_window_cuts_spans_and_midnight_does_not(raw: psycopg.Connection, dsn: str) -> None:
    site = add_site(dsn)
    store_and_roll(
        raw, [tick(START + n * HOUR / 6, interval_s=600, site=site, region=r) for n in range(48) for r in (1, 2)]
    )
    with Workbench(dsn, clock=lambda: END) as bench:
        [row] = check(bench.spans(start=START + HOUR, end=START + 7 * HOUR, regions=["r1"]).collect(), SPANS).to_dicts()
        assert (row["since"], row["until"], row["state"]) == (START + HOUR, START + 7 * HOUR, "up")
        assert (row["began_after"], row["ended_after"]) == (None, None)  # it was cut
        assert row["checks"] == pytest.approx(36, abs=1)  # in proportion to its time
        hours = bench.uptime(("at",), START, START + 2 * HOUR)
        assert hours["at"].to_list() == [START, START + HOUR]


def test_an_open_hour_is_read_up_to_now(raw: psycopg.Connection, dsn: str) -> None:
    site = add_site(dsn)
    now = [START]
    store_and_roll(raw, [tick(START, interval_s=600, site=site, region=region) for region in (1, 2, 3)])
    with Workbench(dsn, clock=lambda: now[0]) as bench:
        for minutes, expected in ((5, ["up"]), (15, ["up"]), (25, ["up", "unknown"])):
            now[0] = START + timedelta(minutes=minutes)
            found = bench.spans(start=START, level="global").collect()
            assert found["state"].to_list() == expected
            assert found["until"].max() == now[0]


def test_a_period_that_makes_no_sense_is_refused_with_what_to_do(raw: psycopg.Connection, dsn: str) -> None:  # noqa: ARG001
    add_site(dsn)
    plain: dict[str, Any] = {"since": START, "until": START + HOUR, "reason": "a test", "now": START, "actor": "test"}
    with writing(dsn) as store:
        with pytest.raises(InvalidInputError, match=r"ends .* before it begins"):
            add_period(store, "maintenance", site="shop", **{**plain, "until": START})
        with pytest.raises(InvalidInputError, match="say why"):
            add_period(store, "maintenance", site="shop", **{**plain, "reason": " "})
        with pytest.raises(InvalidInputError, match="leave the region out"):
            add_period(store, "maintenance", site="shop", region="r1", **plain)
        with pytest.raises(NotFoundError, match="no site 'shp'"):
            add_period(store, "maintenance", site="shp", **plain)
        number = add_period(store, "maintenance", site="shop", **plain)
        with pytest.raises(InvalidInputError, match="has ended before"):
            end_period(store, number, at=START + 2 * HOUR, now=START, actor="test")
        end_period(store, number, at=START, now=START, actor="test")
        assert list_periods(store) == []
        with pytest.raises(NotFoundError, match="no period"):
            remove_period(store, number, now=START, actor="test")
