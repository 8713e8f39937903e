"""Ticks as people read them: newest first, what happened, and where the time went."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from app.components.words import COLOURS, NOTHING, OUTCOMES
from pipeline.charts.palette import SYMBOLS
from pipeline.vocabulary import STATE_OF, Outcome

ROW_HEIGHT = 33
SIGNS = {outcome.value: f"{SYMBOLS[STATE_OF[outcome]]} {outcome.value.replace('_', ' ')}" for outcome in Outcome}


def ticks_table(ticks: pl.DataFrame, *, rows: int, key: str, asks: bool = True) -> None:
    """The newest ticks; as high as `rows` of them, so that nothing jumps while they come in.

    A site that is not asked for anything (`asks`) has neither a status nor an answer to wait for.
    """
    left_out = () if asks else ("Status", PHASES["ttfb"], PHASES["transfer"])
    shown = ticks.select(
        pl.col("at").dt.strftime("%d %b %H:%M:%S").alias("Due (UTC)"),
        pl.col("region").alias("Region"),
        pl.concat_list(pl.col("outcome").replace_strict(SIGNS)).alias("Outcome"),
        pl.col("latency_ms").alias("Total"),
        *(pl.col(f"{phase}_ms").alias(label) for phase, label in PHASES.items()),
        pl.col("status").alias("Status"),
        _mark().alias("Kind"),
        pl.coalesce(
            "detail", pl.when(pl.col("outcome") != Outcome.OK.value).then(pl.col("outcome").replace_strict(SAID))
        ).alias("Detail"),
    ).drop(left_out)
    st.dataframe(
        shown,
        key=key,
        hide_index=True,
        height=ROW_HEIGHT * (rows + 1) + 3,
        row_height=ROW_HEIGHT,
        placeholder=NOTHING,
        column_config=_columns(),
        alt="The newest checks of this site",
    )


PHASES = {"dns": "DNS", "connect": "Connect", "tls": "TLS", "ttfb": "First byte", "transfer": "Transfer"}
SAID = {outcome.value: words for outcome, words in OUTCOMES.items()}


def _mark() -> pl.Expr:
    """What is not an ordinary scheduled check, in a word."""
    confirmation = pl.format("confirmation {}", pl.col("attempt"))
    return (
        pl.when(pl.col("kind") == "manual")
        .then(pl.lit("▶ test"))
        .when(pl.col("attempt") > 0)
        .then(confirmation)
        .otherwise(pl.lit("scheduled"))
    )


def _columns() -> dict[str, Any]:
    config = st.column_config
    milliseconds = {name: config.NumberColumn(name, width=78, format="%.1f ms") for name in PHASES.values()}
    return {
        "Due (UTC)": config.TextColumn("Due (UTC)", width=125),
        "Region": config.TextColumn("Region", width=80),
        "Outcome": config.MultiselectColumn(
            "Outcome",
            width=135,
            options=list(SIGNS.values()),
            color=[COLOURS[STATE_OF[outcome]] for outcome in Outcome],
        ),
        "Total": config.NumberColumn("Total", width=86, format="%.1f ms"),
        **milliseconds,
        "Status": config.NumberColumn("Status", width=62, format="%d"),
        "Kind": config.TextColumn("Kind", width=105),
        "Detail": config.TextColumn("Detail", width=320),
    }


def is_test(ticks: pl.DataFrame) -> pl.DataFrame:
    """The newest manual check of each region."""
    return ticks.filter(pl.col("kind") == "manual").unique("region", keep="first", maintain_order=True).sort("region")
