"""Health: our own parts, what each means, and what to do when one is unwell."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text
from streamlit.testing.v1 import AppTest

from app import data
from app.data import connections, present
from pipeline.store import beats
from pipeline.store.ticks import ensure_partitions
from tests.app.conftest import Workbench
from tests.harness import now, raw, writing

Said = Callable[[AppTest], str]


def make_well(workbench: Workbench) -> None:
    workbench.beat()
    at = now()
    probers = {region.key: 1 for region in workbench.regions}
    supervisor = beats.WorkerSeen("supervisor", "supervisor", "here", 1, at, at, detail={"probers": probers})
    backlogs = [beats.Backlog(region.id, at, 0, 0, 0.0, 0.0, 0) for region in workbench.regions]
    with writing(workbench.dsn) as connection:
        beats.beat(raw(connection), supervisor)
        beats.note_backlogs(raw(connection), backlogs)
        ensure_partitions(raw(connection), [at.date(), at.date() + timedelta(days=1)])


def test_it_says_that_all_is_well_in_a_symbol_and_words(workbench: Workbench, said: Said) -> None:
    make_well(workbench)
    words = said(workbench.open("health"))
    assert "All our parts are well." in words
    for part in ("postgres", "pusher", "recorder", "roller", "supervisor", "prober local-a", "lateness", "clocks"):
        assert f":green-badge[● well] **{part}**" in words
    assert "What to do" not in words


def test_what_is_unwell_comes_first_with_what_to_do(workbench: Workbench, said: Said) -> None:
    make_well(workbench)
    with writing(workbench.dsn) as connection:
        connection.execute(text("update workers set seen_at = seen_at - interval '5 min' where role = 'recorder'"))
        connection.execute(text("update regions set managed = false where key = 'local-b'"))
        connection.execute(text("delete from workers where region_id = :id"), {"id": workbench.regions[1].id})
    words = said(workbench.open("health"))
    assert "Something of ours is not well" in words
    assert ":red-badge[✕ unwell] **recorder**" in words
    assert "→ See the end of its log" in words
    assert ":orange-badge[▲ worth a look] **prober local-b**" in words
    assert "`betterstack region join-command local-b`" in words
    assert words.index("**recorder**") < words.index("**prober local-b**") < words.index("**postgres**")


def test_with_the_database_away_it_says_so_since_when_and_what_to_do(
    workbench: Workbench, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_well(workbench)
    assert data.checkup().ok
    last = present._answered()["at"]
    monkeypatch.setenv("BETTERSTACK_DATABASE_URL", "postgresql://nobody@/nowhere?host=/nowhere&port=1")
    connections.database.clear()
    data.checkup.clear()
    words = said(workbench.open("health"))
    assert ":red-badge[✕ unwell] **postgres**" in words
    assert f"since {last:%H:%M:%S} UTC" in words
    assert "`betterstack up` starts everything on this machine" in words
    assert "Nothing else is known while Postgres is away" in words
    assert "recorder" not in words
