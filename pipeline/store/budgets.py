"""The budgets read: an objective's spans out of the store, and what they say of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

import polars as pl
from msgspec import Struct

from pipeline.analysis.budgets import budget_left, slo
from pipeline.analysis.burning import LONGEST, burn
from pipeline.analysis.forecasts import forecast
from pipeline.analysis.spending import in_states
from pipeline.answers import SLO
from pipeline.frames import SITE_SPANS, SPANS, schema
from pipeline.objectives import SPENDS, Objective, reach_of, window_of

DRAWN = timedelta(days=3)  # of burn rates
DRAWN_EVERY = timedelta(minutes=15)


class Spans(Protocol):
    """Reads spans, as `Workbench.spans` does."""

    def __call__(
        self, sites: Collection[str], start: datetime, end: datetime, *, level: Literal["region", "global"]
    ) -> pl.LazyFrame: ...


class Budgeted(Struct, frozen=True):
    """An objective as of a time: its row of frame SLO, and frames BUDGET and FORECAST."""

    slo: dict[str, Any]
    left: pl.DataFrame
    forecast: pl.DataFrame


def budgeted(objective: Objective, spans: Spans, *, now: datetime) -> Budgeted:
    """What of an objective's budget is spent and left as of `now`, and where it leads."""
    found = site_spans(objective.sites, spans, reach_of(objective, now), now)
    [row] = slo(found, objective, now).to_dicts()
    return Budgeted(row, budget_left(found, objective, now), forecast(found, objective, now))


def burn_rates(objective: Objective, spans: Spans, *, now: datetime) -> pl.DataFrame:
    """Frame BURN of the last days, each quarter of an hour."""
    since = now - DRAWN - LONGEST
    found = site_spans(objective.sites, spans, since, now)
    times = [now - step * DRAWN_EVERY for step in range(DRAWN // DRAWN_EVERY, -1, -1)]
    return burn(found, objective, times, evidence_of(found, spans, since, now))


def slo_of(objectives: Sequence[Objective], spans: Spans, *, now: datetime) -> pl.DataFrame:
    """Frame SLO, a row an objective, in their order. One without any site has a row that claims nothing."""
    rows = [pl.DataFrame(schema=schema(SLO))]
    for objective in objectives:
        since, until = window_of(objective, now)
        rows.append(slo(site_spans(objective.sites, spans, since, min(now, until)), objective, now))
    return pl.concat(rows)


def site_spans(sites: Collection[str], spans: Spans, since: datetime, until: datetime) -> pl.DataFrame:
    """Frame SITE_SPANS of these sites; no rows for none, while the store takes none for all."""
    if not sites:
        return pl.DataFrame(schema=schema(SITE_SPANS))
    return spans(sites, since, until, level="global").collect()


def evidence_of(found: pl.DataFrame, spans: Spans, since: datetime, until: datetime) -> pl.DataFrame:
    """Frame SPANS of those sites alone that were bad, by any policy, since then."""
    recent = in_states(found.filter(pl.col("until") > since), frozenset().union(*SPENDS.values()))
    bad = recent["site"].cast(pl.String).unique().sort().to_list()
    return spans(bad, since, until, level="region").collect() if bad else pl.DataFrame(schema=schema(SPANS))
