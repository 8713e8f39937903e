"""The same history as each policy accounts it: `account` for one, `by_policy` for several beside each other.

Every policy's number comes with what is known of what it counts: `low`, `high` and `coverage` do not follow what it
assumes of the unknown. `down_s` says its downtime as time, so that checks and seconds compare.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from pipeline.analysis.claims import at_least_of
from pipeline.analysis.cuts import Every, clipped, cut_at, steps
from pipeline.analysis.policies import POLICIES, Policy, policy_of
from pipeline.analysis.units import ANSWERS, History, settled, together, units
from pipeline.answers import ACCOUNT
from pipeline.errors import InvalidInputError, Problem
from pipeline.frames import SPANS, TIME, check, schema

KEYS = {"site": "site_id", "region": "region_id"}
_SUMS = ("good", "bad", "unknown", "checks", "called_s")


def account(
    history: History,
    policy: str | Policy = "default",
    by: Sequence[str] = ("site",),
    every: Every | None = None,
    tz: str = "UTC",
) -> pl.DataFrame:
    """[*by, (at,) …] with the columns of frame ACCOUNT, sorted: what the policy says of the history.

    `by` names site and region; by region there is no vote, each answers for itself. Over several sites seconds (or
    checks) are added up. With `every` there is a row for each hour, day, week or month of the time zone, by `at`, when
    it begins. Errors: InvalidInputError, NotFoundError.
    """
    chosen = policy_of(policy)
    if unknown := [name for name in by if name not in KEYS]:
        raise InvalidInputError([Problem("by", f"{unknown[0]!r} is not one of {', '.join(KEYS)}")])
    keys = ["site_id", *(["region_id"] if "region" in by else [])]
    edges = pl.Series(steps(history.since, history.until, every, tz) if every else [], dtype=TIME)
    at = ["at"] if every else []
    groups = [*(KEYS[name] for name in by), *at]
    held = together(history, keys)
    counted = settled(units(history, chosen, keys, edges, held), chosen)
    sums = _placed(counted, edges).select(
        *groups,
        good=pl.col("weight") * pl.col("good"),
        bad=pl.col("weight") * (pl.col("known") - pl.col("good")),
        unknown=pl.col("weight") * (1 - pl.col("known")),
        checks=pl.lit(0, pl.Int64) if chosen.base == "seconds" else _known_checks(chosen),
        called_s=pl.lit(0.0),
    )
    called = cut_at(held, edges)
    time = _placed(called, edges).select(
        *groups,
        *(pl.lit(0.0).alias(name) for name in ("good", "bad", "unknown")),
        checks=pl.lit(0, pl.Int64),
        called_s=(pl.col("until") - pl.col("since")).dt.total_microseconds() / 1e6,
    )
    parts = [sums, time, *([_slots(history, edges, groups)] if chosen.base == "seconds" else [])]
    every_part = pl.concat(parts)
    totals = every_part.group_by(groups).agg(pl.col(_SUMS).sum()) if groups else every_part.select(pl.col(_SUMS).sum())
    named = _named(totals, history, by)
    return _finished(named, chosen, [*by, *at])


def by_policy(
    history: History, policies: Iterable[str | Policy] = tuple(POLICIES), by: Sequence[str] = ("site",)
) -> pl.DataFrame:
    """`account` of several policies below each other, in their order: [*by, …] with the columns of frame ACCOUNT."""
    return pl.concat([account(history, policy, by) for policy in policies])


def _placed(rows: pl.DataFrame, edges: pl.Series) -> pl.DataFrame:
    """The rows with `at`, the last edge up to their beginning."""
    if edges.is_empty():
        return rows
    return rows.with_columns(at=edges.gather(edges.search_sorted(rows["since"], side="right").cast(pl.Int64) - 1))


def _known_checks(policy: Policy) -> pl.Expr:
    """Checks that know something; of steps one, however many checks there are in it."""
    checks = pl.sum_horizontal(ANSWERS)
    return (checks if policy.base == "checks" else (checks > 0)).cast(pl.Int64)


def _slots(history: History, edges: pl.Series, groups: Sequence[str]) -> pl.DataFrame:
    """The slots behind seconds: those of the spans that know something, split by time where a span is cut."""
    check(history.spans, SPANS, needs=("checks",))
    names = [name for name in groups if name != "at"]
    known = history.spans.filter(pl.col("state").is_in(ANSWERS))
    told = known.select(*dict.fromkeys([*names, "since", "until", "checks"]))
    cut = _placed(cut_at(clipped(told, history.since, history.until), edges), edges)
    nothing = [pl.lit(0.0).alias(name) for name in ("good", "bad", "unknown")]
    return cut.select(*groups, *nothing, pl.col("checks").cast(pl.Int64), called_s=pl.lit(0.0))


def _named(totals: pl.DataFrame, history: History, by: Sequence[str]) -> pl.DataFrame:
    """The totals with the keys of sites and regions beside their numbers."""
    for name in by:
        keys = history.spans.select(KEYS[name], name).unique(KEYS[name], keep="first", maintain_order=True)
        totals = totals.join(keys, on=KEYS[name], how="left")
    return totals


def _finished(totals: pl.DataFrame, policy: Policy, by: Sequence[str]) -> pl.DataFrame:
    assumed = 0.0 if policy.unknown is None else policy.unknown
    good, bad, unknown = (pl.col(name) for name in ("good", "bad", "unknown"))
    taken = pl.lit(0.0) if policy.unknown is None else unknown
    known, counted = good + bad, good + bad + taken
    down = bad + (1 - assumed) * taken
    whole = known + unknown
    uptime = pl.when(counted > 0).then(1 - down / counted)
    of_s = counted if policy.base == "seconds" else pl.when(counted > 0).then("called_s").otherwise(0.0)
    found = totals.select(
        *by,
        policy=pl.lit(policy.name),
        version=pl.lit(policy.version),
        uptime=uptime,
        low=pl.when(whole > 0).then(good / whole),
        high=pl.when(whole > 0).then((good + unknown) / whole),
        coverage=pl.when(whole > 0).then(known / whole),
        down_s=(1 - uptime).fill_null(0.0) * of_s,
        of_s=of_s,
        checks="checks",
        at_least=at_least_of(pl.col("checks"), failed=(down > 0) | (counted <= 0)),
    )
    return found.cast(schema(ACCOUNT)).sort(by) if by else found.cast(schema(ACCOUNT))
