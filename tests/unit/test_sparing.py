"""A night of the same failure sends what was seen a few times, and each way to fail at least once."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import structs

from pipeline.vocabulary import Kind, Outcome, Snapshot, Tick
from workers import sparing
from workers.sparing import AGAIN_S, Sparing

AT = datetime(2026, 1, 1, tzinfo=UTC)
DOWN = Tick(
    1, 1, AT, 0, AT, Outcome.STATUS, True, 60, 1, "p", status=503, detail="HTTP 503", snapshot=Snapshot("answer")
)
FINE = structs.replace(DOWN, outcome=Outcome.OK, status=200, detail=None, snapshot=None)


def is_sent(memory: Sparing, at_s: float, **fields: object) -> bool:
    return memory.spared(structs.replace(DOWN, **fields), at_s).snapshot is not None


def test_the_first_failure_of_a_run_is_seen_and_then_one_every_ten_minutes() -> None:
    memory = Sparing()
    sent = [at_s for at_s in range(0, 3600, 5) if is_sent(memory, at_s)]
    assert sent == [0, 600, 1200, 1800, 2400, 3000]


def test_a_run_ends_with_what_is_ok() -> None:
    memory = Sparing()
    assert is_sent(memory, 0)
    assert memory.spared(FINE, 1) is FINE
    assert is_sent(memory, 2)


def test_a_test_says_nothing_of_a_run_and_is_always_seen() -> None:
    memory = Sparing()
    assert is_sent(memory, 0)
    assert is_sent(memory, 1, kind=Kind.MANUAL)
    memory.spared(structs.replace(FINE, kind=Kind.MANUAL), 2)
    assert not is_sent(memory, 3)


def test_another_way_to_fail_is_seen_and_another_number_is_none() -> None:
    memory = Sparing()
    assert is_sent(memory, 0)
    assert is_sent(memory, 1, status=502)
    assert is_sent(memory, 2, outcome=Outcome.TIMEOUT, status=None, detail="no end after 17 bytes")
    assert not is_sent(memory, 3, outcome=Outcome.TIMEOUT, status=None, detail="no end after 4711 bytes")
    assert not is_sent(memory, 4), "it fails in turns, and each was seen"


def test_sites_do_not_share_a_memory_and_it_is_bounded() -> None:
    memory = Sparing()
    assert all(is_sent(memory, 0, site_id=site) for site in range(sparing.SITES + 100))
    assert len(memory._failing) == sparing.SITES
    assert is_sent(memory, 1, site_id=0), "it was forgotten, and is seen once more"
    for way in range(100):
        is_sent(memory, 2, site_id=5, outcome=Outcome.CONTENT, detail="a" * way)
    assert len(memory._failing[5].ways) == sparing.KINDS


def test_what_brings_no_snapshot_counts_for_nothing() -> None:
    memory = Sparing()
    assert not is_sent(memory, 0, snapshot=None)
    assert is_sent(memory, 1)
    assert is_sent(memory, 1 + AGAIN_S)


def test_a_site_that_says_something_else_each_time_is_seen_a_dozen_times_in_ten_minutes() -> None:
    """Such as a page with the time in words on it: a check a second would store 100 MB an hour of it."""
    memory = Sparing()
    sent = [at_s for at_s in range(1800) if is_sent(memory, at_s, detail="a" * at_s)]
    assert sent == [start + n for start in (0, 600, 1200) for n in range(sparing.MOST)]


def test_so_is_one_that_is_up_and_down_in_turns() -> None:
    memory, sent = Sparing(), 0
    for at_s in range(600):
        sent += is_sent(memory, at_s)
        memory.spared(FINE, at_s)
    assert sent == sparing.MOST
    memory.spared(FINE, 1_200)
    assert not memory._failing, "nothing is kept of a site that is well"
