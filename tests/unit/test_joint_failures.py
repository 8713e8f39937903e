"""Sites that fail at the same times are one group, and what the group shares is told, not what everybody has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.analysis import facts_of, shared, together
from pipeline.analysis.joint_failures import domain_of, network_of
from pipeline.answers import SHARED, TOGETHER
from pipeline.frames import KEY, SITES, STATE, TICKS, TIME, check, schema

START = datetime(2026, 3, 1, tzinfo=UTC)
Spans = list[tuple[str, float, float]]


def spans(*rows: tuple[str, float, float], state: str = "down") -> pl.DataFrame:
    """[site, state, since, until] of (site, first minute, last minute)."""
    types = {"site": KEY, "state": STATE, "since": TIME, "until": TIME}
    told = [
        (site, state, START + timedelta(minutes=since), START + timedelta(minutes=until)) for site, since, until in rows
    ]
    return pl.DataFrame(told, schema=types, orient="row")


def groups(frame: pl.DataFrame) -> list[list[str]]:
    return [part["site"].cast(pl.String).to_list() for part in frame.partition_by("group", maintain_order=True)]


def test_three_that_fail_together_are_one_group_and_others_are_not_in_it() -> None:
    outages = [
        (site, 10 * day + shift, 10 * day + shift + 5)
        for day in range(3)
        for site, shift in zip("abc", (0, 1, 0), strict=True)
    ]
    found = check(together(spans(*outages, ("alone", 500, 600), ("barely", 4, 40))), TOGETHER)
    assert groups(found) == [["a", "b", "c"]]
    a, b, _ = found.iter_rows(named=True)
    assert (a["down_s"], a["shared_s"], a["overlap"]) == (900, 900, 1.0)
    assert (b["shared_s"], b["overlap"]) == (720, pytest.approx(12 / 18))


def test_only_down_time_counts() -> None:
    assert together(spans(("a", 0, 10), ("b", 0, 10), state="unknown")).is_empty()


def test_a_moment_in_common_is_no_group() -> None:
    assert together(spans(("a", 0, 1), ("b", 0, 1))).is_empty()


def test_a_chain_is_one_group() -> None:
    found = together(spans(("a", 0, 10), ("b", 3, 13), ("c", 6, 16)))
    assert groups(found) == [["a", "b", "c"]]
    assert found["overlap"].to_list() == pytest.approx([7 / 13] * 3)


def test_a_thousand_that_fail_at_once_are_one_group() -> None:
    found = together(spans(*((f"site-{number:04}", 0, 30) for number in range(1000))))
    assert found.height == 1000
    assert found["group"].n_unique() == 1


def facts(**by_site: dict[str, str]) -> pl.DataFrame:
    rows = [(site, attribute, value) for site, each in by_site.items() for attribute, value in each.items()]
    return pl.DataFrame(rows, schema=["site", "attribute", "value"], orient="row")


def test_what_they_share_and_others_do_not_comes_first() -> None:
    grouped = together(spans(*((site, 0, 30) for site in "abc")))
    members = {site: {"network": "10.0.1.0/24", "tag": "web"} for site in "abc"}
    others = {f"other-{n}": {"network": f"10.0.{n + 2}.0/24", "tag": "web"} for n in range(40)}
    found = check(shared(grouped, facts(**members, **others)), SHARED)
    assert found.select("attribute", "value", "sites", "of", "others").rows() == [("network", "10.0.1.0/24", 3, 3, 0)]
    assert found["p_value"][0] < 0.001


def test_a_site_without_tags_is_known_to_have_none() -> None:
    grouped = together(spans(*((site, 0, 30) for site in "abc")))
    tagged = {site: {"tag": "cdn", "domain": f"{site}.org"} for site in ("a", "b", "c", "d")}
    bare = {f"other-{n}": {"domain": f"other-{n}.org"} for n in range(40)}
    found = shared(grouped, facts(**tagged, **bare))
    assert found.select("attribute", "value", "sites", "others").rows() == [("tag", "cdn", 3, 1)]


def test_facts_are_of_settings_ticks_and_urls() -> None:
    sites = pl.DataFrame(
        [
            {"site": "a", "url": "https://www.shop.example.co.uk/x", "tags": ["web"], "regions": None},
            {"site": "b", "url": "https://10.1.2.3/", "tags": [], "regions": ["eu"]},
        ],
        schema=schema(SITES, ["site", "url", "tags", "regions"]),
    )
    types = schema(TICKS, ["site", "ip"])
    ticks = pl.DataFrame([("a", "10.1.2.3"), ("a", None), ("b", "2001:db8:1:2::3")], schema=types, orient="row")
    assert facts_of(sites, ticks).rows() == [
        ("a", "address", "10.1.2.3"),
        ("a", "domain", "example.co.uk"),
        ("a", "network", "10.1.2.0/24"),
        ("a", "tag", "web"),
        ("b", "address", "2001:db8:1:2::3"),
        ("b", "network", "2001:db8:1::/48"),
        ("b", "region", "eu"),
    ]


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://example.org/", "example.org"),
        ("https://a.b.example.org:8443/", "example.org"),
        ("tcp://db.example.com.au:5432", "example.com.au"),
        ("https://[2001:db8::1]/", None),
        ("https://192.0.2.1/", None),
        ("https://localhost/", None),
    ],
)
def test_a_domain_is_what_somebody_registers(url: str, domain: str | None) -> None:
    assert domain_of(url) == domain


def test_networks_are_as_large_as_somebody_is_given_them() -> None:
    assert network_of("192.0.2.77") == "192.0.2.0/24"
    assert network_of("2001:db8:7:8::9") == "2001:db8:7::/48"


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.integers(0, 9), st.integers(1, 99)).map(
            lambda row: (row[0], float(row[1] * 100), float(row[1] * 100 + row[2]))
        ),
        max_size=12,
        unique_by=lambda row: row[:2],
    )
)
def test_groups_are_what_counting_minute_by_minute_finds(rows: Spans) -> None:
    minutes = {
        site: {minute for name, since, until in rows if name == site for minute in range(int(since), int(until))}
        for site in {row[0] for row in rows}
    }
    found = together(spans(*rows))
    told = {site: number for number, site in found.select("group", pl.col("site").cast(pl.String)).iter_rows()}
    for left, held in minutes.items():
        for right, other in minutes.items():
            both = len(held & other)
            if left < right and both >= 2 and both / len(held | other) >= 0.5:
                assert told[left] == told[right]
    for row in found.iter_rows(named=True):
        assert row["down_s"] == 60 * len(minutes[row["site"]])
        assert 0 < row["shared_s"] <= row["down_s"]
        assert 0.5 <= row["overlap"] <= 1
