"""The app on a database of its own, page by page, without a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import streamlit as st
from sqlalchemy import text
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from app.data import connections
from pipeline.declared import SiteIn
from pipeline.judge.verdict import Standing, fold
from pipeline.store import beats
from pipeline.store.engine import plain_dsn
from pipeline.store.regions import list_regions, seed_regions
from pipeline.store.sites import create_sites
from pipeline.store.ticks import ensure_partitions, store_ticks
from pipeline.vocabulary import Kind, Outcome, Phases, Site, Tick
from tests.harness import fresh_database, now, raw, writing
from workers.embedded import Servers

MAIN = Path(__file__).parents[2] / "app" / "main.py"
PHASES = Phases(dns_ms=2.0, connect_ms=10.0, tls_ms=20.0, ttfb_ms=60.0, transfer_ms=5.0)


class Workbench:
    """A database with two regions, what is in it, and the pages on it."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        with writing(dsn) as connection:
            seed_regions(connection, now=now() - timedelta(days=1))
            self.regions = list_regions(connection)

    def open(self, page: str = "now", /, **parameters: str | list[str]) -> AppTest:
        """The page, run once."""
        app = AppTest.from_file(MAIN, default_timeout=30).run()
        if page != "now":
            app.switch_page(f"pages/{page}.py")
        for name, value in parameters.items():
            app.query_params[name] = value
        return app.run() if page != "now" or parameters else app

    def add(self, *keys: str, tags: Sequence[str] = (), interval_s: int = 60) -> list[Site]:
        sites = [
            SiteIn(key=key, name=key.title(), url=f"https://{key}.example.com/", tags=list(tags), interval_s=interval_s)
            for key in keys
        ]
        with writing(self.dsn) as connection:
            return create_sites(connection, sites, now=now() - timedelta(hours=2), actor="test")

    def tick(
        self,
        site: Site,
        outcome: Outcome = Outcome.OK,
        *,
        at: datetime | None = None,
        regions: Sequence[str] = ("local-a", "local-b"),
        kind: Kind = Kind.SCHEDULED,
        detail: str | None = None,
    ) -> None:
        """A tick from each of the regions, and what they stand for then."""
        at = at or now() - timedelta(seconds=5)
        seen = [region for region in self.regions if region.key in regions]
        ticks = [
            Tick(site.id, region.id, at, 0, at, outcome, True, site.interval_s, 1, f"{region.key}-1", phases=PHASES,
                 latency_ms=97.0, error_ms=0.1, status=200, detail=detail, kind=kind)
            for region in seen
        ]  # fmt: skip
        with psycopg.connect(plain_dsn(self.dsn)) as connection:
            ensure_partitions(connection, [at.date()])
            store_ticks(connection, ticks)
        if kind is Kind.SCHEDULED:
            with writing(self.dsn) as connection:
                for tick in ticks:
                    stands = fold(Standing(), tick, settle_s=5)
                    connection.execute(
                        text(
                            "update series set state = :state, outcome = :outcome, detail = :detail, since = :at,"
                            " slot_at = :at, fresh_until = :fresh, latency_ms = 97"
                            " where site_id = :site and region_id = :region"
                        ),
                        {"state": stands.state, "outcome": outcome, "detail": detail, "at": at}
                        | {"fresh": stands.fresh_until, "site": site.id, "region": tick.region_id},
                    )

    def beat(self) -> None:
        """Every part of the workbench gives a sign of life."""
        at = now()
        with writing(self.dsn) as connection:
            connection.execute(text("update pusher set beat_at = :at, pushed_until = :at"), {"at": at})
            roles = [("recorder", None), ("roller", None), *(("prober", region.id) for region in self.regions)]
            seen = [beats.WorkerSeen(f"{role}-{region}", role, "here", 1, at, at, region) for role, region in roles]
            beats.beat(raw(connection), *seen)


@pytest.fixture
def workbench(servers: Servers, template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workbench]:
    with fresh_database(servers, template) as dsn:
        monkeypatch.setenv("BETTERSTACK_DATABASE_URL", dsn)
        monkeypatch.setenv("BETTERSTACK_SECRET_KEY", "k" * 44)
        _run_main_and_not_the_folder(monkeypatch)
        _forget()
        yield Workbench(dsn)
        for read_only in (True, False):
            connections.engine(dsn, read_only=read_only).dispose()
        _forget()


def _run_main_and_not_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `app.theme.apply` does for the server: AppTest would take pages/ for an app of the old kind on each run."""
    begin = PagesManager.__init__

    def begin_anew(self: PagesManager, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        PagesManager.uses_pages_directory = False

    monkeypatch.setattr(PagesManager, "__init__", begin_anew)


def _forget() -> None:
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def said() -> Callable[[AppTest], str]:
    """Everything that a page says in words."""

    def collect(app: AppTest) -> str:
        assert not app.exception, app.exception
        elements = [*app.markdown, *app.caption, *app.error, *app.warning, *app.success, *app.info, *app.title]
        return "\n".join([str(e.value) for e in elements] + [link.label for link in app.page_link]).replace("\\", "")

    return collect
