"""Layers of intervals laid over each other: what holds when, of things that begin and end apart.

A layer is a frame [*by, since, until, …] whose intervals do not overlap within one `by`. Everything is one sweep over
the times at which anything begins or ends, so its cost grows with the intervals and not with the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from pipeline.frames import TIME

_ENDED = -1


def layered(layers: Mapping[str, pl.DataFrame], by: Sequence[str]) -> pl.DataFrame:
    """[*by, since, until, *layers], sorted: by each layer's name the row of it (from 0) that holds, null where none.

    A piece ends where any layer changes; where no layer holds there is none.
    """
    changes = {name: _changes(layer, by, name) for name, layer in layers.items()}
    times = pl.concat([change.select(*by, "since") for change in changes.values()]).unique()
    for change in changes.values():
        times = times.join(change, on=[*by, "since"], how="left")
    # The last interval of every `by` ends, so nothing is carried into the next one.
    holding = times.sort(*by, "since").with_columns(pl.col(*changes).forward_fill().replace(_ENDED, None))
    pieces = holding.with_columns(until=pl.col("since").shift(-1))
    return pieces.filter(pl.any_horizontal(pl.col(*changes).is_not_null())).select(*by, "since", "until", *changes)


def united(intervals: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """[*by, since, until], sorted: intervals that overlap or touch, as one."""
    one = pl.lit(1, pl.Int64)
    steps = pl.concat([
        intervals.select(*by, at="since", step=one),
        intervals.select(*by, at="until", step=-one),
    ])  # fmt: skip
    held = steps.group_by(*by, "at").agg(pl.col("step").sum()).sort(*by, "at").filter(pl.col("step") != 0)
    depth = held.with_columns(depth=pl.col("step").cum_sum())
    edges = depth.filter((pl.col("depth") == 0) | (pl.col("depth") == pl.col("step")))
    spans = edges.with_columns(until=pl.col("at").shift(-1)).filter(pl.col("depth") != 0)
    return spans.select(*by, since="at", until="until")


def clipped(intervals: pl.DataFrame, since: datetime, until: datetime) -> pl.DataFrame:
    """The intervals within [since, until)."""
    return intervals.with_columns(
        since=pl.max_horizontal("since", pl.lit(since, TIME)), until=pl.min_horizontal("until", pl.lit(until, TIME))
    ).filter(pl.col("since") < pl.col("until"))


def called_for(revisions: pl.DataFrame, since: datetime, until: datetime) -> pl.DataFrame:
    """[site_id, region_id, since, until], sorted: when checks were called for within [since, until).

    Of revisions [id, site_id, region_id, effective_at, active], all those before `until`: each is in force until the
    next one of its series.
    """
    series = ("site_id", "region_id")
    ends = pl.col("effective_at").shift(-1).over(series).fill_null(pl.lit(until, TIME))
    forced = revisions.sort(*series, "effective_at", "id").with_columns(until=ends).filter("active")
    return united(clipped(forced.select(*series, "until", since="effective_at"), since, until), series)


def spread(periods: pl.DataFrame, series: pl.DataFrame, since: datetime, until: datetime) -> pl.DataFrame:
    """[site_id, region_id, since, until], sorted: periods [site_id, region_id, since, until] by the series that they
    are of, within [since, until). A null site or region stands for all, a null `until` for what goes on.
    """
    of = pl.all_horizontal(
        pl.col(f"{name}_of").is_null() | (pl.col(f"{name}_of") == pl.col(name)) for name in ("site_id", "region_id")
    )
    named = periods.select("since", pl.col("until").fill_null(until), site_id_of="site_id", region_id_of="region_id")
    found = clipped(named, since, until).join(series.select("site_id", "region_id").unique(), how="cross").filter(of)
    return united(found.select("site_id", "region_id", "since", "until"), ("site_id", "region_id"))


def _changes(layer: pl.DataFrame, by: Sequence[str], name: str) -> pl.DataFrame:
    """[*by, since, name]: the row that begins at a time, -1 where one ends and none begins."""
    rows = layer.with_row_index("row").select(*by, "since", "until", pl.col("row").cast(pl.Int64).alias(name))
    begins = rows.select(*by, "since", name)
    ends = rows.select(*by, pl.col("until").alias("since")).with_columns(pl.lit(_ENDED, pl.Int64).alias(name))
    return pl.concat([begins, ends.join(begins, on=[*by, "since"], how="anti")])
