"""Outages out of a site's spans, how soon they were found and repaired, and how long it went well in between.

An outage lasts from the first `down` to the first answer that says otherwise: time in which nobody knows does not end
it. Every number says what is not over yet, since a mean over what is over alone is too good.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pipeline.analysis.spans import attempts
from pipeline.analysis.spans import spans as spans_of
from pipeline.answers import OUTAGES, RELIABILITY
from pipeline.frames import SITE_SPANS, STATE, TICKS, check, schema
from pipeline.vocabulary import State

NEEDS = ("site", "site_id", "state", "since", "until", "began_after", "ended_after")
TICKS_NEEDED = ("started_at", "latency_ms")


def outages(spans: pl.DataFrame, ticks: pl.DataFrame | None = None) -> pl.DataFrame:
    """Frame OUTAGES of frame SITE_SPANS, sorted by site and time.

    With the ticks of the range (frame TICKS, all attempts) each has when it was first seen and when it was confirmed.
    """
    check(spans, SITE_SPANS, needs=NEEDS)
    ordered = spans.sort("site_id", "since")
    runs = _runs(ordered).filter(pl.col("down_s").is_not_null())
    seen = runs.join(_detected(runs, ticks), on=["site_id", "since"], how="left")
    detected = (pl.col("confirmed_at") - pl.col("failed_at")).dt.total_microseconds() / 1e6
    types = schema(OUTAGES)
    return seen.with_columns(detected_s=detected).select(types.names()).cast(types).sort("site_id", "since")


def _runs(ordered: pl.DataFrame) -> pl.DataFrame:
    """Down spans, with what nobody knows after them, as one run each; null `down_s` where nothing of it was down."""
    down, unknown = _is(State.DOWN), _is(State.UNKNOWN)
    same_site = pl.col("site_id").eq_missing(pl.col("site_id").shift())
    touching = same_site & (pl.col("since") == pl.col("until").shift())
    # Unknown time goes on with what was before it: an outage, or none.
    before = pl.when(down).then(True).when(~unknown).then(False).forward_fill().over("site_id")
    marked = ordered.with_columns(
        _failing=before.fill_null(value=False),
        _touching=touching,
        _first=~same_site,
        _last=pl.col("site_id").ne_missing(pl.col("site_id").shift(-1)),
    )
    begins = pl.col("_failing").ne_missing(pl.col("_failing").shift()) | ~pl.col("_touching")
    numbered = marked.with_columns(_run=begins.cum_sum()).filter("_failing")
    lasted = (pl.col("until") - pl.col("since")).dt.total_microseconds() / 1e6
    least = (pl.col("ended_after").fill_null(pl.col("until")) - pl.col("since")).dt.total_microseconds() / 1e6
    most = (pl.col("until") - pl.col("began_after").fill_null(pl.col("since"))).dt.total_microseconds() / 1e6
    runs = numbered.group_by("_run", maintain_order=True).agg(
        pl.col("site", "site_id").first(),
        pl.col("since").filter(down).min(),
        pl.col("until").max().alias("_ends"),
        lasted.filter(down).sum().alias("down_s"),
        least.filter(down).clip(lower_bound=0).sum().alias("down_least_s"),
        most.filter(down).sum().alias("down_most_s"),
        began=~pl.col("_first").first(),
        open=pl.col("_last").last(),
    )
    return runs.with_columns(until=pl.when(~pl.col("open")).then("_ends")).filter(pl.col("since").is_not_null())


def _detected(runs: pl.DataFrame, ticks: pl.DataFrame | None) -> pl.DataFrame:
    """[site_id, since, failed_at, confirmed_at] of the outages that the ticks tell of.

    The slot that made the verdict is the outage's beginning; the first failure that led to it is the first slot of the
    earliest of the regions' runs of failures that hold then.
    """
    types = schema(OUTAGES, ["site_id", "since", "failed_at", "confirmed_at"])
    if ticks is None or runs.is_empty():
        return pl.DataFrame(schema=types)
    check(ticks, TICKS, needs=TICKS_NEEDED)
    tried = attempts(ticks).with_columns(
        _ended=pl.col("started_at")
        + pl.duration(microseconds=(pl.col("latency_ms").fill_null(0) * 1000).cast(pl.Int64))
    )
    failing = spans_of(ticks).filter(_is(State.DOWN)).select("site_id", "region_id", first="since", last="until")
    holding = (
        runs.select("site_id", "since")
        .join(failing, on="site_id")
        .filter((pl.col("first") <= pl.col("since")) & (pl.col("since") < pl.col("last")))
    )
    failed = tried.filter(_is(State.DOWN))
    first = holding.join(
        failed, left_on=["site_id", "region_id", "first"], right_on=["site_id", "region_id", "scheduled_at"]
    )
    confirming = failed.filter("final").select("site_id", since="scheduled_at", confirmed_at="_ended")
    confirmed = confirming.group_by("site_id", "since").agg(pl.col("confirmed_at").max())
    return (
        first.group_by("site_id", "since")
        .agg(failed_at=pl.col("_ended").min())
        .join(confirmed, on=["site_id", "since"], how="left")
        .select(types.names())
        .cast(types)
    )


def reliability(spans: pl.DataFrame, ticks: pl.DataFrame | None = None, by: Sequence[str] = ("site",)) -> pl.DataFrame:
    """[*by, …] with the columns of frame RELIABILITY of frame SITE_SPANS, sorted by `by` (site or nothing).

    MTTD is confirmed - first failure and wants the ticks. Times to repair are those of outages that began and ended
    within the range. MTBF is the time up over the outages that began within it: the estimate for times that are partly
    cut off, since the time up after the last one counts and makes no failure of its own.
    """
    found = outages(spans, ticks)
    repaired = (pl.col("until") - pl.col("since")).dt.total_microseconds().filter(
        pl.col("began") & ~pl.col("open")
    ) / 1e6
    numbers = found.group_by(*by, maintain_order=True) if by else found.group_by(pl.lit(0).alias("_all"))
    told = numbers.agg(
        outages=pl.len().cast(pl.Int64),
        open=pl.col("open").sum().cast(pl.Int64),
        _begun=pl.col("began").sum().cast(pl.Int64),
        mttd_s=pl.col("detected_s").mean(),
        mttr_s=repaired.mean(),
        mttr_median_s=repaired.median(),
        mttr_p90_s=repaired.quantile(0.9, "linear"),
    )
    good = _is(State.UP) | _is(State.DEGRADED)
    seconds = ((pl.col("until") - pl.col("since")).dt.total_microseconds() / 1e6).filter(good).sum().alias("up_s")
    up = spans.group_by(*by).agg(seconds) if by else spans.select(pl.lit(0).alias("_all"), seconds)
    keys = list(by) or ["_all"]
    whole = up.join(told, on=keys, how="left").with_columns(pl.col("outages", "open", "_begun").fill_null(0))
    mtbf = pl.when(pl.col("_begun") > 0).then(pl.col("up_s") / pl.col("_begun"))
    typed = whole.with_columns(mtbf_s=mtbf).select(*by, *RELIABILITY).cast(schema(RELIABILITY))
    return typed.sort(by) if by else typed


def _is(state: State) -> pl.Expr:
    return pl.col("state") == pl.lit(state.value, STATE)
