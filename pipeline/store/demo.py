"""The demo in and out of the store: sixty sites with ninety days behind them, by the way that all history takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

import psycopg
from msgspec import Struct
from psycopg import sql
from sqlalchemy import Connection, Engine, insert, literal, select, text, update

from pipeline.calendar import DAY, day_of
from pipeline.declared import ExpectIn, RegionIn, SiteIn
from pipeline.demo import cast, history
from pipeline.demo.stories import DAYS, beginning, maintenance
from pipeline.errors import WorkbenchError
from pipeline.store import tables as t
from pipeline.store.bulk import make_room, store_frame
from pipeline.store.edits import lock_edits
from pipeline.store.regions import DEFAULT_REGIONS, create_region, delete_region, list_regions
from pipeline.store.rollups import roll
from pipeline.store.sites import create_sites, delete_sites

ACTOR = "demo"
HOST = "{}.localhost"  # RFC 6761: always this machine
FIRST_DAYS = 7  # what is on screen before the rest
WARM_UP = timedelta(seconds=12)  # the demo's target is there before it is asked
Say = Callable[[str], None]


class Installed(Struct, frozen=True):
    """The demo's series, and from when on they are checked live: everything before is history's to tell."""

    series: Sequence[history.Series]
    end: datetime
    live_from: datetime


def is_loaded(connection: Connection) -> bool:
    """Whether there are regions of the demo."""
    query = select(t.regions.c.id).where(t.regions.c.key.startswith(cast.PREFIX), t.regions.c.deleted_at.is_(None))
    return connection.execute(query.limit(1)).first() is not None


def port_of(connection: Connection) -> int | None:
    """Where the demo's target is expected to listen; None where no demo is loaded."""
    query = select(t.sites.c.url).where(t.sites.c.key.startswith(cast.PREFIX), t.sites.c.deleted_at.is_(None))
    url = connection.execute(query.limit(1)).scalar()
    return int(url.rsplit(":", 1)[1].rstrip("/")) if url else None


def install(connection: Connection, *, now: datetime, port: int) -> Installed:
    """Add regions and sites, watched since ninety days ago. Errors: WorkbenchError where others are watched already.

    Each series has two revisions: one from the beginning, whose slots are history, and one from now on, so that it is
    checked at once.
    """
    lock_edits(connection)
    if is_loaded(connection):
        raise WorkbenchError("The demo is loaded already: `betterstack demo purge` takes it out.")
    others = connection.execute(select(t.sites.c.key).where(t.sites.c.deleted_at.is_(None)).limit(1)).scalar()
    if others:
        raise WorkbenchError(
            f"The demo wants a workbench of its own, and this one watches {others!r}: "
            "run `betterstack up --demo --data-dir .betterstack-demo`."
        )
    end = day_of(now)
    began = beginning(end)
    for place in cast.PLACES:
        create_region(
            connection,
            RegionIn(key=place.key, name=place.name, source_address=place.source_address, max_probers=1),
            now=now,
            actor=ACTOR,
        )
    for region in list_regions(connection):
        if region.key in {default.key for default in DEFAULT_REGIONS}:
            delete_region(connection, region.key, now=now, actor=ACTOR)
    sites = {site.key: site.id for site in create_sites(connection, _sites(port), now=now, actor=ACTOR)}
    _begin_at(connection, list(sites.values()), began)
    _announce(connection, sites, end)
    installed = find(connection)
    assert installed is not None
    return installed


def find(connection: Connection) -> Installed | None:
    """The demo that is loaded, as `install` left it; None where there is none."""
    pattern = f"{cast.PREFIX}%"
    names = {}
    for table in (t.sites, t.regions):
        found = connection.execute(
            select(table.c.key, table.c.id).where(table.c.key.like(pattern), table.c.deleted_at.is_(None))
        )
        names[table.name] = {row.key: row.id for row in found}
    columns = t.revisions.c
    rows = connection.execute(
        select(columns.site_id, columns.region_id, columns.id, columns.effective_at)
        .where(columns.site_id.in_(names["sites"].values()))
        .order_by(columns.id.desc())
    ).all()
    if not rows:
        return None
    began = min(row.effective_at for row in rows)
    first = {(row.site_id, row.region_id): row.id for row in rows if row.effective_at == began}
    live_from = min(row.effective_at for row in rows if row.effective_at != began) - WARM_UP
    series = history.all_series(names["sites"], names["regions"], first)
    return Installed(series, began + timedelta(days=DAYS), live_from)


def _sites(port: int) -> list[SiteIn]:
    return [
        SiteIn(
            key=member.key,
            name=member.name,
            url=f"https://{HOST.format(member.key.removeprefix(cast.PREFIX))}:{port}/",
            interval_s=member.interval_s,
            timeout_s=history.TIMEOUT_S,
            spacing_s=history.SPACING_S,
            confirmations=1,
            verify_tls=False,
            expect=ExpectIn(tls_days=14),
            tags=list(member.tags),
            regions=[place.key for place in cast.PLACES],
        )
        for member in cast.members()
    ]


def _begin_at(connection: Connection, sites: Sequence[int], began: datetime) -> None:
    """Let the schedule begin then, and anew where it begins now."""
    columns = t.revisions.c
    mine = columns.site_id.in_(sites)
    copied = [columns[name] for name in ("site_id", "region_id", "active", "interval_s", "spec", "network", "actor")]
    newest = select(columns.effective_at).where(mine).order_by(columns.effective_at.desc()).limit(1)
    live_from = connection.execute(newest).scalar_one()
    connection.execute(update(t.revisions).where(mine).values(effective_at=began))
    again = select(*copied, literal(live_from + WARM_UP)).where(mine)
    connection.execute(insert(t.revisions).from_select([*(column.name for column in copied), "effective_at"], again))
    connection.execute(update(t.sites).where(t.sites.c.id.in_(sites)).values(created_at=began))


def _announce(connection: Connection, sites: dict[str, int], end: datetime) -> None:
    """The ERP's Sundays are maintenance, and three promises are made."""
    began = beginning(end)
    known = {"kind": "maintenance", "site_id": sites["demo-erp"], "reason": "weekly update", "actor": ACTOR}
    windows = [known | {"since": since, "until": until, "created_at": began} for since, until in maintenance(end)]
    connection.execute(insert(t.periods), windows)
    promises = [
        {
            "key": promise.key,
            "name": promise.name,
            "site_id": sites.get(promise.site or ""),
            "tag": promise.tag,
            "target": promise.target,
            "window_days": promise.window_days,
            "policy": "default",
            "tz": "UTC",
            "created_at": began,
            "updated_at": began,
        }
        for promise in cast.PROMISES
    ]
    connection.execute(insert(t.objectives), promises)


def days(installed: Installed) -> Iterator[tuple[datetime, datetime]]:
    """The UTC days of the history, the newest first, the last one up to where live checks begin."""
    since = day_of(installed.live_from)
    until = installed.live_from
    while until > beginning(installed.end):
        yield since, until
        since, until = since - DAY, since


def fill(
    connection: psycopg.Connection,
    installed: Installed,
    say: Say = lambda _line: None,
    *,
    newest: int | None = None,
) -> int:
    """Store the history, day by day from the newest, and roll it up; returns how many ticks are new.

    A day is one transaction, and one that is stored already is left: whoever was interrupted goes on. Only so many of
    the `newest` days, for who needs no more.
    """
    ticks = 0
    wanted = list(days(installed))[:newest]
    make_room(connection, [since.date() for since, _ in wanted])
    for number, (since, until) in enumerate(wanted, start=1):
        with connection.transaction():
            if not _is_stored(connection, installed, since, until):
                ticks += store_frame(connection, history.day(installed.series, installed.end, since, until))
        if number in (1, FIRST_DAYS) or number % 15 == 0:
            roll_all(connection, installed.live_from)
            say(f"Demo: {number} of {DAYS + 1} days")
    roll_all(connection, installed.live_from)
    return ticks


def _is_stored(connection: psycopg.Connection, installed: Installed, since: datetime, until: datetime) -> bool:
    query = """
        select exists (select from ticks where site_id = %s and region_id = any(%s)
            and scheduled_at >= %s and scheduled_at < %s)
    """
    one = installed.series[0]
    row = connection.execute(query, [one.site_id, [one.region_id], since, until]).fetchone()
    return row == (True,)


def roll_all(connection: psycopg.Connection, now: datetime) -> None:
    """Rebuild every marked hour, as the roller does."""
    after = None
    while True:
        with connection.transaction():
            after = roll(connection, before=now + timedelta(hours=1), after=after).last
        if after is None:
            return


def purge(engine: Engine, *, now: datetime) -> int:
    """End the demo and delete everything of it; returns how many sites it had. The default regions come back."""
    with engine.begin() as connection:
        lock_edits(connection)
        keys = (
            connection.execute(
                select(t.sites.c.key).where(t.sites.c.key.startswith(cast.PREFIX), t.sites.c.deleted_at.is_(None))
            )
            .scalars()
            .all()
        )
        delete_sites(connection, keys, now=now, actor=ACTOR)
        there = [region.key for region in list_regions(connection)]
        if all(key.startswith(cast.PREFIX) for key in there):
            for region in DEFAULT_REGIONS:
                create_region(connection, region, now=now, actor=ACTOR)
        for key in there:
            if key.startswith(cast.PREFIX):
                delete_region(connection, key, now=now, actor=ACTOR)
    with engine.begin() as connection:
        _forget(connection)
    return len(keys)


def _forget(connection: Connection) -> None:
    """Every row of the demo's sites and regions. Partitions that hold nothing else are emptied at once."""
    pattern = {"pattern": f"{cast.PREFIX}%"}
    sites = list(connection.execute(text("select id from sites where key like :pattern"), pattern).scalars())
    given = {"sites": sites}
    partitions = connection.execute(
        text("select inhrelid::regclass::text from pg_inherits where inhparent = 'ticks'::regclass")
    ).scalars()
    for name in partitions.all():
        table = sql.SQL(".").join(map(sql.Identifier, name.replace('"', "").split("."))).as_string()
        shared = f"select exists (select from {table} where site_id <> all(:sites))"  # noqa: S608 - a partition's name
        if connection.execute(text(shared), given).scalar_one():
            connection.execute(text(f"delete from {table} where site_id = any(:sites)"), given)  # noqa: S608
        else:
            connection.execute(text(f"truncate {table}"))
    for table in reversed(t.metadata.sorted_tables):
        if "site_id" in table.c and table.name != "ticks":
            connection.execute(table.delete().where(table.c.site_id.in_(sites)))
    connection.execute(text("delete from objectives where key like :pattern"), pattern)
    connection.execute(text("delete from sites where key like :pattern"), pattern)
    regions = text("select id from regions where key like :pattern")
    ids = list(connection.execute(regions, pattern).scalars())
    for table in reversed(t.metadata.sorted_tables):
        if "region_id" in table.c and table.name != "ticks":
            connection.execute(table.delete().where(table.c.region_id.in_(ids)))
    connection.execute(text("delete from regions where key like :pattern"), pattern)
