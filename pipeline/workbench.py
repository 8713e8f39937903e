"""The analysis API: what is watched and what was found, as frames. Read-only, for notebooks, scripts and exports.

import pipeline
up = pipeline.connect()
up.ticks(["shop"], start="-24h").filter(pl.col("state") == "down").collect()
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime

import msgspec
import polars as pl
from psycopg import sql
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from pipeline.analysis.cuts import Every as Cut
from pipeline.analysis.exactness import exact
from pipeline.analysis.policies import Policy, policy_of
from pipeline.analysis.policy_accounts import account
from pipeline.analysis.spans import NEEDS as CHECKED
from pipeline.analysis.units import History
from pipeline.analysis.waterfalls import waterfall
from pipeline.calendar import DAY
from pipeline.errors import UnavailableError
from pipeline.frames import (
    DECISIONS,
    FLEET_SAMPLES,
    PERIODS,
    REGIONS,
    SITES,
    SNAPSHOTS,
    TICKS,
    TRANSITIONS,
    Frame,
    check,
    schema,
)
from pipeline.moments import Moment
from pipeline.objectives import Objective
from pipeline.reading import Reading
from pipeline.store import tables as t
from pipeline.store.budgets import slo_of
from pipeline.store.engine import driver, engine
from pipeline.store.histories import history_in
from pipeline.store.objectives import get_objective, list_objectives
from pipeline.store.periods import list_periods
from pipeline.store.regions import list_regions
from pipeline.store.rollup_reads import (
    STEPS,
    Every,
    floor,
    keys_of,
    merged_rollups,
    names_of,
    revisions_of,
)
from pipeline.store.scans import conditions, read, scan_ticks, tick_batches
from pipeline.store.sites import all_sites
from pipeline.store.snapshots import certificate_ends, snapshot_rows
from pipeline.store.span_reads import Level, checks_in, spans_in
from pipeline.store.uptime_reads import uptime_by
from pipeline.wanted import Names, Wanted, steps


class Workbench(Reading):
    """A read-only view of one database: `Reading`, and all that a database knows besides."""

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
        verdicts = select(t.transitions).where(columns.kind == "verdict")
        query = verdicts.where(columns.at >= wanted.since, columns.at < wanted.until)
        if wanted.site_ids is not None:
            query = query.where(columns.site_id.in_(wanted.site_ids))
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(columns.at, columns.id)).mappings().all()
        named = [
            {**row, "site": names.sites[row["site_id"]], "votes": msgspec.json.encode(row["votes"]).decode()}
            for row in rows
        ]
        return _frame(named, schema(TRANSITIONS))

    def objectives(self) -> list[Objective]:
        """What was promised, by key, each with the keys of the sites that it is about."""
        with self._engine.connect() as connection:
            return list_objectives(connection)

    def objective(self, key: str) -> Objective:
        """The objective of that key. Errors: NotFoundError."""
        with self._engine.connect() as connection:
            return get_objective(connection, key)

    def slo(self, objectives: Collection[str] | None = None) -> pl.DataFrame:
        """Frame SLO as of now, a row an objective: see `analysis.slo`. Errors: NotFoundError."""
        found = self.objectives() if objectives is None else [self.objective(key) for key in objectives]
        return slo_of(found, self.spans, now=self._clock())

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
        return (batch for day in steps(wanted, DAY) for batch in tick_batches(self._dsn, day, names, list(TICKS)))

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
        keys, names = keys_of(every, by), self._names()
        wanted = self._wanted(names, sites, regions, start, end)
        wanted = msgspec.structs.replace(wanted, since=floor(wanted.since, every))
        revisions = revisions_of(self._engine, wanted)
        return (merged_rollups(self._dsn, step, every, names, revisions, keys) for step in steps(wanted, STEPS[every]))

    def exact(
        self,
        every: Every = "1h",
        by: Sequence[str] = ("site", "region"),
        start: Moment = "-7d",
        end: Moment | None = None,
        sites: Collection[str] | None = None,
        regions: Collection[str] | None = None,
    ) -> pl.DataFrame:
        """Frame EXACT by hour or UTC day and `by`, sorted: `analysis.exact` of the ticks, day by day.

        Seconds a day where `rollup` takes milliseconds. `start` counts from its hour's or day's beginning. Errors:
        NotFoundError, InvalidInputError.
        """
        keys = keys_of(every, by)[1:]
        wanted = self._wanted(self._names(), sites, regions, start, end)
        wanted = msgspec.structs.replace(wanted, since=floor(wanted.since, every))
        days = (self.ticks(sites, day.since, day.until, regions) for day in steps(wanted, DAY))
        nothing = exact(pl.DataFrame(schema=schema(TICKS)), every, keys)
        return pl.concat([nothing, *(exact(ticks, every, keys) for ticks in days)]).sort("at", *keys)

    def uptime(
        self,
        by: Sequence[str] = ("site",),
        start: Moment = "-7d",
        end: Moment | None = None,
        sites: Collection[str] | None = None,
        regions: Collection[str] | None = None,
        every: Every = "1h",
    ) -> pl.DataFrame:
        """Frame UPTIME by `by` of [start, end), to now at most: a site's by the vote of its regions, a region's own.

        `by` names site, region, at (the hour or UTC day, as `every` has it). `start` counts from its hour's or day's
        beginning. With `regions` only these have a vote. Maintenance and pauses are outside. Errors: NotFoundError,
        InvalidInputError.
        """
        keys_of(every, [name for name in by if name != "at"])
        names = self._names()
        wanted = self._until_now(self._wanted(names, sites, regions, start, end), every)
        with self._engine.connect() as connection:
            found = spans_in(driver(connection), wanted, names, "region" if "region" in by else "global")
            return uptime_by(found, checks_in(driver(connection), wanted, names, every), by, every)

    def spans(
        self,
        sites: Collection[str] | None = None,
        start: Moment = "-7d",
        end: Moment | None = None,
        regions: Collection[str] | None = None,
        level: Level = "region",
    ) -> pl.LazyFrame:
        """Frame SPANS of [start, end), to now at most, or with level="global" frame SITE_SPANS: the regions' vote.

        Sorted. All that was called for is there, unknown where nobody knows; a pause is `paused` as long as the site
        exists. `regions` of sites' spans are those that have a vote. Errors: NotFoundError, InvalidInputError.
        """
        names = self._names()
        wanted = self._until_now(self._wanted(names, sites, regions, start, end))
        with self._engine.connect() as connection:
            return spans_in(driver(connection), wanted, names, level).lazy()

    def history(
        self,
        sites: Collection[str] | None = None,
        start: Moment = "-7d",
        end: Moment | None = None,
        regions: Collection[str] | None = None,
        *,
        ticks: bool = True,
    ) -> History:
        """What policies account of [start, end), to now at most: for `analysis.by_policy` and the like.

        Without `ticks` only policies of seconds have what they need, over months much sooner. Errors: NotFoundError.
        """
        names = self._names()
        wanted = self._until_now(self._wanted(names, sites, regions, start, end))
        found = self.ticks(sites, wanted.since, wanted.until, regions).select(CHECKED).collect() if ticks else None
        with self._engine.connect() as connection:
            return history_in(driver(connection), wanted, names, found)

    def account(
        self,
        sites: Collection[str] | None = None,
        start: Moment = "-7d",
        end: Moment | None = None,
        policy: str | Policy = "default",
        by: Sequence[str] = ("site",),
        every: Cut | None = None,
        tz: str = "UTC",
    ) -> pl.DataFrame:
        """Frame ACCOUNT: the uptime of [start, end) as a policy has it: `analysis.account`. Errors: NotFoundError."""
        chosen = policy_of(policy)
        return account(self.history(sites, start, end, ticks=chosen.base != "seconds"), chosen, by, every, tz)

    def waterfall(
        self,
        sites: Collection[str] | None = None,
        start: Moment = "-7d",
        end: Moment | None = None,
        first: str | Policy = "default",
        second: str | Policy = "kuma",
    ) -> pl.DataFrame:
        """Frame WATERFALL: why two policies differ on [start, end): `analysis.waterfall`. Errors: NotFoundError."""
        counted = [policy_of(policy).base for policy in (first, second)]
        return waterfall(self.history(sites, start, end, ticks=set(counted) != {"seconds"}), first, second)

    def periods(self) -> pl.DataFrame:
        """Frame PERIODS: what overrides ticks, maintenance and suspect regions, by when it begins."""
        names = self._names()
        with self._engine.connect() as connection:
            rows = list_periods(connection)
        named = [
            {**row, "site": names.sites.get(row["site_id"]), "region": names.regions.get(row["region_id"])}
            for row in rows
        ]
        return _frame(named, schema(PERIODS))

    def _until_now(self, wanted: Wanted, every: Every | None = None) -> Wanted:
        """The window up to now at most, from its hour's or day's beginning where that is asked for."""
        since = wanted.since if every is None else floor(wanted.since, every)
        return msgspec.structs.replace(wanted, since=since, until=max(since, min(wanted.until, self._now())))

    def _names(self) -> Names:
        return names_of(self._engine)

    def _now(self) -> datetime:
        return self._clock()


def _frame(rows: Sequence[dict[str, object]], types: pl.Schema) -> pl.DataFrame:
    return pl.DataFrame([{name: row[name] for name in types} for row in rows], schema=types, orient="row")
