"""How long rollups stay: hours for a year and some, days for ever."""

from __future__ import annotations

from datetime import datetime

import psycopg
from psycopg import sql

from pipeline.store.rollups import ROLL_LOCK

# A day is made of its hours: none of them goes while another is to be rolled up.
_FORGET = sql.SQL("""
    delete from {} r where at < %s
        and not exists (
            select from dirty_hours d where d.at >= date_trunc('day', r.at, 'UTC')
                and d.at < date_trunc('day', r.at, 'UTC') + interval '1 day'
        )
""")


def forget_hours(connection: psycopg.Connection, *, before: datetime) -> int:
    """Drop hourly rows of before; returns how many."""
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [ROLL_LOCK])
        return sum(
            connection.execute(_FORGET.format(sql.Identifier(table)), [before]).rowcount
            for table in ("rollups_hour", "phases_hour")
        )
