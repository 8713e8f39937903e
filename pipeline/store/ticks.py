"""Ticks into Postgres: COPY, once each by their key, and the hours they touch marked for the roller."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

import psycopg
from psycopg import sql

from pipeline.judge.verdict import INTERVALS_HELD
from pipeline.store.lake_days import dropped
from pipeline.vocabulary import OUTCOME_CODES, Clock, Kind, Source, Tick

HOUR = timedelta(hours=1)
_HOUR_S = 3_600
_LONGEST_MS = 1e12
KINDS = {kind: code for code, kind in enumerate(Kind)}
CLOCKS = {clock: code for code, clock in enumerate(Clock)}
SOURCES = {source: code for code, source in enumerate(Source)}

COLUMNS = {
    "scheduled_at": "timestamptz",
    "started_at": "timestamptz",
    "site_id": "int4",
    "region_id": "int4",
    "interval_s": "int4",
    "revision": "int4",
    "bytes": "int4",
    "dns_ms": "float4",
    "connect_ms": "float4",
    "tls_ms": "float4",
    "ttfb_ms": "float4",
    "transfer_ms": "float4",
    "latency_ms": "float4",
    "error_ms": "float4",
    "attempt": "int2",
    "outcome": "int2",
    "status": "int2",
    "kind": "int2",
    "clock": "int2",
    "source": "int2",
    "final": "bool",
    "trusted": "bool",
    "prober": "text",
    "ip": "text",
    "detail": "text",
}
_NAMES = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
_COPY = sql.SQL("copy {table} ({names}) from stdin (format binary)")
_TICKS, _INCOMING = sql.Identifier("ticks"), sql.Identifier("incoming")
# A prober's tick is a fact; what pusher or reconciler wrote in its absence gives way to it.
_MERGE = sql.SQL("""
    insert into {table} as t ({names}) select {names} from incoming
    on conflict (site_id, region_id, scheduled_at, attempt) do update set {updates}
    where t.source <> {prober} and excluded.source = {prober}
    returning site_id, region_id, scheduled_at, attempt
""")
_UPDATES = sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in COLUMNS)


def _merging(table: str) -> sql.Composed:
    prober = sql.Literal(SOURCES[Source.PROBER])
    return _MERGE.format(table=sql.Identifier(table), names=_NAMES, updates=_UPDATES, prober=prober)


MERGE, MERGE_LATE = _merging("ticks"), _merging("late_ticks")
PARTITIONS_LOCK = "select pg_advisory_xact_lock(hashtext('ticks partitions'))"


def store_ticks(connection: psycopg.Connection, ticks: Iterable[Tick]) -> list[Tick]:
    """Store what is not stored yet; returns those ticks. Of equal keys a prober's counts, else the first.

    Runs in the caller's transaction. Plain COPY is tried first, since repetition is rare; on a conflict the
    batch goes through a temporary table, which costs twice as much. Ticks of days that lie in the lake alone are set
    aside for their files: they are not among those returned.
    """
    unique: dict[tuple[int, int, datetime, int], Tick] = {}
    for tick in ticks:
        known = unique.get(tick.key)
        if known is None or (known.source is not Source.PROBER and tick.source is Source.PROBER):
            unique[tick.key] = tick
    batch = _of_days_here(connection, list(unique.values()))
    if not batch:
        return []
    try:
        with connection.transaction():
            _copy(connection, _TICKS, batch)
    except psycopg.errors.UniqueViolation:
        stored = _merge(connection, batch)
        batch = [tick for tick in batch if tick.key in stored]
    mark_dirty(connection, batch)
    return batch


def _of_days_here(connection: psycopg.Connection, batch: Sequence[Tick]) -> list[Tick]:
    """Those whose day has a partition. The others wait for the roller, which alone writes to the lake."""
    gone = dropped(connection, {tick.scheduled_at.date() for tick in batch})
    if not gone:
        return list(batch)
    _merge(connection, [tick for tick in batch if tick.scheduled_at.date() in gone], MERGE_LATE)
    connection.execute("delete from incoming")
    return [tick for tick in batch if tick.scheduled_at.date() not in gone]


def _copy(connection: psycopg.Connection, table: sql.Identifier, ticks: Sequence[Tick]) -> None:
    with connection.cursor() as cursor, cursor.copy(_COPY.format(table=table, names=_NAMES)) as copy:
        copy.set_types(list(COLUMNS.values()))
        for tick in ticks:
            copy.write_row(_row(tick))


def _merge(
    connection: psycopg.Connection, ticks: Sequence[Tick], merge: sql.Composed = MERGE
) -> set[tuple[int, int, datetime, int]]:
    connection.execute(
        "create temporary table if not exists incoming (like ticks including defaults) on commit delete rows"
    )
    _copy(connection, _INCOMING, ticks)
    return set(connection.execute(merge).fetchall())


def _row(tick: Tick) -> tuple[object, ...]:
    phases = tick.phases
    return (
        tick.scheduled_at,
        tick.started_at,
        tick.site_id,
        tick.region_id,
        tick.interval_s,
        tick.revision,
        tick.bytes,
        *map(
            _to_the_microsecond,
            (
                phases.dns_ms,
                phases.connect_ms,
                phases.tls_ms,
                phases.ttfb_ms,
                phases.transfer_ms,
                tick.latency_ms,
                tick.error_ms,
            ),
        ),
        tick.attempt,
        OUTCOME_CODES[tick.outcome],
        tick.status,
        KINDS[tick.kind],
        CLOCKS[tick.clock],
        SOURCES[tick.source],
        tick.final,
        tick.trusted,
        tick.prober,
        tick.ip,
        tick.detail,
    )


def _to_the_microsecond(ms: float | None) -> float | None:
    """As precise as kernels count round trips; what is finer is noise, which an archive would pay for."""
    # Seven a tick: `round` works on decimals and takes a third of all that storing one does. What is no number stays.
    return int(ms * 1000 + 0.5) / 1000 if ms is not None and ms < _LONGEST_MS else ms


def mark_dirty(connection: psycopg.Connection, ticks: Iterable[Tick]) -> None:
    """Mark every hour whose rollup a tick can change: its own, and those into which its state is held."""
    hours = {hour for tick in ticks if tick.kind is Kind.SCHEDULED for hour in _touched(tick)}
    with (
        connection.cursor() as cursor,
        cursor.copy("copy dirty_hours (at, site_id, region_id) from stdin (format binary)") as copy,
    ):
        copy.set_types(["timestamptz", "int4", "int4"])
        for hour in hours:
            copy.write_row(hour)


def _touched(tick: Tick) -> Iterable[tuple[datetime, int, int]]:
    at = tick.scheduled_at
    hour = at.replace(minute=0, second=0, microsecond=0)
    if 60 * at.minute + at.second + INTERVALS_HELD * tick.interval_s < _HOUR_S:  # most: without sums of times
        return ((hour, tick.site_id, tick.region_id),)
    return _reached(tick, hour)


def _reached(tick: Tick, hour: datetime) -> Iterable[tuple[datetime, int, int]]:
    last = tick.scheduled_at + timedelta(seconds=INTERVALS_HELD * tick.interval_s)
    while hour <= last:
        yield hour, tick.site_id, tick.region_id
        hour += HOUR


def ensure_partitions(connection: psycopg.Connection, days: Iterable[date]) -> list[date]:
    """Make the missing daily partitions; returns those made. Safe beside another that does the same.

    Never that of a day that was dropped: its ticks lie in the lake, and a tick in an empty partition would hide there.
    """
    made = []
    for day in sorted(set(days)):
        name = f"ticks_{day:%Y%m%d}"
        if connection.execute("select to_regclass(%s)", [name]).fetchone() != (None,):
            continue
        connection.execute(PARTITIONS_LOCK)
        if dropped(connection, [day]):
            continue
        connection.execute(
            sql.SQL("create table if not exists {} partition of ticks for values from ({}) to ({})").format(
                sql.Identifier(name),
                sql.Literal(f"{day} 00:00:00+00"),
                sql.Literal(f"{day + timedelta(days=1)} 00:00:00+00"),
            ),
        )
        made.append(day)
    return made
