"""The states of a site's regions with their vote above them.

charts.strip(charts.with_vote(up.spans(["shop"]).collect(), up.spans(["shop"], level="global").collect()))
"""

from __future__ import annotations

import polars as pl

from pipeline.charts.shapes import STATES

ALL = "All regions"  # the row of the vote
VOTED = {**STATES, "label": pl.String()}


def with_vote(regions: pl.DataFrame, vote: pl.DataFrame) -> pl.DataFrame:
    """Frames SPANS and SITE_SPANS of one site as `VOTED`: the vote first where there is more than one region."""
    own = regions.select(
        pl.col("site", "region").cast(pl.String),
        "until",
        pl.col("checks").cast(pl.Int64),
        at="since",
        state=pl.col("state").cast(pl.String),
        label=pl.col("region").cast(pl.String),
    ).sort("region", "at")
    if own["region"].n_unique() < 2:
        return own.select(list(VOTED))
    all_of_them = vote.select(
        pl.col("site").cast(pl.String),
        "until",
        region=pl.lit(ALL),
        checks=pl.lit(None, pl.Int64),
        at="since",
        state=pl.col("state").cast(pl.String),
        label=pl.lit(ALL),
    ).sort("at")
    return pl.concat([all_of_them.select(list(VOTED)), own.select(list(VOTED))])
