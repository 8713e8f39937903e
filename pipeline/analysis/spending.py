"""How much time some intervals have taken up to any moment: a running sum, exact in whole microseconds.

Every question about a budget is a difference of two of its values: the last five minutes, each day, a window.
"""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from pipeline.frames import SITE_SPANS, STATE, TIME, AnyFrame, check
from pipeline.vocabulary import State

KNOWN = frozenset({State.UP, State.DEGRADED, State.DOWN})
NEEDS = ("site_id", "state", "since", "until")


class Spending:
    """Time that the sites' spans of some states have taken, as the mean over the sites by seconds."""

    def __init__(self, spans: pl.DataFrame, sites: int) -> None:
        """`spans`: [since, until], of `sites` sites."""
        ends = pl.concat(
            [
                spans.select(at="since", change=pl.lit(1, pl.Int64)),
                spans.select(at="until", change=pl.lit(-1, pl.Int64)),
            ]
        )
        changes = ends.group_by("at").agg(pl.col("change").sum()).sort("at")
        at_once = pl.col("change").cum_sum()  # how many are held bad from here on
        passed = pl.col("at").diff().dt.total_microseconds().fill_null(0)
        self._sites = max(1, sites)
        self._known = changes.select(
            pl.col("at").cast(TIME), at_once=at_once, spent_us=(passed * at_once.shift(1, fill_value=0)).cum_sum()
        )

    def until(self, times: pl.Series) -> pl.Series:
        """Seconds (Float64) taken before each of the times, in their order."""
        asked = pl.DataFrame({"at": times.cast(TIME)}).with_row_index("place").sort("at")
        joined = asked.join_asof(self._known, on="at", strategy="backward", coalesce=False)
        since = (pl.col("at") - pl.col("at_right")).dt.total_microseconds()
        us = (pl.col("spent_us") + since * pl.col("at_once")).fill_null(0)
        return joined.sort("place").select(spent_s=us / 1e6 / self._sites).to_series()

    def between(self, since: pl.Series, until: pl.Series) -> pl.Series:
        """Seconds taken in each [since, until)."""
        return self.until(until) - self.until(since)


def spending(spans: pl.DataFrame, states: Collection[State]) -> Spending:
    """Of frame SITE_SPANS: the time in these states, as the mean over all its sites."""
    return Spending(in_states(spans, states), spans["site_id"].n_unique())


def in_states(spans: AnyFrame, states: Collection[State]) -> AnyFrame:
    return spans.filter(pl.col("state").is_in(pl.Series(sorted(states), dtype=STATE).implode()))


def gathered(spans: AnyFrame, needs: Collection[str] = NEEDS) -> pl.DataFrame:
    """The columns of frame SITE_SPANS that are needed, sorted."""
    check(spans, SITE_SPANS, needs=needs)
    return spans.lazy().select(*needs).collect().sort("site_id", "since")
