"""The published schemas hold, and a frame that differs is told so by name."""

from __future__ import annotations

import polars as pl
import pytest

from pipeline.dictionary import DICTIONARY
from pipeline.frames import HOUR_ROWS, HOURS, TICKS, FrameError, check, decoded, schema, state_of
from pipeline.store import tables as t
from pipeline.vocabulary import OUTCOME_CODES, STATE_OF

TICK_COLUMNS = [
    "scheduled_at",
    "started_at",
    "site",
    "region",
    "site_id",
    "region_id",
    "attempt",
    "state",
    "outcome",
    "status",
    "dns_ms",
    "connect_ms",
    "tls_ms",
    "ttfb_ms",
    "transfer_ms",
    "latency_ms",
    "error_ms",
    "clock",
    "trusted",
    "ip",
    "bytes",
    "interval_s",
    "final",
    "kind",
    "source",
    "prober",
    "revision",
    "detail",
]


def test_ticks_have_the_published_columns() -> None:
    assert set(TICKS) == set(TICK_COLUMNS)
    types = schema(TICKS)
    assert types["scheduled_at"] == pl.Datetime("us", "UTC")
    assert types["latency_ms"] == pl.Float32
    assert isinstance(types["outcome"], pl.Enum)


def test_every_column_is_explained_and_every_quantity_has_a_unit() -> None:
    for frame in DICTIONARY.values():
        for name, column in frame.items():
            assert column.about.endswith(".")
            for suffix, unit in (("_ms", "ms"), ("_s", "s"), ("_us", "us")):
                assert not name.endswith(suffix) or column.unit == unit


def test_stored_hours_are_the_columns_of_their_tables() -> None:
    for table, frame in ((t.rollups_hour, HOUR_ROWS), (t.rollups_day, HOURS)):
        assert [column.name for column in table.columns if column.name != "workspace_id"] == list(frame)


def test_stored_ticks_are_the_columns_of_their_frame() -> None:
    assert {column.name for column in t.ticks.columns} - {"workspace_id"} == set(TICKS) - {"site", "region", "state"}


def test_a_difference_is_named() -> None:
    frame = pl.DataFrame(schema=schema(HOURS)).rename({"up": "upp"}).cast({"down": pl.Int64})
    with pytest.raises(FrameError) as raised:
        check(frame, HOURS)
    assert all(part in str(raised.value) for part in ("up is missing", "down is Int64", "upp is not part of it"))
    assert check(frame, HOURS, needs=["at", "checks"]) is frame


def test_codes_become_words_and_states() -> None:
    codes = pl.DataFrame({"outcome": list(OUTCOME_CODES.values())}, schema={"outcome": pl.Int16})
    found = codes.select(decoded("outcome"), state_of())
    assert found["outcome"].to_list() == [outcome.value for outcome in OUTCOME_CODES]
    assert found["state"].to_list() == [STATE_OF[outcome].value for outcome in OUTCOME_CODES]
