"""Exact quantiles against a slow reading of their definition, on ticks in any order, some of them twice."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.analysis import exact
from pipeline.analysis.exactness import NEEDED
from pipeline.answers import EXACT
from pipeline.errors import InvalidInputError
from pipeline.frames import TICKS, schema

START = datetime(2026, 3, 1, 23, tzinfo=UTC)
TYPES = schema(TICKS, [*NEEDED, "site", "region"])
Row = dict[str, Any]


@st.composite
def histories(draw: st.DrawFn) -> list[Row]:
    """Ticks of some slots: tried again, probed by hand, repeated, out of order."""
    rows = draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "scheduled_at": st.integers(0, 200).map(lambda n: START + timedelta(minutes=n)),
                    "site_id": st.integers(1, 2),
                    "region_id": st.integers(1, 2),
                    "attempt": st.integers(0, 1),
                    "state": st.sampled_from(["up", "up", "up", "degraded", "down", "unknown"]),
                    "final": st.sampled_from([True, True, False]),
                    "kind": st.sampled_from(["scheduled", "scheduled", "manual"]),
                    "latency_ms": st.none() | st.floats(0, 5000, width=32),
                    "trusted": st.sampled_from([True, True, False]),
                }
            ),
            max_size=60,
            unique_by=lambda row: (row["site_id"], row["region_id"], row["scheduled_at"], row["attempt"]),
        )
    )
    whole = [{**row, "interval_s": 60, "site": f"s{row['site_id']}", "region": f"r{row['region_id']}"} for row in rows]
    return draw(st.permutations(whole + whole[:2]))


def slowly(rows: list[Row], every: str, by: list[str]) -> list[Row]:
    slot: dict[tuple[object, ...], Row] = {}
    for row in sorted(rows, key=lambda row: -row["attempt"]):
        if row["final"] and row["kind"] == "scheduled":
            slot[row["site_id"], row["region_id"], row["scheduled_at"]] = row
    groups = defaultdict(list)
    for row in slot.values():
        hour = 0 if every == "1d" else row["scheduled_at"].hour
        groups[row["scheduled_at"].replace(hour=hour, minute=0, second=0), *(row[name] for name in by)].append(row)
    return [_account(key, groups[key], by) for key in sorted(groups)]


def _account(key: tuple[Any, ...], rows: list[Row], by: list[str]) -> Row:
    states = [row["state"] for row in rows]
    good, bad = states.count("up") + states.count("degraded"), states.count("down")
    answered = [row for row in rows if row["state"] in ("up", "degraded") and row["trusted"]]
    ms = sorted(row["latency_ms"] for row in answered if row["latency_ms"] is not None)
    return {
        "at": key[0],
        **dict(zip(by, key[1:], strict=True)),
        "checks": len(rows),
        **{state: states.count(state) for state in ("up", "degraded", "down", "unknown")},
        "uptime": good / (good + bad) if good + bad else None,
        "measured": len(ms),
        **{f"p{p}_ms": ms[ceil(p * len(ms) / 100) - 1] if ms else None for p in (50, 95, 99)},
    }


@settings(max_examples=60, deadline=None)
@given(histories(), st.sampled_from(["1h", "1d"]), st.sampled_from([[], ["site"], ["region"], ["site", "region"]]))
def test_it_is_what_a_slow_reading_finds(rows: list[Row], every: str, by: list[str]) -> None:
    found = exact(pl.DataFrame(rows, schema=TYPES), every, by)
    assert found.to_dicts() == slowly(rows, every, by)
    assert found.schema == schema(EXACT, [name for name in EXACT if name in by or name not in ("site", "region")])


def test_long_groups_in_one_piece_are_no_different() -> None:
    rows = [
        {
            "scheduled_at": START.replace(hour=0) + timedelta(seconds=30 * n),
            "site_id": site,
            "region_id": 1,
            "attempt": 0,
            "state": "up",
            "final": True,
            "kind": "scheduled",
            "latency_ms": float((n * 7919 + site) % 2500),
            "trusted": n % 13 > 0,
            "interval_s": 30,
            "site": f"s{site}",
            "region": "r1",
        }
        for site in (1, 2)
        for n in range(2880)
    ]
    assert exact(pl.LazyFrame(rows, schema=TYPES), "1d", ["site"]).to_dicts() == slowly(rows, "1d", ["site"])


def test_it_says_what_it_can_be_asked_by() -> None:
    nothing = pl.DataFrame(schema=TYPES)
    with pytest.raises(InvalidInputError, match='"1h" or "1d"'):
        exact(nothing, "1w")
    with pytest.raises(InvalidInputError, match="there is no prober"):
        exact(nothing, by=["prober"])
