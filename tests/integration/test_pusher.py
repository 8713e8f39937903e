"""The pusher's beat on real servers: what it has to get over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from redis import Redis

from pipeline.declared import RegionIn
from pipeline.store.regions import create_region, delete_region
from tests.harness import add_sites, now, rows_of, writing
from workers import streams
from workers.pusher import Pusher


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, **streams.options()) as client:
        yield client


def test_it_goes_on_though_slots_are_due_in_a_region_that_was_removed_meanwhile(dsn: str, client: Redis) -> None:
    with writing(dsn) as connection:
        for key in ("eu", "us"):
            create_region(connection, RegionIn(key=key), now=now(), actor="test")
    add_sites(dsn, ["http://127.0.0.1:9/"], interval_s=1)
    first = Pusher(dsn, client, clock=now)
    first.beat()
    first.close()
    began = now()
    with writing(dsn) as connection:  # a minute passes in which nobody pushes, then the region goes with its streams
        delete_region(connection, "us", now=began + timedelta(seconds=60), actor="test")
    streams.drop(client, streams.checks("us"), streams.ticks("us"))
    later = began + timedelta(seconds=120)
    second = Pusher(dsn, client, clock=lambda: later)
    for _ in range(2):
        second.beat()
    second.close()
    [(pushed_until,)] = rows_of(dsn, "select pushed_until from pusher")
    assert pushed_until == later + timedelta(seconds=2)
    assert not client.exists(streams.checks("us"), streams.ticks("us"))
