"""The vote of a site's regions over time: region spans in, site spans out, by the very rule that judges ticks.

A region has a vote while the revisions call for checks from it. It votes what its span says; where it has none, or
cannot be believed (a suspect period), it does not know. `judge.verdict.decided` makes a state of the counts.
"""

from __future__ import annotations

import polars as pl

from pipeline.analysis.overlays import layered
from pipeline.analysis.spans import SERIES, covered, edged, merged, said, touches
from pipeline.frames import STATE
from pipeline.judge.verdict import decided
from pipeline.vocabulary import State

SITE = ("site_id",)
COUNTS = ("known", "down", "degraded", "regions")
_VOTED = ("state", "down", "known", "regions")
_SEEN = {"known": (State.UP, State.DEGRADED, State.DOWN), "down": (State.DOWN,), "degraded": (State.DEGRADED,)}


def seen(
    spans: pl.DataFrame,
    called: pl.DataFrame,
    suspect: pl.DataFrame,
    maintenance: pl.DataFrame | None = None,
    paused: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Region spans as they count: [*SERIES, state, since, until, last_at, checks, cut], sorted.

    `spans` [*SERIES, state, since, until, last_at, checks], the others [*SERIES, since, until]; none overlap within a
    series. There is something wherever it was called for or `paused`: what was called for and is not held, or suspect,
    is unknown; maintenance overrides all. A span that was cut has the share of its checks that it has of the time,
    `cut` where it began otherwise, and no `last_at` where it ended otherwise.
    """
    nothing = called.clear()
    over = {"suspect": suspect, "maintenance": nothing if maintenance is None else maintenance}
    layers = {"called": called, "paused": nothing if paused is None else paused, "span": spans, **over}
    there = pl.col("called").is_not_null() | pl.col("paused").is_not_null()
    pieces = layered(layers, SERIES).filter(there)
    heard = pl.col("called").is_not_null() & pl.all_horizontal(pl.col(*over).is_null())
    said = spans.with_row_index("span").select(
        pl.col("span").cast(pl.Int64), "state", "last_at", "checks", began="since", ended="until"
    )
    found = pieces.with_columns(span=pl.when(heard).then("span")).join(said, on="span", how="left")
    share = (pl.col("until") - pl.col("since")) / (pl.col("ended") - pl.col("began"))
    rows = found.select(
        *SERIES,
        "since",
        "until",
        state=_over(pl.col("state")),
        last_at=pl.when(pl.col("until") == pl.col("ended")).then("last_at"),
        checks=(pl.col("checks") * share).round().cast(pl.Int64).fill_null(0),
        cut=(pl.col("since") != pl.col("began")).fill_null(value=False),
    )
    return merged(rows.sort(*SERIES, "since"), SERIES, begins=("cut",))


def _over(state: pl.Expr) -> pl.Expr:
    """Of pieces of `layered`: maintenance where it is, paused where nothing was called for, else the state."""
    words = {state: pl.lit(state.value, STATE) for state in (State.MAINTENANCE, State.PAUSED)}
    return (
        pl.when(pl.col("maintenance").is_not_null())
        .then(words[State.MAINTENANCE])
        .when(pl.col("called").is_null())
        .then(words[State.PAUSED])
        .otherwise(state.fill_null(pl.lit(State.UNKNOWN.value, STATE)))
    )


def voted(regions: pl.DataFrame, quorum: int | None = None) -> pl.DataFrame:
    """Site spans [site_id, state, since, until, down, known, regions, began_after, ended_after] of regions as `seen`.

    Sorted; no two overlap, none where no region was called for. The counts are those at the span's beginning. An edge
    is that of the region span whose flip made the change; of several at once the earliest, which says least.
    """
    counted = [pl.col("state").is_in([state.value for state in states]).alias(name) for name, states in _SEEN.items()]
    votes = regions.select("site_id", "since", "until", *counted, regions=pl.lit(value=True)).cast(
        dict.fromkeys(COUNTS, pl.Int64)
    )
    counts = pl.col(*COUNTS)
    steps = pl.concat([
        votes.select("site_id", "since", counts),
        votes.select("site_id", -counts, since="until").select("site_id", "since", counts),
    ])  # fmt: skip
    # Every region's last span ends, so the running sum comes back to nothing before the next site.
    summed = steps.group_by("site_id", "since").agg(counts.sum()).sort("site_id", "since")
    pieces = summed.with_columns(counts.cum_sum(), until=pl.col("since").shift(-1)).filter(pl.col("regions") > 0)
    spans = merged(_judged(pieces, quorum), SITE, begins=("known", "down", "regions"))
    return _with_edges(spans, regions).select(
        "site_id",
        "state",
        "since",
        "until",
        pl.col("down", "known", "regions").cast(pl.Int16),
        "began_after",
        "ended_after",
    )


def _judged(pieces: pl.DataFrame, quorum: int | None) -> pl.DataFrame:
    """The pieces with the state that their counts make: the few different ones go through the rule one by one."""
    distinct = pieces.select(COUNTS).unique()
    verdicts = [decided(*counts, quorum=quorum).value for counts in distinct.iter_rows()]  # type: ignore[misc] # COUNTS
    return pieces.join(distinct.with_columns(state=pl.Series(verdicts, dtype=STATE)), on=COUNTS, how="left").sort(
        "site_id", "since"
    )


def _with_edges(spans: pl.DataFrame, regions: pl.DataFrame) -> pl.DataFrame:
    """A site's change has the edges of the region spans that begin and end there."""
    edges = edged(regions, SERIES)
    began = edges.group_by("site_id", "since").agg(pl.col("began_after").min())
    ended = edges.group_by("site_id", "until").agg(pl.col("ended_after").min())
    found = spans.join(began, on=["site_id", "since"], how="left").join(ended, on=["site_id", "until"], how="left")
    return bounded(found.sort("site_id", "since"))


def bounded(spans: pl.DataFrame) -> pl.DataFrame:
    """A site's sorted spans with the edges that they can have: out of something known, into something that is there."""
    before, after = touches(SITE), touches(SITE).shift(-1).fill_null(value=False)
    return spans.with_columns(
        began_after=pl.when(before & said().shift()).then("began_after"),
        ended_after=pl.when(after & ~covered().shift(-1)).then("ended_after"),
    )


def overlaid(
    spans: pl.DataFrame, called: pl.DataFrame, maintenance: pl.DataFrame, paused: pl.DataFrame
) -> pl.DataFrame:
    """Site spans, as `voted` returns them, with what overrides them: what was called for and has no vote is unknown.

    `called` is [*SERIES, since, until] by region; `maintenance` and `paused` are [site_id, since, until].
    """
    one = pl.lit(1, pl.Int64)
    steps = pl.concat([
        called.select("site_id", "since", regions=one),
        called.select("site_id", since="until", regions=-one),
    ])  # fmt: skip
    running = steps.group_by("site_id", "since").agg(pl.col("regions").sum()).sort("site_id", "since")
    counts = running.with_columns(pl.col("regions").cum_sum(), until=pl.col("since").shift(-1))
    wanted = counts.filter(pl.col("regions") > 0)
    layers = {"called": wanted, "span": spans, "maintenance": maintenance, "paused": paused}
    there = pl.col("called").is_not_null() | pl.col("paused").is_not_null()
    pieces = layered(layers, SITE).filter(there)
    heard = pl.col("called").is_not_null() & pl.col("maintenance").is_null()
    told = spans.with_row_index("span").select(
        pl.col("span").cast(pl.Int64), *_VOTED, "began_after", "ended_after", began="since", ended="until"
    )
    asked = wanted.with_row_index("called").select(
        pl.col("called").cast(pl.Int64), pl.col("regions").cast(pl.Int16).alias("asked")
    )
    found = (
        pieces.with_columns(pl.when(heard).then(pl.col("span", "called")).name.keep())
        .join(told, on="span", how="left")
        .join(asked, on="called", how="left")
    )
    none = pl.when(heard).then(pl.lit(0, pl.Int16))
    rows = found.select(
        "site_id",
        "since",
        "until",
        pl.col("down", "known").fill_null(none),
        state=_over(pl.col("state")),
        regions=pl.col("regions").fill_null(pl.col("asked")),
        began_after=pl.when(pl.col("since") == pl.col("began")).then("began_after"),
        ended_after=pl.when(pl.col("until") == pl.col("ended")).then("ended_after"),
    )
    begins = ("down", "known", "regions", "began_after")
    return bounded(merged(rows.sort("site_id", "since"), SITE, begins=begins, ends=("ended_after",)))
