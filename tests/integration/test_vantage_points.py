"""Regions are more than labels: the target sees each of them as another client."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipeline.declared import RegionIn, SiteIn
from pipeline.store.regions import create_region
from pipeline.store.sites import create_site
from pipeline.vocabulary import OUTCOME_CODES, Outcome
from tests.harness import Fleet, add_sites, count, eventually, now, rows_of, writing
from tests.integration.elsewhere import witness
from tests.integration.namespaces import NotAllowedError, ip, places


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


def test_a_region_whose_network_is_gone_calls_nothing_down(dsn: str, redis_url: str) -> None:
    """What is left of its network swallows every packet; nothing is refused, and no route is missing."""
    others = [f"10.213.0.{number}" for number in (2, 3, 4)]  # they refuse, which is an answer
    try:
        with places(1) as (listener, [cut]):
            middle = cut.namespace[:-1] + "0"
            for address in others:
                ip("-n", middle, "address", "add", f"{address}/32", "dev", "lo")
                ip("-n", cut.namespace, "route", "add", address, "via", "10.213.1.1")
            with witness(listener) as (url, _), Fleet(dsn, redis_url) as fleet:
                with writing(dsn) as connection:
                    create_region(connection, RegionIn(key="cut"), now=now(), actor="test")
                urls = [f"{url}/seen", *(f"http://{address}:81/" for address in others)]
                add_sites(dsn, urls, key_prefix="cut", regions=["cut"], interval_s=2, timeout_s=1, confirmations=0)
                fleet.start("pusher")
                fleet.start("recorder")
                command = cut.command(sys.executable, "-m", "workers.cli", "prober", "--region", "cut")
                fleet.running.append(subprocess.Popen(command, env=fleet._environment))
                ticks = "from ticks join regions r on r.id = region_id where r.key = 'cut'"
                eventually(lambda: count(dsn, f"select count(distinct site_id) {ticks}") == 4, what="all were seen")
                ip("-n", middle, "address", "flush", "dev", "lo")
                gone = now()
                since = f"{ticks} and started_at > %s"
                eventually(
                    lambda: count(dsn, f"select count(*) {since}", gone) >= 12, what="ticks with the network gone"
                )
                found = rows_of(dsn, f"select distinct outcome, detail {since}", gone)
        lost = OUTCOME_CODES[Outcome.PROBE_NETWORK]
        assert found == [
            (lost, "none of 3 other sites in other networks answers either: the prober's own network is gone")
        ]
    except NotAllowedError as error:
        pytest.skip(f"no network namespaces here: {error}")
