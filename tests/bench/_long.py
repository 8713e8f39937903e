"""What the pages ask by default of 90 days of many sites: the store's functions behind `app.data`, uncached."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from statistics import median

import psycopg
from sqlalchemy import Engine

from app.windows import RANGES
from pipeline import analysis
from pipeline.declared_objectives import ObjectiveIn
from pipeline.store import history, medians, objectives, overview
from pipeline.store.budgets import budgeted
from pipeline.store.engine import engine, plain_dsn
from pipeline.store.uptime import uptime_of
from pipeline.workbench import Workbench
from tests.bench._seeded import BAD_EVERY, FAILED, INTERVAL_S, REGIONS, TAGS, Seeded
from tests.harness import writing

ROUNDS = 9
SHOWN = 100  # sites on a page of the list

# A bad hour begins with its failures, seen from everywhere; days are cut where they begin.
_SPANS = f"""
    with days as (
        select site, day, day as first, least(day + interval '1 day', %(now)s) as last,
            (select min(at) from generate_series(0, 23) as hour,
                lateral (select day + make_interval(hours => hour)) as h (at)
                where (site * 7 + extract(epoch from at - %(start)s)::int / 3600) %% {BAD_EVERY} = 0) as bad
        from generate_series(1, %(sites)s) as site,
            generate_series(%(start)s::timestamptz, %(now)s::timestamptz, interval '1 day') as day
    ), parts as (
        select site, day, 0 as state, first as since, least(bad, last) as until from days
        union all select site, day, 2, bad, bad + interval '{FAILED} min' from days where bad < last
        union all select site, day, 0, bad + interval '{FAILED} min', last from days where bad < last
    )
    select site, day, state, since, least(until, %(now)s) as until from parts where since < least(until, %(now)s)
"""
_OF_REGIONS = f"""
    insert into spans_region (since, until, at, last_at, site_id, region_id, checks, state)
    select since, until, day, until - interval '{INTERVAL_S} s', site, region,
        extract(epoch from until - since)::int / {INTERVAL_S}, state
    from ({_SPANS}) as s, generate_series(1, {len(REGIONS)}) as region
"""
_OF_SITES = f"""
    insert into spans_site (since, until, at, began_after, ended_after, site_id, state, down, known, regions)
    select since, until, day, case when since > day then since - interval '{INTERVAL_S} s' end,
        case when until < day + interval '1 day' then until - interval '{INTERVAL_S} s' end, site, state,
        case state when 2 then {len(REGIONS)} else 0 end, {len(REGIONS)}, {len(REGIONS)}
    from ({_SPANS}) as s
"""


def lay_spans(dsn: str, seeded: Seeded) -> None:
    """The spans that go with the seeded rollups, and an objective of a site and one of a tag."""
    start = (seeded.now - timedelta(days=seeded.days)).replace(hour=0, minute=0, second=0, microsecond=0)
    given = {"start": start, "now": seeded.now, "sites": seeded.sites}
    with psycopg.connect(plain_dsn(dsn), autocommit=True, options="-c timezone=UTC") as connection:
        for statement in (_OF_REGIONS, _OF_SITES):
            connection.execute(statement.encode(), given)
        connection.execute("vacuum analyze spans_region")
        connection.execute("vacuum analyze spans_site")
    with writing(dsn) as store:
        one = ObjectiveIn(key="one", site="site-1", target=0.999)
        many = ObjectiveIn(key="many", tag=TAGS[0], target=0.999)
        for wanted in (one, many):
            objectives.create_objective(store, wanted, now=seeded.now, actor="bench")


def page_queries(dsn: str, seeded: Seeded) -> dict[str, dict[str, float]]:
    """By page: milliseconds, median and worst of some rounds after the first, which warms what Postgres keeps."""
    store = engine(dsn, read_only=True)
    found = {}
    try:
        for name, ask in _pages(dsn, store, seeded).items():
            times = [_timed(ask, n) for n in range(ROUNDS)]
            found[name] = {
                "first_ms": round(times[0], 1), "ms": round(median(times[1:]), 1), "worst_ms": round(max(times[1:]), 1)
            }  # fmt: skip
    finally:
        store.dispose()
    return found


def _timed(ask: Callable[[int], object], number: int) -> float:
    began = time.perf_counter()
    ask(number)
    return 1000 * (time.perf_counter() - began)


def _pages(dsn: str, store: Engine, seeded: Seeded) -> dict[str, Callable[[int], object]]:
    now, pages = seeded.now, max(seeded.sites // SHOWN, 1)

    def listed(span: str) -> Callable[[int], object]:
        def ask(number: int) -> None:
            since = now - RANGES[span]
            with store.begin() as connection:
                found = overview.find_sites(connection, overview.Wanted(page=1 + number % pages, size=SHOWN), now)
                ids = [row.id for row in found.rows]
                uptime_of(connection, ids, since, now)
                history.strips(connection, ids, since=since, until=now)

        return ask

    def site(number: int) -> None:
        since, which = now - RANGES["90d"], 1 + number % seeded.sites
        with store.begin() as connection:
            history.detail(connection, which, since=since, until=now, rolled=now)
            history.overview(connection, which, since=since, until=now, rolled=now)
            uptime_of(connection, [which], since, now)

    def changes(number: int) -> None:
        until = now - timedelta(minutes=number)
        with store.begin() as connection:
            screened = medians.worth_a_look(connection, since=until - RANGES["7d"], until=until)
        analysis.changes(screened.medians)

    def promised(number: int) -> None:
        until = now - timedelta(minutes=number)
        with store.begin() as connection:
            [one] = [each for each in objectives.list_objectives(connection) if each.key == "one"]
        with Workbench(dsn, clock=lambda: until) as bench:
            budgeted(one, bench.spans, now=until)

    return {
        "sites": listed("24h"),
        "sites, longest": listed("30d"),
        "site, 90 days": site,
        "changes": changes,
        "slo": promised,
    }
