"""What happened, and when: planted so that pages and notebooks can be held to finding it.

Times are given backwards from the end of the ninety days. Every window is [since, until).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from msgspec import Struct

from pipeline.demo.cast import PREFIX
from pipeline.vocabulary import Outcome

DAYS = 90
REGIONAL, DRIFT, TOGETHER, EXPIRING, EXPIRED, BLIND, FLAPPING, POST_MORTEM, MAINTENANCE, OURS = (
    "regional outage",
    "slow drift after a deploy",
    "three sites on one provider",
    "expiring certificate",
    "expired certificate",
    "blind prober",
    "flapping",
    "payments outage",
    "maintenance each Sunday",
    "the workbench itself was down",
)


class Story(Struct, frozen=True):
    """Something that happened to sites (all where empty), seen from regions (all where empty), in a window.

    `outcome` is what checks found; None where they came out well and only took longer, by `slower` at the window's
    beginning and further by `drift` a day. `flapping` fails every other check. `gap`: nothing was checked at all.
    """

    name: str
    since: datetime
    until: datetime
    sites: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    outcome: Outcome | None = None
    status: int | None = None
    detail: str | None = None
    slower: float = 1.0
    drift: float = 0.0
    flapping: bool = False
    gap: bool = False


def stories(end: datetime) -> tuple[Story, ...]:
    """All that happened in the ninety days before `end`, a UTC midnight."""
    return tuple(_stories(end))


def beginning(end: datetime) -> datetime:
    """When the ninety days begin."""
    return end - timedelta(days=DAYS)


def _stories(end: datetime) -> Iterator[Story]:
    def at(days: float, hour: int = 0, minute: int = 0) -> datetime:
        return end - timedelta(days=days) + timedelta(hours=hour, minutes=minute)

    def site(*keys: str) -> tuple[str, ...]:
        return tuple(PREFIX + key for key in keys)

    far = site("singapore")
    yield Story(
        REGIONAL,
        at(20, 9, 12),
        at(20, 9, 59),
        regions=far,
        outcome=Outcome.CONNECT_TIMEOUT,
        detail="no connection within 5 s",
    )
    yield Story(DRIFT, at(34, 14), at(10, 8, 30), site("checkout"), slower=1.18, drift=0.022)
    together = site("docs", "blog", "careers")
    for days, hour, minute, lasted in ((61, 4, 10, 55), (40, 13, 35, 31), (22, 20, 5, 48), (5, 6, 20, 40)):
        since = at(days, hour, minute)
        yield Story(
            TOGETHER,
            since,
            since + timedelta(minutes=lasted),
            together,
            outcome=Outcome.STATUS,
            status=503,
            detail="status 503",
        )
    yield Story(
        EXPIRING,
        at(11),
        at(-1),
        site("partner-api"),
        outcome=Outcome.EXPIRING,
        detail="the certificate ends soon",
    )
    yield Story(
        EXPIRED,
        at(48),
        at(48, 6, 20),
        site("legacy-shop"),
        outcome=Outcome.TLS,
        detail="certificate has expired",
    )
    yield Story(
        BLIND,
        at(13, 2),
        at(13, 5, 30),
        regions=site("sao-paulo"),
        outcome=Outcome.PROBE_NETWORK,
        detail="the region's own references failed together",
    )
    yield Story(
        FLAPPING,
        at(27, 15),
        at(27, 17),
        site("search"),
        outcome=Outcome.STATUS,
        status=502,
        detail="status 502",
        flapping=True,
    )
    pay = site("payments")
    yield Story(POST_MORTEM, at(3, 9, 36), at(3, 10, 4), pay, slower=4.5)
    yield Story(
        POST_MORTEM,
        at(3, 10, 4),
        at(3, 10, 22),
        pay,
        site("virginia", "sao-paulo", "frankfurt"),
        Outcome.TIMEOUT,
        detail="no answer within 5 s",
    )
    yield Story(POST_MORTEM, at(3, 10, 22), at(3, 11, 49), pay, outcome=Outcome.STATUS, status=502, detail="status 502")
    for since, until in maintenance(end):
        yield Story(MAINTENANCE, since, until, site("erp"), outcome=Outcome.STATUS, status=503, detail="status 503")
    yield Story(OURS, at(55, 3), at(55, 4, 10), gap=True)


def maintenance(end: datetime) -> list[tuple[datetime, datetime]]:
    """Sundays from 02:00 to 04:00 UTC, announced."""
    days = (beginning(end) + timedelta(days=number) for number in range(DAYS))
    return [(day + timedelta(hours=2), day + timedelta(hours=4)) for day in days if day.isoweekday() == 7]
