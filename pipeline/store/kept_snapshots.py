"""What failures saw, into Postgres beside their ticks, and out of it again after a while."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

import psycopg

from pipeline.cleaning import sound
from pipeline.snapshots import as_plain
from pipeline.vocabulary import OUTCOME_CODES, Tick

log = logging.getLogger(__name__)

KEPT = timedelta(days=30)  # what somebody else's server said is looked at for a month's report, not longer
LARGEST = 128 * 1024  # letters of JSON: what a prober of ours sends has 30 000 at most, and a letter may take six
MOST_A_SERIES = 200  # a month of a site that fails in a new way every three hours; the newest stay

# A site or region that is not there (somebody else's tick) has none; what a prober says again replaces what it said.
_KEEP = """
    insert into snapshots (scheduled_at, site_id, region_id, attempt, outcome, seen)
    select n.scheduled_at, n.site_id, n.region_id, n.attempt, n.outcome, n.seen::jsonb
    from unnest(%s::timestamptz[], %s::int[], %s::int[], %s::smallint[], %s::smallint[], %s::text[])
        as n (scheduled_at, site_id, region_id, attempt, outcome, seen)
    join sites on sites.id = n.site_id join regions on regions.id = n.region_id
    on conflict (site_id, region_id, scheduled_at, attempt)
        do update set outcome = excluded.outcome, seen = excluded.seen
"""
_TOO_MANY = """
    delete from snapshots s using (
        select site_id, region_id, scheduled_at, attempt,
            row_number() over (partition by site_id, region_id order by scheduled_at desc, attempt desc) as place
        from snapshots
    ) k
    where k.place > %s and s.site_id = k.site_id and s.region_id = k.region_id
        and s.scheduled_at = k.scheduled_at and s.attempt = k.attempt
"""


def keep_snapshots(connection: psycopg.Connection, stored: Iterable[Tick]) -> int:
    """Write the snapshots of ticks that were stored, in the caller's transaction; returns how many.

    One that is too large or cannot be written is left out: it never costs a tick.
    """
    rows = [row for tick in stored if tick.snapshot is not None and (row := _row(tick)) is not None]
    if not rows:
        return 0
    try:
        with connection.transaction():
            return connection.execute(_KEEP, [list(column) for column in zip(*rows, strict=True)]).rowcount
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        log.warning("no snapshots", extra={"action": "snapshots_refused", "error": str(error).strip()})
        return 0


def forget_snapshots(connection: psycopg.Connection, *, before: datetime) -> None:
    """Drop those of before, and of each series all but the newest."""
    connection.execute("delete from snapshots where scheduled_at < %s", [before])
    connection.execute(_TOO_MANY, [MOST_A_SERIES])


def _row(tick: Tick) -> tuple[object, ...] | None:
    assert tick.snapshot is not None
    try:
        seen = json.dumps(as_plain(sound(tick.snapshot)))
    except (ValueError, TypeError, AttributeError):
        return None
    if len(seen) > LARGEST:
        return None
    return (tick.scheduled_at, tick.site_id, tick.region_id, tick.attempt, OUTCOME_CODES[tick.outcome], seen)
