"""What is different about these checks? A box over time and latency, held against all the rest."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from math import exp, log, log2, sqrt
from typing import Any

import polars as pl
from msgspec import Struct

from pipeline.analysis.significance import adjusted, normal_p, proportions
from pipeline.analysis.spans import attempts, slots
from pipeline.answers import EXPLAINED
from pipeline.frames import SNAPSHOTS, TICKS, TIME, check, schema
from pipeline.vocabulary import State

PHASES = ("dns", "connect", "tls", "ttfb", "transfer")
NEEDS = (
    "scheduled_at", "site_id", "region_id", "region", "attempt", "state", "outcome", "final", "kind", "interval_s",
    "latency_ms", "ip", "prober", *(f"{phase}_ms" for phase in PHASES),
)  # fmt: skip
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
ALPHA = 0.01
Z = 1.96
MOST_VALUES = 200  # of an attribute: beyond, the rarest are left out


class Box(Struct, frozen=True):
    """Checks of [since, until) that took [low_ms, high_ms); those that failed where `failed`."""

    since: datetime
    until: datetime
    low_ms: float = 0.0
    high_ms: float = float("inf")
    failed: bool = False


def explain(ticks: pl.DataFrame, box: Box, snapshots: pl.DataFrame | None = None) -> pl.DataFrame:
    """Frame EXPLAINED: what is over-represented in the box, and which phases took longer, the best explanation first.

    Frame TICKS of one site in (the columns `NEEDS`), the box's and those to compare with; unknown ones are neither.
    Region, slowest phase, outcome, status, address, prober, and with `snapshots` the issuer of the certificate are
    held against all ticks outside of the box. Hour and weekday are held against those of the same time: else a box of
    two hours would be explained by being of these two. p-values: see `analysis.significance`, after Benjamini and
    Hochberg over all that was compared. The least lift is the lower end of its 95 % interval (Katz et al., "Obtaining
    confidence intervals for the risk ratio in cohort studies", Biometrics 1978), with half a check added to each
    count; medians of phases are compared by ranks (Mann and Whitney, Annals of Mathematical Statistics 1947).
    """
    judged = _judged(ticks, box, snapshots)
    inside, outside = judged.filter("inside"), judged.filter(~pl.col("inside"))
    same_time = outside.filter(_in_time(box))
    rows: list[dict[str, Any]] = []
    for attribute in ("region", "slowest phase", "outcome", "status", "address", "prober", "issuer"):
        rows += _shares(attribute, inside, outside)
    for attribute in ("hour of day", "weekday"):
        rows += _shares(attribute, inside, same_time)
    phases = list(_phases(inside, outside))
    slower = sum(max(0.0, row["difference_ms"]) for row in phases)
    for row, p_value in zip([*rows, *phases], adjusted([row["p_value"] for row in [*rows, *phases]]), strict=True):
        row["p_value"] = p_value
        if row["attribute"] == "phase":
            row["score"] = max(0.0, row["difference_ms"]) / slower if slower else 0.0
        if p_value > ALPHA:
            row["score"] = 0.0
    types = schema(EXPLAINED)
    found = pl.DataFrame([{name: row.get(name) for name in types} for row in [*rows, *phases]], schema=types)
    return found.sort("score", "share_inside", descending=True, nulls_last=True, maintain_order=True)


def counted(ticks: pl.DataFrame, box: Box) -> tuple[int, int]:
    """How many checks are in the box, and how many outside of it."""
    judged = _judged(ticks, box, None)
    inside = int(judged["inside"].sum())
    return inside, judged.height - inside


def _judged(ticks: pl.DataFrame, box: Box, snapshots: pl.DataFrame | None) -> pl.DataFrame:
    """The slots whose state is known, with `inside` and every attribute in words."""
    check(ticks, TICKS, needs=NEEDS)
    known = slots(attempts(ticks)).filter(pl.col("state") != State.UNKNOWN.value)
    failed = pl.col("state") == State.DOWN.value
    took = pl.col("latency_ms").cast(pl.Float64)
    answered = ~failed & took.is_not_null() & (took >= box.low_ms) & (took < box.high_ms)
    chosen = failed if box.failed else pl.lit(value=False)
    phases = pl.concat_list(pl.col(f"{phase}_ms").fill_null(0) for phase in PHASES)
    slowest = pl.when(phases.list.max() > 0).then(phases.list.arg_max())
    at = pl.col("scheduled_at")
    status = pl.col("status") if "status" in ticks.columns else pl.lit(None, pl.Int16)
    named = known.with_columns(
        pl.col("region").cast(pl.String),
        pl.col("outcome").cast(pl.String),
        inside=_in_time(box) & (answered | chosen),
        status=status.cast(pl.String),
        address=pl.col("ip"),
        **{"slowest phase": slowest.replace_strict(dict(enumerate(PHASES)), return_dtype=pl.String, default=None)},
        **{"hour of day": at.dt.strftime("%H:00")},
        weekday=at.dt.weekday().replace_strict(dict(enumerate(WEEKDAYS, 1)), return_dtype=pl.String),
    )
    if snapshots is None:
        return named.with_columns(issuer=pl.lit(None, pl.String))
    slot = ("site_id", "region_id", "scheduled_at")
    issuers = check(snapshots, SNAPSHOTS, needs=(*slot, "certificate_issuer")).unique(slot, keep="last")
    return named.join(issuers.select(*slot, issuer="certificate_issuer"), on=slot, how="left")


def _in_time(box: Box) -> pl.Expr:
    at = pl.col("scheduled_at")
    return (at >= pl.lit(box.since, TIME)) & (at < pl.lit(box.until, TIME))


def _shares(attribute: str, inside: pl.DataFrame, outside: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """One row for each value that occurs in the box; an attribute with a single value explains nothing."""
    counts = [dict(frame.drop_nulls(attribute).group_by(attribute).len().iter_rows()) for frame in (inside, outside)]
    totals = [sum(each.values()) for each in counts]
    if len({*counts[0], *counts[1]}) < 2 or not all(totals):
        return
    for value, having in sorted(counts[0].items(), key=lambda item: (-item[1], item[0]))[:MOST_VALUES]:
        others = counts[1].get(value, 0)
        p_value, test = proportions(having, totals[0], others, totals[1])
        shares = having / totals[0], others / totals[1]
        least = _least_lift(having, totals[0], others, totals[1])
        yield {
            "attribute": attribute,
            "value": value,
            "inside": having,
            "outside": others,
            "share_inside": shares[0],
            "share_outside": shares[1],
            "lift": shares[0] / shares[1] if others else None,
            "p_value": p_value,
            "test": test,
            "score": shares[0] * max(0.0, log2(least)),
        }


def _least_lift(inside: int, of_inside: int, outside: int, of_outside: int) -> float:
    """The lower end of the 95 % interval of the ratio of two shares."""
    a, n, b, m = inside + 0.5, of_inside + 0.5, outside + 0.5, of_outside + 0.5
    return exp(log(a * m / (b * n)) - Z * sqrt(max(0.0, 1 / a - 1 / n + 1 / b - 1 / m)))


def _phases(inside: pl.DataFrame, outside: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """One row for each phase that some check of either side has."""
    for phase in PHASES:
        name = f"{phase}_ms"
        sides = [frame[name].drop_nulls().cast(pl.Float64) for frame in (inside, outside)]
        low, high = (side.median() for side in sides)
        if not isinstance(low, float) or not isinstance(high, float):
            continue
        yield {
            "attribute": "phase",
            "value": phase,
            "inside": len(sides[0]),
            "outside": len(sides[1]),
            "inside_ms": low,
            "outside_ms": high,
            "difference_ms": low - high,
            "p_value": _rank_sum(*sides),
            "test": "rank sum",
            "score": 0.0,
        }


def _rank_sum(first: pl.Series, second: pl.Series) -> float:
    """The two-sided p-value of Mann and Whitney's U, by its normal approximation with ties."""
    n, m = len(first), len(second)
    ranks = pl.concat([first, second]).rank()
    ties = ranks.value_counts()["count"].cast(pl.Float64)
    whole = n + m
    spread = n * m / 12 * (whole + 1 - float((ties**3 - ties).sum()) / (whole * (whole - 1))) if whole > 1 else 0.0
    if spread <= 0:
        return 1.0
    return normal_p((float(ranks[:n].sum()) - n * (whole + 1) / 2) / sqrt(spread))
