"""What holds now: read and locked, changed by the judge, written back with the transitions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import psycopg
from psycopg.types.json import Jsonb

from pipeline.judge.fold import Judged, Watched
from pipeline.judge.verdict import Standing
from pipeline.vocabulary import Outcome, State

_WRITE_SERIES = """
    update series set state = n.state, outcome = n.outcome, detail = n.detail, since = n.since,
        slot_at = n.slot_at, fresh_until = n.fresh_until, latency_ms = n.latency_ms, status = n.status,
        expires_at = n.expires_at
    from unnest(%s::int[], %s::int[], %s::text[], %s::text[], %s::text[], %s::timestamptz[],
                %s::timestamptz[], %s::timestamptz[], %s::real[], %s::smallint[], %s::timestamptz[])
        as n (site_id, region_id, state, outcome, detail, since, slot_at, fresh_until, latency_ms, status, expires_at)
    where series.site_id = n.site_id and series.region_id = n.region_id
"""
_WRITE_VERDICTS = """
    update verdicts set state = n.state, since = n.since
    from unnest(%s::int[], %s::text[], %s::timestamptz[]) as n (site_id, state, since)
    where verdicts.site_id = n.site_id
"""
# A region that has been silent for this long after its word ran out is silent, not just being read.
SILENT_FOR = timedelta(seconds=5)


def lock_watched(connection: psycopg.Connection, site_ids: Collection[int]) -> dict[int, Watched]:
    """The sites as the judge sees them, locked in the order of their ids until the transaction ends."""
    watched: dict[int, Watched] = {}
    rows = connection.execute(
        "select site_id, state, since from verdicts where site_id = any(%s) order by site_id for no key update",
        [sorted(site_ids)],
    )
    for site_id, state, since in rows:
        watched[site_id] = Watched(State(state), since)
    rows = connection.execute(
        "select site_id, region_id, settle_s, state, outcome, since, slot_at, fresh_until, detail, latency_ms, status,"
        " expires_at from series where site_id = any(%s)",
        [list(watched)],
    )
    for site_id, region_id, settle_s, state, outcome, *rest in rows:
        site = watched[site_id]
        site.settle_s[region_id] = settle_s
        site.regions[region_id] = Standing(State(state), Outcome(outcome) if outcome else None, *rest)
    return watched


def sites_gone_silent(connection: psycopg.Connection, now: datetime, behind: Collection[int] = ()) -> list[int]:
    """Sites with a verdict, of which some region said nothing for longer than its word holds.

    Without those that a region of `behind` sees: what it says is not recorded yet, so its silence is ours.
    """
    rows = connection.execute(
        "select v.site_id from verdicts v join series s using (site_id) where v.state <> 'unknown'"
        " group by v.site_id having bool_or(s.fresh_until < %s) and not bool_or(s.region_id = any(%s::int[]))"
        " order by v.site_id",
        [now - SILENT_FOR, list(behind)],
    )
    return [site_id for (site_id,) in rows]


def write_judged(connection: psycopg.Connection, watched: Mapping[int, Watched], judged: Judged) -> None:
    """Write what the judge changed; the transitions are history and outbox in one."""
    if judged.series:
        rows = []
        for site_id, region_id in sorted(judged.series):
            s = watched[site_id].regions[region_id]
            outcome = str(s.outcome) if s.outcome else None
            times = (s.since, s.slot_at, s.fresh_until)
            what = (s.latency_ms, s.status, s.expires_at)
            rows.append((site_id, region_id, str(s.state), outcome, s.detail, *times, *what))
        connection.execute(_WRITE_SERIES, [list(column) for column in zip(*rows, strict=True)])
    if judged.sites:
        sites = sorted(judged.sites)
        states = [str(watched[site].state) for site in sites]
        connection.execute(_WRITE_VERDICTS, [sites, states, [watched[site].since for site in sites]])
    if judged.transitions:
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into transitions (site_id, at, from_state, to_state, votes) values (%s, %s, %s, %s, %s)",
                [
                    (each.site_id, each.at, str(each.from_state), str(each.to_state), Jsonb(each.votes))
                    for each in judged.transitions
                ],
            )
