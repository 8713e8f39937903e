"""What the autoscaler reads: how much waits in each region, and what its probers say of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import psycopg
from msgspec import Struct, field
from psycopg.rows import dict_row

SUPERVISOR_LOCK = 0x73757076  # "supv": whoever holds it runs the probers of the managed regions
GONE = timedelta(seconds=6)  # a prober that was not seen for longer has no lease any more


class RegionLoad(Struct, frozen=True):
    """A region's backlog, and the details of its living probers as they gave them."""

    region_id: int
    seen_at: datetime
    checks_added: int
    oldest_waiting_s: float
    probers: list[dict[str, Any]] = field(default_factory=list)


_LOADS = """
    select b.region_id, b.seen_at, b.checks_added, b.oldest_waiting_s,
        coalesce(jsonb_agg(w.detail) filter (where w.name is not null), '[]') as probers
    from backlogs b
    left join workers w on w.region_id = b.region_id and w.role = 'prober' and w.seen_at > b.seen_at - %(gone)s
    group by b.region_id
"""


def loads(connection: psycopg.Connection) -> list[RegionLoad]:
    """The newest figures of each region."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return [RegionLoad(**row) for row in cursor.execute(_LOADS, {"gone": GONE}).fetchall()]


def last_decisions(connection: psycopg.Connection) -> Mapping[int, tuple[datetime, int]]:
    """When the last decision about each region was made, and how many probers it was given."""
    rows = connection.execute("select distinct on (region_id) region_id, at, after from decisions order by 1, 2 desc")
    return {region: (at, after) for region, at, after in rows.fetchall()}


def try_to_supervise(connection: psycopg.Connection) -> bool:
    """Whether this session may run the probers; it may until it ends."""
    row = connection.execute("select pg_try_advisory_lock(%s)", [SUPERVISOR_LOCK]).fetchone()
    return bool(row and row[0])
