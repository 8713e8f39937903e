"""History of other monitors into the store: by site, each in transactions of its own, so that it can be run again.

It hangs on a region of its own that was removed the moment it was made: what it saw stays, nobody probes from it, and
sites that follow all regions do not follow it. Its slots are the other monitor's, so its ticks say that they are
imported: the ledger of what we called for leaves them out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import polars as pl
import psycopg
from msgspec import Struct
from sqlalchemy import Connection, Engine, delete, insert, select

from pipeline.declared import SiteIn, parse
from pipeline.errors import InvalidInputError, Problem
from pipeline.imports.foreign import Foreign, Note, Watched
from pipeline.ring import RingSource, no_keys
from pipeline.store import tables as t
from pipeline.store.bulk import make_room, store_frame
from pipeline.store.edits import lock_edits, record
from pipeline.store.sites import create_sites, living_sites, with_keys
from pipeline.store.ticks import CLOCKS, KINDS, SOURCES
from pipeline.vocabulary import OUTCOME_CODES, Clock, Kind, Network, Source, Spec

Progress = Callable[[float, str], None]


class Brought(Struct, frozen=True):
    """What became of one site: its key here, whether it is new, how many attempts it brought."""

    name: str
    key: str
    new: bool
    ticks: int


class Report(Struct, frozen=True):
    """What an import did, and what did not come along."""

    region: str
    brought: list[Brought]
    notes: list[Note]


def bring(
    engine: Engine,
    connection: psycopg.Connection,
    foreign: Foreign,
    *,
    now: datetime,
    actor: str,
    ring: RingSource = no_keys,
    progress: Progress = lambda _share, _name: None,
) -> Report:
    """Create the sites that are missing, and store what was found about them. Doing it again changes nothing.

    Sites that are watched here already get the history; sites that cannot be are notes.
    """
    brought: list[Brought] = []
    notes = list(foreign.notes)
    with engine.begin() as edits:
        region = _region(edits, foreign.source, now=now, actor=actor)
    for number, watched in enumerate(foreign.watched):
        progress(number / len(foreign.watched), watched.name)
        try:
            with engine.begin() as edits:
                site, key, new = _site(edits, watched, now=now, actor=actor, ring=ring)
        except InvalidInputError as error:
            notes += [Note(watched.name, f"not taken: {problem}") for problem in error.problems]
            continue
        ticks = _history(engine, connection, watched, site=site, region=region, now=now, actor=actor)
        brought.append(Brought(watched.name, key, new, ticks))
    progress(1.0, "")
    return Report(foreign.source, brought, notes)


def _region(connection: Connection, key: str, *, now: datetime, actor: str) -> int:
    """The removed region of that key whose history is imported; made where it is missing."""
    lock_edits(connection)
    columns = t.regions.c
    found = connection.execute(
        select(columns.id).where(columns.key == key, columns.deleted_at.is_not(None), columns.managed.is_(False))
    ).scalar()
    if found is not None:
        return int(found)
    values: dict[str, Any] = {
        "key": key,
        "name": key,
        "managed": False,
        "resolvers": [],
        "reference_targets": [],
        "created_at": now,
        "updated_at": now,
        "deleted_at": now,
        "min_probers": 1,
        "max_probers": 1,
    }
    record(connection, actor=actor, action="history_imported", subject=key, now=now)
    return int(connection.execute(insert(t.regions).values(**values).returning(columns.id)).scalar_one())


def _site(
    connection: Connection, watched: Watched, *, now: datetime, actor: str, ring: RingSource
) -> tuple[int, str, bool]:
    """Id and key of the site that is meant, and whether it is new. Errors: InvalidInputError."""
    lock_edits(connection)
    columns = t.sites.c
    same = columns.url == watched.fields["url"] if watched.fields else columns.key == watched.name
    row = connection.execute(living_sites().where(same).order_by(columns.id)).mappings().first()
    if row is not None:
        return row["id"], row["key"], False
    if not watched.fields:
        problem = f"there is no site {watched.name!r}: add it first, then its history can be imported"
        raise InvalidInputError([Problem("site", problem)])
    [fields] = with_keys(connection, [watched.fields])
    [site] = create_sites(connection, [parse(SiteIn, fields)], now=now, actor=actor, ring=ring)
    return site.id, site.key, True


def _history(
    engine: Engine,
    connection: psycopg.Connection,
    watched: Watched,
    *,
    site: int,
    region: int,
    now: datetime,
    actor: str,
) -> int:
    ticks = 0
    first: datetime | None = None
    last: datetime | None = None
    for frame in watched.checks():
        if frame.is_empty():
            continue
        since, until = frame["scheduled_at"].min(), frame["scheduled_at"].max()
        assert isinstance(since, datetime)
        assert isinstance(until, datetime)
        first, last = min(first or since, since), max(last or until, until)
        make_room(connection, frame["scheduled_at"].dt.date().unique().sort().to_list())
        with connection.transaction():
            ticks += store_frame(connection, _physical(frame, site, region, watched.interval_s))
    with engine.begin() as edits:
        if first and last:
            end = min(last + timedelta(seconds=watched.interval_s), now)
            _call_for(edits, site, region, first, end, watched, actor)
        _announce(edits, site, watched.windows, actor)
    return ticks


def _physical(frame: pl.DataFrame, site: int, region: int, interval_s: int) -> pl.DataFrame:
    """Frame CHECKS in the columns that the store keeps."""
    empty = {name: pl.lit(None, pl.Float32) for name in ("dns_ms", "connect_ms", "tls_ms", "ttfb_ms", "transfer_ms")}
    return frame.with_columns(
        **empty,
        started_at=pl.col("scheduled_at"),
        site_id=pl.lit(site, pl.Int32),
        region_id=pl.lit(region, pl.Int32),
        interval_s=pl.lit(interval_s, pl.Int32),
        revision=pl.lit(0, pl.Int32),
        bytes=pl.lit(None, pl.Int32),
        error_ms=pl.lit(None, pl.Float32),
        outcome=pl.col("outcome")
        .cast(pl.String)
        .replace_strict(
            [outcome.value for outcome in OUTCOME_CODES], list(OUTCOME_CODES.values()), return_dtype=pl.Int16
        ),
        kind=pl.lit(KINDS[Kind.SCHEDULED], pl.Int16),
        clock=pl.lit(CLOCKS[Clock.LOOP], pl.Int16),
        source=pl.lit(SOURCES[Source.IMPORT], pl.Int16),
        trusted=pl.lit(value=True),
        prober=pl.lit("import"),
    )


def _call_for(
    connection: Connection, site: int, region: int, first: datetime, end: datetime, watched: Watched, actor: str
) -> None:
    """Two revisions that cover what was checked: a gap within is unknown, what lies outside was not called for.

    Nobody schedules by them, since the region is removed and `end` is over; so a second import may move them.
    """
    columns = t.revisions.c
    mine = (columns.site_id == site, columns.region_id == region)
    known = connection.execute(select(columns.effective_at).where(*mine)).scalars().all()
    connection.execute(delete(t.revisions).where(*mine))
    row = {
        "site_id": site,
        "region_id": region,
        "interval_s": watched.interval_s,
        "spec": msgspec.to_builtins(Spec(watched.fields.get("url", ""))),
        "network": msgspec.to_builtins(Network()),
        "actor": actor,
    }
    begins, ends = min([first, *known]), max([end, *known])
    rows = [row | {"effective_at": begins, "active": True}, row | {"effective_at": ends, "active": False}]
    connection.execute(insert(t.revisions), rows)


def _announce(connection: Connection, site: int, windows: Iterable[tuple[datetime, datetime]], actor: str) -> None:
    columns = t.periods.c
    known = set(connection.execute(select(columns.since).where(columns.site_id == site)).scalars())
    rows = [
        {
            "kind": "maintenance",
            "site_id": site,
            "since": since,
            "until": until,
            "reason": "imported",
            "actor": actor,
            "created_at": since,
        }
        for since, until in windows
        if since not in known
    ]
    if rows:
        connection.execute(insert(t.periods), rows)
