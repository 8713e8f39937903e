"""SLO: what was promised and what is left of it; add, edit, remove."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any, Literal

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from app import data
from pipeline.frames import SITE_SPANS, SPANS, schema
from pipeline.moments import Moment, moment
from pipeline.workbench import Workbench as Reader
from tests.app.conftest import Workbench
from tests.harness import now

Said = Callable[[AppTest], str]
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def spans(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Spans made by hand: an outage of so many minutes that ended an hour ago, before and after it `state`."""
    told: dict[str, Any] = {"minutes": 20, "state": "up"}

    def made(
        _: Reader,
        sites: Collection[str],
        start: Moment,
        end: datetime | None = None,
        *,
        level: Literal["region", "global"] = "region",
    ) -> pl.LazyFrame:
        until = end or now()
        since = moment(start, until, "start")
        ended = until - 60 * MINUTE
        began = ended - told["minutes"] * MINUTE
        runs: list[tuple[str, datetime, datetime]] = [(told["state"], since, began), ("down", began, ended)]
        rows = []
        for number, site in enumerate(sorted(sites), start=1):
            for state, at, to in [*runs, (told["state"], ended, until)]:
                row = {"site": site, "site_id": number, "state": state, "since": at, "until": to, "checks": 9}
                seen = [row | {"region": f"r{r}", "region_id": r} for r in (1, 2)] if level == "region" else [row]
                rows += seen if at < to else []
        types = schema(SPANS if level == "region" else SITE_SPANS)
        return pl.DataFrame([{name: row.get(name) for name in types} for row in rows], schema=types).lazy()

    monkeypatch.setattr(Reader, "spans", made, raising=False)
    return told


def promise(**fields: Any) -> None:
    data.add_objective({"key": "web", "target": 0.999} | ({} if "tag" in fields else {"site": "shop"}) | fields)


def test_without_a_site_it_says_that_one_comes_first(workbench: Workbench, said: Said) -> None:
    words = said(workbench.open("slo"))
    assert "◌ Nothing is promised yet" in words
    assert "Add a site first" in words


def test_without_an_objective_it_says_what_one_is(workbench: Workbench, said: Said) -> None:
    workbench.add("shop")
    app = workbench.open("slo")
    assert "leaves a budget of 43 minutes" in said(app)
    app.button(key="open-first").click().run()
    assert app.text_input(key="objective-form-target").value == "99.9 %"


def test_it_shows_what_is_left_where_it_leads_and_how_fast_it_burns(workbench: Workbench, said: Said) -> None:
    workbench.add("shop")
    promise()
    app = workbench.open("slo")
    words = said(app)
    assert "99.9 % over 30 days · shop" in words
    assert "**53.7 %**" in words  # 20 of 43.2 minutes
    assert "23 min 12 s" in words or "23 min" in words
    assert "coverage 100 %" in words
    assert "if days go on like these" in words
    assert "##### Page above 14.4x" in words
    assert len(app.get("vega_lite_chart")) == 4


def test_of_several_one_is_picked_in_the_address_and_seen_whole(workbench: Workbench) -> None:
    workbench.add("shop", "blog", tags=["eu"])
    promise()
    promise(key="europe", tag="eu")
    assert len(workbench.open("slo").get("vega_lite_chart")) == 2
    assert len(workbench.open("slo", objective="europe").get("vega_lite_chart")) == 4


def test_what_cannot_fire_says_so(workbench: Workbench, said: Said) -> None:
    workbench.add("shop")
    promise(target=0.9)
    assert "Cannot fire: with all of the time bad, this budget burns at 10x" in said(workbench.open("slo"))


def test_a_budget_that_is_gone_says_so_and_how_much_too_many(
    workbench: Workbench, said: Said, spans: dict[str, Any]
) -> None:
    workbench.add("shop")
    promise()
    spans["minutes"] = 60
    words = said(workbench.open("slo"))
    assert "✕ budget gone" in words
    assert "too many" in words
    assert "**already**" in words


def test_where_nothing_is_known_nothing_is_claimed(workbench: Workbench, said: Said, spans: dict[str, Any]) -> None:
    workbench.add("shop")
    promise()
    spans.update(minutes=0, state="unknown")
    app = workbench.open("slo")
    words = said(app)
    assert "◌ nothing known" in words
    assert "◌ Nothing is known of this window" in words
    assert "needs a week of days that are known" in words
    assert not app.get("vega_lite_chart")


def test_a_tag_without_sites_and_a_site_that_is_gone_say_what_to_do(workbench: Workbench, said: Said) -> None:
    workbench.add("shop")
    promise()
    promise(key="us", tag="us")
    data.delete(["shop"])
    words = said(workbench.open("slo"))
    assert "No site has the tag us" in words
    assert "Its site was deleted" in words


def test_it_adds_edits_and_removes(workbench: Workbench, said: Said) -> None:
    workbench.add("shop", tags=["eu"])
    app = workbench.open("slo")
    app.button(key="open-objective").click().run()
    app.text_input(key="objective-form-key").set_value("web")
    app.text_input(key="objective-form-target").set_value("all of it")
    app.button(key="objective-form-submit").click().run()
    assert "✕ 'all of it' is no share" in said(app)
    app.text_input(key="objective-form-target").set_value("99.5")
    app.button(key="objective-form-submit").click().run()
    assert "name either a site or a tag" in said(app)
    app.selectbox(key="objective-form-about").set_value("tag eu")
    app.selectbox(key="objective-form-window").set_value("the calendar month")
    app.button(key="objective-form-submit").click().run()
    assert not app.exception
    [objective] = data.objectives()
    assert (objective.tag, objective.target, objective.window_days) == ("eu", 0.995, None)
    app.button(key="edit-web").click().run()
    assert app.selectbox(key="objective-form-about").value == "tag eu"
    app.selectbox(key="objective-form-about").set_value("site shop")
    app.button(key="objective-form-submit").click().run()
    [objective] = data.objectives()
    assert (objective.site, objective.tag) == ("shop", None)
    app.button(key="remove-web").click().run()
    app.button(key="objective-delete-yes").click().run()
    assert data.objectives() == []


def test_the_python_that_it_shows_runs(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    workbench.add("shop")
    promise()
    monkeypatch.setenv("BETTERSTACK_REDIS_URL", "redis://localhost:1")
    codes = [each.value for each in workbench.open("slo").code]
    assert len(codes) == 4
    for python in codes:
        names: dict[str, Any] = {}
        exec(python, names)
        names["up"].close()
