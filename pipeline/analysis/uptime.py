"""Uptime with what it is worth: how much of the time is known, and what it could be at worst and at best.

    uptime   = up / (up + down)              of the known seconds; degraded counts as up
    coverage = known / expected              expected: the time for which the revisions called for checks
    low      = up / T                        as if all unknown time had been down
    high     = (up + unknown) / T            as if all unknown time had been up

T is the expected time. A stored state is held for up to two intervals after its tick, also past a pause or past now;
`within_expected` takes back what goes beyond the time that was called for, from the state that is held there.
Nothing known is null, never 100 %. Over several series, seconds are added up: this is the mean over regions (and
sites) by seconds. The vote of the regions is not in it yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import ceil

import polars as pl

from pipeline.analysis import histograms
from pipeline.analysis.rollups import HELD
from pipeline.analysis.spans import SERIES
from pipeline.frames import ROLLUPS, TIME, UPTIME, AnyFrame, check, schema

NEEDS = ("checks", "up_us", "degraded_us", "down_us", "expected_s")
Z = 1.96  # 95 %, two-sided
EVERY = {"1h": timedelta(hours=1), "1d": timedelta(days=1)}


def uptime(rollups: AnyFrame, by: Sequence[str] = ()) -> AnyFrame:
    """[*by, uptime, low, high, coverage, down_s, unknown_s, checks] of frame ROLLUPS, sorted by `by`.

    `by` names columns of the rollups: site, region, at. Without it there is one row.
    """
    check(rollups, ROLLUPS, needs=NEEDS)
    wanted = [
        (pl.col("up_us") + pl.col("degraded_us")).sum().cast(pl.Float64).alias("up_us"),
        pl.col("down_us").sum().cast(pl.Float64),
        pl.col("expected_s").sum(),
        pl.col("checks").sum().cast(pl.Int64),
    ]
    totals = rollups.group_by(*by).agg(wanted).sort(*by) if by else rollups.select(wanted)
    up, down, called = pl.col("up_us") / 1e6, pl.col("down_us") / 1e6, pl.col("expected_s")
    known = up + down
    whole = pl.max_horizontal(known, called)
    unknown = whole - known
    return totals.select(
        *by,
        uptime=pl.when(known > 0).then(up / known),
        low=pl.when(whole > 0).then(up / whole),
        high=pl.when(whole > 0).then((up + unknown) / whole),
        coverage=pl.when(called > 0).then((known / called).clip(upper_bound=1.0)),
        down_s=down,
        unknown_s=unknown,
        checks="checks",
    ).cast(schema(UPTIME))


def within_expected() -> list[pl.Expr]:
    """The microseconds held by state within what was called for: `expected_s` of the row, which ends at `called_until`.

    What is held past that end is the last state's. What is too much then was held past a pause that ended since, and
    whose it was is not known any more: it is taken back in proportion.
    """
    beyond = (pl.col("last_until") - pl.col("called_until")).dt.total_microseconds().clip(lower_bound=0).fill_null(0)
    cut = [
        pl.when(pl.col("last_state") == number).then((pl.col(name) - beyond).clip(lower_bound=0)).otherwise(name)
        for number, name in enumerate(HELD)
    ]
    held = pl.sum_horizontal(cut)
    share = (pl.col("expected_s").fill_null(0) * 1e6 / held).clip(upper_bound=1.0)
    return [
        pl.when(held > 0).then((us * share).round()).otherwise(0).cast(pl.Int64).alias(name)
        for name, us in zip(HELD, cut, strict=True)
    ]


def accounted(hours: pl.DataFrame, called: pl.DataFrame) -> pl.DataFrame:
    """Frame HOURS with the `expected_s` of `called` (see `expected`): a row for every hour that either has one for.

    An hour in which checks were called for and none was made has a row then. Time held is within what was called for.
    """
    rows = hours.join(called, on=["at", *SERIES], how="full", coalesce=True)
    empty = pl.col("buckets", "counts").fill_null([])
    return rows.with_columns(*within_expected(), empty, pl.col("expected_s").fill_null(0))


def quantiles(rollups: pl.DataFrame, qs: Sequence[float], by: Sequence[str] = ()) -> pl.DataFrame:
    """[*by, checks, p50_ms, …] from merged histograms, sorted by `by`; a column for each of `qs`, within 1.083 %.

    0.5 becomes p50_ms and 0.999 p99.9_ms; `checks` counts the latencies behind them.
    """
    check(rollups, ROLLUPS, needs=("buckets", "counts"))
    named = rollups.with_columns(everything=pl.lit(0)) if not by else rollups
    keys = tuple(by) or ("everything",)
    merged = histograms.merge(named, keys)
    found = histograms.with_quantiles(merged, {f"p{round(q * 100, 6):g}_ms": q for q in qs})
    return found.with_columns(checks=pl.col("counts").list.sum()).select(
        *by, "checks", *(name for name in found.columns if name not in (*keys, "buckets", "counts"))
    )


def expected(revisions: pl.DataFrame, since: datetime, until: datetime, every: str) -> pl.DataFrame:
    """[at, site_id, region_id, expected_s, called_until]: by hour ("1h") or UTC day ("1d"), the active time of
    [since, until) and when the last of it in the row ends.

    Of revisions [id, site_id, region_id, effective_at, active], all those up to `until` (a revision is in force until
    the next one of its series). Hours and days without any expected time have no row.
    """
    step = EVERY[every]
    ends = pl.col("effective_at").shift(-1).over(SERIES)
    forced = (
        revisions.sort(*SERIES, "effective_at", "id")
        .with_columns(
            start=pl.max_horizontal("effective_at", pl.lit(since, TIME)),
            end=pl.min_horizontal(ends, pl.lit(until, TIME)),
        )
        .filter(pl.col("active") & (pl.col("start") < pl.col("end")))
    )
    cut = forced.with_columns(
        at=pl.datetime_ranges(
            pl.col("start").dt.truncate(every), (pl.col("end") - pl.duration(microseconds=1)).dt.truncate(every), every
        )
    ).explode("at", empty_as_null=False, keep_nulls=False)
    inside = pl.min_horizontal("end", pl.col("at") + step) - pl.max_horizontal("start", "at")
    seconds = inside.dt.total_microseconds() / 1e6
    last = pl.min_horizontal("end", pl.col("at") + step).max()
    found = cut.group_by("at", *SERIES).agg(expected_s=seconds.sum(), called_until=last)
    return found.cast({"at": TIME, "called_until": TIME}).sort("at", *SERIES)


def checks_for(share: float) -> int:
    """Checks, none of them failed, that it takes to claim an uptime of `share` < 1 at 95 %: 3 838 for 99.9 %.

    The lower end of the Wilson interval without failures is n / (n + z²), so n = z² share / (1 - share). The "rule of
    three", one-sided, asks for some fewer: 3 / (1 - share). (Wilson, "Probable inference", JASA 1927; Hanley and
    Lippman-Hand, "If nothing goes wrong, is everything all right?", JAMA 1983.)
    """
    return ceil(Z**2 * share / (1 - share))


def at_least(checks: int) -> float | None:
    """The uptime that `checks` without a failure show at 95 %: n / (n + z²); None without checks, for nobody knows."""
    return checks / (checks + Z**2) if checks else None
