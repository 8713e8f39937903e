"""Journeys over a workbench that is at work, in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from pipeline.store.engine import plain_dsn
from pipeline.store.ticks import store_ticks
from pipeline.vocabulary import Outcome, Phases, Tick
from tests.browser.house import PATIENCE_MS, Windows, drawn, page_paths, started, took
from tests.browser.readable import unreadable, wider_than_window
from tests.browser.refreshes import Refreshes
from tests.harness import Target, add_sites, count, eventually, now

SITE = "s0"
# As if the first site had been watched for ten days: the strip over all of its time has something to brush.
_PAST = """
    with older as (update sites set created_at = created_at - interval '10 days' where id = 1),
        called as (update revisions set effective_at = effective_at - interval '10 days' where site_id = 1)
    insert into rollups_hour (at, site_id, region_id, checks, up, degraded, down, unknown, attempts, first_failures,
        untrusted, up_us, degraded_us, down_us, unknown_us, p50_ms, p90_ms, p95_ms, p99_ms, buckets, counts)
    select date_trunc('hour', now()) - make_interval(hours => back), 1, region, 60, 60, 0, 0, 0, 60, 0, 0,
        3600000000, 0, 0, 0, 20, 30, 40, 60, '{138}', '{60}'
    from generate_series(1, 239) as back, generate_series(1, 2) as region
"""


class House(NamedTuple):
    """A workbench with three sites up and one down, all checked."""

    url: str
    dsn: str


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with started(tmp_path_factory.mktemp("house")) as (url, dsn), Target() as target:
        add_sites(dsn, [f"{target.url}/{name}" for name in ("one", "two", "three", "down")], interval_s=5)
        eventually(lambda: count(dsn, "select count(*) from verdicts where state = 'down'") == 1, what="a site down")
        eventually(lambda: count(dsn, "select count(*) from verdicts where state = 'up'") == 3, what="three sites up")
        with psycopg.connect(plain_dsn(dsn)) as connection:
            connection.execute(_PAST)
        yield House(url, dsn)


@pytest.fixture
def windows(house: House, browser: Browser) -> Iterator[Windows]:
    """Windows; whichever journey they were on, they asked nobody else for anything."""
    windows = Windows(browser, house.url)
    yield windows
    windows.close()
    assert windows.elsewhere == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_can_be_read_on_a_phone(windows: Windows, scheme: str, tmp_path: Path) -> None:
    wrong = {}
    for name, path in page_paths(SITE).items():
        page = windows.open(path, width=390, height=2000, color_scheme=scheme)
        drawn(page)
        page.screenshot(path=tmp_path / f"{name}-{scheme}.png")
        wrong[name] = [*wider_than_window(page), *unreadable(page)]
        windows.close()
    assert not any(wrong.values()), wrong


def test_a_tick_is_on_its_site_s_page_soon_after_its_commit(windows: Windows, house: House) -> None:
    page = windows.open(f"site?site={SITE}")
    drawn(page)
    seconds = []
    for _ in range(2):
        row = commit_a_tick(house.dsn)
        began = time.monotonic()
        page.wait_for_function("row => document.body.textContent.includes(row)", arg=row, timeout=5_000, polling=20)
        seconds.append(took(began))
    print("seconds from commit to page:", *(f"{each:.2f}" for each in seconds))


def commit_a_tick(dsn: str) -> str:
    """Store a tick that no check makes, due in a second of its own; what the table says of it."""
    with psycopg.connect(plain_dsn(dsn)) as connection:
        due = connection.execute(
            "select distinct floor(extract(epoch from scheduled_at))::int % 5 from ticks"
            " where site_id = 1 and prober <> 'test'"
        )
        taken = {second for (second,) in due}
        at = now().replace(microsecond=0)
        while int(at.timestamp()) % 5 in taken:
            at -= timedelta(seconds=1)
        tick = Tick(1, 1, at, 0, at, Outcome.OK, True, 5, 1, "test", Phases(1, 2, 3, 4, 5), 15.0, 0.1, 200)
        store_ticks(connection, [tick])
    return f"{at:%d %b %H:%M:%S}"


@pytest.mark.parametrize(
    ("here", "there"), [("America/New_York", "Asia/Kolkata"), ("Asia/Kolkata", "America/New_York")]
)
def test_a_brush_stays_through_refreshes_and_the_address_brings_it_back_elsewhere(
    windows: Windows, here: str, there: str
) -> None:
    page = windows.empty(timezone_id=here)
    refreshes = Refreshes(page)
    page.goto(f"{windows.url}/site?site={SITE}")
    drawn(page)
    drag(page, 0.4, 0.6)
    page.wait_for_url(re.compile("from=.*to="))
    drawn(page)
    picked, said, address = brush(page), window_of(page), page.url
    assert picked[1] - picked[0] == pytest.approx(0.2, abs=0.02)
    for _ in range(3):
        refreshes.pass_time(15)
        assert (brush(page), window_of(page), page.url) == (picked, said, address)
    elsewhere = windows.open(address.removeprefix(f"{windows.url}/"), timezone_id=there)
    drawn(elsewhere)
    assert brush(elsewhere) == pytest.approx(picked, abs=0.005)
    assert window_of(elsewhere) == said


def drag(page: Page, start: float, end: float) -> None:
    """Draw a brush over the overview, from one share of its width to another."""
    box = strip(page).bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 3
    page.mouse.move(box["x"] + start * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + (start + end) / 2 * box["width"], y, steps=3)
    page.mouse.move(box["x"] + end * box["width"], y, steps=3)
    page.mouse.up()


def strip(page: Page) -> Locator:
    return page.locator(".stVerticalBlock.st-key-overview [data-testid=stVegaLiteChart] svg")


def brush(page: Page) -> tuple[float, float]:
    """Where the brush is drawn, as shares of the overview's width."""
    shape = strip(page).locator(".window_brush path")
    expect(shape).to_be_visible()
    brushed, whole = shape.bounding_box(), strip(page).bounding_box()
    assert brushed is not None
    assert whole is not None
    start = (brushed["x"] - whole["x"]) / whole["width"]
    return start, start + brushed["width"] / whole["width"]


def window_of(page: Page) -> str:
    """The window in words, as the line above the charts has it."""
    return page.locator(".st-key-window p").first.inner_text()


def test_back_and_forward_step_through_regions_ranges_and_pages(windows: Windows) -> None:
    page = windows.open("sites")
    drawn(page)
    open_first_site(page)
    key = re.search(r"site=(\w+)", page.url)
    assert key is not None
    choice(page, "24h").click()
    expect_picked(page, "24h", range="24h")
    choice(page, "local-a").click()
    expect_picked(page, "24h", "local-a", range="24h", region="local-a")
    page.go_back()
    expect_picked(page, "24h", range="24h")
    page.go_back()
    expect_picked(page, "1h")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sites", timeout=PATIENCE_MS)
    page.go_forward()
    expect(page.get_by_role("heading", level=1)).to_have_text(key[1], timeout=PATIENCE_MS)
    expect_picked(page, "1h")
    page.go_forward()
    expect_picked(page, "24h", range="24h")
    page.go_forward()
    expect_picked(page, "24h", "local-a", range="24h", region="local-a")


def open_first_site(page: Page) -> None:
    """Click on the name in the first row, which is drawn on a canvas."""
    table = page.locator("[data-testid=stDataFrame] canvas").first
    expect(page.locator("[data-testid=stDataFrame] [role=gridcell]").first).to_be_attached()
    table.click(position={"x": 170, "y": 52}, force=True)  # what takes the clicks lies above it
    page.wait_for_url(re.compile(r"/site\?.*site="))


def choice(page: Page, name: str) -> Locator:
    """One of the ranges or regions that can be picked."""
    return page.get_by_test_id("stButtonGroup").get_by_text(name, exact=True)


def expect_picked(page: Page, *names: str, **in_address: str) -> None:
    """These and no others of the ranges and regions are picked, and the address says so beside the site."""
    picked = page.locator("[data-testid=stMain] [aria-checked=true], [data-testid=stMain] [aria-pressed=true]")
    expect(picked).to_have_text(list(names), timeout=PATIENCE_MS)
    said = "".join(f"&{name}={value}" for name, value in in_address.items())
    expect(page).to_have_url(re.compile(rf"/site\?site=\w+{said}$"), timeout=PATIENCE_MS)
