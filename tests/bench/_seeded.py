"""A workbench that has run for months: many sites, their rollups, the ticks of the last hours; all out of a seed.

Postgres makes the rows itself out of a few thousand drawn histograms, hour by hour as the roller would have written
them, so that one site's hours lie as far apart on the disk as they do in life. The rollups are unlogged and get their
key last: that changes how fast they are written, not how they are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta
from math import log

import numpy as np
import polars as pl
import psycopg
from msgspec import Struct

from pipeline.analysis import histograms
from pipeline.declared import RegionIn, SiteIn
from pipeline.store.engine import plain_dsn
from pipeline.store.regions import create_region
from pipeline.store.sites import create_sites, pause_sites
from pipeline.store.ticks import ensure_partitions
from pipeline.vocabulary import OUTCOME_CODES, Outcome
from tests.harness import writing

SEED = 11
REGIONS = ("eu-west", "eu-north", "us-east", "us-west", "ap-south")
TAGS = ("shop", "api", "blog", "docs", "internal")
INTERVAL_S = 60
CLASSES = 20  # how fast sites are: site % CLASSES
SPREAD = 0.25  # of log latency
HOUR_KINDS, DAY_KINDS = 24, 8  # drawn hours and days of each class and region
BAD = HOUR_KINDS  # the kind of an hour with failures
BAD_EVERY = 1_440  # series-hours
FAILED = 12  # checks of a bad hour
FULL_FOR = timedelta(hours=2)  # ticks of every site: Now reads the last hour of all
DEEP_FOR = timedelta(days=8)  # ticks of the few sites that are looked at
DEEP = 24
BROKE = timedelta(minutes=25)  # how long ago what fails now began to

_BASE_MS = "20 * power(1.08, {site} %% {classes}) * (0.5 + 0.5 * {region})"
# Which sites are not well, by their number.
_DOWN, _SLOW, _LOST = "site_id %% 131 = 7", "site_id %% 67 = 5", "site_id %% 331 = 11"
PAUSED_EVERY, PAUSED_AT = 89, 3

_SHAPES = """
    create unlogged table bench_shapes (
        id int primary key, p50_ms real, p90_ms real, p95_ms real, p99_ms real, buckets smallint[], counts int[]
    )
"""
_HOURS = """
    insert into rollups_hour (at, site_id, region_id, checks, up, degraded, down, unknown, attempts, first_failures,
        untrusted, up_us, degraded_us, down_us, unknown_us, p50_ms, p90_ms, p95_ms, p99_ms, buckets, counts)
    select %(start)s::timestamptz + make_interval(hours => %(hour)s), site, region, 60, 60 - failed, 0, failed, 0,
        60 + failed, failed, 0, (60 - failed) * 60000000::bigint, 0, failed * 60000000::bigint, 0,
        p50_ms, p90_ms, p95_ms, p99_ms, buckets, counts
    from generate_series(1, %(sites)s) as site cross join generate_series(1, %(regions)s) as region
    cross join lateral (select case when (site * 7 + %(hour)s) %% %(bad_every)s = 0 then %(bad)s else
        (site * 31 + region * 17 + %(hour)s * 7) %% %(kinds)s end) as k (kind)
    cross join lateral (select case when kind = %(bad)s then %(failed)s else 0 end) as f (failed)
    join bench_shapes s on s.id = ((site %% %(classes)s) * %(regions)s + region - 1) * (%(kinds)s + 1) + kind
"""
_DAYS = """
    insert into rollups_day (at, site_id, region_id, checks, up, degraded, down, unknown, attempts, first_failures,
        untrusted, up_us, degraded_us, down_us, unknown_us, p50_ms, p90_ms, p95_ms, p99_ms, buckets, counts)
    select %(start)s::timestamptz + make_interval(days => day), site, region, 1440, 1440 - failed, 0, failed, 0,
        1440 + failed, failed, 0, (1440 - failed) * 60000000::bigint, 0, failed * 60000000::bigint, 0,
        p50_ms, p90_ms, p95_ms, p99_ms, buckets, counts
    from generate_series(0, %(days)s) as day cross join generate_series(1, %(sites)s) as site
    cross join generate_series(1, %(regions)s) as region
    cross join lateral (select %(failed)s * (
        (site * 7 + day * 24 + 23) / %(bad_every)s - (site * 7 + day * 24 - 1) / %(bad_every)s)) as f (failed)
    join bench_shapes s on s.id = %(first)s + ((site %% %(classes)s) * %(regions)s + region - 1) * %(kinds)s
        + (site + region + day) %% %(kinds)s
    order by day
"""
_TICKS = f"""
    insert into ticks (scheduled_at, started_at, site_id, region_id, interval_s, revision, bytes, dns_ms, connect_ms,
        tls_ms, ttfb_ms, transfer_ms, latency_ms, error_ms, attempt, outcome, status, kind, clock, source, final,
        trusted, prober, ip, detail)
    select at, at + interval '3 ms', site_id, region_id, {INTERVAL_S}, 1, 512, ms * 0.05, ms * 0.15, ms * 0.3,
        ms * 0.4, ms * 0.1, ms, 0.1, 0, outcome, case when outcome = %(failed)s then 503 else 200 end, 0, 1, 0, true,
        true, 'bench', '192.0.2.1', case when outcome = %(failed)s then 'the status was 503' end
    from generate_series(date_trunc('minute', %(since)s::timestamptz), %(until)s, interval '1 minute') as minute
    cross join (select site_id, region_id from series) as s
    cross join lateral (select minute + make_interval(secs => site_id %% {INTERVAL_S})) as t (at)
    cross join lateral (select at >= %(broke)s) as b (broken)
    cross join lateral (select case when broken and {_DOWN} then %(failed)s when broken and {_SLOW} then %(slow)s
        else %(ok)s end) as o (outcome)
    cross join lateral (select {_BASE_MS.format(site="site_id", region="region_id", classes=CLASSES)}
        * exp({SPREAD} * random_normal()) * case when outcome = %(slow)s then 5 else 1 end) as l (ms)
    where at >= %(since)s and at < %(until)s and not (broken and {_LOST})
        and site_id between %(first)s and %(last)s
    order by at
"""
_STANDING = f"""
    update series set state = s.state, outcome = s.outcome, since = s.since, slot_at = s.slot_at,
        fresh_until = s.slot_at + interval '{2 * INTERVAL_S + 5} s', latency_ms = s.ms,
        status = case when s.state = 'down' then 503 else 200 end,
        detail = case when s.state = 'down' then 'the status was 503' end
    from (
        select site_id, region_id, case when {_DOWN} then 'down' when {_SLOW} then 'degraded' else 'up' end as state,
            case when {_DOWN} then 'status' when {_SLOW} then 'slow' else 'ok' end as outcome,
            case when {_DOWN} or {_SLOW} then %(broke)s::timestamptz else %(start)s::timestamptz end as since,
            case when {_LOST} then %(broke)s::timestamptz else date_trunc('minute', %(now)s::timestamptz)
                - interval '1 minute' + make_interval(secs => site_id %% {INTERVAL_S}) end as slot_at,
            {_BASE_MS.format(site="site_id", region="region_id", classes=CLASSES)} as ms
        from series
    ) as s where s.site_id = series.site_id and s.region_id = series.region_id
"""
_VERDICTS = """
    update verdicts set state = s.state, since = s.since
    from (select distinct on (site_id) site_id, state, since from series) as s where s.site_id = verdicts.site_id
"""
_TRANSITIONS = f"""
    insert into transitions (site_id, at, recorded_at, from_state, to_state, votes, delivered_at)
    select site, at, at, states[way], states[3 - way], jsonb '{{}}', at
    from generate_series(1, %(sites)s) as site
    cross join lateral generate_series({BAD_EVERY} - site * 7 %% {BAD_EVERY}, %(hours)s, {BAD_EVERY}) as hour
    cross join (values (array['up', 'down'])) as s (states) cross join generate_series(1, 2) as way
    cross join lateral (
        select %(start)s::timestamptz + make_interval(hours => hour, mins => way * {FAILED})
    ) as t (at)
    union all
    select site_id, %(broke)s, %(broke)s, 'up', state, '{{}}', %(broke)s from verdicts
    where state in ('down', 'degraded')
    order by 2, 1
"""
_SAMPLES = """
    insert into region_samples (region_id, at, probers, in_flight, probed, lateness_p50_ms, lateness_p95_ms,
        lateness_p99_ms, stall_ms, checks_waiting, checks_pending, oldest_waiting_s, ticks_waiting)
    select region, at, 1 + (extract(hour from at)::int + region) %% 3 / 2, random() * 12, 170 * tick, 2 + random(),
        8 + 4 * random(), 20 + 30 * random(), 3 * random(), random() * 20, random() * 12, random(), random() * 40
    from generate_series(0, 8 * 8640) as tick
    cross join lateral (select %(now)s::timestamptz - interval '8 days' + tick * interval '10 s') as t (at)
    cross join generate_series(1, %(regions)s) as region
    order by at
"""
_DECISIONS = """
    insert into decisions (region_id, at, before, after, reason)
    select region, %(now)s::timestamptz - make_interval(hours => hour), 1 + hour %% 2, 2 - hour %% 2,
        case hour %% 2 when 0 then 'checks started late' else 'the load has gone' end
    from generate_series(1, 8 * 24, 9) as hour cross join generate_series(1, %(regions)s) as region
    order by 2
"""


class Seeded(Struct, frozen=True):
    """What was laid down, as of `now`: every site is called `site-N`, N from 1; those up to `DEEP` have deep ticks."""

    sites: int
    days: int
    now: datetime
    rollup_rows: int


def seed(dsn: str, sites: int, days: int, now: datetime) -> Seeded:
    """Fill migrated, empty tables with `days` of what `sites` sites from five regions leave."""
    start = (now - timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
    _declare(dsn, sites, start, now)
    hours = int((now - start) / timedelta(hours=1)) + 1
    given = {"start": start, "now": now, "broke": now - BROKE, "sites": sites, "regions": len(REGIONS), "days": days}
    with ExitStack() as stack:
        connections = [
            stack.enter_context(psycopg.connect(plain_dsn(dsn), autocommit=True, options="-c timezone=UTC"))
            for _ in range(2)
        ]
        one, other = connections
        one.execute("select setseed(0.5)")
        _shapes(one)
        pool = stack.enter_context(ThreadPoolExecutor())
        few = pool.submit(_few, other, given | {"hours": hours})
        for table in ("rollups_hour", "rollups_day"):
            one.execute(f"alter table {table} set unlogged".encode())
        one.execute("alter table rollups_hour drop constraint rollups_hour_pkey")
        few.result()
        _everywhere(pool, connections, given | _kinds(BAD, HOUR_KINDS), hours)
        one.execute("set maintenance_work_mem = '1GB'")
        one.execute("alter table rollups_hour add primary key (site_id, region_id, at)")
        one.execute("vacuum analyze")
    return Seeded(sites, days, now, (hours + days + 1) * sites * len(REGIONS))


def lay_ticks(connection: psycopg.Connection, since: datetime, until: datetime, broke: datetime, deep: int = 0) -> None:
    """The ticks of [since, until): of every site, or of the first `deep` alone."""
    codes = {"ok": Outcome.OK, "slow": Outcome.SLOW, "failed": Outcome.STATUS}
    given = {name: OUTCOME_CODES[outcome] for name, outcome in codes.items()}
    given_times = {"since": since, "until": until, "broke": broke}
    connection.execute(_TICKS.encode(), {**given, **given_times, "first": 1, "last": deep or 2**31 - 1}, prepare=False)


def _declare(dsn: str, sites: int, start: datetime, now: datetime) -> None:
    """The regions and sites, by the ways that everybody has; a few of them paused."""
    with writing(dsn) as connection:
        for key in REGIONS:
            create_region(connection, RegionIn(key=key), now=start, actor="bench")
        wanted = [
            SiteIn(
                key=f"site-{n}",
                name=f"Site {n}",
                url=f"https://site-{n}.example/health",
                interval_s=INTERVAL_S,
                tags=sorted({TAGS[n % len(TAGS)], TAGS[n * n % len(TAGS)]}),
            )
            for n in range(1, sites + 1)
        ]
        create_sites(connection, wanted, now=start, actor="bench")
        paused = [f"site-{n}" for n in range(1, sites + 1) if n % PAUSED_EVERY == PAUSED_AT and n > DEEP]
        pause_sites(connection, paused, paused=True, now=now, actor="bench")


def _few(connection: psycopg.Connection, given: dict[str, object]) -> None:
    """What there is little of: states, ticks, days, the fleet's history."""
    now, broke = given["now"], given["broke"]
    assert isinstance(now, datetime)
    assert isinstance(broke, datetime)
    connection.execute("select setseed(0.25)")
    reach = DEEP_FOR // timedelta(days=1)
    ensure_partitions(connection, [(now + timedelta(days=n)).date() for n in range(-reach - 1, 2)])
    lay_ticks(connection, now - DEEP_FOR, now - FULL_FOR, broke, deep=DEEP)
    lay_ticks(connection, now - FULL_FOR, now, broke)
    for statement in (_STANDING, _VERDICTS, _TRANSITIONS, _SAMPLES, _DECISIONS):
        connection.execute(statement.encode(), given)
    connection.execute(_DAYS.encode(), given | _kinds(0, DAY_KINDS) | {"first": _HOUR_SHAPES})


def _kinds(bad: int, kinds: int) -> dict[str, object]:
    return {"bad": bad, "bad_every": BAD_EVERY, "failed": FAILED, "kinds": kinds, "classes": CLASSES}


def _everywhere(
    pool: ThreadPoolExecutor, connections: Sequence[psycopg.Connection], given: dict[str, object], hours: int
) -> None:
    """The hourly rollups in the order of time, an hour to each connection in turn."""

    def work(connection: psycopg.Connection, first: int) -> None:
        for hour in range(first, hours, len(connections)):
            connection.execute(_HOURS.encode(), given | {"hour": hour}, prepare=True)

    for each in [pool.submit(work, connection, first) for first, connection in enumerate(connections)]:
        each.result()


_HOUR_SHAPES = CLASSES * len(REGIONS) * (HOUR_KINDS + 1)


def _shapes(connection: psycopg.Connection) -> None:
    """Histograms to draw from: of each class and region some hours, one of them bad, and some days."""
    random = np.random.default_rng(SEED)
    bases = [
        log(20 * 1.08**speed * (0.5 + 0.5 * region))
        for speed in range(CLASSES)
        for region in range(1, len(REGIONS) + 1)
    ]
    sizes = [60] * HOUR_KINDS + [60 - FAILED]
    drawn = [random.lognormal(base, SPREAD, size) for base in bases for size in sizes]
    drawn += [random.lognormal(base, SPREAD, 1_440) for base in bases for _ in range(DAY_KINDS)]
    frame = pl.DataFrame(
        {"id": np.repeat(np.arange(len(drawn)), [len(each) for each in drawn]), "latency_ms": np.concatenate(drawn)}
    )
    shapes = histograms.with_quantiles(histograms.build(frame, ["id"]))
    connection.execute(_SHAPES)
    with connection.cursor() as cursor, cursor.copy("copy bench_shapes from stdin") as copy:
        for row in shapes.select("id", *histograms.QUANTILES, "buckets", "counts").iter_rows():
            copy.write_row(row)
    connection.execute("analyze bench_shapes")
