"""What was promised, and what is left of it."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import streamlit as st

from app.data.connections import (
    database,
    floor,
    reading,
)
from pipeline.objectives import Objective
from pipeline.store import objectives as promises
from pipeline.store.budgets import Budgeted, budgeted, burn_rates
from pipeline.store.explained import explained
from pipeline.workbench import Workbench


@st.cache_data(ttl=5, show_spinner=False)
def objectives() -> list[Objective]:
    """All objectives by key, each with the sites that it is about."""
    with reading() as connection:
        return promises.list_objectives(connection)


def objective(key: str) -> Objective:
    """Errors: NotFoundError."""
    with reading() as connection:
        return promises.get_objective(connection, key)


@st.cache_data(ttl=5, show_spinner=False)
def burnings() -> dict[int, str]:
    """What each objective's budget called for last, by its id."""
    with reading() as connection:
        return promises.last_burning(connection)


def budget(objective: Objective) -> Budgeted:
    """What of an objective's budget is spent and left, as of the last whole minute."""
    return _budget(objective, floor(60))


@st.cache_data(ttl=300, max_entries=100, show_spinner=False)
def _budget(objective: Objective, until: datetime) -> Budgeted:
    with explained(), Workbench(database(), clock=lambda: until) as up:
        return budgeted(objective, up.spans, now=until)


def rates(objective: Objective) -> pl.DataFrame:
    """Frame BURN of an objective over the last days, as of the last whole minute."""
    return _rates(objective, floor(60))


@st.cache_data(ttl=300, max_entries=100, show_spinner=False)
def _rates(objective: Objective, until: datetime) -> pl.DataFrame:
    with explained(), Workbench(database(), clock=lambda: until) as up:
        return burn_rates(objective, up.spans, now=until)
