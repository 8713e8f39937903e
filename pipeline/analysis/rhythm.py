"""Hourly medians as the questions take them, and the rhythm of day and week in them."""

from __future__ import annotations

import polars as pl

from pipeline.answers import MEDIANS, PHASE
from pipeline.frames import KEY, TIME, check, schema

SERIES = ("site", "region", "phase")
HOURS_A_DAY, HOURS_A_WEEK = 24, 168
ENOUGH = 4  # of the same hour of the week (or day): with fewer, a rhythm is made of chance
MANY = 8
DAY, WEEK = pl.col("at").dt.hour(), (pl.col("at").dt.weekday() - 1) * HOURS_A_DAY + pl.col("at").dt.hour()


def measured(medians: pl.DataFrame) -> pl.DataFrame:
    """[at, site, region, phase, p50_ms, log]: the hours that have a median above 0, sorted by series and time.

    Of frame MEDIANS or any with its columns, such as frame ROLLUPS by hour, site and region; without a phase it is
    total.
    """
    named = medians if "phase" in medians.columns else medians.with_columns(phase=pl.lit("total", PHASE))
    known = check(named, MEDIANS, needs=MEDIANS).select(*MEDIANS)
    ms = pl.col("p50_ms").cast(pl.Float64)
    return known.filter(ms.is_finite() & (ms > 0)).with_columns(log=ms.log()).sort(*SERIES, "at")


def of_site(medians: pl.DataFrame, site: str = "", region: str = "") -> pl.DataFrame:
    """Medians of one series [at, p50_ms] with the names that frame MEDIANS wants."""
    return medians.select("at", pl.lit(site, KEY).alias("site"), pl.lit(region, KEY).alias("region"), "p50_ms").cast(
        {"at": TIME, "p50_ms": schema(MEDIANS)["p50_ms"]}
    )


def without_rhythm(measured: pl.DataFrame, around: str | None = None) -> pl.DataFrame:
    """With `level`: log-latency less what its hour usually adds to its surroundings.

    A running median of a week follows the level, also over steps; what the same hour of the week differs from it by,
    in the median, is its rhythm. Of fewer than eight weeks so many medians would be mostly noise: the hour of the day
    and the weekday add up then, each where it is there on four days, against a running median of a day where it is
    only the hour. (The classical decomposition by moving averages, with medians: Cleveland et al., "STL", Journal of
    Official Statistics 1990.) `around`: a column with the surroundings, where those are known better.
    """
    trends = {"of_week": HOURS_A_WEEK, "of_day": HOURS_A_DAY}
    apart = measured.with_columns(
        *((pl.col("log") - (pl.col(around) if around else _running(n))).alias(name) for name, n in trends.items()),
        week=WEEK,
        weekday=pl.col("at").dt.weekday(),
        day=DAY,
    )
    whole = _usual("of_week", "week", MANY)
    weekly = pl.len().over(*SERIES, "weekday") >= ENOUGH * (HOURS_A_DAY - 6)  # some of their hours may be missing
    known = apart.with_columns(
        of_week_whole=whole, weekly=weekly, of_hour=pl.when(weekly).then("of_week").otherwise("of_day")
    )
    known = known.with_columns(of_hour=_usual("of_hour", "day", ENOUGH).fill_null(0.0))
    known = known.with_columns(rest=pl.col("of_week") - pl.col("of_hour"))
    daily = pl.when("weekly").then(pl.col("rest").median().over(*SERIES, "weekday")).otherwise(0.0)
    rhythm = pl.coalesce("of_week_whole", pl.col("of_hour") + daily)
    return known.with_columns(rhythm=rhythm).select(
        *measured.columns, level=pl.col("log") - pl.col("rhythm") + pl.col("rhythm").mean().over(SERIES)
    )


def _usual(value: str, slot: str, least: int) -> pl.Expr:
    """The median of the value by slot, null where that has fewer hours."""
    return pl.when(pl.len().over(*SERIES, slot) >= least).then(pl.col(value).median().over(*SERIES, slot))


def _running(hours: int) -> pl.Expr:
    return pl.col("log").rolling_median(hours + 1, min_samples=1, center=True).over(SERIES)
