"""The rule of addresses in the probers: who was told to leave private addresses alone, does."""

from __future__ import annotations

import pytest

from pipeline.declared import RegionIn
from pipeline.store.regions import create_region
from pipeline.vocabulary import OUTCOME_CODES, Outcome
from tests.harness import Fleet, Target, add_sites, eventually, now, rows_of, writing


@pytest.mark.parametrize(
    ("rule", "outcome", "reaches"),
    [("", Outcome.BLOCKED, False), ("deny", Outcome.BLOCKED, False), ("127.0.0.0/8", Outcome.OK, True)],
    ids=["own-servers-and-nothing-said", "deny", "networks"],
)
def test_a_prober_checks_what_its_rule_allows(
    dsn: str, redis_url: str, rule: str, outcome: Outcome, *, reaches: bool
) -> None:
    with Target() as target, Fleet(dsn, redis_url, BETTERSTACK_PRIVATE_TARGETS=rule) as fleet:
        key = f"{outcome}-{len(rule)}"
        with writing(dsn) as connection:
            create_region(connection, RegionIn(key=key), now=now(), actor="test")
        for role in (("pusher",), ("recorder",), ("prober", "--region", key)):
            fleet.start(*role)
        add_sites(dsn, [f"{target.url}/{key}"], interval_s=2, key_prefix=key)
        query = "select t.outcome from ticks t join regions r on r.id = t.region_id where r.key = %s"
        wanted = (OUTCOME_CODES[outcome],)
        eventually(lambda: wanted in rows_of(dsn, query, key), what=f"a tick that says {key}")
        assert (target.requests > 0) is reaches
