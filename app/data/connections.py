"""The only connections and the only clock of the pages, and how far back an answer may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import streamlit as st
from sqlalchemy import Connection, Engine

from app.windows import RANGES, floored, following
from pipeline.settings import Settings
from pipeline.store import engine as engines
from pipeline.store.explained import explained

# Open hours are rolled up once a minute: what is newer than this is yet to come, and not unknown.
ROLLED_AFTER = timedelta(seconds=90)


def utc_now() -> datetime:
    return datetime.now(UTC)


@st.cache_resource(show_spinner=False)
def engine(dsn: str, *, read_only: bool) -> Engine:
    return engines.engine(dsn, read_only=read_only, name="betterstack app")


@st.cache_data(ttl=10, show_spinner=False)
def database() -> str:
    """Reading the settings takes longer than most reads of the store."""
    return Settings().database


@contextmanager
def reading() -> Iterator[Connection]:
    with explained(), engine(database(), read_only=True).begin() as connection:
        yield connection


@contextmanager
def writing() -> Iterator[Connection]:
    """One transaction; what the pages saw before it is forgotten when it ends."""
    with explained(), engine(database(), read_only=False).begin() as connection:
        yield connection
    forget()


def forget() -> None:
    """Drop what the pages saw: after an edit it may be otherwise."""
    st.cache_data.clear()
    for clear in also_forgotten:
        clear()


also_forgotten: list[Callable[[], None]] = []  # caches of resources, which Streamlit clears one by one


def until_of(span: str) -> datetime:
    return following(RANGES[span]).bounds(utc_now())[1]


def floor(step_s: int) -> datetime:
    """Now, cut to how old an answer may be: every window then asks the same, and the cache answers."""
    return floored(utc_now(), step_s)


def rolled() -> datetime:
    """Up to when there are rollups, if the roller is well."""
    return floored(utc_now() - ROLLED_AFTER, 60)
