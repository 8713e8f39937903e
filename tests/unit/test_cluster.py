"""Who has which slot, by what a node tells; and what regions are owed while their node is away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from redis.exceptions import AskError, ClusterDownError, MovedError, ResponseError

from pipeline.schedule import MICROSECOND, Slot
from pipeline.vocabulary import Revision
from workers import streams
from workers.arrears import PIECE, Arrears
from workers.cluster import Address, Cluster, Owners, explained, is_cluster, pointed_to, said, slot_of

ASKED = Address("10.0.0.1", 7000)
TOLD = [
    [5461, 10922, [b"10.0.0.2", 7000, b"id2", []], [b"10.0.0.5", 7000, b"id5", []]],
    [0, 5460, [b"", 7000, b"id1", []]],
    [11000, 16383, [None, 7001, b"id3", []]],
]
AT = datetime(2026, 11, 24, 12, tzinfo=UTC)


def slot(region_id: int, seconds: float) -> Slot:
    revision = Revision(id=1, site_id=1, region_id=region_id, effective_at=AT, active=True, interval_s=1)
    return Slot(AT + timedelta(seconds=seconds), revision)


def test_a_slot_has_the_first_node_of_its_range_or_none() -> None:
    owners = Owners(TOLD, ASKED)
    assert [owners.of(number) for number in (0, 5460, 5461, 10922)] == [ASKED, ASKED, *[Address("10.0.0.2", 7000)] * 2]
    assert owners.of(10923) is None
    assert owners.of(11000) == Address("10.0.0.1", 7001), "a node without a name is the host that was asked"
    assert Address("10.0.0.5", 7000) in owners.nodes, "replicas are nodes too"
    assert Owners([], ASKED).of(0) is None


def test_all_keys_of_a_region_share_a_slot_and_default_regions_differ() -> None:
    kinds = (streams.checks, streams.ticks, streams.dead)
    found = [{slot_of(kind(region)) for kind in kinds} for region in ("eu", "us", "ap")]
    assert all(len(each) == 1 for each in found)
    assert len(set.union(*found)) == 3
    assert slot_of(streams.lease("eu", "eu-1")) == slot_of(streams.checks("eu"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis+cluster://h", True),
        ("rediss+cluster://h:1", True),
        ("rediss://h", False),
        ("unix:///redis+cluster://", False),
    ],
)
def test_the_scheme_tells_a_cluster(url: str, expected: bool) -> None:
    assert is_cluster(url) is expected
    assert isinstance(streams.connect(url), Cluster) is expected, "and nothing is opened yet"


def test_an_error_of_a_cluster_says_what_is_up_and_what_to_do() -> None:
    moved = MovedError("6893 10.0.0.2:7000")
    assert said(moved) == "slot 6893 is at 10.0.0.2:7000"
    assert pointed_to(moved) == Address("10.0.0.2", 7000)
    assert said(AskError("6893 10.0.0.2:7000")) == "slot 6893 is going to be at 10.0.0.2:7000"
    assert said(ClusterDownError("Hash slot not served")) == "Hash slot not served"
    single = ResponseError("This instance has cluster support disabled")
    assert "write redis:// or rediss://" in explained(ASKED, single)


def test_what_is_owed_is_one_span_a_region_and_is_paid_in_pieces() -> None:
    arrears = Arrears()
    arrears.owe([slot(1, 0), slot(2, 5), slot(1, 400), slot(3, 1)], {1, 2})
    assert arrears.spans == {
        1: (AT, AT + timedelta(seconds=400) + MICROSECOND),
        2: (AT + timedelta(seconds=5), AT + timedelta(seconds=5) + MICROSECOND),
    }
    assert [(region, until) for region, (_, until) in arrears.pieces({2})] == [(1, AT + PIECE)]
    for _ in range(4):
        for region, (_, until) in arrears.pieces({2}):
            arrears.paid(region, until)
    assert list(arrears.spans) == [2]


def test_what_was_noted_before_joins_what_is_owed_now() -> None:
    arrears = Arrears()
    arrears.owe([slot(1, 60)], {1})
    arrears.learn({1: (AT, AT + timedelta(seconds=10)), 2: (AT, AT + timedelta(seconds=1))})
    assert arrears.spans[1] == (AT, AT + timedelta(seconds=60) + MICROSECOND)
    assert set(arrears.spans) == {1, 2}
