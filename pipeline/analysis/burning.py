"""How fast a budget burns, and when that is worth a page or a ticket.

    burn rate over w = bad seconds in w / (w x (1 - target))      at 1 the budget lasts exactly for its window

The rules are those of the SRE workbook (Beyer et al., O'Reilly 2018, chapter 5, "Multiwindow, Multi-Burn-Rate
Alerts"): a long window says that it matters, one twelfth of it that it still goes on. Where everything is bad the
rate is 1 / (1 - target), so a target below 93.1 % can never burn at 14.4.

Synthetic checks are few, and one lost packet would burn at 14.4 for minutes. So a rule fires on outages with evidence
only: at least two bad slots in a row in a quorum of regions, by the very vote that makes verdicts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import polars as pl
from msgspec import Struct

from pipeline.analysis.spans import SERIES
from pipeline.analysis.spending import KNOWN, NEEDS, Spending, gathered, in_states, spending
from pipeline.answers import BURN
from pipeline.frames import SPANS, TIME, AnyFrame, check, schema
from pipeline.judge.verdict import verdict
from pipeline.objectives import SPENDS, Objective
from pipeline.vocabulary import State

SLOTS_IN_A_ROW = 2


class Burning(StrEnum):
    """What a budget calls for, the least first."""

    CALM = "calm"
    TICKET = "ticket"
    PAGE = "page"


class Rule(Struct, frozen=True):
    """Asks for somebody when the budget burns faster than `factor` over both windows."""

    severity: Burning
    factor: float
    long: timedelta
    short: timedelta


RULES = (
    Rule(Burning.PAGE, 14.4, timedelta(hours=1), timedelta(minutes=5)),
    Rule(Burning.PAGE, 6.0, timedelta(hours=6), timedelta(minutes=30)),
    Rule(Burning.TICKET, 1.0, timedelta(days=3), timedelta(hours=6)),
)
LONGEST = max(rule.long for rule in RULES)


def burn(
    site_spans: AnyFrame, objective: Objective, times: Sequence[datetime], spans: AnyFrame | None = None
) -> pl.DataFrame:
    """Frame BURN: the rates of each rule at each of the times, of frame SITE_SPANS from `LONGEST` before the first on.

    `spans`, frame SPANS of the same sites, is the evidence; without it no rule fires. A rate is null where nothing is
    known in its window, and `firing` is null where unknown time hides the answer.
    """
    gathered_ = gathered(site_spans)
    bad, states = in_states(gathered_, SPENDS[objective.policy]), SPENDS[objective.policy]
    sites = gathered_["site_id"].n_unique()
    proven = Spending(_proven(bad, spans, states) if spans is not None else bad.clear(), sites)
    spent, known = Spending(bad, sites), spending(gathered_, KNOWN)
    unknown = spending(gathered_, {State.UNKNOWN})
    at = pl.Series("at", list(times), dtype=TIME)
    parts = []
    for rule in RULES:
        columns: dict[str, pl.Series] = {"at": at}
        for name, window in (("long", rule.long), ("short", rule.short)):
            start, most = at - window, window.total_seconds() * (1 - objective.target)
            columns[f"{name}_rate"] = spent.between(start, at) / most
            columns[f"{name}_proven"] = proven.between(start, at) / most
            columns[f"{name}_known"] = known.between(start, at) > 0
            columns[f"{name}_hidden"] = unknown.between(start, at) > 0
        parts.append(_judged(pl.DataFrame(columns), rule))
    return pl.concat(parts).with_columns(objective=pl.lit(objective.key)).select(list(BURN)).cast(
        schema(BURN)
    ).sort("at", "factor", descending=[False, True])  # fmt: skip


def burning(rates: pl.DataFrame) -> Burning | None:
    """What frame BURN of one time calls for; None where unknown time hides it, which changes nothing."""
    fires = {severity: rates.filter(pl.col("severity") == severity)["firing"] for severity in ("page", "ticket")}
    for severity in (Burning.PAGE, Burning.TICKET):
        if fires[severity].any():
            return severity
        if fires[severity].null_count():
            return None
    return Burning.CALM if len(rates) else None


def _judged(rates: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """Where nothing of a window is known, unknown time hides it; where nothing was called for, nothing burns."""
    blind = [~pl.col(f"{name}_known") & pl.col(f"{name}_hidden") for name in ("long", "short")]
    over = (pl.col("long_rate") > rule.factor) & (pl.col("short_rate") > rule.factor)
    fires = (pl.col("long_proven") > rule.factor) & (pl.col("short_proven") > rule.factor)
    return rates.select(
        "at",
        severity=pl.lit(rule.severity.value),
        factor=pl.lit(rule.factor),
        long_s=pl.lit(rule.long.total_seconds()),
        short_s=pl.lit(rule.short.total_seconds()),
        long_rate=pl.when("long_known").then("long_rate"),
        short_rate=pl.when("short_known").then("short_rate"),
        over=pl.when(~pl.any_horizontal(blind)).then(over),
        firing=pl.when(~pl.any_horizontal(blind)).then(fires),
    )


def _proven(bad: pl.DataFrame, spans: AnyFrame, states: frozenset[State]) -> pl.DataFrame:
    """Those of the sites' bad spans in which a quorum of regions had two bad slots in a row."""
    check(spans, SPANS, needs=(*NEEDS, "region_id", "checks"))
    seen = spans.lazy().select(*NEEDS, "region_id", "checks").sort(*SERIES, "since").collect()
    by_series: dict[tuple[int, int], tuple[list[datetime], list[tuple[datetime, State]]]] = {}
    for site, state, since, until, region, checks in seen.iter_rows():
        failed = State(state) in states and checks >= SLOTS_IN_A_ROW
        vote = State.DOWN if failed else State.UP if State(state) in KNOWN else State.UNKNOWN
        ends, votes = by_series.setdefault((site, region), ([], []))
        ends.append(until)
        votes.append((since, vote))
    of_site: dict[int, list[tuple[int, list[datetime], list[tuple[datetime, State]]]]] = {}
    for (site, region), (ends, votes) in by_series.items():
        of_site.setdefault(site, []).append((region, ends, votes))
    proven = [
        verdict({region: _said(ends, votes, since, until) for region, ends, votes in of_site.get(site, [])})
        is State.DOWN
        for site, _, since, until in bad.select(NEEDS).iter_rows()
    ]
    return bad.filter(pl.Series(proven, dtype=pl.Boolean))


def _said(ends: list[datetime], votes: list[tuple[datetime, State]], since: datetime, until: datetime) -> State:
    """What a region said of [since, until): down where it failed in it, up where it knew anything.

    Its spans do not overlap, so those of that time follow each other from the first that ends after `since`.
    """
    told = State.UNKNOWN
    for began, vote in map(votes.__getitem__, range(bisect_right(ends, since), len(votes))):
        if began >= until or told is State.DOWN:
            break
        told = vote if vote is not State.UNKNOWN else told
    return told
