"""The fleet over time, as frames for charts: samples by bucket, and the autoscaler's decisions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
from sqlalchemy import Connection, text

from pipeline.charts.scaling import SAMPLED, on_grid
from pipeline.frames import DECISIONS, schema

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # buckets are cut from here, so that they stay put while time goes on
MOST_DECISIONS = 500  # one a region and 30 s at most, some an hour in practice

# In SQL, since a week of five regions has 300 000 samples, and a chart few pixels for them.
_SAMPLES = text("""
    select date_bin(make_interval(secs => :width_s), s.at, :origin) as at, r.key as region,
        (array_agg(s.probers order by s.at desc))[1] as probers,
        min(s.probers) as probers_low, max(s.probers) as probers_high,
        max(s.lateness_p50_ms) as lateness_p50_ms, max(s.lateness_p95_ms) as lateness_p95_ms,
        max(s.checks_waiting) as checks_waiting, max(s.oldest_waiting_s) as oldest_waiting_s,
        max(s.ticks_waiting) as ticks_waiting
    from region_samples s join regions r on r.id = s.region_id and r.deleted_at is null
    where s.at >= :since and s.at < :until
    group by 1, 2
""")
_DECISIONS = text("""
    select d.at, r.key as region, d.region_id, d.before, d.after, d.reason
    from decisions d join regions r on r.id = d.region_id and r.deleted_at is null
    where d.at >= :since and d.at < :until
    order by d.at desc, d.id desc limit :most
""")


def samples_over_time(connection: Connection, *, since: datetime, until: datetime, width_s: int) -> pl.DataFrame:
    """How the living regions fared in [since, until); columns of `charts.scaling.SAMPLED`, as `charts.sampled`."""
    given = {"since": since, "until": until, "width_s": width_s, "origin": EPOCH}
    rows = [tuple(row) for row in connection.execute(_SAMPLES, given)]
    every = timedelta(seconds=width_s)
    first, last = (at - (at - EPOCH) % every for at in (since, until - timedelta(microseconds=1)))
    return on_grid(pl.DataFrame(rows, schema=SAMPLED, orient="row"), every, first, last)


def decisions_over_time(connection: Connection, *, since: datetime, until: datetime) -> pl.DataFrame:
    """Frame DECISIONS of the living regions in [since, until), the newest first."""
    given = {"since": since, "until": until, "most": MOST_DECISIONS}
    rows = [tuple(row) for row in connection.execute(_DECISIONS, given)]
    return pl.DataFrame(rows, schema=schema(DECISIONS), orient="row")
