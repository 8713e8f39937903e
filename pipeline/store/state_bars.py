"""A site's states as they count, for the bar on its page: the vote of its regions, and each region, without buckets.

Of a range whose single checks can be told the ticks speak, so that the newest shows at once; else the stored spans.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl
import psycopg
from sqlalchemy import Connection, select

from pipeline.analysis.spans import SERIES, holds, hour_pieces, merged, slots
from pipeline.analysis.votes import overlaid, seen, voted
from pipeline.charts.voted import with_vote
from pipeline.frames import SITE_SPANS, SPANS, schema
from pipeline.store import tables as t
from pipeline.store.engine import driver
from pipeline.store.series import LOOK_BACK
from pipeline.store.slots import ticks_of
from pipeline.store.span_reads import called_in, region_spans, site_spans
from pipeline.wanted import Names, Wanted

MOST = 2000  # spans: more are no bar any more, and shares of buckets tell more


def state_bar(
    connection: Connection, site_id: int, *, since: datetime, until: datetime, ticks: bool
) -> pl.DataFrame | None:
    """`charts.voted.VOTED` of [since, until), the vote first; None where there are more spans than can be drawn.

    With `ticks` it is made of those, else of what the roller stored.
    """
    raw, wanted = driver(connection), Wanted(since, max(since, until), [site_id])
    names = names_in(connection)
    if wanted.since >= wanted.until:
        return with_vote(pl.DataFrame(schema=schema(SPANS)), pl.DataFrame(schema=schema(SITE_SPANS)))
    regions, vote = (
        _of_ticks(raw, wanted, names) if ticks else (region_spans(raw, wanted, names), site_spans(raw, wanted, names))
    )
    return with_vote(regions, vote) if regions.height + vote.height <= MOST else None


def _of_ticks(raw: psycopg.Connection, wanted: Wanted, names: Names) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Region spans and their vote, as `span_reads` has them, of the ticks instead of stored spans."""
    asked = called_in(raw, wanted)
    held = hour_pieces(holds(slots(ticks_of(raw, list(wanted.site_ids or ()), wanted.since - LOOK_BACK, wanted.until))))
    told = merged(held.drop("at").sort(*SERIES, "since"), SERIES)
    regions = seen(told, asked.called, asked.suspect, asked.maintenance, asked.paused)
    votes = voted(seen(told, asked.called, asked.suspect))
    vote = overlaid(votes, asked.called, asked.site_maintenance, asked.site_paused)
    return regions.with_columns(names.site(), names.region()), vote.with_columns(names.site())


def names_in(connection: Connection) -> Names:
    """The keys of all sites and regions that ever were."""
    sites, regions = (
        {row.id: row.key for row in connection.execute(select(table.c.id, table.c.key))}
        for table in (t.sites, t.regions)
    )
    return Names(sites, regions)
