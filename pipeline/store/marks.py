"""Site-days whose vote has to be taken again, marked in the transaction of what changed it; without loading a frame."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

# A slot's state is held for two intervals, and none is longer than a day: so far ahead of now there may be spans.
AHEAD = timedelta(days=2)

# Also of days that have nothing to vote on: what a roller has not committed yet cannot be asked for.
_MARK = text("""
    insert into dirty_days (at, site_id)
    select at, s.id from sites s, generate_series(
        date_trunc('day', cast(:since as timestamptz), 'UTC'), cast(:until as timestamptz), interval '1 day'
    ) as at
    where s.id = any(cast(:sites as int[])) or cast(:sites as int[]) is null
""")


def mark_days(connection: Connection, sites: Collection[int] | None, since: datetime, until: datetime) -> None:
    """Mark the UTC days of these sites (None: of all) that [since, until) touches, and those held into then."""
    given = {"since": since, "until": until + AHEAD, "sites": None if sites is None else sorted(sites)}
    connection.execute(_MARK, given)
