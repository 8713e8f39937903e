"""The uptime as others count it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl
import streamlit as st

from app.data.connections import (
    also_forgotten,
    database,
    reading,
    rolled,
    utc_now,
)
from app.windows import Window, floored
from pipeline import analysis
from pipeline.store import (
    sites,
)
from pipeline.store.explained import explained
from pipeline.store.histories import history_of_site
from pipeline.workbench import Workbench


def own_account(key: str, window: Window, seen_from: tuple[str, ...] = ()) -> dict[str, Any] | None:
    """The row of frame UPTIME of a site over a window, by the vote of its regions; None where nothing is called for."""
    return _own_account(key, *_counted(window), seen_from)


def accounts(key: str, window: Window, seen_from: tuple[str, ...] = ()) -> pl.DataFrame:
    """Frame ACCOUNT of a site over a window, a row a policy; without any where nothing was called for."""
    return _accounts(key, *_counted(window), seen_from)


def policy_waterfall(key: str, window: Window, policy: str, seen_from: tuple[str, ...] = ()) -> pl.DataFrame:
    """Frame WATERFALL from the default to the policy, of a site over a window."""
    return _policy_waterfall(key, *_counted(window), policy, seen_from)


def _counted(window: Window) -> tuple[datetime, datetime]:
    """The window by whole minutes, as far as there are spans."""
    since, until = (floored(at, 60) for at in window.bounds(utc_now()))
    return since, max(since, min(until, rolled()))


@st.cache_data(ttl=900, max_entries=100, show_spinner=False)
def _own_account(key: str, since: datetime, until: datetime, seen_from: tuple[str, ...]) -> dict[str, Any] | None:
    with explained(), Workbench(database(), clock=utc_now) as up:
        spans = up.spans([key], since, until, list(seen_from) or None, level="global").collect()
    return next(analysis.uptime(spans, by=["site"]).iter_rows(named=True), None)


@st.cache_resource(ttl=300, max_entries=6, show_spinner=False)  # nobody writes to it, and a copy would be megabytes
def _history(key: str, since: datetime, until: datetime, seen_from: tuple[str, ...]) -> analysis.History:
    with reading() as connection:
        return history_of_site(connection, sites.get_site(connection, key).id, since, until, seen_from or None)


also_forgotten.append(_history.clear)


@st.cache_data(ttl=900, max_entries=100, show_spinner=False)
def _accounts(key: str, since: datetime, until: datetime, seen_from: tuple[str, ...]) -> pl.DataFrame:
    return analysis.by_policy(_history(key, since, until, seen_from))


@st.cache_data(ttl=900, max_entries=100, show_spinner=False)
def _policy_waterfall(
    key: str, since: datetime, until: datetime, policy: str, seen_from: tuple[str, ...]
) -> pl.DataFrame:
    return analysis.waterfall(_history(key, since, until, seen_from), "default", policy)
