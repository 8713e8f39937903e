"""One site over time, as frames for charts: latency and phases by bucket, states as spans, the newest ticks.

Every frame has its full grid: where no check answered there is a row without a value, so that a chart shows a gap.
Times are UTC, regions their keys. At most `POINTS` buckets a series.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import polars as pl
from sqlalchemy import Connection, text

from pipeline import frames
from pipeline.charts.shapes import (
    COUNTED,
    EPOCH,
    LATENCY,
    PHASES,
    SILENCES,
    SMOKE,
    bucket_of,
    fleet_on_grid,
    grid,
    on_grid,
    phases_on_grid,
    silenced,
    states_of,
    whole,
)
from pipeline.charts.shares import overview_by
from pipeline.store.engine import driver
from pipeline.store.slots import ticks_of
from pipeline.vocabulary import OUTCOME_CODES, STATE_OF, Kind, Outcome, State

POINTS = 300  # buckets a series; a chart has some 600 pixels for them
LOOK_BACK = timedelta(hours=1)  # for the tick that still holds when a range begins
OUTCOMES, KINDS = list(Outcome), list(Kind)
ANSWERED = sorted(code for outcome, code in OUTCOME_CODES.items() if STATE_OF[outcome] in (State.UP, State.DEGRADED))
FAILED = sorted(code for outcome, code in OUTCOME_CODES.items() if STATE_OF[outcome] is State.DOWN)

RECENT = {
    "at": frames.TIME,
    "region": pl.String(),
    "kind": pl.String(),
    "attempt": pl.Int16(),
    "final": pl.Boolean(),
    "outcome": pl.String(),
    "state": pl.String(),
    "status": pl.Int16(),
    "latency_ms": pl.Float64(),
    **{f"{phase}_ms": pl.Float64() for phase in PHASES},
    "ip": pl.String(),
    "prober": pl.String(),
    "detail": pl.String(),
}

_RECENT = text("""
    select r.key as region, k.* from regions r cross join lateral (
        select scheduled_at as at, kind, attempt, final, outcome, status, latency_ms, dns_ms, connect_ms, tls_ms,
            ttfb_ms, transfer_ms, ip, prober, detail
        from ticks where site_id = :site_id and region_id = r.id and scheduled_at > :since
        order by scheduled_at desc, attempt desc limit :limit
    ) k
    where cast(:regions as text[]) is null or r.key = any(:regions)
    order by k.at desc, r.key, k.attempt desc limit :limit
""")
# Confirmations apart, a final attempt is its slot's tick: here and below that does without the sort of the view, which
# takes three times as long.
_LATENCY = text("""
    select date_bin(make_interval(secs => :width_s), s.scheduled_at, :origin) as at, r.key as region,
        percentile_cont(cast(:shares as float8[])) within group (order by s.latency_ms)
            filter (where s.outcome = any(:answered) and s.trusted) as quantiles,
        count(*) filter (where s.outcome = any(:answered)) as checks,
        count(*) filter (where s.outcome = any(:failed)) as failed
    from ticks s join regions r on r.id = s.region_id
    where s.site_id = :site_id and s.scheduled_at >= :since and s.scheduled_at < :until and s.final and s.kind = 0
    group by 1, 2
""")
_PHASES = text(f"""
    select date_bin(make_interval(secs => :width_s), s.scheduled_at, :origin) as at,
        {", ".join(f"avg(s.{phase}_ms) as {phase}" for phase in PHASES)}
    from ticks s join regions r on r.id = s.region_id
    where s.site_id = :site_id and s.scheduled_at >= :since and s.scheduled_at < :until and s.outcome = any(:answered)
        and s.final and s.kind = 0 and (cast(:regions as text[]) is null or r.key = any(:regions))
    group by 1
""")  # noqa: S608 - the only names put in are our own phases
_SERIES = text("""
    select distinct v.site_id, t.key as site, v.region_id, r.key as region
    from revisions v join sites t on t.id = v.site_id join regions r on r.id = v.region_id and r.deleted_at is null
    where v.site_id = any(:site_ids) and v.effective_at < :until
""")
# When nothing was called for: from a revision that says so to the next one, and before the first of all.
_SILENCES = text("""
    select t.key as site, r.key as region, greatest(f.at, :since) as at, least(f.until, :until) as until, f.paused
    from (
        select site_id, region_id, effective_at as at, active, true as paused,
            lead(effective_at, 1, 'infinity') over (partition by site_id, region_id order by effective_at, id) as until
        from revisions where site_id = any(:site_ids)
        union all
        select site_id, region_id, '-infinity', false, false, min(effective_at) from revisions
        where site_id = any(:site_ids) group by 1, 2
    ) f join sites t on t.id = f.site_id join regions r on r.id = f.region_id
    where not f.active and f.at < f.until and f.at < :until and f.until > :since
""")
_INTERVAL = text("""
    select coalesce(max(interval_s), 0) from ticks
    where site_id = :site_id and scheduled_at >= :since and scheduled_at < :until and kind = 0
""")
# A site counts once a minute by its worst state, however often it is checked.
_FLEET = text(f"""
    select r.key as region, s.at,
        {", ".join(f"count(*) filter (where s.worst = {rank}) as {state}" for rank, state in enumerate(COUNTED))}
    from (
        select k.region_id, k.site_id, date_bin(make_interval(secs => :width_s), k.scheduled_at, :origin) as at,
            min(case
                {" ".join(f"when k.outcome = any(:{state}) then {rank}" for rank, state in enumerate(COUNTED))}
            end) as worst
        from ticks k
        where k.final and k.kind = 0 and k.scheduled_at >= :since and k.scheduled_at < :until
        group by 1, 2, 3
    ) s join regions r on r.id = s.region_id and r.deleted_at is null
    group by 1, 2
""")  # noqa: S608 - the only names put in are our own states


def recent_ticks(
    connection: Connection, site_id: int, *, since: datetime, limit: int, regions: Collection[str] | None = None
) -> pl.DataFrame:
    """The newest ticks of a site (columns `RECENT`), every attempt and kind, newest first."""
    given = {"site_id": site_id, "since": since, "limit": limit, "regions": list(regions) if regions else None}
    rows = [
        {**row, "outcome": (outcome := OUTCOMES[row["outcome"]]).value, "state": STATE_OF[outcome].value}
        | {"kind": KINDS[row["kind"]].value}
        for row in connection.execute(_RECENT, given).mappings()
    ]
    return pl.DataFrame(rows, schema=RECENT)


def latency_over_time(
    connection: Connection, site_id: int, *, since: datetime, until: datetime, regions: Collection[str] | None = None
) -> pl.DataFrame:
    """Exact quantiles (`SMOKE`) of the answered ticks by bucket and region, with the failed ones counted beside.

    Columns `LATENCY`. For ranges of more than a day see `pipeline.store.history`.
    """
    given = {"site_id": site_id, "since": since, "until": until}
    width_s = _width_s(connection, given)
    given |= {"width_s": width_s, "origin": EPOCH, "answered": ANSWERED, "failed": FAILED}
    rows = connection.execute(_LATENCY, given | {"shares": list(SMOKE.values())})
    told = [
        (at, region, *(quantiles or [None] * len(SMOKE)), checks, failed)
        for at, region, quantiles, checks, failed in rows
    ]
    frame = pl.DataFrame(told, schema=LATENCY, orient="row")
    if regions:
        frame = frame.filter(pl.col("region").is_in(list(regions)))
    return on_grid(frame, timedelta(seconds=width_s), *_buckets(since, until, width_s))


def phases_over_time(
    connection: Connection, site_id: int, *, since: datetime, until: datetime, regions: Collection[str] | None = None
) -> pl.DataFrame:
    """Mean milliseconds of each phase by bucket (columns of `charts.shapes.PHASE`)."""
    given = {"site_id": site_id, "since": since, "until": until}
    width_s = _width_s(connection, given)
    given |= {"width_s": width_s, "origin": EPOCH, "answered": ANSWERED, "regions": list(regions) if regions else None}
    rows = [dict(row) for row in connection.execute(_PHASES, given).mappings()]
    wide = pl.DataFrame(rows, schema={"at": frames.TIME, **dict.fromkeys(PHASES, pl.Float64)})
    return phases_on_grid(wide, grid(*_buckets(since, until, width_s), timedelta(seconds=width_s)))


def state_spans(connection: Connection, site_ids: Sequence[int], *, since: datetime, until: datetime) -> pl.DataFrame:
    """Runs of one state by site and region (columns `STATES`) that fill the range, unknown where nobody knows.

    Where nothing was called for, a site is paused and not unknown; before it was added there is nothing.
    """
    given = {"site_ids": list(site_ids), "since": since, "until": until}
    silences = [tuple(row) for row in connection.execute(_SILENCES, given)]
    ticks, names = _ticks(connection, site_ids, since, until)
    states = whole(states_of(ticks, since, until), names, since, until)
    return silenced(states, pl.DataFrame(silences, schema=SILENCES, orient="row"))


def overview_of_ticks(
    connection: Connection, site_id: int, *, since: datetime, until: datetime, regions: Collection[str] | None = None
) -> pl.DataFrame:
    """A young site's whole range (columns `OVERVIEW`), all regions or the named ones together."""
    width_s = _width_s(connection, {"site_id": site_id, "since": since, "until": until})
    ticks, _ = _ticks(connection, [site_id], since, until)
    states = state_spans(connection, [site_id], since=since, until=until)
    if regions:
        ticks, states = (frame.filter(pl.col("region").is_in(list(regions))) for frame in (ticks, states))
    return overview_by(ticks, timedelta(seconds=width_s), since, until, states)


def fleet_minutes(connection: Connection, *, since: datetime, until: datetime, width_s: int = 60) -> pl.DataFrame:
    """What each region saw of all sites, minute by minute: how many sites were in which state (columns `FLEET`).

    A minute without any check has zeroes, so that a silent region reads as a gap.
    """
    codes = {state.value: [OUTCOME_CODES[o] for o in Outcome if STATE_OF[o] is state] for state in COUNTED}
    given = {"since": since, "until": until, "width_s": width_s, "origin": EPOCH, **codes}
    rows = [dict(row) for row in connection.execute(_FLEET, given).mappings()]
    found = pl.DataFrame(rows, schema={"region": pl.String(), "at": frames.TIME, **dict.fromkeys(codes, pl.Int64())})
    width = timedelta(seconds=width_s)
    return fleet_on_grid(found, grid(*_buckets(since, until, width_s), width), width)


def fleet_joined(pieces: Sequence[pl.DataFrame], since: datetime, until: datetime) -> pl.DataFrame:
    """What `fleet_minutes` gave of pieces of [since, until), as it would have given all of it at once."""
    whole = grid(*_buckets(since, until, 60), timedelta(minutes=1))
    return fleet_on_grid(pl.concat(pieces).drop("until"), whole, timedelta(minutes=1))


def _ticks(
    connection: Connection, site_ids: Sequence[int], since: datetime, until: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The sites' scheduled ticks, also the last before `since`, and their series [site_id, site, region_id, region]."""
    series = connection.execute(_SERIES, {"site_ids": list(site_ids), "until": until})
    types = {"site_id": pl.Int32, "site": pl.String, "region_id": pl.Int32, "region": pl.String}
    names = pl.DataFrame([tuple(row) for row in series], schema=types, orient="row")
    ticks = ticks_of(driver(connection), site_ids, since - LOOK_BACK, until)
    return ticks.join(names, on=["site_id", "region_id"]), names


def _width_s(connection: Connection, given: dict[str, Any]) -> int:
    """Seconds a bucket: whole intervals, so that a bucket without a check is a check that did not happen."""
    interval_s = int(connection.execute(_INTERVAL, given).scalar_one()) or 60
    seconds: float = (given["until"] - given["since"]).total_seconds()
    return interval_s * max(1, ceil(seconds / POINTS / interval_s))


def _buckets(since: datetime, until: datetime, width_s: int) -> tuple[datetime, datetime]:
    """The first whole bucket of the range, and the one that has begun last."""
    width = timedelta(seconds=width_s)
    return bucket_of(since - timedelta(microseconds=1), width) + width, bucket_of(
        until - timedelta(microseconds=1), width
    )
