"""Exact quantiles of raw ticks: what histograms answer within 1.083 %, answered to the last digit, at the ticks' price.

Hashing groups and sorting each costs more than sorting everything once: a group's number and a latency's bits make one
64-bit number, since the bits of floats that are not negative ascend as they do. numpy sorts those with vectors; what
lies at a group's ranks is read off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from pipeline.analysis.histograms import SLACK
from pipeline.analysis.spans import NEEDS, attempts, slots
from pipeline.answers import EXACT
from pipeline.errors import InvalidInputError, Problem
from pipeline.frames import KIND, STATE, TICKS, TIME, check, schema
from pipeline.vocabulary import Kind, State

EVERY_US = {"1h": 3_600_000_000, "1d": 86_400_000_000}
NEEDED = (*NEEDS, "latency_ms", "trusted")
STATES = (State.UP, State.DEGRADED, State.DOWN, State.UNKNOWN)
LONG = 1_000  # rows: groups longer than this, if each lies in one piece, are sorted one by one, in half the bytes
KEYS = {"site", "region", "site_id", "region_id"}
QUANTILES = {"p50_ms": 0.50, "p95_ms": 0.95, "p99_ms": 0.99}

_NONE = 0xFFFFFFFF  # no latency: the bits of a float that is none, above those of all that are one
_CODES = {state: code for code, state in enumerate(STATE.categories)}

Numbers = np.ndarray[Any, np.dtype[Any]]


def exact(
    ticks: pl.DataFrame | pl.LazyFrame, every: str = "1h", by: Sequence[str] = ("site", "region")
) -> pl.DataFrame:
    """Frame EXACT by hour ("1h") or UTC day ("1d") and `by`, columns of the frame, sorted.

    Of frame TICKS: scheduled slots, of each its lowest final attempt; a latency counts as it does in histograms, if it
    is trusted and the slot up or degraded. The quantile q of n latencies is the ceil(q n)-th smallest: one that was
    measured. All ticks are in memory, some 40 bytes each; no group is longer than a UTC day, so whoever has more takes
    them day by day, as `Lake.exact` does. Quickest where they are sorted by series and slot. Errors: InvalidInputError.
    """
    if every not in EVERY_US:
        raise InvalidInputError([Problem("every", f'{every!r} is none: "1h" or "1d"')])
    if missing := set(by) - KEYS:
        raise InvalidInputError([Problem("by", f"there is no {', '.join(sorted(missing))}: {', '.join(sorted(KEYS))}")])
    scheduled = check(ticks.lazy(), TICKS, needs=NEEDED)
    rows = _narrow(scheduled, EVERY_US[every], by).collect()
    if not _ascends(rows):
        once = slots(attempts(scheduled.select(*dict.fromkeys([*NEEDED, *by]))))
        rows = _narrow(once, EVERY_US[every], by).collect().sort("_series", "_us")
    first = _starts(rows)
    runs = rows.select(pl.col("_at", *by).gather(pl.lit(pl.Series(first))))
    keys = runs.unique().sort("_at", *by)
    numbered = keys.with_row_index("_group")
    found = runs.join(numbered, on=["_at", *by], how="left", nulls_equal=True, maintain_order="left")
    group, lengths = found["_group"].to_numpy().astype(np.int64), np.diff(first, append=rows.height)
    counts = _counted(rows["_state"].to_numpy(), first, lengths, group, keys.height)
    ranked = _ranked(rows["_bits"].to_numpy(), first, lengths, group, keys.height)
    at = (pl.col("_at").cast(pl.Int64) * EVERY_US[every]).cast(TIME)
    known = pl.col("up") + pl.col("degraded") + pl.col("down")
    share = pl.when(known > 0).then((pl.col("up") + pl.col("degraded")) / known)
    whole = keys.select(at.alias("at"), *by).with_columns(**counts, **ranked).with_columns(uptime=share)
    types = schema(EXACT, [name for name in EXACT if name not in KEYS])
    return whole.select("at", *by, *(pl.col(name).cast(types[name]) for name in types if name != "at"))


def _narrow(ticks: pl.LazyFrame, step_us: int, by: Sequence[str]) -> pl.LazyFrame:
    """What is needed of the final scheduled attempts, in numbers."""
    state, latency = pl.col("state"), pl.col("latency_ms")
    counts = state.is_in([State.UP.value, State.DEGRADED.value]) & pl.col("trusted") & latency.is_finite()
    bits = latency.clip(lower_bound=0).reinterpret(dtype=pl.UInt32)
    us = pl.col("scheduled_at").to_physical()
    return ticks.filter("final", pl.col("kind") == pl.lit(Kind.SCHEDULED.value, KIND)).select(
        *by,
        _series=pl.col("site_id").cast(pl.Int64) * 2**31 + pl.col("region_id"),
        _us=us,
        _at=(us // step_us).cast(pl.Int32),
        _state=state.to_physical(),
        _bits=pl.when(counts).then(bits).otherwise(pl.lit(_NONE, pl.UInt32)),
    )


def _ascends(rows: pl.DataFrame) -> bool:
    """Whether the slots lie by series and time, each once: as in a file of the lake."""
    series, us = rows["_series"].to_numpy(), rows["_us"].to_numpy()
    return bool(np.where(series[1:] == series[:-1], us[1:] > us[:-1], series[1:] > series[:-1]).all())


def _starts(rows: pl.DataFrame) -> Numbers:
    """Where an hour or day of a series begins."""
    series, at = rows["_series"].to_numpy(), rows["_at"].to_numpy()
    fresh = np.ones(rows.height, bool)
    fresh[1:] = (series[1:] != series[:-1]) | (at[1:] != at[:-1])
    return np.flatnonzero(fresh)


def _counted(state: Numbers, first: Numbers, lengths: Numbers, group: Numbers, groups: int) -> dict[str, pl.Series]:
    """Slots by state. Nearly all are up: only the others are looked at one by one."""
    others = np.flatnonzero(state != _CODES[State.UP.value])
    width = len(_CODES)
    place = group[np.searchsorted(first, others, side="right") - 1] * width + state[others]
    table = np.bincount(place, minlength=groups * width).reshape(groups, width)
    checks = _summed(lengths, group, groups)
    counts = {name.value: table[:, _CODES[name.value]] for name in STATES}
    counts[State.UP.value] = checks - table.sum(axis=1)
    return {name: pl.Series(values) for name, values in {"checks": checks, **counts}.items()}


def _ranked(bits: Numbers, first: Numbers, lengths: Numbers, group: Numbers, groups: int) -> dict[str, pl.Series]:
    """How many latencies each group has, and its quantiles."""
    sizes = _summed(lengths, group, groups)
    ends = np.cumsum(sizes)
    if len(bits) > LONG * groups and (np.diff(group) >= 0).all():
        ordered = bits.copy()
        for start, end in zip(ends - sizes, ends, strict=True):
            ordered[start:end].sort()
    else:
        numbered = np.repeat(group << 32, lengths)
        np.bitwise_or(numbered, bits, out=numbered)
        numbered.sort()
        ordered = numbered
    none = np.flatnonzero(bits == _NONE)
    measured = sizes - np.bincount(group[np.searchsorted(first, none, side="right") - 1], minlength=groups)
    found = {"measured": pl.Series(measured)}
    for name, q in QUANTILES.items():
        rank = np.maximum(np.ceil(q * measured - SLACK).astype(np.int64), 1) - 1
        values = (ordered[ends - sizes + rank] & _NONE).astype(np.uint32).view(np.float32)
        found[name] = pl.select(pl.when(pl.Series(measured > 0)).then(pl.Series(values))).to_series()
    return found


def _summed(lengths: Numbers, group: Numbers, groups: int) -> Numbers:
    return np.bincount(group, weights=lengths, minlength=groups).astype(np.int64)  # below 2^53: exact
