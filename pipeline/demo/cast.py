"""Who is watched from where: sixty sites of an invented company, on five providers, from four regions."""

from __future__ import annotations

from msgspec import Struct

PREFIX = "demo-"
TAG = "demo"


class Place(Struct, frozen=True):
    """A region: its address here (so that the demo's target knows who asks), and ms to and from each home."""

    key: str
    name: str
    source_address: str
    round_trip_ms: dict[str, float]


class Member(Struct, frozen=True):
    """A site: where it lives, on whose address, how long its server thinks, and how much it sends."""

    key: str
    name: str
    home: str
    provider: str
    ip: str
    server_ms: float
    size: int
    interval_s: int
    tags: tuple[str, ...]
    expiring: bool = False  # its certificate is about to end


PLACES = (
    Place("demo-frankfurt", "Frankfurt", "127.0.71.1", {"frankfurt": 4.0, "virginia": 91.0, "singapore": 158.0}),
    Place("demo-virginia", "Virginia", "127.0.71.2", {"frankfurt": 91.0, "virginia": 3.0, "singapore": 221.0}),
    Place("demo-singapore", "Singapore", "127.0.71.3", {"frankfurt": 158.0, "virginia": 221.0, "singapore": 3.5}),
    Place("demo-sao-paulo", "São Paulo", "127.0.71.4", {"frankfurt": 198.0, "virginia": 118.0, "singapore": 322.0}),
)

# Key, name, home, provider, server ms, KB, seconds between checks, tags. The first eight carry most stories.
_SITES = (
    ("shop", "Shop", "frankfurt", "northwind", 120, 84, 300, "shop"),
    ("checkout", "Checkout", "frankfurt", "northwind", 180, 12, 300, "shop critical"),
    ("payments", "Payments API", "frankfurt", "northwind", 95, 2, 300, "api critical"),
    ("search", "Search", "virginia", "cumulus", 60, 6, 300, "api shop"),
    ("docs", "Documentation", "virginia", "paperboat", 35, 40, 300, "web"),
    ("blog", "Blog", "virginia", "paperboat", 45, 60, 300, "web"),
    ("careers", "Careers", "virginia", "paperboat", 40, 30, 300, "web"),
    ("partner-api", "Partner API", "singapore", "cumulus", 70, 3, 300, "api"),
    ("legacy-shop", "Legacy shop", "frankfurt", "atticus", 240, 110, 900, "shop"),
    ("erp", "ERP", "frankfurt", "atticus", 310, 22, 900, "internal"),
)
_SUBJECTS = ("api", "app", "admin", "media", "login")
_MARKETS = (
    ("de", "Germany", "frankfurt", "northwind"),
    ("fr", "France", "frankfurt", "northwind"),
    ("uk", "United Kingdom", "frankfurt", "cumulus"),
    ("nordics", "Nordics", "frankfurt", "atticus"),
    ("us", "United States", "virginia", "cumulus"),
    ("ca", "Canada", "virginia", "cumulus"),
    ("br", "Brazil", "virginia", "meridian"),
    ("sg", "Singapore", "singapore", "meridian"),
    ("au", "Australia", "singapore", "meridian"),
    ("in", "India", "singapore", "cumulus"),
)
# Documentation addresses (RFC 5737): nobody's.
_NETWORKS = {
    "northwind": "203.0.113.{}",
    "cumulus": "198.51.100.{}",
    "paperboat": "203.0.113.240",
    "atticus": "192.0.2.{}",
    "meridian": "198.51.100.{}",
}


class Promise(Struct, frozen=True):
    """What the company promised: a share of good time of a site, or of all with a tag, over a window or the month."""

    key: str
    name: str
    target: float
    window_days: int | None = None
    site: str | None = None
    tag: str | None = None


PROMISES = (
    Promise("demo-checkout", "Checkout is there", 0.999, window_days=30, site="demo-checkout"),
    Promise("demo-payments", "Payments API", 0.9995, window_days=30, site="demo-payments"),
    Promise("demo-web", "Public web", 0.995, tag="web"),
)


def members() -> tuple[Member, ...]:
    """The sixty sites, in a fixed order."""
    found = [
        _member(number, key, name, home, provider, float(ms), kilobytes * 1024, interval_s, tags)
        for number, (key, name, home, provider, ms, kilobytes, interval_s, tags) in enumerate(_SITES)
    ]
    for market, country, home, provider in _MARKETS:
        for place, subject in enumerate(_SUBJECTS):
            number = len(found)
            server_ms = 40.0 + 17.0 * ((number * 7) % 11) + 12.0 * place
            size = 1024 * (2 + (number * 13) % 60)
            name = f"{subject.capitalize() if subject != 'api' else 'API'} {country}"
            tags = f"{subject} {market}"
            found.append(_member(number, f"{subject}-{market}", name, home, provider, server_ms, size, 900, tags))
    return tuple(found)


def _member(
    number: int, key: str, name: str, home: str, provider: str, server_ms: float, size: int, interval_s: int, tags: str
) -> Member:
    ip = _NETWORKS[provider].format(10 + number)
    expiring = key == "partner-api"
    return Member(PREFIX + key, name, home, provider, ip, server_ms, size, interval_s, (TAG, *tags.split()), expiring)
