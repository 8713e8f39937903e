"""Whether a budget will last: days like those that were, drawn again and again.

A bootstrap of daily burn: each day to come spends what one of the last days spent, drawn with replacement, a thousand
times over. What a day spent stays together, since failures cluster within it; days are drawn apart, so outages of
several days, and weekdays, are not in it. Drawn from a seed, so that the same history tells the same.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

import polars as pl

from pipeline.analysis.spending import KNOWN, Spending, gathered, spending
from pipeline.answers import FORECAST
from pipeline.calendar import DAY
from pipeline.frames import TIME, AnyFrame, schema
from pipeline.objectives import LEARNS_FROM, SPENDS, Objective, budget_s, window_of

FEWEST_DAYS = 7  # of fewer nobody can say what a day is like
MOST_DAYS = timedelta(days=90)
DRAWS = 1000


def forecast(
    site_spans: AnyFrame, objective: Objective, now: datetime, *, draws: int = DRAWS, seed: int = 0
) -> pl.DataFrame:
    """Frame FORECAST: what will be left day by day, and with which probability the budget will have been gone by then.

    To the month's end; of a rolling window until all that is in it now has left it, and each day that leaves gives
    back what it had spent. Spans (frame SITE_SPANS) are needed from `objectives.reach_of` on. No rows where fewer
    than `FEWEST_DAYS` of the last days are known for at least half.
    """
    since, until = window_of(objective, now)
    rolling = objective.window_days is not None
    end, budget = until + (until - since) if rolling else until, budget_s(objective, now)
    spans = gathered(site_spans)
    spends = spending(spans, SPENDS[objective.policy])
    burnt = _days(spends, spending(spans, KNOWN), now, min(MOST_DAYS, max(LEARNS_FROM, until - since)))
    if len(burnt) < FEWEST_DAYS:
        return pl.DataFrame(schema=schema(FORECAST))
    steps = [now + number * DAY for number in range(-(-(end - now) // DAY))] + [end]
    times = pl.Series("at", steps, dtype=TIME)
    starts = times - (until - since) if rolling else pl.Series([since] * len(steps), dtype=TIME)
    here = pl.Series([now], dtype=TIME).new_from_index(0, len(steps))
    kept = spends.between(starts, here)  # what is spent already and still counts then
    share = (times.diff() / DAY).cast(pl.Float64).fill_null(0.0)  # a month may end within a day
    base = pl.DataFrame({"step": range(len(steps)), "at": times, "kept": kept, "share": share})
    picks = Random(seed).choices(burnt, k=draws * len(steps))  # noqa: S311 - a simulation
    drawn = pl.DataFrame(
        {"draw": [place // len(steps) for place in range(len(picks))], "burn": picks}
    ).with_columns(step=pl.int_range(pl.len()).over("draw"))  # fmt: skip
    left = 1 - (pl.col("kept") + (pl.col("burn") * pl.col("share")).cum_sum().over("draw")) / budget
    told = drawn.join(base, on="step", maintain_order="left").with_columns(left=left)
    told = told.with_columns(gone=(pl.col("left") <= 0).cum_max().over("draw"))
    found = told.group_by("at").agg(
        low=pl.col("left").quantile(0.05, "linear"),
        middle=pl.col("left").quantile(0.5, "linear"),
        high=pl.col("left").quantile(0.95, "linear"),
        gone=pl.col("gone").mean(),
    )
    return found.select(list(FORECAST)).cast(schema(FORECAST)).sort("at")


def _days(spends: Spending, known: Spending, now: datetime, back: timedelta) -> list[float]:
    """Seconds that each of the last days (of 24 hours, the last ends now) spent, of which at least half is known."""
    days = [now - number * DAY for number in range(back // DAY)]
    ends = pl.Series(days, dtype=TIME)
    starts = ends - DAY
    burnt, seen = spends.between(starts, ends), known.between(starts, ends)
    return [spent for spent, known_s in zip(burnt, seen, strict=True) if known_s >= DAY.total_seconds() / 2]
