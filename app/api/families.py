"""What `/metrics` says, as Prometheus families: pure, from rows that were read before.

Names end in base units, counters in `_total`. Labels are regions, processes and closed lists, never sites, so that
the number of series is bounded by the fleet. A figure that is older than a sign of life may be is left out: no value
is better than one from before the fire.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from msgspec import Struct
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from pipeline.health import FRESH, Health
from pipeline.store.fleet import Backlog, PusherRow, Scaling, WorkerSeen
from pipeline.store.overview import Counts
from pipeline.vocabulary import Region

PREFIX = "betterstack_"
MILLI = 1e-3
MIB = 2**20
DAY_S = 86_400
CERTIFICATE_DAYS = (0, 7, 14, 30)  # which site it is, its page and the API say: a label a site would be without bound
QUANTILES = {"0.5": "lateness_p50_ms", "0.95": "lateness_p95_ms", "0.99": "lateness_p99_ms"}

Row: TypeAlias = tuple[tuple[str, ...], float | int | None]  # the labels' values, and the figure

# name, the prober's own word for it, factor to the base unit, what it says
PROBER_GAUGES = (
    ("prober_in_flight", "in_flight", 1, "Probes under way."),
    ("prober_in_flight_limit", "in_flight_limit", 1, "Probes that may be under way at once."),
    ("prober_held_checks", "held", 1, "Checks taken and not handed over, those that wait for their time included."),
    ("prober_loop_stall_seconds", "stall_ms", MILLI, "Longest time that the prober's loop stood still, last 10 s."),
    ("prober_resident_memory_bytes", "rss_mb", MIB, "Memory of the prober's process."),
)
PROBER_COUNTERS = (
    ("prober_probes_total", "probed", "Probes made since the prober started."),
    ("prober_busy_seconds_total", "busy_s", "Seconds spent in probes, summed over those under way at once."),
    ("prober_late_checks_total", "late", "Checks taken too late to be probed; their slots are unknown."),
)
# name, field of a Backlog, what it says
BACKLOG_GAUGES = (
    ("region_checks_waiting", "checks_waiting", "Checks in the region's stream that no prober has taken (the lag)."),
    ("region_checks_pending", "checks_pending", "Checks that a prober has taken and not yet handed over."),
    ("region_ticks_waiting", "ticks_waiting", "Ticks in the region's stream that are not recorded yet."),
    ("region_oldest_waiting_seconds", "oldest_waiting_s", "Age of the oldest check that no prober has taken."),
    ("region_oldest_pending_seconds", "oldest_pending_s", "Age of the oldest check taken and not handed over."),
    ("region_oldest_tick_seconds", "oldest_tick_s", "Age of the oldest tick that is not recorded yet."),
    ("region_dead_letters", "dead_letters", "Entries kept aside that nobody could read or believe."),
)


class Figures(Struct, frozen=True):
    """What was read at a time."""

    at: datetime
    regions: list[Region]
    workers: list[WorkerSeen]
    backlogs: list[Backlog]
    pusher: PusherRow
    scaling: Mapping[int, Scaling]
    sites: Counts
    certificates: Collection[datetime]  # when those of the sites end


def families(figures: Figures | None, health: Health, build: Mapping[str, str]) -> Iterator[Metric]:
    """All there is to say; without figures, that there are none, and who we are."""
    yield _gauge("up", "1 while Postgres answers with tables of this version.", (), [((), figures is not None)])
    yield InfoMetricFamily(f"{PREFIX}build", "Version of the product and of its tables.", value=dict(build))
    parts: list[Row] = [((part.name,), part.ok) for part in health.parts]
    yield _gauge("part_ok", "1 while this part of the workbench itself is well, as /healthz says.", ("part",), parts)
    if figures is None:
        return
    yield from _of_sites(figures)
    yield from _of_pusher(figures)
    yield from _of_regions(figures)
    yield from _of_probers(figures)
    yield from _of_recorders(figures)


def _of_sites(figures: Figures) -> Iterator[Metric]:
    rows: list[Row] = [((state.value,), count) for state, count in figures.sites.by_state.items()]
    yield _gauge("sites", "Sites by their state.", ("state",), rows)
    left = [(end - figures.at).total_seconds() for end in figures.certificates]
    soon: list[Row] = [((str(days),), sum(each < days * DAY_S for each in left)) for days in CERTIFICATE_DAYS]
    says = "Sites whose certificate ends within so many days; 0 are those that have ended."
    yield _gauge("sites_certificate_expiring", says, ("days",), soon)
    says = "Seconds until the first certificate of a site ends; below 0 where it has."
    if left:
        yield _gauge("first_certificate_expires_seconds", says, (), [((), min(left))])


def _of_pusher(figures: Figures) -> Iterator[Metric]:
    pusher = figures.pusher
    yield _gauge("pusher_epoch", "How often the lead has passed on; the leader's number.", (), [((), pusher.epoch)])
    for name, at, says in (
        ("beat", pusher.beat_at, "Seconds since the pusher's last beat."),
        ("pushed_until", pusher.pushed_until, "Seconds since the time up to which checks were sent; ahead is below 0."),
    ):
        age_s = None if at is None else (figures.at - at).total_seconds()
        yield _gauge(f"pusher_{name}_age_seconds", says, (), [((), age_s)])


def _of_regions(figures: Figures) -> Iterator[Metric]:
    keys = {region.id: region.key for region in figures.regions}
    known = [(keys[each.region_id], each) for each in figures.backlogs if each.region_id in keys]
    fresh = [(key, backlog) for key, backlog in known if figures.at - backlog.seen_at <= FRESH]
    for name, field, says in BACKLOG_GAUGES:
        yield _gauge(name, says, ("region",), [((key,), getattr(backlog, field)) for key, backlog in fresh])
    added: list[Row] = [((key,), backlog.checks_added) for key, backlog in fresh]
    yield _counter("region_checks_added_total", "Entries ever added to the region's stream.", ("region",), added)
    yield from _of_scaling(figures)


def _of_scaling(figures: Figures) -> Iterator[Metric]:
    running = [worker.region_id for worker in _fresh(figures, "prober")]
    counts: list[Row] = [((region.key,), running.count(region.id)) for region in figures.regions]
    yield _gauge("region_probers_running", "Prober processes that give signs of life.", ("region",), counts)
    managed = [region for region in figures.regions if region.managed]
    wanted: list[Row] = [((region.key,), wanted_of(region, figures.scaling.get(region.id))) for region in managed]
    yield _gauge("region_probers_wanted", "Prober processes that the region should have.", ("region",), wanted)
    moves: list[Row] = []
    for region in managed:
        scaling = figures.scaling.get(region.id, Scaling())
        moves += [((region.key, "up"), scaling.raised), ((region.key, "down"), scaling.lowered)]
    says = "The autoscaler's decisions, by whether they gave the region more probers or fewer."
    yield _counter("region_decisions_total", says, ("region", "direction"), moves)


def wanted_of(region: Region, scaling: Scaling | None) -> int:
    """The last decision, within what the region allows by now."""
    last = scaling.wanted if scaling and scaling.wanted is not None else region.min_probers
    return min(max(last, region.min_probers), region.max_probers)


def _of_probers(figures: Figures) -> Iterator[Metric]:
    keys = {region.id: region.key for region in figures.regions}
    seen = [worker for worker in _fresh(figures, "prober") if worker.region_id in keys]
    probers = [((keys[w.region_id or 0], _consumer(w)), w.detail) for w in seen]
    labels = ("region", "prober")
    late: list[Row] = [
        ((*who, quantile), _number(detail, word, MILLI))
        for who, detail in probers
        for quantile, word in QUANTILES.items()
    ]
    says = "How long after its time a check was begun, by quantile of the prober's last ones."
    yield _gauge("prober_lateness_seconds", says, (*labels, "quantile"), late)
    for name, word, factor, says in PROBER_GAUGES:
        yield _gauge(name, says, labels, [(who, _number(detail, word, factor)) for who, detail in probers])
    for name, word, says in PROBER_COUNTERS:
        yield _counter(name, says, labels, [(who, _number(detail, word)) for who, detail in probers])


def _consumer(worker: WorkerSeen) -> str:
    """A prober's own name, out of its row's: the region's id is in front of it."""
    return worker.name.removeprefix("prober ").rpartition("/")[2]


def _of_recorders(figures: Figures) -> Iterator[Metric]:
    rows: list[Row] = [
        ((region, outcome, recorder.name), count)
        for recorder in _fresh(figures, "recorder")
        for region, outcomes in recorder.detail.get("outcomes", {}).items()
        for outcome, count in outcomes.items()
    ]
    says = "Ticks recorded by what they say, confirmations included, since the recorder started."
    yield _counter("outcomes_total", says, ("region", "outcome", "recorder"), rows)


def _fresh(figures: Figures, role: str) -> list[WorkerSeen]:
    return [worker for worker in figures.workers if worker.role == role and figures.at - worker.seen_at <= FRESH]


def _number(detail: Mapping[str, Any], word: str, factor: float = 1) -> float | None:
    value = detail.get(word)
    return value * factor if isinstance(value, int | float) else None


def _gauge(name: str, says: str, labels: tuple[str, ...], rows: Iterable[Row]) -> Metric:
    return _filled(GaugeMetricFamily(PREFIX + name, says, labels=labels), rows)


def _counter(name: str, says: str, labels: tuple[str, ...], rows: Iterable[Row]) -> Metric:
    return _filled(CounterMetricFamily(PREFIX + name, says, labels=labels), rows)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, rows: Iterable[Row]) -> Metric:
    """The family with what is known; what is not is left out."""
    for labels, value in rows:
        if value is not None:
            family.add_metric(labels, float(value))
    return family
