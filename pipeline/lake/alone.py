"""A lake alone, without a server: the same questions as of a Workbench, answered from its files.

import pipeline
up = pipeline.connect("s3://bucket/prefix")
up.uptime(start="2026-03-01", end="2026-04-01")

Nothing is rolled up here: hours and spans are made of the ticks as they are asked for, some sites of a day at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import polars as pl

from pipeline.analysis.rollups import daily, hourly
from pipeline.analysis.spans import SERIES, day_spans, edged, merged
from pipeline.analysis.votes import overlaid, seen, voted
from pipeline.calendar import DAY, day_of, midnight
from pipeline.errors import InvalidInputError, Problem, UnavailableError, WorkbenchError
from pipeline.frames import HOUR_ROWS, PERIODS, REGIONS, SITE_SPANS, SITES, SPANS, TICKS, check, schema
from pipeline.judge.verdict import INTERVALS_HELD
from pipeline.lake.exact import exact_in
from pipeline.lake.files import LakeRoot, of_day
from pipeline.lake.ticks import chosen, collected, nothing, read_whole, rows_of, unpacked
from pipeline.moments import Moment
from pipeline.reading import Reading
from pipeline.store.rollup_reads import Every, floor, keys_of, merged_over
from pipeline.store.span_reads import OVERRIDING, Level, called_of
from pipeline.store.uptime_reads import uptime_by
from pipeline.wanted import Names, Wanted, steps
from pipeline.workbench import Workbench

BATCH = 100_000  # rows: some 20 MB with every column
AT_ONCE = 1_000_000  # ticks in memory, in narrow columns: some 60 MB
NEEDED = ("scheduled_at", *SERIES, "interval_s", "latency_ms", "attempt", "state", "final", "trusted", "kind")


class NotInLakeError(WorkbenchError, AttributeError):
    """A lake alone has no answer to that; the message says who has."""


class Lake(Reading):
    """A folder or bucket that the roller archived to. It ends with the last day in it: "-7d" counts from there."""

    def __init__(self, where: str) -> None:
        self._root = LakeRoot.of(where)
        self._days = self._root.days()
        if not self._days:
            raise UnavailableError(
                f"There is no lake at {self._root}: no ticks/date=…/*.parquet. `betterstack lake status` says where "
                "the roller archives to."
            )
        self._end = midnight(self._days[-1]) + DAY

    def close(self) -> None:
        """Nothing is open."""

    def __getattr__(self, name: str) -> Any:
        if hasattr(Workbench, name):
            raise NotInLakeError(
                f"a lake alone has no {name}: it holds ticks, sites, regions and periods. Connect to the workbench's "
                "database for it: pipeline.connect()"
            )
        raise AttributeError(name)

    def sites(self) -> pl.DataFrame:
        """Frame SITES: what was watched when a day was archived last, by key."""
        return self._living("sites").select(list(SITES)).cast(schema(SITES))

    def regions(self) -> pl.DataFrame:
        """Frame REGIONS, as of then."""
        return self._living("regions").select(list(REGIONS)).cast(schema(REGIONS))

    def periods(self) -> pl.DataFrame:
        """Frame PERIODS, as of then: what overrides ticks."""
        names = self._names()
        types = schema(PERIODS)
        return self._table("periods").with_columns(names.site(), names.region()).select(list(types)).cast(types)

    def ticks(
        self,
        sites: Collection[str] | None = None,
        start: Moment = "-7d",
        end: Moment | None = None,
        regions: Collection[str] | None = None,
    ) -> pl.LazyFrame:
        """Frame TICKS of [start, end), read when it is collected: as `Workbench.ticks`. Errors: NotFoundError."""
        names = self._names()
        return check(unpacked(self._chosen(self._wanted(names, sites, regions, start, end)), names), TICKS)

    def tick_batches(
        self,
        sites: Collection[str] | None = None,
        start: Moment = "-7d",
        end: Moment | None = None,
        regions: Collection[str] | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Frame TICKS in pieces, day by day, for what must not fit into memory. As `ticks`."""
        names = self._names()
        wanted = self._wanted(names, sites, regions, start, end)
        return (
            batch
            for day in steps(wanted, DAY)
            for batch in read_whole(self._root, unpacked(self._chosen(day), names), BATCH)
        )

    def rollup_batches(
        self,
        every: Every = "1h",
        by: Sequence[str] = ("site", "region"),
        start: Moment = "-7d",
        end: Moment | None = None,
        sites: Collection[str] | None = None,
        regions: Collection[str] | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Frame ROLLUPS day by day, sorted. As `rollup`."""
        keys, names = keys_of(every, by), self._names()
        wanted = self._wanted(names, sites, regions, start, end)
        wanted = msgspec.structs.replace(wanted, since=floor(wanted.since, every))
        revisions = self._revisions(wanted)
        for step in steps(wanted, DAY):
            hours = self._hours(step)
            rows = (daily(hours) if every == "1d" else hours).drop("pieces", strict=False)
            yield merged_over(rows, step, every, names, revisions, keys)

    def exact(
        self,
        every: Every = "1h",
        by: Sequence[str] = ("site", "region"),
        start: Moment = "-7d",
        end: Moment | None = None,
        sites: Collection[str] | None = None,
        regions: Collection[str] | None = None,
    ) -> pl.DataFrame:
        """Frame EXACT by hour or UTC day and `by`, sorted: as `Workbench.exact`."""
        names = self._names()
        wanted = self._wanted(names, sites, regions, start, end)
        wanted = msgspec.structs.replace(wanted, since=floor(wanted.since, every))
        days = (self._chosen(day) for day in steps(wanted, DAY))
        return exact_in(self._root, days, every, keys_of(every, by)[1:], names)

    def spans(
        self,
        sites: Collection[str] | None = None,
        start: Moment = "-7d",
        end: Moment | None = None,
        regions: Collection[str] | None = None,
        level: Level = "region",
    ) -> pl.LazyFrame:
        """Frame SPANS of [start, end), or with level="global" frame SITE_SPANS: as `Workbench.spans`, made of ticks."""
        names = self._names()
        return self._spans(self._wanted(names, sites, regions, start, end), names, level).lazy()

    def uptime(
        self,
        by: Sequence[str] = ("site",),
        start: Moment = "-7d",
        end: Moment | None = None,
        sites: Collection[str] | None = None,
        regions: Collection[str] | None = None,
        every: Every = "1h",
    ) -> pl.DataFrame:
        """Frame UPTIME by `by` of [start, end): as `Workbench.uptime`."""
        keys_of(every, [name for name in by if name != "at"])
        names = self._names()
        wanted = self._wanted(names, sites, regions, start, end)
        wanted = msgspec.structs.replace(wanted, since=floor(wanted.since, every))
        hours = pl.concat([self._hours(step) for step in steps(wanted, DAY)])
        spans = self._spans(wanted, names, "region" if "region" in by else "global", hours)
        rows = daily(hours.drop("pieces")) if every == "1d" else hours
        return uptime_by(spans, rows.with_columns(names.site(), names.region()), by, every)

    def _spans(self, wanted: Wanted, names: Names, level: Level, hours: pl.DataFrame | None = None) -> pl.DataFrame:
        if level not in ("region", "global"):
            raise InvalidInputError([Problem("level", f'{level!r} is none: "region" or "global"')])
        types = schema(SPANS if level == "region" else SITE_SPANS)
        if wanted.since >= wanted.until:
            return pl.DataFrame(schema=types)
        told = self._told(wanted) if hours is None else merged(day_spans(hours).sort(*SERIES, "since"), SERIES)
        periods = self._table("periods")
        of_kind = {
            kind: periods.filter(pl.col("kind") == kind).select(*SERIES, "since", "until") for kind in OVERRIDING
        }
        deleted = self._table("sites").filter(pl.col("deleted_at").is_not_null()).select("site_id", "deleted_at")
        over = called_of(self._revisions(wanted, every_region=True), deleted, of_kind, wanted)
        if level == "region":
            found = edged(seen(told, over.called, over.suspect, over.maintenance, over.paused), SERIES)
        else:
            votes = voted(seen(told, over.called, over.suspect))
            found = overlaid(votes, over.called, over.site_maintenance, over.site_paused)
        keyed = found.with_columns(names.site(), *([names.region()] if level == "region" else []))
        return keyed.select(types.names()).cast(types)

    def _told(self, wanted: Wanted) -> pl.DataFrame:
        days = msgspec.structs.replace(wanted, since=day_of(wanted.since))
        pieces = [day_spans(self._hours(step)) for step in steps(days, DAY)]
        return merged(pl.concat(pieces).sort(*SERIES, "since"), SERIES)

    def _hours(self, wanted: Wanted) -> pl.DataFrame:
        """Frame HOUR_ROWS of a window within a UTC day, from the ticks of some sites at a time."""
        rows = self._chosen(msgspec.structs.replace(wanted, since=wanted.since - 2 * DAY))
        within = pl.col("at").is_between(wanted.since.replace(minute=0, second=0, microsecond=0), wanted.until, "left")
        counts = collected(self._root, rows.group_by("site_id").agg(pl.len(), pl.col("interval_s").max())).sort(
            "site_id"
        )
        found = [pl.DataFrame(schema=schema(HOUR_ROWS))]
        parts = counts.with_columns(part=pl.col("len").cast(pl.Int64).cum_sum() // AT_ONCE).partition_by("part")
        for part in parts:
            held = INTERVALS_HELD * timedelta(seconds=int(part["interval_s"].max()))  # type: ignore[arg-type] # a number
            since = min(wanted.since, floor(wanted.since, "1h")) - held
            some = msgspec.structs.replace(wanted, since=since, site_ids=part["site_id"].to_list())
            ticks = collected(self._root, unpacked(self._chosen(some), None, NEEDED))
            found.append(hourly(ticks).filter(within))
        return pl.concat(found).sort("at", *SERIES)

    def _chosen(self, wanted: Wanted) -> pl.LazyFrame:
        """The files' rows that are wanted."""
        days = [day for day in self._days if wanted.since < midnight(day) + DAY and midnight(day) < wanted.until]
        return chosen(pl.concat([nothing(), *(rows_of(self._root, of_day(day)) for day in days)]), wanted)

    def _revisions(self, wanted: Wanted, *, every_region: bool = False) -> pl.DataFrame:
        rows = self._table("revisions").filter(pl.col("effective_at") < wanted.until)
        if wanted.site_ids is not None:
            rows = rows.filter(pl.col("site_id").is_in(list(wanted.site_ids)))
        if wanted.region_ids is not None and not every_region:
            rows = rows.filter(pl.col("region_id").is_in(list(wanted.region_ids)))
        return rows.select("id", *SERIES, "effective_at", "active")

    def _names(self) -> Names:
        sites, regions = self._table("sites"), self._table("regions")
        return Names(
            dict(sites.select("site_id", "site").iter_rows()), dict(regions.select("region_id", "region").iter_rows())
        )

    def _living(self, name: str) -> pl.DataFrame:
        return self._table(name).filter(pl.col("deleted_at").is_null()).drop("deleted_at").sort(name.removesuffix("s"))

    def _table(self, name: str) -> pl.DataFrame:
        if self._root.size(f"{name}.parquet") is None:
            raise UnavailableError(
                f"{self._root} has ticks and no {name}.parquet: `betterstack lake archive` writes it."
            )
        return collected(self._root, self._root.read(f"{name}.parquet"))

    def _now(self) -> datetime:
        return self._end

    def _wanted(
        self,
        names: Names,
        sites: Collection[str] | None,
        regions: Collection[str] | None,
        start: Moment,
        end: Moment | None,
    ) -> Wanted:
        found = super()._wanted(names, sites, regions, start, end)
        return msgspec.structs.replace(found, until=max(found.since, min(found.until, self._end)))

    @property
    def until(self) -> datetime:
        """Where it ends: the midnight after its last day."""
        return self._end
