"""Uptime with what it is worth: how much of the time is known, and what it could be at worst and at best.

    uptime   = up / (up + down)              of the known seconds; degraded counts as up
    coverage = known / expected              expected: the time for which the revisions called for checks
    low      = up / T                        as if all unknown time had been down
    high     = (up + unknown) / T            as if all unknown time had been up

T is the expected time. A stored state is held for up to two intervals after its tick, also past a pause or past now;
`within_expected` takes back what goes beyond the time that was called for, from the state that is held there.
Nothing known is null, never 100 %. Over several series, seconds are added up: this is the mean over regions (and
sites) by seconds. The vote of the regions is in the spans of sites, and in `analysis.account`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import overload

import polars as pl

from pipeline.analysis import histograms
from pipeline.analysis.claims import at_least_of
from pipeline.analysis.hours import weighed, within_hours
from pipeline.analysis.policies import DEFAULT, Policy, policy_of
from pipeline.analysis.rollups import HELD
from pipeline.analysis.spans import SERIES
from pipeline.answers import UPTIME
from pipeline.errors import InvalidInputError, Problem
from pipeline.frames import ROLLUPS, SPANS, STATE, TIME, check, schema
from pipeline.vocabulary import State

NEEDS = ("checks", "up_us", "degraded_us", "down_us", "expected_s")
EVERY = {"1h": timedelta(hours=1), "1d": timedelta(days=1)}


@overload
def uptime(frame: pl.DataFrame, by: Sequence[str] = (), policy: str | Policy = "default") -> pl.DataFrame: ...
@overload
def uptime(frame: pl.LazyFrame, by: Sequence[str] = (), policy: str | Policy = "default") -> pl.LazyFrame: ...
def uptime(
    frame: pl.DataFrame | pl.LazyFrame, by: Sequence[str] = (), policy: str | Policy = "default"
) -> pl.DataFrame | pl.LazyFrame:
    """[*by, …] with the columns of frame UPTIME, sorted by `by`: of frames SPANS, SITE_SPANS or ROLLUPS.

    `by` names columns of the frame (site, region, at); without it there is one row. Region spans and rollups are not
    voted on: over several regions this is the mean by seconds, and the vote is in SITE_SPANS. Of spans, `policy` says
    what states, hours and partial outages are worth; one that counts anything but seconds wants `account`. Errors:
    InvalidInputError, NotFoundError.
    """
    chosen = policy_of(policy)
    spans = "state" in frame.collect_schema()
    if not spans and chosen is not DEFAULT:
        raise InvalidInputError(
            [Problem("policy", f"rollups are accounted by default only; {chosen.name} wants spans")]
        )
    sums = _of_spans(frame.lazy(), by, chosen) if spans else _of_rollups(frame.lazy(), by)
    found = _finished(sums, by)
    return found if isinstance(frame, pl.LazyFrame) else found.collect()


def _of_rollups(rollups: pl.LazyFrame, by: Sequence[str]) -> pl.LazyFrame:
    """Sums by `by`: good_s, bad_s, unknown_s, called_s, checks, and what only spans tell."""
    check(rollups, ROLLUPS, needs=NEEDS)
    names = rollups.collect_schema().names()
    sums = _summed(
        rollups,
        by,
        good_s=(pl.col("up_us") + pl.col("degraded_us")).sum().cast(pl.Float64) / 1e6,
        bad_s=pl.col("down_us").sum().cast(pl.Float64) / 1e6,
        called_s=pl.col("expected_s").sum(),
        checks=pl.col("checks").sum(),
        sure=(pl.col("checks") - (pl.col("unknown") if "unknown" in names else 0)).sum(),
        down_least_s=pl.lit(None, pl.Float64),
        down_most_s=pl.lit(None, pl.Float64),
    )
    known = pl.col("good_s") + pl.col("bad_s")
    # What is held past a pause that ended is known, and was not called for.
    return sums.with_columns(unknown_s=(pl.col("called_s") - known).clip(lower_bound=0), uptime=_share("good_s", known))


def _of_spans(spans: pl.LazyFrame, by: Sequence[str], policy: Policy) -> pl.LazyFrame:
    """The same of spans. What a state is worth is up, the rest of a known one down."""
    if policy.base != "seconds":
        raise InvalidInputError([Problem("policy", f"{policy.name} counts {policy.base}: use analysis.account")])
    check(spans, SPANS, needs=("state", "since", "until", "began_after", "ended_after"))
    cut = spans
    if policy.hours is not None or policy.weights is not None:
        whole = spans.collect()
        inside = whole if policy.hours is None else within_hours(whole, policy.hours)
        cut = (inside if policy.weights is None else weighed(inside, policy.weights)).lazy()
    names = cut.collect_schema().names()
    seconds = _seconds("since", "until") * (pl.col("weight") if "weight" in names else 1.0)
    worth = _worth(policy, votes="known" in names)
    down = pl.col("state") == pl.lit(State.DOWN.value, STATE)
    counted = cut.with_columns(_seconds=seconds, _worth=worth).filter(_called(policy))
    least = _seconds("since", pl.col("ended_after").fill_null(pl.col("until"))).clip(lower_bound=0)
    most = _seconds(pl.col("began_after").fill_null(pl.col("since")), "until")
    known = pl.col("_worth").is_not_null()
    # A site's spans do not say how many checks are behind them, and nobody's sum of nulls is 0.
    checks = pl.col("checks") if "checks" in names else None
    sums = _summed(
        counted,
        by,
        good_s=(pl.col("_seconds") * pl.col("_worth")).sum(),
        bad_s=(pl.col("_seconds") * (1 - pl.col("_worth"))).sum(),
        unknown_s=pl.col("_seconds").filter(~known).sum(),
        called_s=pl.col("_seconds").sum(),
        checks=pl.lit(None, pl.Int64) if checks is None else checks.sum(),
        sure=pl.lit(None, pl.Int64) if checks is None else checks.filter(known).sum(),
        down_least_s=least.filter(down).sum(),
        down_most_s=most.filter(down).sum(),
    )
    assumed = pl.lit(policy.unknown, pl.Float64)
    up = pl.col("good_s") + assumed.fill_null(0) * pl.col("unknown_s")
    of = pl.col("good_s") + pl.col("bad_s") + pl.when(assumed.is_not_null()).then("unknown_s").otherwise(0.0)
    return sums.with_columns(uptime=_share(up, of))


def _worth(policy: Policy, *, votes: bool) -> pl.Expr:
    """How much of a span counts as up; null where nobody knows."""
    counted = policy.maintenance if isinstance(policy.maintenance, float | int) else None
    states = {State.UP: 1.0, State.DEGRADED: policy.degraded, State.DOWN: 0.0, State.MAINTENANCE: counted}
    told = {state.value: share for state, share in states.items() if share is not None}
    worth = pl.col("state").cast(pl.String).replace_strict(told, default=None, return_dtype=pl.Float64)
    if not votes:
        return worth
    partial = (pl.col("state") == pl.lit(State.DEGRADED.value, STATE)) & (pl.col("down") > 0)
    return pl.when(partial).then(pl.lit(policy.partial)).otherwise(worth)


def _called(policy: Policy) -> pl.Expr:
    """Which spans are part of the account: not a pause, and maintenance where the policy says so."""
    out = [State.PAUSED.value, *([State.MAINTENANCE.value] if policy.maintenance is None else [])]
    return ~pl.col("state").is_in(out)


def _finished(sums: pl.LazyFrame, by: Sequence[str]) -> pl.LazyFrame:
    """Sums as frame UPTIME."""
    known = pl.col("good_s") + pl.col("bad_s")
    whole = known + pl.col("unknown_s")
    return sums.select(
        *by,
        "uptime",
        low=_share("good_s", whole),
        high=_share(pl.col("good_s") + pl.col("unknown_s"), whole),
        coverage=pl.when(pl.col("called_s") > 0).then((known / pl.col("called_s")).clip(upper_bound=1.0)),
        up_s="good_s",
        down_s="bad_s",
        unknown_s="unknown_s",
        checks="checks",
        at_least=at_least_of(pl.col("sure"), failed=(pl.col("bad_s") > 0) | (known <= 0)),
        down_least_s="down_least_s",
        down_most_s="down_most_s",
    ).cast(schema(UPTIME))


def _summed(frame: pl.LazyFrame, by: Sequence[str], **sums: pl.Expr) -> pl.LazyFrame:
    return frame.group_by(*by).agg(**sums).sort(*by) if by else frame.select(**sums)


def _share(part: str | pl.Expr, whole: pl.Expr) -> pl.Expr:
    return pl.when(whole > 0).then((pl.col(part) if isinstance(part, str) else part) / whole)


def _seconds(since: str | pl.Expr, until: str | pl.Expr) -> pl.Expr:
    first, last = (pl.col(at) if isinstance(at, str) else at for at in (since, until))
    return (last - first).dt.total_microseconds() / 1e6


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
