"""Reads what `pipeline.checkup` judges, in a handful of small queries: a page asks for it every few seconds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

from msgspec.structs import replace
from sqlalchemy import Connection, text

from pipeline.checkup import LATENESS_MS, Disk, LakeFacts, Vitals
from pipeline.health import LOOK_BACK
from pipeline.settings import Settings, socket_folder
from pipeline.store import fleet
from pipeline.store.engine import head, version
from pipeline.store.regions import count_unpaused, list_regions
from pipeline.store.sealing import locked

_SERVER = text("""
    select clock_timestamp() as at, pg_postmaster_start_time() as started_at,
        split_part(current_setting('server_version'), ' ', 1) as version
""")
_ROLLED_FROM = text("select min(at) from dirty_hours where at < :this_hour")
_LAKE = text("""
    select count(*) as days, coalesce(sum(bytes), 0)::bigint as bytes, max(at) as last, max(written_at) as written_at,
        (select count(*) from late_ticks) as late
    from lake_days
""")
_ARREARS = text("select region_id, since from arrears")
_PARTITION = text("select to_regclass(:name)")
# The key is (region, at): an index scan a region.
_ON_TIME = text("""
    select r.id, (
        select max(at) from region_samples s
        where s.region_id = r.id and s.at >= :since and coalesce(s.lateness_p95_ms, 0) < :late_ms
    ) as at
    from regions r where r.deleted_at is null
""")


def read_vitals(connection: Connection, clock: Callable[[], datetime], held: Sequence[str] | None = None) -> Vitals:
    """The facts as of now. `held` are the ids of the secret keys at hand, where that is known. Errors: SQLAlchemy's."""
    connection.execute(text("select 1"))  # whatever it takes to connect is no answer's time
    asked = clock()
    server = connection.execute(_SERVER).mappings().one()
    answered = clock()
    schema = version(connection)
    known = Vitals(
        at=answered,
        postgres=f"PostgreSQL {server['version']}",
        answered_ms=(answered - asked).total_seconds() * 1000,
        started_at=server["started_at"],
        clock_ahead_s=(server["at"] - (asked + (answered - asked) / 2)).total_seconds(),
        schema=schema,
        migrated=schema == head(),
    )
    if not known.migrated:
        return known
    facts = _with_tables(connection, known)
    return facts if held is None else replace(facts, locked=locked(connection, held))


def _with_tables(connection: Connection, known: Vitals) -> Vitals:
    now = known.at
    pusher = fleet.pusher_row(connection)
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    on_time = connection.execute(_ON_TIME, {"since": now - LOOK_BACK, "late_ms": LATENESS_MS[0]})
    return replace(
        known,
        pusher_beat=pusher.beat_at,
        pushed_until=pusher.pushed_until,
        workers=fleet.workers(connection, since=now - LOOK_BACK),
        regions=list_regions(connection),
        backlogs=fleet.backlogs(connection),
        sites=count_unpaused(connection),
        partitions=_partitions(connection, now.astimezone(UTC).date()),
        rolled_from=connection.execute(_ROLLED_FROM, {"this_hour": this_hour}).scalar(),
        arrears={row[0]: row[1] for row in connection.execute(_ARREARS)},
        lake=_lake(connection),
        on_time={row[0]: row[1] for row in on_time if row[1] is not None},
    )


def _lake(connection: Connection) -> LakeFacts | None:
    row = connection.execute(_LAKE).one()
    if not row.days:
        return None
    return LakeFacts(row.days, row.bytes, row.last.astimezone(UTC).date(), row.written_at, row.late)


def _partitions(connection: Connection, today: date) -> list[date]:
    days = [today, today + timedelta(days=1)]
    return [day for day in days if connection.execute(_PARTITION, {"name": f"ticks_{day:%Y%m%d}"}).scalar()]


def disk_of(settings: Settings) -> Disk | None:
    """The disk below the data dir, where the database in force lies there: another's disk is not ours to see."""
    if str(socket_folder(settings.data_dir)) not in settings.database:
        return None
    try:
        found = shutil.disk_usage(settings.data_dir)
    except OSError:
        return None
    return Disk(str(settings.data_dir.resolve()), found.free, found.total)
