"""Site: one site's regions, time and newest checks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import text
from streamlit.testing.v1 import AppTest

from app import data
from app.components import site_head
from app.data import edits
from pipeline import secrets
from pipeline.store.sites import get_site
from pipeline.store.uptime import Uptime
from pipeline.vocabulary import Kind, Outcome, Site
from tests.app.conftest import Workbench
from tests.harness import count, now, writing

Said = Callable[[AppTest], str]


def site_of(workbench: Workbench, key: str) -> Site:
    with writing(workbench.dsn) as connection:
        return get_site(connection, key)


def opened(site: Site) -> dict[str, str]:
    """The site's secrets, with the key of the installation."""
    stored = secrets.declared({"headers": site.headers, "body": site.body, "auth": site.auth})
    return secrets.opened(stored, edits._ring())


def specs(app: AppTest) -> list[dict[str, object]]:
    return [json.loads(chart.proto.spec) for chart in app.get("vega_lite_chart")]


def test_it_says_what_each_region_sees(workbench: Workbench, said: Said) -> None:
    (site,) = workbench.add("shop")
    workbench.tick(site)
    workbench.tick(site, Outcome.STATUS, at=now() - timedelta(seconds=3), regions=["local-b"], detail="got 503")
    words = said(workbench.open("site", site="shop"))
    assert "▲ degraded" in words
    assert ":green[●] **local-a**" in words
    assert ":red[✕] **local-b**" in words
    assert "got 503" in words


def test_it_shows_the_newest_ticks_first_and_marks_tests(workbench: Workbench) -> None:
    (site,) = workbench.add("shop")
    workbench.tick(site, at=now() - timedelta(minutes=3))
    workbench.tick(site, Outcome.DNS, at=now() - timedelta(minutes=2))
    workbench.tick(site, at=now() - timedelta(minutes=1), kind=Kind.MANUAL)
    app = workbench.open("site", site="shop")
    table = app.dataframe[0].value
    assert [kind for kind in table["Kind"]][::2] == ["▶ test", "scheduled", "scheduled"]  # noqa: C416
    assert [list(outcome)[0] for outcome in table["Outcome"]][::2] == ["● ok", "✕ dns", "● ok"]  # noqa: RUF015
    assert table["Detail"][2] == "the name did not resolve"
    # Overview, states, latency, phases, the test's waterfall, and that of the policy (where the roller has come).
    assert len(specs(app)) == 5


def test_a_test_leaves_a_request_for_each_region(workbench: Workbench) -> None:
    workbench.add("shop")
    app = workbench.open("site", site="shop")
    app.button(key="test").click().run()
    assert not app.exception
    assert count(workbench.dsn, "select count(*) from manual_checks where taken_at is null") == 2
    assert "Asked 2 regions" in app.toast[0].value


def test_what_a_test_found_is_shown_under_the_button(workbench: Workbench, said: Said) -> None:
    (site,) = workbench.add("shop")
    app = workbench.open("site", site="shop")
    app.button(key="test").click().run()
    assert "0 of 2 regions answered" in said(app)
    workbench.tick(site, at=now(), kind=Kind.MANUAL, regions=["local-a"])
    workbench.tick(site, Outcome.DNS, at=now(), kind=Kind.MANUAL, regions=["local-b"])
    data.ticks.clear()
    words = said(app.run())
    assert ":green[●] **local-a** answered as expected:gray[ · 97 ms]" in words
    assert ":red[✕] **local-b** the name did not resolve" in words
    assert "The last test:" not in words  # it is not drawn twice
    assert words.index("**local-a** answered") < words.index("Uptime")
    app.button(key="tested-done").click().run()
    assert "**local-a** answered" not in said(app)


def test_settings_explain_bad_input_at_the_field(workbench: Workbench, said: Said) -> None:
    workbench.add("shop")
    app = workbench.open("site", site="shop")
    app.button(key="edit").click().run()
    app.number_input(key="site-interval_s").set_value(5)
    app.number_input(key="site-timeout_s").set_value(30.0)
    app.button(key="site-submit").click().run()
    assert "✕ “Give up after” (30 s) is longer than “Check every” (5 s)" in said(app)
    assert site_of(workbench, "shop").interval_s == 60


def test_settings_are_saved_and_hide_header_values(workbench: Workbench, said: Said) -> None:
    workbench.add("shop")
    data.change_site("shop", {"headers": {"X-Token": "secret"}})
    app = workbench.open("site", site="shop")
    app.button(key="edit").click().run()
    assert re.fullmatch("X-Token: sealed:[0-9a-f]{8}", app.text_area(key="site-headers").value or "")
    app.text_input(key="site-name").set_value("The shop")
    app.button(key="site-submit").click().run()
    saved = site_of(workbench, "shop")
    assert (saved.name, opened(saved)) == ("The shop", {"header:X-Token": "secret"})
    assert "The shop" in said(app)


def test_a_secret_is_replaced_by_typing_over_it_and_the_others_stay(workbench: Workbench) -> None:
    workbench.add("shop")
    basic = {"username": "us", "password": "pw"}
    data.change_site("shop", {"headers": {"X-Token": "old", "Accept": "text/html"}, "body": "b", "auth": basic})
    app = workbench.open("site", site="shop")
    app.button(key="edit").click().run()
    shown = app.text_area(key="site-headers").value or ""
    assert "Accept: text/html" in shown
    app.text_area(key="site-headers").set_value(re.sub("X-Token: .*", "X-Token: new", shown))
    app.toggle(key="site-verify_tls").set_value(False)
    app.selectbox(key="site-family").set_value("ipv6")
    app.button(key="site-submit").click().run()
    assert not app.exception
    saved = site_of(workbench, "shop")
    assert opened(saved) == {"header:X-Token": "new", "body": "b", "auth": "pw"}
    assert (saved.headers["Accept"], saved.verify_tls, saved.family) == ("text/html", False, "ipv6")


def test_pause_and_resume(workbench: Workbench, said: Said) -> None:
    workbench.add("shop")
    app = workbench.open("site", site="shop")
    app.button(key="pause").click().run()
    assert "‖ paused" in said(app)
    assert app.button(key="test").disabled
    app.button(key="pause").click().run()
    assert not site_of(workbench, "shop").paused


def test_a_deleted_site_leads_back_to_the_list(workbench: Workbench) -> None:
    workbench.add("shop", "blog")
    app = workbench.open("site", site="shop")
    app.button(key="delete").click().run()
    app.button(key="delete-yes").click().run()
    assert not app.exception
    assert app.title[0].value == "Sites"


def test_an_unknown_site_is_explained(workbench: Workbench, said: Said) -> None:
    workbench.add("shop")
    assert "There is no site 'nowhere'" in said(workbench.open("site", site="nowhere"))


def test_it_claims_no_more_than_it_knows(workbench: Workbench, said: Said) -> None:
    (site,) = workbench.add("shop")
    workbench.tick(site)
    words = said(workbench.open("site", site="shop"))
    assert "100 %" not in words.split("Checks")[0].replace("known", "")


def test_a_young_site_shows_an_hour_and_says_what_it_is_worth_once(workbench: Workbench) -> None:
    old, young = workbench.add("old", "young")
    with writing(workbench.dsn) as connection:
        connection.execute(text("update sites set created_at = now() - interval '5 min' where key = 'young'"))
    workbench.tick(young)
    assert workbench.open("site", site=old.key).segmented_control(key="range").value == "6h"
    app = workbench.open("site", site=young.key)
    assert app.segmented_control(key="range").value == "1h"
    uptimes = {window: Uptime(1.0, 0.5, 1.0, 0.9, 0.0, 1.0, 5) for window in data.WINDOWS}
    words = site_head.worths(uptimes)
    assert words["24h"].endswith("; 99.9 % takes 3 838 checks")
    assert words["7d"] == words["30d"] == "the same checks as in 24 hours"
