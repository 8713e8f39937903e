"""Judging an answer needs no network."""

from __future__ import annotations

import pytest

from pipeline.vocabulary import Expect, Outcome
from workers.probes.expect import Answered, judge, ranges_text


@pytest.mark.parametrize("status", [200, 204, 301, 399])
def test_success_and_redirects_are_expected_where_nobody_says_otherwise(status: int) -> None:
    assert judge(Answered(status), Expect(), 1.0) == (Outcome.OK, [])


@pytest.mark.parametrize("status", [0, 199, 400, 503, 999])
def test_anything_else_is_a_status_with_its_sentence(status: int) -> None:
    assert judge(Answered(status), Expect(), 1.0) == (Outcome.STATUS, [f"HTTP {status}, expected 200-399"])


def test_ranges_are_inclusive_and_any_of_them_will_do() -> None:
    expect = Expect(status=((200, 299), (401, 401)))
    assert [judge(Answered(status), expect, 1.0)[0] for status in (200, 299, 300, 401, 402)] == [
        Outcome.OK,
        Outcome.OK,
        Outcome.STATUS,
        Outcome.OK,
        Outcome.STATUS,
    ]


def test_ranges_read_as_a_person_writes_them() -> None:
    assert ranges_text(Expect(status=((200, 299), (401, 401)))) == "200-299, 401"
