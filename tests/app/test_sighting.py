"""Site: what its checks saw when they failed, as text, whatever a stranger wrote."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest
from msgspec import structs
from streamlit.testing.v1 import AppTest

from app.components.sighting import steps, trail
from app.components.words import days_left, lines
from pipeline.store.engine import plain_dsn
from pipeline.store.kept_snapshots import keep_snapshots
from pipeline.store.snapshots import Sighting
from pipeline.vocabulary import Certificate, Hop, Outcome, Site, Snapshot, Tick
from tests.app.conftest import Workbench
from tests.harness import now

Said = Callable[[AppTest], str]
NASTY = "<script>alert(1)</script> **bold** [x](https://evil.example) :red[y]"
CERTIFICATE = Certificate(
    "CN=shop", NASTY, ("shop.example", NASTY), now() - timedelta(days=80), now() + timedelta(days=9, hours=1), "ab" * 32
)
SEEN = Snapshot(
    "answer",
    ("HTTP 503, expected 200-299", NASTY),
    (Hop("http://shop.example/", "192.0.2.1", 301), Hop("https://shop.example/", None, 503)),
    "TLSv1.3 TLS_AES_256_GCM_SHA384",
    CERTIFICATE,
    "HTTP/1.1 503 Service Unavailable",
    (("server", "nginx"), ("x-odd", NASTY)),
    f"{NASTY}\r\n\u202egnp.exe\u202c\x07",
)


def fail(workbench: Workbench, site: Site, minutes: int = 1, snapshot: Snapshot = SEEN) -> None:
    """A failed check of each region, and what the first of them saw."""
    at = now() - timedelta(minutes=minutes)
    workbench.tick(site, Outcome.STATUS, at=at, detail="HTTP 503")
    region = workbench.regions[0]
    tick = Tick(site.id, region.id, at, 0, at, Outcome.STATUS, True, 60, 1, "p", snapshot=snapshot)
    with psycopg.connect(plain_dsn(workbench.dsn)) as connection:
        assert keep_snapshots(connection, [tick]) == 1


def test_a_failing_site_shows_what_the_check_saw(workbench: Workbench, said: Said) -> None:
    (site,) = workbench.add("shop")
    fail(workbench, site)
    app = workbench.open("site", site="shop")
    words = said(app)
    assert app.expander[0].label == "What the check saw"
    assert app.expander[0].proto.expanded
    assert ":green-badge[✓ First byte] → :red-badge[✕ **Answer**]" in words
    assert ":orange[▲ 9 days left]" in words
    assert "Asked 3 times" not in words
    assert "Asked 2 times, along redirects" in words
    asked, answer, body = (block for block in app.expander[0].code if block.language == "plaintext")
    assert asked.value == "301  http://shop.example/   192.0.2.1\n503  https://shop.example/"
    assert answer.value == f"HTTP/1.1 503 Service Unavailable\nserver: nginx\nx-odd: {NASTY}"
    assert body.value == f"{NASTY}\n\N{REPLACEMENT CHARACTER}gnp.exe\N{REPLACEMENT CHARACTER}␇"


def test_a_strangers_words_are_never_obeyed(workbench: Workbench) -> None:
    (site,) = workbench.add("shop")
    fail(workbench, site)
    app = workbench.open("site", site="shop")
    told = "\n".join(each.value for each in (*app.expander[0].markdown, *app.expander[0].caption))
    assert "script" in told
    obeyed = re.sub(r"`[^`]*`|\\.", "", told)  # without code spans and what is escaped
    assert not [markup for markup in ("<script", "**bold", "](http", ":red[y") if markup in obeyed]


def test_of_several_failures_one_can_be_picked_and_the_newest_is_followed(workbench: Workbench) -> None:
    (site,) = workbench.add("shop")
    fail(workbench, site, minutes=3, snapshot=structs.replace(SEEN, body="the older one", problems=()))
    fail(workbench, site, minutes=1, snapshot=structs.replace(SEEN, body="the newer one"))
    app = workbench.open("site", site="shop")
    assert app.expander[0].code[-1].value == "the newer one"
    picker = app.selectbox(key=f"picked-sighting-{site.id}")
    assert len(picker.options) == 3
    assert picker.options[2].endswith("local-a · ✕ status")
    picker.select(picker.options[2]).run()
    assert app.expander[0].code[-1].value == "the older one"
    app.selectbox(key=f"picked-sighting-{site.id}").select("The newest failure").run()
    assert app.expander[0].code[-1].value == "the newer one"


def test_a_site_that_is_up_keeps_it_shut_and_one_that_never_failed_has_none(workbench: Workbench) -> None:
    site, fine = workbench.add("shop", "fine")
    fail(workbench, site, minutes=10)
    workbench.tick(site)
    workbench.tick(fine)
    app = workbench.open("site", site="shop")
    assert (app.expander[0].label, app.expander[0].proto.expanded) == ("What the last failure saw", False)
    assert not [each for each in workbench.open("site", site="fine").expander if "saw" in each.label]


@pytest.mark.parametrize(
    ("phase", "url", "shown"),
    [
        ("dns", "https://a.example/", "[DNS] Connect TLS First byte Answer"),
        ("connect", "http://a.example/", "DNS [Connect] First byte Answer"),
        ("tls", "https://192.0.2.1/", "Connect [TLS] First byte Answer"),
        ("ttfb", "http://[2001:db8::1]:80/", "Connect [First byte] Answer"),
        ("transfer", "https://a.example/", "DNS Connect TLS First byte [Answer]"),
        ("dns", "http://192.0.2.1/", "[DNS] Connect First byte Answer"),
        ("answer", "tls://a.example:443", "DNS Connect TLS [Answer]"),
        ("answer", "tcp://a.example:443", "DNS Connect [Answer]"),
        ("dns", "", "[DNS] Connect TLS First byte Answer"),
    ],
)
def test_the_trail_has_the_parts_of_the_way_that_there_are(phase: str, url: str, shown: str) -> None:
    look = Snapshot(phase, hops=(Hop(url),) if url else ())
    assert " ".join(f"[{step.name}]" if step.ended else step.name for step in steps(look)) == shown
    told = trail(Sighting(now(), "eu", 0, Outcome.SLOW, look))
    assert told.count("orange-badge") == 1


def test_days_left_warn_in_time() -> None:
    at = now()
    assert days_left(at + timedelta(days=40, hours=1), at) == ":gray[40 days left]"
    assert days_left(at + timedelta(days=13, hours=1), at, "certificate ") == ":orange[▲ certificate 13 days left]"
    assert days_left(at + timedelta(days=1, hours=1), at) == ":orange[▲ 1 day left]"
    assert "▲" in days_left(at + timedelta(hours=3), at)
    assert days_left(at - timedelta(days=3), at, "certificate ").startswith(":red[✕ certificate expired 3 d")


def test_what_is_not_seen_is_drawn() -> None:
    assert lines("a\r\nb\tc\rd\x00\x1b[31m") == "a\nb\tc␍d␀␛[31m"
