"""What a Workbench and a lake alone have in common: who reads need not know which of the two it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Self

import polars as pl

from pipeline.moments import Moment
from pipeline.store.rollup_reads import Every, keys_of, schema_of
from pipeline.store.span_reads import Level
from pipeline.wanted import Names, Wanted, wanted


class Reading(ABC):
    """Ticks, rollups and spans, by the keys of sites and regions. Close it, or use it in a `with`. Times are UTC.

    A time is an aware datetime, a date (its UTC midnight), or how long ago: "-90m", "-4h", "-7d".
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Give back what is open."""

    @abstractmethod
    def sites(self) -> pl.DataFrame:
        """Frame SITES: what is watched, by key."""

    @abstractmethod
    def tick_batches(
        self,
        sites: Collection[str] | None = None,
        start: Moment = "-7d",
        end: Moment | None = None,
        regions: Collection[str] | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Frame TICKS in pieces of some megabytes, UTC day by day, for what must not fit into memory."""

    @abstractmethod
    def rollup_batches(
        self,
        every: Every = "1h",
        by: Sequence[str] = ("site", "region"),
        start: Moment = "-7d",
        end: Moment | None = None,
        sites: Collection[str] | None = None,
        regions: Collection[str] | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Frame ROLLUPS in pieces that end where UTC days do, sorted. As `rollup`."""

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
        types = schema_of(keys_of(every, by))
        parts = self.rollup_batches(every, by, start, end, sites, regions)
        return pl.concat([pl.DataFrame(schema=types), *parts]).lazy()

    @abstractmethod
    def spans(
        self,
        sites: Collection[str] | None = None,
        start: Moment = "-7d",
        end: Moment | None = None,
        regions: Collection[str] | None = None,
        level: Level = "region",
    ) -> pl.LazyFrame:
        """Frame SPANS, or with level="global" frame SITE_SPANS."""

    def window(self, start: Moment, end: Moment | None = None) -> tuple[datetime, datetime]:
        """The times that are meant, as UTC: so that several questions are about the same. Errors: InvalidInputError."""
        asked = self._wanted(Names({}, {}), None, None, start, end)
        return asked.since, asked.until

    def keys(self, sites: Collection[str] | None = None) -> list[str]:
        """The sites' keys, sorted: all that are watched, or those named. Errors: NotFoundError."""
        if sites is None:
            return self.sites()["site"].cast(pl.String).sort().to_list()
        self._wanted(self._names(), sites, None, self._now(), None)
        return sorted([sites] if isinstance(sites, str) else sites)

    @abstractmethod
    def _names(self) -> Names:
        """The keys of all sites and regions that ever were."""

    @abstractmethod
    def _now(self) -> datetime:
        """What "-7d" counts from."""

    def _wanted(
        self,
        names: Names,
        sites: Collection[str] | None,
        regions: Collection[str] | None,
        start: Moment,
        end: Moment | None,
    ) -> Wanted:
        return wanted(names, self._now(), sites=sites, regions=regions, start=start, end=end)
