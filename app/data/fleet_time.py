"""The fleet over time: how probers fared and what the autoscaler decided."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import polars as pl
import streamlit as st

from app.data.connections import (
    floor,
    reading,
    until_of,
)
from app.windows import RANGES, floored
from pipeline.store import (
    fleet_series,
    series,
)

FLEET_PIECE_S = 300
SETTLES = timedelta(minutes=2)  # after that few ticks are still on their way; those show when the cache is made anew
# Buckets of the fleet's samples: some 180 to 340 points a region, which is what a chart has pixels for.
SAMPLED_EVERY_S = {"1h": 20, "6h": 120, "24h": 300, "7d": 1800}


def samples(span: str) -> pl.DataFrame:
    """How each region's probers fared over one of `RANGES`; columns of `charts.scaling.SAMPLED`."""
    return _samples(span, until_of(span))


def decisions(span: str) -> pl.DataFrame:
    """Frame DECISIONS over one of `RANGES`, the newest first."""
    return _decisions(span, floor(2))


@st.cache_data(ttl=300, max_entries=20, show_spinner=False)
def _samples(span: str, until: datetime) -> pl.DataFrame:
    with reading() as connection:
        width_s = SAMPLED_EVERY_S[span]
        return fleet_series.samples_over_time(connection, since=until - RANGES[span], until=until, width_s=width_s)


@st.cache_data(ttl=300, max_entries=20, show_spinner=False)
def _decisions(span: str, until: datetime) -> pl.DataFrame:
    with reading() as connection:
        return fleet_series.decisions_over_time(connection, since=until - RANGES[span], until=until)


def fleet() -> pl.DataFrame:
    """What each region saw of all sites in the last hour.

    Read in pieces: of 5 000 sites an hour has hundreds of thousands of ticks, and of them the last minutes' are new.
    """
    until = floor(10)
    since, settled = until - RANGES["1h"], floored(until - SETTLES, FLEET_PIECE_S)
    cuts = [settled]
    while cuts[0] > since:
        cuts.insert(0, cuts[0] - timedelta(seconds=FLEET_PIECE_S))
    return series.fleet_joined([_fleet(*ends) for ends in pairwise([*cuts, until])], since, until)


@st.cache_data(ttl=600, max_entries=40, show_spinner=False)
def _fleet(since: datetime, until: datetime) -> pl.DataFrame:
    with reading() as connection:
        return series.fleet_minutes(connection, since=since, until=until)
