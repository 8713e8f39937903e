"""The numbers of a report: what a policy says of some sites over a period, how sure that is, and what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from pipeline import analysis
from pipeline.analysis.cuts import cut_by
from pipeline.analysis.policies import DEFAULT, Policy, policy_of
from pipeline.analysis.resampling import Interval
from pipeline.analysis.units import History
from pipeline.errors import InvalidInputError, NotFoundError, Problem
from pipeline.objectives import Objective
from pipeline.report.periods import Period
from pipeline.vocabulary import State
from pipeline.workbench import Workbench

# What a day is made of, in the order in which `charts.shares` draws it.
_HELD = {
    "down": [State.DOWN.value],
    "degraded": [State.DEGRADED.value],
    "unknown": [State.UNKNOWN.value],
    "up": [State.UP.value],
}
PROMISED = {
    "objective": pl.String(),
    "name": pl.String(),
    "target": pl.Float64(),
    "uptime": pl.Float64(),
    "budget_s": pl.Float64(),
    "spent_s": pl.Float64(),
    "verdict": pl.String(),
}


# The policies of objectives (`pipeline.objectives.SPENDS`) as ours.
_SPENDING = {"default": DEFAULT, "strict": replace(DEFAULT, name="strict", degraded=0.0, partial=0.0)}


class Figures(Struct, frozen=True):
    """A report's numbers.

    `total` is a row of frame ACCOUNT over all sites, `sites` frame ACCOUNT by site, `days` the same by local day (`at`,
    when it begins) over all sites, `held` [region, at, until, down, degraded, unknown, up] the seconds of each site's
    local days as `charts.shares` draws them (`region` is the site's key), `outages` frame OUTAGES, `reliability` a row
    of frame RELIABILITY, `interval` how sure the policy's uptime is over days, `promised` what was promised of these
    sites and whether it was kept. Seconds of `total` are over all sites together.
    """

    period: Period
    policy: Policy
    keys: tuple[str, ...]
    total: dict[str, Any]
    sites: pl.DataFrame
    days: pl.DataFrame
    held: pl.DataFrame
    outages: pl.DataFrame
    reliability: dict[str, Any]
    interval: Interval
    promised: pl.DataFrame


def keys_of(up: Workbench, site: str = "", tag: str = "") -> list[str]:
    """The keys that are meant: one site, those with a tag, or all. Errors: NotFoundError, InvalidInputError."""
    if site and tag:
        raise InvalidInputError([Problem("site, tag", "name a site or a tag, not both")])
    watched = up.sites()
    if site:
        return up.keys([site])
    if tag:
        watched = watched.filter(pl.col("tags").list.contains(tag))
        if watched.is_empty():
            raise NotFoundError(f"no site has the tag {tag!r}")
    if watched.is_empty():
        raise NotFoundError("there is no site to report on")
    return sorted(watched["site"].cast(pl.String))


def figures(up: Workbench, keys: Sequence[str], period: Period, policy: str | Policy = "default") -> Figures:
    """The numbers of these sites over the period, to now at most. Errors: NotFoundError."""
    chosen = policy_of(policy)
    over = (list(keys), period.since, period.until)
    history = up.history(*over, ticks=chosen.base != "seconds")
    spans = up.spans(*over, level="global").collect()
    [total] = analysis.account(history, chosen, by=[]).to_dicts()
    [reliability] = analysis.reliability(spans, by=[]).to_dicts()
    days = analysis.account(history, chosen, by=[], every="1d", tz=period.tz)
    worth = days.select("at", "down_s", "checks", up_s=pl.col("of_s") - pl.col("down_s"))
    return Figures(
        period,
        chosen,
        tuple(keys),
        total,
        analysis.account(history, chosen, by=["site"]),
        days,
        _held(cut_by(spans, "1d", period.tz), period),
        analysis.outages(spans),
        reliability,
        analysis.interval(worth),
        _promised(up.objectives(), keys, history),
    )


def _held(cut: pl.DataFrame, period: Period) -> pl.DataFrame:
    """Seconds by state, site and local day."""
    seconds = (pl.col("until") - pl.col("since")).dt.total_microseconds() / 1e6
    sums = [seconds.filter(pl.col("state").is_in(states)).sum().alias(name) for name, states in _HELD.items()]
    found = cut.group_by("site", "at").agg(sums)
    ends = (pl.col("at").dt.convert_time_zone(period.tz).dt.offset_by("1d")).dt.convert_time_zone("UTC")
    until = pl.min_horizontal(ends, pl.lit(period.until).cast(found.schema["at"]))
    named = found.with_columns(region=pl.col("site").cast(pl.String), until=until)
    return named.select("region", "at", "until", *_HELD).sort("region", "at")


def _promised(objectives: Sequence[Objective], keys: Sequence[str], history: History) -> pl.DataFrame:
    """The objectives that are about exactly these sites, held against the period: each by its own target and policy.

    Whatever policy the report is counted by: a promise does not change with who counts.
    """
    rows = []
    for each in objectives:
        if sorted(each.sites) == sorted(keys):
            [total] = analysis.account(history, _SPENDING[each.policy], by=[]).to_dicts()
            row = {"objective": each.key, "name": each.name, "target": each.target, "uptime": total["uptime"]}
            spent = {"budget_s": (1 - each.target) * total["of_s"], "spent_s": total["down_s"]}
            rows.append(row | spent | {"verdict": verdict(each.target, total)})
    return pl.DataFrame(rows, schema=PROMISED, orient="row")


def verdict(target: float, total: dict[str, Any]) -> str:
    """Whether a target was kept, and whether the unknown time could change that."""
    uptime, low, high = (total[name] for name in ("uptime", "low", "high"))
    if uptime is None:
        return "nothing is known"
    if uptime >= target:
        return "kept" if low >= target else "kept, as far as is known"
    return "missed" if high < target else "missed, unless the unknown time was up"
