"""The analysis API: what it promises holds, it reads only, and it says what to do when something is not there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import polars as pl
import psycopg
import pytest
from msgspec import structs
from sqlalchemy import text
from sqlalchemy.exc import InternalError, ProgrammingError

import pipeline
from pipeline import answers, frames
from pipeline.analysis.histograms import ALPHA
from pipeline.declared import RegionIn, SiteIn
from pipeline.errors import InvalidInputError, NotFoundError, UnavailableError
from pipeline.frames import check
from pipeline.moments import moment
from pipeline.store.engine import engine, plain_dsn
from pipeline.store.kept_snapshots import keep_snapshots
from pipeline.store.regions import create_region
from pipeline.store.rollups import roll
from pipeline.store.sites import create_sites, pause_sites
from pipeline.store.ticks import ensure_partitions, store_ticks
from pipeline.store.uptime import uptime_of
from pipeline.vocabulary import Certificate, Hop, Outcome, Snapshot
from pipeline.workbench import Workbench
from tests.harness import writing
from tests.integration.tickmaker import tick

START = datetime(2026, 3, 1, 22, tzinfo=UTC)
NOW = START + timedelta(hours=4)


@pytest.fixture(scope="module")
def bench(dsn: str) -> Iterator[Workbench]:
    """Two sites from two regions, each minute for three hours: `shop` is down for ten minutes in one region,
    `blog` is paused after the first hour, and nobody checked anything in the fourth hour."""
    with writing(dsn) as connection:
        for key in ("eu", "us"):
            create_region(connection, RegionIn(key=key), now=START, actor="test")
        sites = [SiteIn(key=key, url=f"https://{key}.example", interval_s=60) for key in ("shop", "blog")]
        shop, blog = (site.id for site in create_sites(connection, sites, now=START, actor="test"))
        later = START + timedelta(hours=1)
        pause_sites(connection, ["blog"], paused=True, now=later, actor="test")
    minutes = [START + timedelta(minutes=n) for n in range(180)]
    ticks = [tick(at, site=shop, region=1) for at in minutes]
    ticks += [
        tick(at, Outcome.STATUS if 30 <= n < 40 else Outcome.OK, site=shop, region=2) for n, at in enumerate(minutes)
    ]
    ticks += [tick(at, site=blog, region=region) for at in minutes[:60] for region in (1, 2)]
    with psycopg.connect(plain_dsn(dsn), autocommit=True, options="-c timezone=UTC") as connection:
        ensure_partitions(connection, [START.date(), NOW.date()])
        with connection.transaction():
            store_ticks(connection, ticks)
        with connection.transaction():
            roll(connection, before=datetime.max.replace(tzinfo=UTC))
    with Workbench(dsn, clock=lambda: NOW) as bench:
        yield bench


def test_every_frame_is_as_published(bench: Workbench) -> None:
    check(bench.sites(), frames.SITES)
    check(bench.regions(), frames.REGIONS)
    check(bench.transitions(), frames.TRANSITIONS)
    check(bench.ticks().collect(), frames.TICKS)
    check(bench.rollup(), frames.ROLLUPS)
    check(bench.spans(start=START), frames.SPANS)
    check(bench.spans(start=START, level="global"), frames.SITE_SPANS)
    check(bench.periods(), frames.PERIODS)
    check(bench.snapshots(), frames.SNAPSHOTS)
    assert bench.sites()["site"].to_list() == ["blog", "shop"]
    assert bench.sites()["paused"].to_list() == [True, False]


def test_ticks_are_those_asked_for(bench: Workbench) -> None:
    assert bench.ticks().collect().height == 480
    assert bench.ticks(["shop"], regions=["eu"]).collect().height == 180
    assert bench.ticks(["shop"], start=START, end=START + timedelta(minutes=5)).collect().height == 10
    assert bench.ticks(start=date(2026, 3, 2)).select("site").collect()["site"].unique().to_list() == ["shop"]
    failed = bench.ticks().filter(pl.col("state") == "down").select("site", "region", "outcome").unique().collect()
    assert failed.rows() == [("shop", "us", "status")]


def test_a_query_reads_only_the_columns_and_rows_that_it_needs(bench: Workbench) -> None:
    assert bench.ticks().select("region", "latency_ms").collect().columns == ["region", "latency_ms"]
    assert bench.ticks().head(3).collect().height == 3
    assert bench.ticks().select(pl.len()).collect().item() == 480


def test_hours_come_with_the_time_that_was_expected(bench: Workbench) -> None:
    hours = bench.rollup(by=("site",), start=START).collect()
    told = hours.select("site", pl.col("at").dt.hour(), "checks", "expected_s").rows()
    shop = [("shop", 22, 120, 7200), ("shop", 23, 120, 7200), ("shop", 0, 120, 7200), ("shop", 1, 0, 7200)]
    blog = [("blog", 22, 120, 7200), ("blog", 23, 0, 0)]  # its last state is held into the hour of its pause
    assert sorted(told) == sorted([*shop, *blog])


def test_days_are_the_merge_of_hours_and_quantiles_are_near_the_exact_ones(bench: Workbench) -> None:
    days = bench.rollup(every="1d", by=(), start=START).collect()
    assert days["checks"].to_list() == [360, 120]
    answered = bench.ticks(end=date(2026, 3, 2)).filter(pl.col("state") == "up").collect()
    exact = answered["latency_ms"].quantile(0.5, "equiprobable")
    assert days["p50_ms"][0] == pytest.approx(exact, rel=ALPHA)


def test_uptime_has_coverage_and_bounds(bench: Workbench) -> None:
    found = bench.uptime(by=("site",), start=START)
    rows = {row["site"]: row for row in found.iter_rows(named=True)}
    # Four hours were called for; three were checked, and each last state held for a minute longer. One region of two
    # cannot bring a site down.
    known = 3 * 3600 + 60
    assert rows["shop"]["uptime"] == 1
    assert rows["shop"]["coverage"] == pytest.approx(known / (4 * 3600))
    assert rows["shop"]["down_s"] == 0
    assert rows["shop"]["checks"] == 360
    seen = {row["region"]: row for row in bench.uptime(by=("region",), sites=["shop"], start=START).to_dicts()}
    assert seen["us"]["uptime"] == pytest.approx(1 - 600 / known)
    assert seen["us"]["down_s"] == 600
    assert seen["eu"]["uptime"] == 1
    assert rows["blog"]["uptime"] == 1
    assert rows["blog"]["coverage"] == 1
    assert found.columns == ["site", *answers.UPTIME]


def test_the_list_s_statement_says_the_same_as_the_frames(bench: Workbench, dsn: str) -> None:
    numbers = dict(bench.sites().select("site_id", "site").rows())
    store = engine(dsn)
    with store.connect() as connection:
        for since in (START, START - timedelta(days=2), NOW - timedelta(hours=1)):
            found = uptime_of(connection, list(numbers), since, NOW)
            rows = {row["site"]: row for row in bench.uptime(start=since).iter_rows(named=True)}
            for number, key in numbers.items():
                row = rows.get(key, dict.fromkeys(answers.UPTIME))
                assert found[number].uptime == pytest.approx(row["uptime"])
                assert found[number].coverage == pytest.approx(row["coverage"])
    store.dispose()


def test_sites_of_which_nothing_is_known_have_no_uptime(dsn: str) -> None:
    store = engine(dsn)
    with store.connect() as connection:
        nothing = uptime_of(connection, [999], START, NOW)[999]
    store.dispose()
    assert (nothing.uptime, nothing.coverage, nothing.checks) == (None, None, 0)


def test_an_unknown_key_is_refused_with_a_near_one(bench: Workbench) -> None:
    with pytest.raises(NotFoundError, match="no site 'shp'; did you mean shop"):
        bench.ticks(["shp"])
    with pytest.raises(NotFoundError, match="no region 'mars'"):
        bench.rollup(regions=["mars"])


def test_times_are_read_as_people_write_them() -> None:
    assert moment("-90m", NOW, "start") == NOW - timedelta(minutes=90)
    assert moment("-7d", NOW, "start") == NOW - timedelta(days=7)
    assert moment("2026-03-01", NOW, "start") == datetime(2026, 3, 1, tzinfo=UTC)
    assert moment("2026-03-01T12:00+02:00", NOW, "start") == datetime(2026, 3, 1, 10, tzinfo=UTC)
    for nonsense in ("yesterday", datetime(2026, 3, 1)):  # noqa: DTZ001 - naive on purpose
        with pytest.raises(InvalidInputError, match="start"):
            moment(nonsense, NOW, "start")


def test_what_rollups_cannot_be_cut_by_is_refused(bench: Workbench) -> None:
    with pytest.raises(InvalidInputError):
        bench.rollup(by=("site", "moon"))


def test_it_cannot_write(bench: Workbench) -> None:
    with bench._engine.connect() as connection, pytest.raises((InternalError, ProgrammingError), match="read-only"):
        connection.execute(text("delete from ticks"))


def test_without_a_server_it_says_how_to_start_one() -> None:
    with pytest.raises(UnavailableError, match="make up"):
        pipeline.connect("postgresql://nobody@/nothing?host=/nowhere")


def test_what_failures_saw_and_when_certificates_end_are_frames_too(bench: Workbench, dsn: str) -> None:
    ends = datetime(2026, 6, 1, tzinfo=UTC)
    certificate = Certificate("CN=shop", "CN=ca", ("shop.example",), START, ends, "ab")
    seen = Snapshot("answer", ("no",), (Hop("https://shop.example", None, 503),), None, certificate, body="sorry")
    failed = structs.replace(tick(START, Outcome.STATUS, site=1, region=2), snapshot=seen)
    with psycopg.connect(plain_dsn(dsn), autocommit=True) as connection:
        assert keep_snapshots(connection, [failed]) == 1
        connection.execute("update series set expires_at = %s where site_id = 1 and region_id = 2", [ends])
    frame = check(bench.snapshots(["shop"]), frames.SNAPSHOTS)
    [row] = frame.to_dicts()
    assert (row["site"], row["region"], row["outcome"], row["body"]) == ("shop", "us", "status", "sorry")
    assert (row["statuses"], row["ips"], row["certificate_expires_at"]) == ([503], [None], ends)
    assert bench.snapshots(["blog"]).is_empty()
    sites = check(bench.sites(), frames.SITES)
    assert dict(sites.select("site", "certificate_expires_at").rows()) == {"blog": None, "shop": ends}
