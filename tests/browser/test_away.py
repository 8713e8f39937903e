"""What people see when there is nothing yet, when nobody checks, and when the database is away. And that it ends."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from pipeline.store.engine import migrate
from pipeline.store.regions import seed_regions
from pipeline.store.sites import pause_sites
from tests.browser.house import PATIENCE_MS, Windows, drawn, page_paths
from tests.harness import Fleet, Target, add_sites, count, eventually, now, writing
from workers import embedded
from workers.commands.up import free_port
from workers.embedded import Servers, postgres

REGIONS = ("local-a", "local-b")
EMPTY = {
    "now": "What should be up?",
    "sites": "No sites yet",
    "site": "Pick one from the list of sites",
    "explain": "Pick a site",
    "changes": "Nothing was measured yet",
    "reports": "There is no site to report on",
    "regions": "local-a",
    "slo": "Nothing is promised yet",
    "health": "Our own parts",
}
AWAY = re.compile("Postgres does not answer|store is away|Postgres cannot be reached", re.IGNORECASE)


class House:
    """Roles and servers, each of which can be taken away and brought back."""

    def __init__(self, servers: Servers, fleet: Fleet, url: str) -> None:
        self.servers, self.fleet, self.url = servers, fleet, url
        self.dsn = servers.database_url
        self.probers = self.start_probers()

    def start_probers(self) -> list[subprocess.Popen[bytes]]:
        return [self.fleet.start("prober", "--region", key) for key in REGIONS]

    def kill_probers(self) -> None:
        for process in self.probers:
            self.fleet.stop(process, signal.SIGKILL)

    def take_postgres_away(self) -> None:
        self.servers.postgres.stop(patience_s=postgres.PATIENCE_S, then=postgres.HURRY)

    def bring_postgres_back(self) -> None:
        self.servers.postgres.start()
        eventually(lambda: postgres.ready(self.servers.postgres), what="Postgres")


def answers(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with embedded.running(tmp_path_factory.mktemp("away") / "data") as servers:
        migrate(servers.database_url)
        with writing(servers.database_url) as connection:
            seed_regions(connection, now=now())
        port = free_port("127.0.0.1", 0)
        with Fleet(servers.database_url, servers.redis_url, BETTERSTACK_PORT=str(port)) as fleet:
            for role in ("app", "pusher", "recorder", "roller"):
                fleet.start(role)
            house = House(servers, fleet, f"http://127.0.0.1:{port}")
            workers = "select count(*) from workers where role in ('prober', 'recorder', 'roller')"
            eventually(lambda: count(house.dsn, workers) == 4, what="everybody's sign of life")
            eventually(lambda: answers(port), what="the app")
            yield house


@pytest.fixture
def windows(house: House, browser: Browser) -> Iterator[Windows]:
    windows = Windows(browser, house.url)
    yield windows
    windows.close()
    assert windows.elsewhere == []


@pytest.fixture(scope="module")
def target(house: House) -> Iterator[Target]:
    """Two sites are watched from now on, `s0` each two seconds; `s1` is paused."""
    with Target() as target:
        add_sites(house.dsn, [f"{target.url}/one", f"{target.url}/two"], interval_s=2)
        with writing(house.dsn) as connection:
            pause_sites(connection, ["s1"], paused=True, now=now(), actor="test")
        eventually(lambda: count(house.dsn, "select count(*) from verdicts where state = 'up'") == 1, what="a site up")
        yield target


def says(page: Page, words: str | re.Pattern[str], seconds: float = 20.0) -> None:
    try:
        expect(page.get_by_test_id("stMain").get_by_text(words).first).to_be_visible(timeout=1000 * seconds)
    except AssertionError as error:
        raise AssertionError(f"{page.url} says instead: {page.get_by_test_id('stApp').inner_text()}") from error


def test_an_empty_workbench_says_on_every_page_what_to_do(windows: Windows) -> None:
    paths = page_paths("") | {"site": "site"}
    for name, path in paths.items():
        page = windows.open(path)
        drawn(page)
        says(page, EMPTY[name])


@pytest.mark.usefixtures("target")
def test_a_paused_site_says_so_and_can_be_resumed(windows: Windows) -> None:
    page = windows.open("site?site=s1")
    says(page, "Nothing is checked")
    expect(page.get_by_role("button", name="Test now")).to_be_disabled()
    page.get_by_role("button", name="Resume").click()
    says(page, "answers as expected")
    page.get_by_role("button", name="Pause").click()
    says(page, "Nothing is checked")


@pytest.mark.usefixtures("target")
def test_a_site_that_nobody_checks_turns_unknown_by_itself_and_comes_back(windows: Windows, house: House) -> None:
    site, overview = windows.open("site?site=s0"), windows.open("")
    says(site, "answers as expected")
    house.kill_probers()
    for page in (site, overview):
        says(page, "Our checks are not running", seconds=40)
        says(page, "no fresh check from 2 of 2 regions")
        says(page, "prober local-a")
    house.probers = house.start_probers()
    says(site, "answers as expected", seconds=30)
    expect(overview.get_by_text("Our checks are not running")).to_have_count(0, timeout=PATIENCE_MS)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("target")
def test_every_page_says_when_the_database_is_away_and_comes_back_by_itself(windows: Windows, house: House) -> None:
    paths = page_paths("s0")
    open_before = [windows.open(path) for path in paths.values()]
    for page in open_before:
        drawn(page)
    house.take_postgres_away()
    try:
        for page in open_before:  # before more of them ask: twenty windows at once are a load of their own
            says(page, AWAY, seconds=60)
            expect(page.locator("[data-testid=stException]")).to_have_count(0)
        opened_meanwhile = [windows.open(path) for path in paths.values()]
        for page in opened_meanwhile:
            says(page, AWAY, seconds=60)
            expect(page.locator("[data-testid=stException]")).to_have_count(0)
    finally:
        house.bring_postgres_back()
    for page in [*open_before, *opened_meanwhile]:
        expect(page.get_by_text(AWAY)).to_have_count(0, timeout=30_000)
        drawn(page)
