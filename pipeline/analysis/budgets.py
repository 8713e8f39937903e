"""What was promised, what of it is spent and what is left: error budgets, in seconds of the regions' vote.

    budget = (1 - target) x window        all of the window, also what of it is to come
    spent  = the time that was held bad   see `pipeline.objectives.SPENDS`
    left   = budget - spent               below zero where more was spent than there was

Unknown time spends nothing and proves nothing: it is beside the figures, and `low` and `high` say what it could have
been. Time in maintenance, paused, or outside a site's life takes nothing. What is about several sites takes each
site's seconds and divides by their number: the mean over those that have a span in the window. (Beyer et al., "The
Site Reliability Workbook", O'Reilly 2018, chapters 2 and 5.)
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

import polars as pl

from pipeline.analysis.spending import KNOWN, NEEDS, gathered, in_states, spending
from pipeline.answers import BUDGET, SLO
from pipeline.frames import TIME, AnyFrame, schema
from pipeline.objectives import SPENDS, Objective, budget_s, window_of
from pipeline.vocabulary import State

EDGES = ("began_after", "ended_after")
POINTS = 240  # of a line: what a chart has pixels for


def slo(site_spans: AnyFrame, objective: Objective, now: datetime) -> pl.DataFrame:
    """Frame SLO, one row: the objective over the window that `now` lies in, as frame SITE_SPANS tells it.

    Nothing known is null, never 100 %. `spent_low_s` and `spent_high_s` are the edges: an outage began in
    (began_after, since] and ended in (ended_after, until].
    """
    since, until = window_of(objective, now)
    spans = _clipped(gathered(site_spans, (*NEEDS, *EDGES)), since, min(until, now))
    bad, sites = SPENDS[objective.policy], max(1, spans["site_id"].n_unique())
    spent, known = _seconds(spans, bad) / sites, _seconds(spans, KNOWN) / sites
    unknown = _seconds(spans, {State.UNKNOWN}) / sites
    good, expected = known - spent, known + unknown
    edges = in_states(spans, bad)
    low = _sum((pl.col("ended_after").fill_null(pl.col("until")) - pl.col("since")), edges) / sites
    high = _sum((pl.col("until") - pl.col("began_after").fill_null(pl.col("since"))), edges) / sites
    budget = budget_s(objective, now)
    told = known > 0
    row = {
        "objective": objective.key,
        "target": objective.target,
        "since": since,
        "until": until,
        "sites": spans["site_id"].n_unique(),
        "good_s": good,
        "unknown_s": unknown,
        "uptime": good / known if told else None,
        "low": good / expected if expected else None,
        "high": (good + unknown) / expected if expected else None,
        "coverage": known / expected if expected else None,
        "budget_s": budget,
        "spent_s": spent if told else None,
        "spent_low_s": low if told else None,
        "spent_high_s": high if told else None,
        "left_s": budget - spent if told else None,
        "left": 1 - spent / budget if told else None,
    }
    return pl.DataFrame([row], schema=schema(SLO), orient="row")


def budget_left(
    site_spans: AnyFrame, objective: Objective, now: datetime, every: timedelta | None = None
) -> pl.DataFrame:
    """Frame BUDGET: what was left at each time of the window up to now, of frame SITE_SPANS.

    Of a calendar month that is what the month had spent until then. Of a rolling window it is what the window that
    ended then had spent, so spans are needed from `objectives.reach_of` on. Nothing known, no rows.
    """
    since, until = window_of(objective, now)
    spans = gathered(site_spans)
    if in_states(spans, KNOWN).is_empty():
        return pl.DataFrame(schema=schema(BUDGET))
    step = every or max(timedelta(minutes=1), (until - since) / POINTS)
    last = min(until, now)
    times = pl.datetime_range(since, last, step, eager=True, closed="left").cast(TIME)
    times = pl.concat([times, pl.Series([last], dtype=TIME)])
    starts = pl.Series([since], dtype=TIME).new_from_index(0, len(times)) if _is_month(objective) else (
        times - (until - since)
    )  # fmt: skip
    spent = spending(spans, SPENDS[objective.policy]).between(starts, times)
    return pl.DataFrame({"at": times, "spent_s": spent, "left": 1 - spent / budget_s(objective, now)}).cast(
        schema(BUDGET)
    )


def _is_month(objective: Objective) -> bool:
    return objective.window_days is None


def _clipped(spans: pl.DataFrame, since: datetime, until: datetime) -> pl.DataFrame:
    inside = spans.filter(pl.col("since") < until, pl.col("until") > since)
    return inside.with_columns(
        pl.col(name).clip(pl.lit(since, TIME), pl.lit(until, TIME)) for name in ("since", "until", *EDGES)
    )


def _seconds(spans: pl.DataFrame, states: Collection[State]) -> float:
    return _sum(pl.col("until") - pl.col("since"), in_states(spans, states))


def _sum(time: pl.Expr, spans: pl.DataFrame) -> float:
    """Seconds; nothing of what would be less than none."""
    return float(spans.select(time.dt.total_microseconds().clip(lower_bound=0).sum()).item()) / 1e6
