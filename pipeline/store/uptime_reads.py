"""The uptime of a window as a notebook asks for it: of spans, with the checks behind them."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pipeline.analysis.accounts import uptime
from pipeline.analysis.claims import at_least_of
from pipeline.analysis.cuts import cut_by
from pipeline.answers import UPTIME
from pipeline.store.rollup_reads import Every


def uptime_by(spans: pl.DataFrame, checks: pl.DataFrame, by: Sequence[str], every: Every) -> pl.DataFrame:
    """[*by, *UPTIME] of spans and of [at, site, region, checks, unknown]: by the vote where the spans are sites'."""
    pieces = cut_by(spans, every) if "at" in by else spans
    accounted = uptime(pieces, by)
    sums = [pl.col(name).sum().cast(pl.Int64).alias(f"made_{name}") for name in ("checks", "unknown")]
    made = checks.group_by(by).agg(sums) if by else checks.select(sums)
    joined = accounted.join(made, on=by, how="left") if by else accounted.hstack(made)
    failed = (pl.col("down_s") > 0) | pl.col("uptime").is_null()
    found = joined.with_columns(checks=pl.col("made_checks").fill_null(0)).with_columns(
        at_least=at_least_of(pl.col("checks") - pl.col("made_unknown").fill_null(0), failed=failed)
    )
    ordered = found.select(*by, *UPTIME)
    return ordered.sort(by) if by else ordered
