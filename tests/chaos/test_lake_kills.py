"""The roller is killed at each step of the lake: no tick is lost or there twice, rollups equal a recomputation."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

import polars as pl
import psycopg
import pytest

from pipeline.lake.files import LakeRoot
from pipeline.settings import Settings
from pipeline.store import lake
from pipeline.store.engine import plain_dsn
from pipeline.store.lake_days import cold
from pipeline.store.rollups import verify
from pipeline.store.ticks import ensure_partitions, store_ticks
from pipeline.vocabulary import Tick
from pipeline.workbench import Workbench
from tests.harness import Fleet, fresh_database, now
from tests.integration.tickmaker import some_slots
from workers.archivist import Archivist
from workers.embedded import Servers
from workers.roller import Roller

DAY = timedelta(days=1)
START = now().replace(hour=6, minute=0, second=0, microsecond=0) - 40 * DAY
END = START + 2 * DAY


class Past:
    """A database whose days are old enough to go to the lake, and the lake."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.dsn, self.root = dsn, LakeRoot.of(folder)
        self.settings = Settings(database_url=dsn, redis_url="redis://localhost:1", lake=str(folder))
        self.ticks = some_slots(Random(18), START, hours=26, count=120)
        self.connection = psycopg.connect(plain_dsn(dsn), autocommit=True, options="-c timezone=UTC")

    def store(self, ticks: list[Tick]) -> None:
        with self.connection.transaction():
            ensure_partitions(self.connection, {tick.scheduled_at.date() for tick in ticks})
            store_ticks(self.connection, ticks)

    def killed(self, point: str) -> None:
        """The role as it is, until it kills itself there."""
        with Fleet(self.dsn, "redis://localhost:1", BETTERSTACK_LAKE=str(self.root)) as fleet:
            doomed = fleet.start("roller", BETTERSTACK_KILL_AT=point)
            assert doomed.wait(timeout=60) == -signal.SIGKILL
            fleet.running.remove(doomed)

    def roll(self) -> None:
        Roller(self.dsn, clock=now).roll()

    def beat(self) -> None:
        """What a roller that is started after it does."""
        archivist = Archivist(self.settings, clock=now)
        self.roll()
        archivist.merge_late()
        archivist.archive()
        self.roll()

    def whole(self) -> None:
        """Every tick is in the lake, once, and nowhere else; what is stored is what they tell."""
        assert len(cold(self.connection, START, END)) >= 2
        for table in ("ticks", "late_ticks", "dirty_hours"):
            assert self.connection.execute(f"select count(*) from {table}".encode()).fetchone() == (0,)
        rows = pl.read_parquet(self.root.path("ticks/*/*.parquet"))
        keys = rows.select("site_id", "region_id", "scheduled_at", "attempt")
        assert keys.unique().height == keys.height == len({tick.key for tick in self.ticks})
        assert [wrong for _, wrong in lake.verify(self.connection, self.root) if wrong] == []
        assert verify(self.connection, START, END) == []
        with Workbench(self.dsn) as bench:
            assert bench.ticks(start=START, end=END).collect().height == keys.height


@pytest.fixture
def past(servers: Servers, template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Past]:
    monkeypatch.setenv("BETTERSTACK_LAKE", str(tmp_path))
    with fresh_database(servers, template) as dsn:
        past = Past(dsn, tmp_path)
        yield past
        past.connection.close()


@pytest.mark.parametrize(
    "point",
    [
        "lake: before rename",
        "lake: after rename",
        "lake: after archive",
        "lake: before drop",
        "lake: before drop commit",
        "lake: after drop",
    ],
)
def test_a_roller_killed_while_a_day_goes_to_the_lake(past: Past, point: str) -> None:
    past.store(past.ticks)
    past.roll()
    past.killed(point)
    assert verify(past.connection, START, END) == []  # at no time is there an hour of which its ticks are gone
    past.beat()
    past.whole()


@pytest.mark.parametrize(
    "point", ["lake: before rename", "lake: after rename", "lake: before merge commit", "lake: after merge"]
)
def test_a_roller_killed_while_late_ticks_go_after_their_day(past: Past, point: str) -> None:
    early, late = past.ticks[:150], past.ticks[140:]
    past.store(early)
    past.beat()
    past.store(late)
    past.killed(point)
    past.beat()
    past.whole()
