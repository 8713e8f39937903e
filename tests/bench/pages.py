"""The pages under a full store: 1 000 sites from five regions with 90 days of rollups, looked at in a real Chromium.

`python tests/bench/pages.py [--json] [--sites 1000] [--days 90] [--runs 20] [--watch 30]`. The app is a process of its
own on real servers; beside it a thread writes what the roles would write. *Script* is the server's work alone: from the
request for a page to the word that its run is done, at a websocket without a browser. *Painted* is what a person waits
for: from the navigation until the last chart or table holds pixels. Cold is the first page of a fresh process in a
fresh browser context, warm every other one; each run asks for another site, so that no answer is cached. *Refresh* is
the process' CPU over what an open page refreshed by itself. Bytes are all but scripts, styles and fonts, uncompressed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from msgspec import Struct
from playwright.sync_api import Browser, sync_playwright

from app.windows import RANGES
from pipeline.store.engine import migrate
from tests.bench._feed import Feeding
from tests.bench._painted import load, opened, settled
from tests.bench._seeded import DEEP, Seeded, seed
from tests.bench._session import Session
from tests.browser.chromium import launch
from tests.harness import Fleet, eventually
from workers import embedded
from workers.commands.up import free_port
from workers.embedded import Servers

ROOM = Path(__file__).parents[2] / "app/pages"
LONGEST = list(RANGES)[-1]
SESSIONS = 10
MARKS = 10
# Each page by its path and query; n is the number of a site with deep ticks, or of a list's page.
PAGES = {
    "now": ("", ""),
    "sites": ("sites", "page={n}"),
    "site": ("site", "site=site-{n}"),
    "site, longest": ("site", "site=site-{n}&range={longest}"),
    "regions": ("regions", ""),
    "health": ("health", ""),
}
LIMITS = {
    "script_warm_p95_ms": ("script, warm p95, ms", 300.0),
    "painted_warm_p95_ms": ("painted, warm p95, ms", 2_500.0),
    "refresh_cpu_ms": ("a live refresh, CPU ms", 50.0),
    "bytes": ("bytes beyond the libraries", 600_000.0),
}
LIVE_TICK_S = 2.0


class Server:
    """The app's process, restarted at will."""

    def __init__(self, fleet: Fleet, port: int) -> None:
        self._fleet, self.port = fleet, port
        self._process: Any = None

    def restart(self) -> None:
        if self._process is not None:
            self._fleet.stop(self._process)
        self._process = self._fleet.start("app", BETTERSTACK_PORT=str(self.port), BETTERSTACK_LOG_LEVEL="WARNING")
        eventually(self._answers, what="the app")

    def url(self, page: str, number: int) -> str:
        path, query = asked(page, number)
        return f"http://127.0.0.1:{self.port}/{path}?{query}"

    def rss_mb(self) -> float:
        return float(round(psutil.Process(self._process.pid).memory_info().rss / 2**20, 1))

    def cpu_ms(self) -> float:
        times = psutil.Process(self._process.pid).cpu_times()
        return 1000 * float(times.user + times.system)

    def _answers(self) -> bool:
        try:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=2)
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except OSError:
            return False


class Refreshing(Struct, frozen=True):
    """What an open page cost while nobody touched it."""

    refreshes: int
    cpu_ms: float


def asked(page: str, number: int) -> tuple[str, str]:
    path, query = PAGES[page]
    return path, query.format(n=number, longest=LONGEST)


def scripts(server: Server, pages: Sequence[str], runs: int) -> dict[str, dict[str, Any]]:
    """Milliseconds of each page's script: cold, warm, and of its live parts by their period."""
    found: dict[str, dict[str, Any]] = {page: {} for page in pages}
    for page in pages:
        server.restart()
        with Session(server.port) as session:
            found[page]["script_cold_ms"] = session.open(*asked(page, 1)).script_ms
    warm: dict[str, list[float]] = {page: [] for page in pages}
    errors = dict.fromkeys(pages, 0)
    for number in range(1, runs + 1):
        for page in pages:
            with Session(server.port) as session:
                run = session.open(*asked(page, number))
                warm[page].append(run.script_ms)
                errors[page] += run.errors
    for page in pages:
        with Session(server.port) as session:
            parts = session.open(*asked(page, runs)).lives
            time.sleep(1.1)  # what the page has just read is cached for a second
            found[page]["parts_ms"] = {
                f"each {every:g} s": round(session.refresh(part).script_ms, 1) for part, every in parts.items()
            }
        found[page] |= spread("script_warm", warm[page]) | {"errors": errors[page]}
    return found


def paints(server: Server, browser: Browser, pages: Sequence[str], runs: int) -> dict[str, dict[str, Any]]:
    """When each page stood, cold and warm, and what it had fetched by then."""
    found: dict[str, dict[str, Any]] = {page: {} for page in pages}
    for page in pages:
        server.restart()
        with browser.new_context() as context:
            found[page]["painted_cold_ms"] = load(context, server.url(page, 1)).painted_ms
    with browser.new_context() as context:
        for page in pages:
            load(context, server.url(page, 1))  # libraries come from the browser's cache from now on
        for page in pages:
            loads = [load(context, server.url(page, number)) for number in range(1, runs + 1)]
            found[page] |= spread("painted_warm", [each.painted_ms for each in loads])
            found[page] |= {"charts": loads[-1].drawn, "bytes": max(each.bytes for each in loads)}
    return found


def refreshes(server: Server, browser: Browser, page: str, seconds: int) -> Refreshing:
    """An open page, left alone."""
    with browser.new_context() as context, opened(context, server.url(page, 1)) as (tab, traffic):
        settled(tab, traffic)
        before, spent = traffic.refreshes, server.cpu_ms()
        tab.wait_for_timeout(1000 * seconds)
        return Refreshing(traffic.refreshes - before, server.cpu_ms() - spent)


def memory(server: Server, browser: Browser, pages: Sequence[str]) -> dict[str, float]:
    """The process without anybody, and with ten open tabs that have refreshed for a while."""
    server.restart()
    started = server.rss_mb()
    with ExitStack() as tabs:
        for number in range(SESSIONS):
            context = tabs.enter_context(browser.new_context())
            url = server.url(pages[number % len(pages)], number + 1)
            settled(*tabs.enter_context(opened(context, url)))
        time.sleep(10)
        return {"rss_started_mb": started, f"rss_{SESSIONS}_sessions_mb": server.rss_mb()}


def live_ticks(server: Server, browser: Browser, feeding: Feeding) -> list[float]:
    """Seconds from a tick's commit to its row in the open page of its site."""
    found = []
    with browser.new_context() as context, opened(context, server.url("site", 1)) as (tab, traffic):
        settled(tab, traffic)
        for place in range(MARKS):
            tab.wait_for_timeout(1_000 + 370 * place % 1_000)  # anywhere between two refreshes
            at = feeding.mark(1)
            began = time.perf_counter()
            row = f"{at:%d %b %H:%M:%S}"
            tab.wait_for_function("text => document.body.textContent.includes(text)", arg=row, polling=20)
            found.append(time.perf_counter() - began)
    return found


def spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile, the latter by nearest rank."""
    p95 = sorted(values)[ceil(0.95 * len(values)) - 1]
    return {f"{name}_p50_ms": round(median(values), 1), f"{name}_p95_ms": round(p95, 1)}


@contextmanager
def house(sites: int, days: int) -> Iterator[tuple[Servers, Seeded, float]]:
    """Servers with a full store, and how long it took to fill."""
    with tempfile.TemporaryDirectory() as folder, embedded.running(Path(folder) / "data") as servers:
        migrate(servers.database_url)
        began = time.perf_counter()
        seeded = seed(servers.database_url, sites, days, datetime.now(UTC))
        yield servers, seeded, time.perf_counter() - began


def measure(sites: int, days: int, runs: int, watch_s: int, say: Callable[[str], None]) -> dict[str, Any]:
    pages = [page for page, (path, _) in PAGES.items() if (ROOM / f"{path or 'now'}.py").exists()]
    with ExitStack() as stack:
        servers, seeded, seeding_s = stack.enter_context(house(sites, days))
        say(f"seeded {seeded.rollup_rows} rollups in {seeding_s:.0f} s")
        feeding = stack.enter_context(Feeding(servers.database_url, seeded))
        fleet = stack.enter_context(Fleet(servers.database_url, servers.redis_url))
        browser = stack.enter_context(launch(stack.enter_context(sync_playwright())))
        server = Server(fleet, free_port("127.0.0.1", 0))
        found = scripts(server, pages, runs)
        say("scripts measured")
        for page, figures in paints(server, browser, pages, runs).items():
            found[page] |= figures
        say("paints measured")
        for page in pages:
            left_alone = refreshes(server, browser, page, watch_s)
            found[page] |= {
                "refreshes": left_alone.refreshes,
                "refresh_cpu_ms": round(left_alone.cpu_ms / max(1, left_alone.refreshes), 1),
            }
        say("refreshes measured")
        ticks = live_ticks(server, browser, feeding)
        result: dict[str, Any] = {"sites": sites, "days": days, "runs": runs, "rollup_rows": seeded.rollup_rows}
        result |= {"seeding_s": round(seeding_s, 1), **memory(server, browser, pages)}
        result |= {"live_tick_median_s": round(median(ticks), 2), "live_tick_slowest_s": round(max(ticks), 2)}
        return result | {"pages": found}


def bars(figures: dict[str, Any]) -> list[dict[str, Any]]:
    measured = [
        (f"{page}: {name}", values[key], limit)
        for page, values in figures["pages"].items()
        for key, (name, limit) in LIMITS.items()
    ]
    measured.append(("runs that showed an error", sum(page["errors"] for page in figures["pages"].values()), 0))
    measured.append(("a live tick on its site's page, slowest, s", figures["live_tick_slowest_s"], LIVE_TICK_S))
    return [{"name": name, "value": value, "limit": limit, "holds": value <= limit} for name, value, limit in measured]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--sites", type=int, default=1_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--runs", type=int, default=20, help=f"of each page, {DEEP} at most")
    parser.add_argument("--watch", type=int, default=30, help="seconds that each page is left open")
    wanted = parser.parse_args()
    if wanted.runs > DEEP or wanted.sites < DEEP:
        parser.error(f"there are {DEEP} sites with deep ticks: --runs is at most that, --sites at least")
    figures = measure(
        wanted.sites, wanted.days, wanted.runs, wanted.watch, lambda line: print(line, file=sys.stderr, flush=True)
    )
    found = bars(figures)
    print(json.dumps(figures | {"bars": found}, indent=None if wanted.json else 2))
    sys.exit(not all(bar["holds"] for bar in found))


if __name__ == "__main__":
    main()
