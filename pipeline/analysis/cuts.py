"""Spans cut where a report wants it: at its days, at opening hours, at the edges of periods.

Days are those of a time zone: where clocks change one has 23 or 25 hours. A cut adds no doubt to an outage's edges:
what is known of them stays within the piece.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Literal
from zoneinfo import ZoneInfo

import polars as pl

from pipeline.calendar import DAY, first_day, first_days, midnight, zone
from pipeline.calendar import Every as Period
from pipeline.errors import InvalidInputError, Problem
from pipeline.frames import TIME

Every = Literal["1h", "1d", "1w", "1mo"]
_PERIODS: dict[str, Period] = {"1d": "day", "1w": "week", "1mo": "month"}
# A local hour begins at one of these in every zone in use; they are tried, and those on the hour kept.
QUARTER = timedelta(minutes=15)


def cut_at(frame: pl.DataFrame, edges: pl.Series) -> pl.DataFrame:
    """Rows [since, until, …] in pieces that no edge lies inside of; `began_after` and `ended_after` stay within."""
    marks = edges.cast(TIME).drop_nulls().unique().sort()
    named = frame.filter(pl.col("since") < pl.col("until"))
    first = marks.search_sorted(named["since"], side="right")
    last = marks.search_sorted(named["until"], side="left")
    counted = named.with_columns(_first=pl.Series(first, dtype=pl.Int64), _last=pl.Series(last, dtype=pl.Int64))
    whole = pl.col("_first") >= pl.col("_last")
    # Most rows are in one piece, so only the others are taken apart.
    crossing = (
        counted.filter(~whole).with_columns(_piece=pl.int_ranges("_first", pl.col("_last") + 1)).explode("_piece")
    )
    # One more than there are edges: the first piece has none before it, the last none after it.
    padded = pl.concat([marks, pl.Series([None], dtype=TIME)])
    bounded = crossing.with_columns(
        _from=padded.gather(crossing["_piece"].cast(pl.Int64) - 1), _to=padded.gather(crossing["_piece"])
    )
    since = pl.when(pl.col("_piece") > pl.col("_first")).then("_from").otherwise("since")
    until = pl.when(pl.col("_piece") < pl.col("_last")).then("_to").otherwise("until")
    pieces = _within(bounded, since, until).select(frame.columns)
    return pl.concat([counted.filter(whole).select(frame.columns), pieces])


def _within(frame: pl.DataFrame, since: pl.Expr, until: pl.Expr) -> pl.DataFrame:
    """The rows over a part of their time. Their checks are split by time, and add up to what they were.

    Where a piece begins with the cut there is no doubt about when. What nobody said of an edge (null) stays so.
    """
    parts = [since.alias("since"), until.alias("until")]
    if "began_after" in frame.columns:
        parts.append(pl.when(since <= pl.col("since")).then("began_after").otherwise(since).alias("began_after"))
        parts.append(pl.col("ended_after").clip(since, until))
    if "checks" in frame.columns:
        whole = pl.col("until") - pl.col("since")
        before, after = ((pl.col("checks") * ((at - pl.col("since")) / whole)).round() for at in (since, until))
        parts.append((after - before).cast(pl.Int64).alias("checks"))
    return frame.with_columns(parts)


def clipped(frame: pl.DataFrame, since: datetime, until: datetime) -> pl.DataFrame:
    """The rows within [since, until)."""
    inside = frame.filter((pl.col("until") > since) & (pl.col("since") < until))
    return _within(
        inside,
        pl.max_horizontal("since", pl.lit(since, TIME)),
        pl.min_horizontal("until", pl.lit(until, TIME)),
    )


def cut_by(spans: pl.DataFrame, every: Every, tz: str = "UTC") -> pl.DataFrame:
    """Spans (or any rows [since, until, …]) cut at the hours, days, weeks or months of a time zone, with `at`.

    `at` is when the piece's hour, day, week (from Monday) or month begins, in UTC. Errors: InvalidInputError.
    """
    first, last = reach(spans)
    edges = pl.Series(steps(first, last, every, tz), dtype=TIME)
    pieces = cut_at(spans, edges)
    at = edges.gather(pl.Series(edges.search_sorted(pieces["since"], side="right")) - 1)
    return pieces.with_columns(at.alias("at"))


def reach(frame: pl.DataFrame) -> tuple[datetime, datetime]:
    """From when to when the rows [since, until, …] reach; nowhere, where there are none."""
    first, last = frame["since"].min(), frame["until"].max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        first = last = datetime(1970, 1, 1, tzinfo=UTC)
    return first, last


def steps(since: datetime, until: datetime, every: Every, tz: str) -> list[datetime]:
    """When each hour, day, week or month of a time zone begins, from the one that holds `since` to beyond `until`."""
    where = zone(tz)
    if every == "1h":
        return local_hours(since, until, where)
    if every not in _PERIODS:
        raise InvalidInputError([Problem("every", f"{every!r} is not one of 1h, 1d, 1w, 1mo")])
    period = _PERIODS[every]
    moments = (midnight(day, where) for day in first_days(period, first_day(period, since, where)))
    # A day longer than asked for, so that the last piece has its end.
    return list(takewhile(lambda moment: moment < until + 32 * DAY, moments))


def local_hours(since: datetime, until: datetime, where: ZoneInfo) -> list[datetime]:
    """When each hour of a local clock begins, in UTC, from the one that holds `since` to `until` or beyond."""
    start = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    quarters = pl.datetime_range(start, until + timedelta(hours=1), QUARTER, time_zone="UTC", eager=True)
    on_the_hour = quarters.filter(quarters.dt.convert_time_zone(where.key).dt.minute() == 0)
    return on_the_hour.to_list()
