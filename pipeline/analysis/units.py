"""What a policy counts, one row each: pieces of time in which no region changes, or rounds of checks.

A row holds how many regions were up, degraded, down and unknown, whether it was maintenance, and how much it weighs;
`settled` makes of it which share was up and which share is known, by the policy's rule for regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl
from msgspec import Struct

from pipeline.analysis.cuts import clipped, cut_at
from pipeline.analysis.hours import weighed, within_hours
from pipeline.analysis.policies import Policy
from pipeline.analysis.spans import SLOT, attempts, slots
from pipeline.errors import InvalidInputError, Problem
from pipeline.frames import SPANS, STATE, check, schema
from pipeline.judge.verdict import decided
from pipeline.vocabulary import State

ANSWERS = (State.UP.value, State.DEGRADED.value, State.DOWN.value)
VOTES = (*ANSWERS, State.UNKNOWN.value)
PERIODS = pl.Schema({**schema(SPANS, ["site_id", "region_id", "since", "until"]), "kind": pl.String()})
_EACH = timedelta(microseconds=1)


class History(Struct, frozen=True):
    """What is told of [since, until): region spans (frame SPANS), ticks (frame TICKS), periods. Each as a policy needs.

    `periods` [site_id, region_id, since, until, kind]: maintenance and suspect, null for all, an open end is null. A
    policy that looks through maintenance needs `spans` with what was found in it; spans that say `maintenance` have
    nothing to tell it, and are unknown to it.
    """

    since: datetime
    until: datetime
    spans: pl.DataFrame
    ticks: pl.DataFrame | None = None
    periods: pl.DataFrame | None = None


def units(history: History, policy: Policy, keys: Sequence[str], edges: pl.Series, held: pl.DataFrame) -> pl.DataFrame:
    """[*keys, since, until, up, degraded, down, unknown, maintenance, weight] of what the policy counts.

    Cut at `edges`; `held` is what `together` says of the same keys. `weight` is seconds, or checks, or steps, times
    what the hour weighs. Errors: InvalidInputError where the ticks are wanted and missing, or an hour has no weight.
    """
    found = _pieces(held, policy, edges) if policy.base == "seconds" else _rounds(history, policy, keys, edges)
    if policy.maintenance is None:
        return found.filter(~pl.col("maintenance"))
    if policy.maintenance == "counted":
        return found.filter(pl.sum_horizontal(VOTES) > 0).with_columns(maintenance=pl.lit(value=False))
    return found


def settled(units: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """The rows with `good`, the share of them that was up (of all, not of the known), and `known`, the share known."""
    counts = units.select(VOTES).unique()
    told = pl.DataFrame(
        [(*row, *worth(dict(zip(VOTES, row, strict=True)), policy)) for row in counts.iter_rows()],
        schema={**dict.fromkeys(VOTES, pl.Int64()), "good": pl.Float64(), "known": pl.Float64()},
        orient="row",
    )
    joined = units.join(told, on=VOTES, how="left")
    if isinstance(policy.maintenance, float | int):
        held = pl.col("maintenance")
        joined = joined.with_columns(
            good=pl.when(held).then(pl.lit(float(policy.maintenance))).otherwise("good"),
            known=pl.when(held).then(1.0).otherwise("known"),
        )
    return joined


def worth(votes: dict[str, int], policy: Policy) -> tuple[float, float]:
    """(share that was up, share known) where so many regions say so: the vote, then what its result is worth."""
    up, degraded, down, unknown = (votes[name] for name in VOTES)
    known = up + degraded + down
    if known and policy.regions == "mean":
        return (up + policy.degraded * degraded) / (known + unknown), known / (known + unknown)
    state = _voted(votes, policy)
    # Some see it down, too few for the vote.
    answered = policy.partial if down else policy.degraded if state is State.DEGRADED else 1.0
    return (0.0 if state in (State.UNKNOWN, State.DOWN) else answered), float(state is not State.UNKNOWN)


def _voted(votes: dict[str, int], policy: Policy) -> State:
    up, degraded, down, unknown = (votes[name] for name in VOTES)
    known = up + degraded + down
    if policy.regions == "quorum":
        return decided(known, down, degraded, known + unknown)
    if not known:
        return State.UNKNOWN
    if policy.regions == "any":
        return State.UP if up else State.DEGRADED if degraded else State.DOWN
    return State.DOWN if down else State.DEGRADED if degraded else State.UP


def _pieces(held: pl.DataFrame, policy: Policy, edges: pl.Series) -> pl.DataFrame:
    """Time in which no region changes; its weight is its seconds."""
    found = cut_at(held, edges)
    if policy.hours is not None:
        found = within_hours(found, policy.hours)
    found = weighed(found, policy.weights) if policy.weights else found.with_columns(weight=pl.lit(1.0))
    seconds = (pl.col("until") - pl.col("since")).dt.total_microseconds() / 1e6
    return found.with_columns(weight=pl.col("weight") * seconds)


def together(history: History, keys: Sequence[str]) -> pl.DataFrame:
    """[*keys, since, until, up, degraded, down, unknown, maintenance]: how many regions held what, while none changed.

    Time in which nothing was called for is not there.
    """
    check(history.spans, SPANS, needs=("site_id", "region_id", "state", "since", "until"))
    spans = clipped(
        history.spans.select("site_id", "region_id", "state", "since", "until"), history.since, history.until
    )
    counted = [(pl.col("state") == pl.lit(name, STATE)).cast(pl.Int64).alias(name) for name in VOTES]
    held = (pl.col("state") == pl.lit(State.MAINTENANCE.value, STATE)).cast(pl.Int64)
    told = spans.select(*keys, "since", "until", *counted, maintenance=held)
    # Whoever looks through maintenance finds nothing there.
    told = told.with_columns(unknown=pl.col("unknown") + pl.col("maintenance"))
    windows = _maintenance(history, spans).join(spans.select(keys).unique(), on="site_id")
    over = windows.select(
        *keys, "since", "until", *(pl.lit(0, pl.Int64).alias(v) for v in VOTES), maintenance=pl.lit(1, pl.Int64)
    )
    # Each begin adds, each end takes away: the running sums are what holds between two changes.
    names = [*VOTES, "maintenance"]
    both = pl.concat([told, over.unique()])
    begun = both.select(*keys, *names, at="since")
    ended = both.select(*keys, -pl.col(*names), at="until")
    changes = pl.concat([begun, ended.select(begun.columns)])
    steps = changes.group_by(*keys, "at").agg(pl.col(names).sum()).sort(*keys, "at")
    # What begins ends, so the sums are back at nothing before the next series.
    running = steps.with_columns(pl.col(names).cum_sum(), until=pl.col("at").shift(-1))
    some = pl.sum_horizontal(VOTES) > 0
    covered = running.filter(some | (pl.col("maintenance") > 0))
    return covered.select(*keys, "until", *VOTES, since="at", maintenance=pl.col("maintenance") > 0)


def _maintenance(history: History, spans: pl.DataFrame) -> pl.DataFrame:
    """[site_id, since, until] of each site's maintenance within the range, where something was called for."""
    found = _periods(history, "maintenance", spans["site_id"].unique())
    windows = clipped(found.select("site_id", "since", "until"), history.since, history.until)
    # A window says nothing of time before a site was there: it is cut to what the site's spans reach over.
    life = spans.group_by("site_id").agg(first=pl.col("since").min(), last=pl.col("until").max())
    return (
        windows.join(life, on="site_id")
        .select("site_id", since=pl.max_horizontal("since", "first"), until=pl.min_horizontal("until", "last"))
        .filter(pl.col("since") < pl.col("until"))
    )


def _periods(history: History, kind: str, sites: pl.Series) -> pl.DataFrame:
    """The periods of a kind, [site_id, region_id, since, until], those of all sites said of each."""
    if history.periods is None:
        return pl.DataFrame(schema=PERIODS).drop("kind")
    told = history.periods.filter(pl.col("kind") == kind).with_columns(pl.col("until").fill_null(history.until))
    everywhere = told.filter(pl.col("site_id").is_null()).drop("site_id").join(sites.to_frame(), how="cross")
    own = told.filter(pl.col("site_id").is_not_null())
    names = ["site_id", "region_id", "since", "until"]
    return pl.concat([own.select(names), everywhere.select(names)]).cast({name: PERIODS[name] for name in names})


def _rounds(history: History, policy: Policy, keys: Sequence[str], edges: pl.Series) -> pl.DataFrame:
    """Checks that vote together, those of one step of the site's interval; weighs each of its checks, or 1 in all."""
    checks = checks_of(history, policy)
    if policy.last is not None:
        # Of checks of one moment, the region that was added first is the newest: somebody has to be.
        newest = checks.sort("scheduled_at", "attempt", "region_id", descending=[True, True, False])
        checks = newest.group_by(keys, maintain_order=True).head(policy.last)
    moments = checks.with_columns(since="scheduled_at", until=pl.col("scheduled_at") + _EACH)
    if policy.hours is not None:
        moments = within_hours(moments, policy.hours)
    moments = weighed(moments, policy.weights) if policy.weights else moments.with_columns(weight=pl.lit(1.0))
    counted = moments.with_columns(
        (pl.col("state") == pl.lit(name, STATE)).cast(pl.Int64).alias(name) for name in VOTES
    )
    names = [*keys, "since", "until", *VOTES, "maintenance", "weight"]
    if policy.regions == "mean" and policy.base == "checks":
        return counted.select(names)  # without a vote each check is a round of its own
    step = pl.col("scheduled_at").dt.epoch("s") // pl.col("interval_s").cast(pl.Int64)
    part = pl.Series(edges.search_sorted(counted["since"], side="right")) if len(edges) else pl.lit(0)
    together = counted.with_columns(_step=step, _part=part).group_by(
        *keys, "interval_s", "_step", "_part", "maintenance"
    )
    weight = pl.col("weight").sum() if policy.base == "checks" else pl.col("weight").mean()
    return together.agg(pl.col("since").min(), pl.col("until").max(), pl.col(VOTES).sum(), weight).select(names)


def checks_of(history: History, policy: Policy) -> pl.DataFrame:
    """[site_id, region_id, scheduled_at, attempt, state, interval_s, maintenance]: the checks that a policy counts."""
    if history.ticks is None:
        raise InvalidInputError([Problem("policy", f"{policy.name} counts checks, and there are no ticks for it")])
    tried = attempts(history.ticks).filter(
        (pl.col("scheduled_at") >= history.since) & (pl.col("scheduled_at") < history.until)
    )
    chosen = {
        "every": lambda: tried,
        "first": lambda: tried.unique(SLOT, keep="first", maintain_order=True),
        "confirmed": lambda: slots(tried),
    }[policy.retries]()
    if policy.whole_hours:
        chosen = chosen.filter(pl.col("scheduled_at").dt.truncate("1h") >= history.since)
    named = chosen.select(*SLOT, "attempt", "state", "interval_s").with_row_index("_row")
    sites = named["site_id"].unique()
    doubted = _inside(named, _periods(history, "suspect", sites))
    kept = _inside(named, _periods(history, "maintenance", sites))
    return named.with_columns(
        pl.when(pl.col("_row").is_in(doubted))
        .then(pl.lit(State.UNKNOWN.value, STATE))
        .otherwise("state")
        .alias("state"),
        maintenance=pl.col("_row").is_in(kept),
    ).drop("_row")


def _inside(checks: pl.DataFrame, periods: pl.DataFrame) -> pl.Series:
    """The rows that lie in one of the periods of their site, and of their region where it has one."""
    pairs = checks.select("_row", "site_id", "scheduled_at", here="region_id").join(periods, on="site_id")
    within = (pl.col("scheduled_at") >= pl.col("since")) & (pl.col("scheduled_at") < pl.col("until"))
    ours = pl.col("region_id").is_null() | (pl.col("region_id") == pl.col("here"))
    return pairs.filter(within & ours)["_row"].unique().implode()
