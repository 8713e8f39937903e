"""A prober for a region that nobody has made says so, and waits."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta

import pytest

from pipeline.declared import RegionIn
from pipeline.errors import InvalidInputError
from pipeline.settings import Settings
from pipeline.store.regions import create_region
from tests.harness import now, writing
from workers import nowhere


@pytest.fixture
def settings(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(nowhere, "GRACE_S", 0.0)
    with writing(dsn) as connection, suppress(InvalidInputError):  # there since the test before
        create_region(connection, RegionIn(key="here"), now=now() - timedelta(minutes=1), actor="test")
    return Settings(database_url=dsn, redis_url="redis://127.0.0.1:1")


def told(settings: Settings, region: str, caplog: pytest.LogCaptureFixture, *, homeless: bool = True) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        asyncio.run(nowhere.tell(settings, region, lambda: homeless))
    return [record.getMessage() for record in caplog.records if record.name == "workers.nowhere"]


def test_it_names_the_regions_that_there_are(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    (line,) = told(settings, "nope", caplog)
    assert line.startswith("there is no region 'nope'; there are: ")
    assert "here" in line
    assert "`betterstack regions add nope` makes it" in line
    assert told(settings, "here", caplog) == []
    assert told(settings, "nope", caplog, homeless=False) == []


def test_it_only_waits_where_postgres_cannot_be_asked(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    elsewhere = settings.model_copy(update={"database_url": None})
    away = settings.model_copy(update={"database_url": "postgresql://127.0.0.1:1/x"})
    assert told(elsewhere, "nope", caplog) == told(away, "nope", caplog) == []
