"""`/metrics` as Prometheus meets it: of a fleet at work, of a silent one, and with Postgres away."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from sqlalchemy import Engine
from starlette.applications import Starlette

from app.api import metrics
from pipeline import product
from pipeline.declared import RegionIn
from pipeline.health import FRESH
from pipeline.store import beats
from pipeline.store.engine import engine
from pipeline.store.regions import create_region
from pipeline.store.revisions import head
from pipeline.vocabulary import Outcome, Region, State
from tests.harness import Fleet, Target, add_sites, count, eventually, now, raw, writing

LABELS = {
    "days",
    "region",
    "prober",
    "recorder",
    "quantile",
    "outcome",
    "direction",
    "state",
    "part",
    "version",
    "schema",
}
NOWHERE = "postgresql://postgres@/betterstack?host=/nowhere"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Scraped(NamedTuple):
    families: Mapping[str, Metric]

    def value(self, name: str, **labels: str) -> float:
        """The one sample of that name with at least these labels."""
        [value] = self.values(name, **labels)
        return value

    def values(self, name: str, **labels: str) -> list[float]:
        samples = (sample for family in self.families.values() for sample in family.samples if sample.name == name)
        return [sample.value for sample in samples if labels.items() <= sample.labels.items()]


def scraped(text: str) -> Scraped:
    return Scraped({family.name: family for family in parse(text)})


@pytest.fixture(scope="module")
def region(dsn: str) -> Region:
    with writing(dsn) as connection:
        return create_region(connection, RegionIn(key="eu"), now=now(), actor="test")


@pytest.fixture(scope="module")
def at_work(dsn: str, module_redis_url: str, region: Region) -> Iterator[Callable[..., httpx.Response]]:
    """Every role at work on two sites, one of them down; what it gives scrapes the app."""
    decisions = [beats.Decision(region.id, now(), 1, 3, "late"), beats.Decision(region.id, now(), 3, 2, "idle")]
    with writing(dsn) as connection:
        beats.note_decisions(raw(connection), decisions)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Target() as target, Fleet(dsn, module_redis_url, BETTERSTACK_PORT=str(port)) as fleet:
        add_sites(dsn, [f"{target.url}/well", f"{target.url}/down"], interval_s=1, confirmations=0)
        for role in (("app",), ("pusher",), ("recorder",), ("roller",), ("prober", "--region", "eu")):
            fleet.start(*role)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10) as client:

            def scrape(**headers: str) -> httpx.Response:
                return client.get("/metrics", headers=headers)

            def well() -> bool:
                try:
                    found = scraped(scrape().text)
                except httpx.TransportError:
                    return False
                return 0 not in found.values("betterstack_part_ok") and bool(found.values("betterstack_outcomes_total"))

            eventually(well, seconds=60, what="a fleet that is well")
            yield scrape


def test_a_fleet_at_work_shows_in_every_figure(at_work: Callable[..., httpx.Response]) -> None:
    def told() -> bool:
        found = scraped(at_work().text)
        late = found.values("betterstack_prober_lateness_seconds")
        return bool(late) and found.value("betterstack_sites", state="down") == 1

    eventually(told, what="a site down, and how late checks are")
    answer = at_work()
    found = scraped(answer.text)
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert found.value("betterstack_up") == 1
    assert found.value("betterstack_build_info", version=product.version(), schema=head()) == 1
    assert {sample.labels["state"] for sample in found.families["betterstack_sites"].samples} == set(State)
    assert found.value("betterstack_sites", state="up") == 1
    assert found.value("betterstack_sites_certificate_expiring", days="14") == 0
    assert found.value("betterstack_pusher_epoch") >= 1
    assert -5 < found.value("betterstack_pusher_pushed_until_age_seconds") < 10
    assert found.value("betterstack_prober_in_flight_limit", region="eu") == 500
    assert found.value("betterstack_prober_resident_memory_bytes", region="eu") > 2**20
    late = [found.value("betterstack_prober_lateness_seconds", quantile=each) for each in ("0.5", "0.95", "0.99")]
    assert late == sorted(late)
    assert found.value("betterstack_region_probers_running", region="eu") == 1
    assert found.value("betterstack_region_probers_wanted", region="eu") == 2
    assert found.value("betterstack_region_decisions_total", region="eu", direction="up") == 1
    assert found.value("betterstack_region_decisions_total", region="eu", direction="down") == 1
    assert found.value("betterstack_region_checks_added_total", region="eu") > 0
    assert found.value("betterstack_part_ok", part="prober eu") == 1
    empty = [name for name, family in found.families.items() if not family.samples]
    assert empty == []


def test_outcomes_are_counted_tick_by_tick(at_work: Callable[..., httpx.Response], dsn: str) -> None:
    def agree(outcome: Outcome) -> bool:
        """Between two counts of the rows lies the counter, once the census has caught up."""
        before = count(dsn, "select count(*) from ticks where outcome = %s", list(Outcome).index(outcome))
        counted = scraped(at_work().text).value("betterstack_outcomes_total", region="eu", outcome=outcome.value)
        return (
            0
            < before - 3
            <= counted
            <= count(dsn, "select count(*) from ticks where outcome = %s", list(Outcome).index(outcome))
        )

    for outcome in (Outcome.OK, Outcome.STATUS):
        eventually(lambda outcome=outcome: agree(outcome), what=f"{outcome} counted")  # type: ignore[misc]


def test_names_and_labels_are_those_that_prometheus_wants(at_work: Callable[..., httpx.Response]) -> None:
    found = scraped(at_work().text)
    for name, family in found.families.items():
        assert name.startswith("betterstack_")
        assert len(family.documentation) > 10
        assert not re.search(r"_(ms|mb|s|millis|minutes)(_|$)", name), "base units only"
        assert family.type != "counter" or all(sample.name.endswith("_total") for sample in family.samples)
        assert {label for sample in family.samples for label in sample.labels} <= LABELS
    openmetrics = at_work(accept="application/openmetrics-text; version=1.0.0")
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    names = {family.name for family in parse_openmetrics(openmetrics.text)}  # type: ignore[no-untyped-call]
    assert names >= {"betterstack_up", "betterstack_outcomes"}


def test_a_scraper_that_calls_us_by_a_strangers_name_is_refused(at_work: Callable[..., httpx.Response]) -> None:
    assert at_work(host="rebound.example").status_code == 421


class Scraper:
    """The route alone, at a time of our choice."""

    def __init__(self, database: Engine) -> None:
        self.now = NOW
        api = FastAPI()
        api.state.engine = database
        api.state.clock = lambda: self.now
        self._app = Starlette(routes=[metrics.route(api)])

    def scrape(self) -> Scraped:
        answer = asyncio.run(self._get())
        assert answer.status_code == 200
        return scraped(answer.text)

    async def _get(self) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self._app), base_url="http://app") as client:
            return await client.get("/metrics")


@pytest.fixture
def scraper(dsn: str) -> Iterator[Scraper]:
    database = engine(dsn)
    yield Scraper(database)
    database.dispose()


def test_what_was_silent_for_too_long_is_no_figure_any_more(dsn: str, scraper: Scraper, region: Region) -> None:
    detail = {"in_flight": 7, "lateness_p50_ms": 1.0, "stall_ms": None}
    worker = beats.WorkerSeen("prober one", "prober", "h", 1, NOW, NOW, region.id, detail)
    recorder = beats.WorkerSeen("one", "recorder", "h", 2, NOW, NOW, None, {"outcomes": {"eu": {"ok": 5}}})
    with writing(dsn) as connection:
        beats.beat(raw(connection), worker, recorder)
    scraper.now = NOW + FRESH
    found = scraper.scrape()
    assert found.value("betterstack_prober_in_flight", region="eu", prober="one") == 7
    assert found.values("betterstack_prober_loop_stall_seconds", prober="one") == []
    assert found.value("betterstack_outcomes_total", recorder="one", outcome="ok") == 5
    scraper.now = NOW + FRESH + timedelta(seconds=1)
    found = scraper.scrape()
    assert found.values("betterstack_prober_in_flight", prober="one") == []
    assert found.values("betterstack_outcomes_total", recorder="one") == []


def test_many_scrapes_are_one_look_a_second(dsn: str, scraper: Scraper) -> None:
    def regions() -> int:
        return len(scraper.scrape().values("betterstack_region_probers_running"))

    before = regions()
    with writing(dsn) as connection:
        create_region(connection, RegionIn(key="another", managed=False), now=NOW, actor="test")
    assert regions() == before
    scraper.now += timedelta(seconds=1)
    assert regions() == before + 1
    assert scraper.scrape().values("betterstack_region_probers_wanted", region="another") == []


def test_without_postgres_there_is_an_answer_that_says_so() -> None:
    database = engine(NOWHERE)
    found = Scraper(database).scrape()
    database.dispose()
    assert found.value("betterstack_up") == 0
    assert found.value("betterstack_part_ok", part="postgres") == 0
    assert found.value("betterstack_build_info") == 1
    assert set(found.families) == {"betterstack_up", "betterstack_build_info", "betterstack_part_ok"}
