"""The budgets watched: what each objective's spans call for, written where it is not what was told last."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl
from msgspec import Struct
from sqlalchemy import Engine

from pipeline.analysis.burning import LONGEST, Burning, burn, burning
from pipeline.objectives import Objective
from pipeline.store.budgets import Spans, evidence_of, site_spans
from pipeline.store.objectives import list_objectives, lock_objectives, note_burning

_TOLD = ("severity", "factor", "long_s", "short_s", "long_rate", "short_rate", "firing")


class Told(Struct, frozen=True):
    """A change that was written."""

    objective: str
    state: Burning


def watch_budgets(store: Engine, spans: Spans, *, now: datetime) -> list[Told]:
    """Judge every objective as of `now`, and write a transition for each whose budget calls for something else."""
    with store.connect() as connection:
        objectives = list_objectives(connection)
    judged = judge_budgets(objectives, spans, now=now)
    changed = []
    with store.begin() as connection:
        there = lock_objectives(connection, [objective.id for objective, _, _ in judged])
        for objective, state, rates in judged:
            detail = {"target": objective.target, "rates": rates.select(_TOLD).rows(named=True)}
            if objective.id in there and note_burning(connection, objective, state, at=now, detail=detail):
                changed.append(Told(objective.key, state))
    return changed


def judge_budgets(
    objectives: Sequence[Objective], spans: Spans, *, now: datetime
) -> list[tuple[Objective, Burning, pl.DataFrame]]:
    """Of each objective what its budget calls for, and frame BURN; one of which nobody knows enough is left out.

    All sites are read at once, and of regions only those sites that were bad in the last three days.
    """
    since = now - LONGEST
    by_site = site_spans(sorted({key for objective in objectives for key in objective.sites}), spans, since, now)
    evidence = evidence_of(by_site, spans, since, now)
    judged = []
    for objective in objectives:
        rates = burn(_of(by_site, objective), objective, [now], _of(evidence, objective))
        state = burning(rates)
        if state is not None:
            judged.append((objective, state, rates))
    return judged


def _of(frame: pl.DataFrame, objective: Objective) -> pl.DataFrame:
    return frame.filter(pl.col("site").cast(pl.String).is_in(list(objective.sites)))
