"""Regions are more than labels: the target sees each of them as another client."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipeline.declared import RegionIn, SiteIn
from pipeline.store.regions import create_region
from pipeline.store.sites import create_site
from tests.harness import Fleet, count, eventually, now, writing
from tests.integration.elsewhere import witness
from tests.integration.namespaces import NotAllowedError, places


def watched(dsn: str, url: str, regions: list[RegionIn]) -> None:
    with writing(dsn) as connection:
        for region in regions:
            create_region(connection, region, now=now(), actor="test")
        keys = [region.key for region in regions]
        site = SiteIn(key=f"seen-by-{keys[0]}", url=f"{url}/seen", interval_s=1, regions=keys)
        create_site(connection, site, now=now(), actor="test")


def test_two_regions_with_addresses_of_their_own_are_two_clients(dsn: str, redis_url: str) -> None:
    regions = [RegionIn(key="east", source_address="127.0.3.1"), RegionIn(key="west", source_address="127.0.4.1")]
    with witness() as (url, visits), Fleet(dsn, redis_url) as fleet:
        watched(dsn, url, regions)
        for role in (("pusher",), ("prober", "--region", "east"), ("prober", "--region", "west")):
            fleet.start(*role)
        eventually(lambda: len({visit.peer for visit in visits("/seen")}) == 2, what="both regions")
        assert {visit.peer for visit in visits("/seen")} == {"127.0.3.1", "127.0.4.1"}


def test_two_regions_in_networks_of_their_own_are_two_clients(dsn: str, redis_url: str) -> None:
    """Each prober has one wire, to the target; Redis is a socket in the file system that they share with us."""
    try:
        with places(2) as (listener, [north, south]):
            regions = {"north": north, "south": south}
            with witness(listener) as (url, visits), Fleet(dsn, redis_url) as fleet:
                watched(dsn, url, [RegionIn(key=key) for key in regions])
                fleet.start("pusher")
                fleet.start("recorder")
                for key, place in regions.items():
                    command = place.command(sys.executable, "-m", "workers.cli", "prober", "--region", key)
                    fleet.running.append(subprocess.Popen(command, env=fleet._environment))
                query = """
                    select count(distinct region_id) from ticks join regions r on r.id = region_id
                    where r.key = any(%s) and outcome = 0
                """
                eventually(lambda: count(dsn, query, list(regions)) == 2, what="a good tick from each")
                assert {visit.peer for visit in visits("/seen")} == {north.address, south.address}
    except NotAllowedError as error:
        pytest.skip(f"no network namespaces here: {error}")
