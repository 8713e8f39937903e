"""The analysis API: what is watched and what was found, as frames. Read-only, for notebooks, scripts and exports.

import pipeline
up = pipeline.connect()
up.ticks(["shop"], start="-24h").filter(pl.col("state") == "down").collect()
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from typing import Literal, Self

import msgspec
import polars as pl
from psycopg import sql
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from pipeline.analysis import histograms
from pipeline.analysis import uptime as accounts
from pipeline.analysis.rollups import COUNTED, HELD
from pipeline.analysis.spans import SERIES
from pipeline.errors import InvalidInputError, NotFoundError, Problem, UnavailableError
from pipeline.frames import (
    DECISIONS,
    FLEET_SAMPLES,
    HOURS,
    REGIONS,
    ROLLUPS,
    SITES,
    SNAPSHOTS,
    TICKS,
    TIME,
    TRANSITIONS,
    Frame,
    check,
    schema,
)
from pipeline.store import tables as t
from pipeline.store.engine import engine
from pipeline.store.regions import list_regions
from pipeline.store.scans import Names, Wanted, conditions, read, scan_ticks, tick_batches
from pipeline.store.sites import all_sites
from pipeline.store.snapshots import certificate_ends, snapshot_rows

Moment = datetime | date | str
Every = Literal["1h", "1d"]

_AGO = re.compile(r"-(\d+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
# How much is read at a time: an hour's rows merge with no other hour's, so memory holds one step and the result.
_TABLES = {"1h": ("rollups_hour", timedelta(days=1)), "1d": ("rollups_day", timedelta(days=30))}


class Workbench:
    """A read-only view of one database. Close it, or use it in a `with`. Times are UTC."""

    def __init__(self, dsn: str, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._dsn = dsn
        self._clock = clock
        self._engine = engine(dsn, read_only=True, name="workbench")
        try:
            with self._engine.connect() as connection:
                connection.execute(text("select 1 from sites limit 1"))
        except (OperationalError, ProgrammingError) as error:
            self.close()
            raise UnavailableError(
                f"there is no workbench to read from here: start it with `make up` or `betterstack up`, or name its "
                f"database in BETTERSTACK_DATABASE_URL ({error.orig})"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._engine.dispose()

    def sites(self) -> pl.DataFrame:
        """Frame SITES: what is watched now, by key."""
        with self._engine.connect() as connection:
            rows = [msgspec.structs.asdict(site) for site in all_sites(connection)]
            ends = certificate_ends(connection)
        named = [{**row, "site": row["key"], "site_id": row["id"]} for row in rows]
        return _frame([row | {"certificate_expires_at": ends.get(row["site_id"])} for row in named], schema(SITES))

    def regions(self) -> pl.DataFrame:
        """Frame REGIONS: where from, by key."""
        with self._engine.connect() as connection:
            created = {row.id: row.created_at for row in connection.execute(select(t.regions))}
            rows = [msgspec.structs.asdict(region) for region in list_regions(connection)]
        named = [
            {**row, "region": row["key"], "region_id": row["id"], "created_at": created[row["id"]]} for row in rows
        ]
        return _frame(named, schema(REGIONS))

    def transitions(
        self, sites: Collection[str] | None = None, start: Moment = "-7d", end: Moment | None = None
    ) -> pl.DataFrame:
        """Frame TRANSITIONS: the changes of verdicts in [start, end), in their order. Errors: NotFoundError."""
        names = self._names()
        wanted = self._wanted(names, sites, None, start, end)
        columns = t.transitions.c
        query = select(t.transitions).where(columns.at >= wanted.since, columns.at < wanted.until)
        if wanted.site_ids is not None:
            query = query.where(columns.site_id.in_(wanted.site_ids))
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(columns.at, columns.id)).mappings().all()
        named = [
            {**row, "site": names.sites[row["site_id"]], "votes": msgspec.json.encode(row["votes"]).decode()}
            for row in rows
        ]
        return _frame(named, schema(TRANSITIONS))

    def snapshots(
        self,
        sites: Collection[str] | None = None,
        start: Moment = "-7d",
        end: Moment | None = None,
        regions: Collection[str] | None = None,
    ) -> pl.DataFrame:
        """Frame SNAPSHOTS: what failures of [start, end) saw, in their order; kept for 30 days. Errors: NotFoundError.

        Of failures that follow each other in the same way, the first has one, and then one every ten minutes.
        """
        names = self._names()
        wanted = self._wanted(names, sites, regions, start, end)
        with self._engine.connect() as connection:
            rows = snapshot_rows(connection, wanted)
        keyed = [row | {"site": names.sites[row["site_id"]], "region": names.regions[row["region_id"]]} for row in rows]
        return _frame(keyed, schema(SNAPSHOTS))

    def fleet_samples(
        self, start: Moment = "-24h", end: Moment | None = None, regions: Collection[str] | None = None
    ) -> pl.DataFrame:
        """Frame FLEET_SAMPLES: how each region's probers fared in [start, end), by region and time; kept for 8 days.

        `charts.sampled` thins it out for a chart. Errors: NotFoundError.
        """
        return self._of_regions("region_samples", FLEET_SAMPLES, start, end, regions).sort("region_id", "at")

    def decisions(
        self, start: Moment = "-7d", end: Moment | None = None, regions: Collection[str] | None = None
    ) -> pl.DataFrame:
        """Frame DECISIONS: how the autoscaler changed the number of probers in [start, end), and why, in their order.

        Errors: NotFoundError.
        """
        return self._of_regions("decisions", DECISIONS, start, end, regions).sort("at", "region_id")

    def _of_regions(
        self, table: str, frame: Frame, start: Moment, end: Moment | None, regions: Collection[str] | None
    ) -> pl.DataFrame:
        names = self._names()
        wanted = self._wanted(names, None, regions, start, end)
        stored = schema(frame, [name for name in frame if name != "region"])
        columns = sql.SQL(", ").join(map(sql.Identifier, stored))
        query = sql.SQL("select {} from {} where {}").format(columns, sql.Identifier(table), conditions(wanted, "at"))
        return read(self._dsn, query, stored).with_columns(names.region()).select(list(frame))

    def ticks(
        self,
        sites: Collection[str] | None = None,
        start: Moment = "-7d",
        end: Moment | None = None,
        regions: Collection[str] | None = None,
    ) -> pl.LazyFrame:
        """Frame TICKS: every attempt of [start, end), unsorted, read when it is collected.

        Only the columns that the query uses leave Postgres; sites, regions and times are filtered there. A time is
        an aware datetime, a date (its UTC midnight), or how long ago: "-90m", "-4h", "-7d". Errors: NotFoundError.
        """
        wanted = self._wanted(self._names(), sites, regions, start, end)
        return check(scan_ticks(self._dsn, wanted, self._names), TICKS)

    def tick_batches(
        self,
        sites: Collection[str] | None = None,
        start: Moment = "-7d",
        end: Moment | None = None,
        regions: Collection[str] | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Frame TICKS in pieces of some megabytes, UTC day by day, for what must not fit into memory. As `ticks`."""
        names = self._names()
        wanted = self._wanted(names, sites, regions, start, end)
        return (
            batch
            for day in _steps(wanted, timedelta(days=1))
            for batch in tick_batches(self._dsn, day, names, list(TICKS))
        )

    def rollup(
        self,
        every: Every = "1h",
        by: Sequence[str] = ("site", "region"),
        start: Moment = "-7d",
        end: Moment | None = None,
        sites: Collection[str] | None = None,
        regions: Collection[str] | None = None,
    ) -> pl.LazyFrame:
        """Frame ROLLUPS by hour or UTC day and `by`, sorted: counts, time by state, expected time, latency histograms.

        What `by` does not name is merged: seconds and counts are added up, quantiles come from the merged histograms.
        An hour in which checks were called for and none was made has a row. `start` counts from its hour's (or day's)
        beginning. Errors: NotFoundError, InvalidInputError.
        """
        keys = _keys(every, by)
        types = _rollups_by(keys)
        parts = self.rollup_batches(every, by, start, end, sites, regions)
        return pl.concat([pl.DataFrame(schema=types), *parts]).lazy()

    def rollup_batches(
        self,
        every: Every = "1h",
        by: Sequence[str] = ("site", "region"),
        start: Moment = "-7d",
        end: Moment | None = None,
        sites: Collection[str] | None = None,
        regions: Collection[str] | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Frame ROLLUPS in pieces of a day of hours or a month of days, sorted. As `rollup`."""
        keys, names = _keys(every, by), self._names()
        wanted = self._wanted(names, sites, regions, start, end)
        wanted = msgspec.structs.replace(wanted, since=_floor(wanted.since, every))
        revisions = self._revisions(wanted)
        return (self._merged(step, every, names, revisions, keys) for step in _steps(wanted, _TABLES[every][1]))

    def uptime(
        self,
        by: Sequence[str] = ("site",),
        start: Moment = "-7d",
        end: Moment | None = None,
        sites: Collection[str] | None = None,
        regions: Collection[str] | None = None,
        every: Every = "1h",
    ) -> pl.DataFrame:
        """Uptime of [start, end) with its bounds and coverage: see `analysis.uptime`. Over regions the mean by seconds.

        `by` names site, region, at. With every="1d" whole UTC days are taken, which is faster over months.
        """
        named = [name for name in by if name != "at"]
        return accounts.uptime(self.rollup(every, named, start, end, sites, regions), by).collect()

    def _merged(
        self, wanted: Wanted, every: Every, names: Names, revisions: pl.DataFrame, keys: Sequence[str]
    ) -> pl.DataFrame:
        table = sql.Identifier(_TABLES[every][0])
        columns = sql.SQL(", ").join(map(sql.Identifier, HOURS))
        query = sql.SQL("select {} from {} where {}").format(columns, table, conditions(wanted, "at"))
        rows = read(self._dsn, query, schema(HOURS))
        called = accounts.expected(revisions, wanted.since, wanted.until, every)
        every_row = accounts.accounted(rows, called).with_columns(names.site(), names.region())
        whole = pl.col(*COUNTED, *HELD).cast(pl.Int64).sum()
        sums = every_row.group_by(keys).agg(whole, pl.col("expected_s").sum())
        merged = sums.join(histograms.merge(every_row, keys), on=keys, how="left", nulls_equal=True)
        filled = merged.with_columns(pl.col("buckets", "counts").fill_null([]), pl.col("expected_s").fill_null(0))
        types = _rollups_by(keys)
        return histograms.with_quantiles(filled).select(types.names()).cast(types).sort(keys)

    def _names(self) -> Names:
        with self._engine.connect() as connection:
            sites = {row.id: row.key for row in connection.execute(select(t.sites.c.id, t.sites.c.key))}
            regions = {row.id: row.key for row in connection.execute(select(t.regions.c.id, t.regions.c.key))}
        return Names(sites, regions)

    def _wanted(
        self,
        names: Names,
        sites: Collection[str] | None,
        regions: Collection[str] | None,
        start: Moment,
        end: Moment | None,
    ) -> Wanted:
        now = self._clock()
        since, until = moment(start, now, "start"), now if end is None else moment(end, now, "end")
        if end is not None and until < since:
            raise InvalidInputError([Problem("end", f"this range ends ({end}) before it begins ({start})")])
        return Wanted(
            since=since,
            until=until,
            site_ids=None if sites is None else _numbers("site", sites, names.sites),
            region_ids=None if regions is None else _numbers("region", regions, names.regions),
        )

    def _revisions(self, wanted: Wanted) -> pl.DataFrame:
        columns = t.revisions.c
        names = ("id", *SERIES, "effective_at", "active")
        query = select(*(columns[name] for name in names)).where(columns.effective_at < wanted.until)
        if wanted.site_ids is not None:
            query = query.where(columns.site_id.in_(wanted.site_ids))
        if wanted.region_ids is not None:
            query = query.where(columns.region_id.in_(wanted.region_ids))
        types = pl.Schema(
            {"id": pl.Int64(), **schema(HOURS, SERIES), "effective_at": TIME, "active": pl.Boolean()},
        )
        with self._engine.connect() as connection:
            return _frame([dict(row) for row in connection.execute(query).mappings()], types)


def moment(given: Moment, now: datetime, field: str) -> datetime:
    """A time as people give it: aware datetime, date, "-7d", or an ISO string of either. Errors: InvalidInputError."""
    zone = "tzinfo=UTC"
    try:
        if isinstance(given, str):
            zone, given = "Z at its end", given.strip()
            if ago := _AGO.fullmatch(given):
                return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            given = datetime.fromisoformat(given) if len(given) > 10 else date.fromisoformat(given)
        if not isinstance(given, datetime):
            return datetime.combine(given, time(), UTC)
        if given.tzinfo is None:
            raise InvalidInputError([Problem(field, f"{given} has no time zone: add one, such as {zone}")])
        return given.astimezone(UTC)
    except OverflowError:
        raise InvalidInputError([Problem(field, f"{given} is too long ago, or too far ahead")]) from None
    except ValueError:
        message = f"{given!r} is no time: write -7d, -4h, -90m, 2026-03-01 or 2026-03-01T12:00Z"
        raise InvalidInputError([Problem(field, message)]) from None


def _numbers(kind: str, keys: Collection[str], known: Mapping[int, str]) -> list[int]:
    asked = [keys] if isinstance(keys, str) else list(keys)
    existing = set(known.values())
    for key in asked:
        if key not in existing:
            near = get_close_matches(key, existing, n=3) or sorted(existing)[:5]
            hint = f"; did you mean {', '.join(near)}?" if near else f"; there is no {kind} yet"
            raise NotFoundError(f"there is no {kind} {key!r}{hint}")
    return [number for number, key in known.items() if key in asked]


def _keys(every: Every, by: Sequence[str]) -> list[str]:
    if every not in _TABLES or not set(by) <= {"site", "region"}:
        raise InvalidInputError([Problem("every, by", "rollups are by 1h or 1d, and by site, region, both or none")])
    return ["at", *(name for name in ("site", "region") if name in by)]


def _rollups_by(keys: Sequence[str]) -> pl.Schema:
    return schema(ROLLUPS, [name for name in ROLLUPS if name in keys or name not in ("site", "region")])


def _floor(at: datetime, every: Every) -> datetime:
    whole = at.replace(minute=0, second=0, microsecond=0)
    return whole.replace(hour=0) if every == "1d" else whole


def _steps(wanted: Wanted, step: timedelta) -> Iterator[Wanted]:
    """The window in pieces that end where days do, so that each asks one partition."""
    since = wanted.since
    while since < wanted.until:
        until = min(wanted.until, _floor(since, "1d") + step)
        yield msgspec.structs.replace(wanted, since=since, until=until)
        since = until


def _frame(rows: Sequence[dict[str, object]], types: pl.Schema) -> pl.DataFrame:
    return pl.DataFrame([{name: row[name] for name in types} for row in rows], schema=types, orient="row")
