"""Reports: what it says of some sites over a month, and what there is to take away."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from streamlit.testing.v1 import AppTest

from app import data
from app.components.report_code import command, days
from app.components.report_files import links
from app.components.report_pick import wanted
from pipeline.objectives import SPENDS
from pipeline.report import figures
from pipeline.report.sla import Wanted
from pipeline.store.engine import plain_dsn
from pipeline.store.rollups import roll
from pipeline.vocabulary import Outcome
from tests.app.conftest import Workbench
from tests.harness import now

Said = Callable[[AppTest], str]
MINUTE = timedelta(minutes=1)


@pytest.fixture
def month(workbench: Workbench) -> str:
    """The site shop with an hour of checks, ten minutes of them down, and its blog; the month of that hour."""
    shop, _ = workbench.add("shop", tags=["web"], interval_s=60)[0], workbench.add("blog", tags=["web"])
    began = now() - 60 * MINUTE
    for minute in range(60):
        outcome = Outcome.STATUS if 20 <= minute < 30 else Outcome.OK
        workbench.tick(shop, outcome, at=began + minute * MINUTE)
    with psycopg.connect(plain_dsn(workbench.dsn), autocommit=True) as connection, connection.transaction():
        roll(connection, before=now() + timedelta(days=1))
    data.add_objective({"key": "shop", "name": "Shop is there", "target": 0.999, "site": "shop"})
    return f"{began:%Y-%m}"


def test_without_a_site_it_says_so(workbench: Workbench, said: Said) -> None:
    assert "There is no site to report on" in said(workbench.open("reports"))


def test_it_says_the_uptime_its_coverage_the_outage_and_the_promise(
    workbench: Workbench, month: str, said: Said
) -> None:
    words = said(workbench.open("reports", about="site:shop", month=month))
    assert "so far" in words
    assert "**10 min**" in words
    assert "9 min to 11 min down, by the vote" in words
    assert "**Shop is there** promises 99.900 %: missed" in words
    assert "Coverage" in words
    assert "Bounds" in words


def test_a_promise_is_judged_by_its_own_policy_whoever_counts(month: str) -> None:
    ours, theirs = (data.report(Wanted(site="shop", month=month, policy=policy)) for policy in ("default", "seed"))
    assert ours.promised.equals(theirs.promised)
    assert ours.total["uptime"] != theirs.total["uptime"]
    assert set(figures._SPENDING) == set(SPENDS)


def test_a_tag_is_all_of_its_sites_each_in_a_row(workbench: Workbench, month: str) -> None:
    app = workbench.open("reports", about="tag:web", month=month)
    assert not app.exception
    assert list(app.dataframe[-1].value["site"]) == ["shop", "blog"], "the one of which nothing is known is last"


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ({"about": "site:nix"}, "There is no site 'nix'"),
        ({"about": "tag:nix"}, "No site has the tag 'nix'"),
        ({"month": "2026-13"}, "no month"),
        ({"month": "2199-01"}, "not begun"),
        ({"tz": "Mars/Olympus"}, "no time zone"),
        ({"policy": "nobody"}, "no policy"),
    ],
)
def test_an_address_that_means_nothing_is_explained(
    workbench: Workbench, said: Said, address: dict[str, str | list[str]], told: str
) -> None:
    workbench.add("shop")
    assert told in said(workbench.open("reports", **address))


def test_without_a_check_nothing_is_claimed(workbench: Workbench, said: Said) -> None:
    workbench.add("shop")
    assert "◌ Nothing is known of this time" in said(workbench.open("reports", about="site:shop"))


def test_the_page_and_the_notebook_are_there_to_take_away(workbench: Workbench, month: str) -> None:
    app = workbench.open("reports", about="site:shop", month=month)
    assert not app.exception
    of = Wanted(site="shop", month=month)
    page = data.report_page(of)
    assert "<svg" in page
    assert "10 min" in page
    assert json.loads(data.report_notebook(of))["nbformat"] == 4
    assert app.code[-1].value == f"betterstack report sla --site shop --month {month} --out sla-shop-{month}.html"


def test_without_what_draws_the_page_says_how_to_get_it(
    workbench: Workbench, month: str, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "can_draw", lambda: False)
    words = said(workbench.open("reports", about="site:shop", month=month))
    assert "make report" in words


def test_what_was_counted_is_offered_as_files_of_just_that_time(month: str) -> None:
    found = links(data.report(Wanted(site="shop", month=month)))
    assert len(found) == 4
    address = urlsplit(found[-1].partition("](")[2].partition(")")[0])
    assert address.path == "/api/v1/sites/shop/ticks"
    assert parse_qs(address.query)["since"] == [f"{month}-01T00:00Z"]


def test_a_page_of_code_makes_the_same_numbers(month: str) -> None:
    space: dict[str, Any] = {}
    exec(days(Wanted(site="shop", month=month)), space)
    space["up"].close()
    assert space["found"].total["down_s"] == pytest.approx(600, abs=5)


def test_a_command_quotes_what_a_shell_would_read() -> None:
    assert command(Wanted(tag="a b; rm", tz="Europe/Berlin")) == (
        "betterstack report sla --tag 'a b; rm' --tz Europe/Berlin --out 'sla-a b; rm-this-month.html'"
    )


def test_a_key_alone_is_a_site() -> None:
    assert wanted("shop", "2026-10", "UTC", "default").site == "shop"
    assert wanted("tag:web", "2026-10", "UTC", "default").tag == "web"
    assert wanted("all sites", "2026-10", "UTC", "default").about == "all sites"


def test_days_are_picked_into_the_address(workbench: Workbench, month: str) -> None:
    app = workbench.open("reports", about="site:shop", month=month)
    first, last = date(2026, 1, 5), date(2026, 1, 18)
    app.date_input[0].set_value((first, last)).run()
    assert app.query_params["month"] in ("2026-01-05/2026-01-18", ["2026-01-05/2026-01-18"])
    assert not app.exception


def test_days_in_the_address_are_shown_in_their_box(workbench: Workbench, month: str, said: Said) -> None:
    app = workbench.open("reports", about="site:shop", month=f"{month}-01/{month}-02")
    shown: Any = app.date_input[0].value
    assert [f"{day:%d}" for day in shown] == ["01", "02"]
    assert "01 " in said(app)
