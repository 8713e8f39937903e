"""Whole sites with their states, for programs: the overview's pages carry only what a list shows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import Connection

from pipeline.errors import NotFoundError
from pipeline.store import tables as t
from pipeline.store.overview import SiteRow, Wanted, find_sites, site_rows
from pipeline.store.sites import living_sites, read_sites
from pipeline.vocabulary import Site, State


class Listed(Struct, frozen=True):
    """A site, and what its regions agree on as of now, since when (None where that is not known)."""

    site: Site
    state: State
    since: datetime | None
    certificate_expires_at: datetime | None = None


class Listing(Struct, frozen=True):
    """One page, and how many sites there are on all of them."""

    items: list[Listed]
    total: int


def list_sites(connection: Connection, wanted: Wanted, now: datetime) -> Listing:
    """One page of the sites that are wanted; a page after the last is empty."""
    found = find_sites(connection, wanted, now)
    after_the_last = wanted.page > 1 and (wanted.page - 1) * wanted.size >= found.total
    return Listing([] if after_the_last else _listed(connection, found.rows), found.total)


def named_sites(connection: Connection, keys: Collection[str], now: datetime) -> list[Listed]:
    """The sites of these keys, oldest first. Errors: NotFoundError."""
    listed = _listed(connection, site_rows(connection, keys, now))
    if missing := set(keys) - {each.site.key for each in listed}:
        raise NotFoundError(f"there is no site {', '.join(map(repr, sorted(missing)))}")
    return listed


def _listed(connection: Connection, rows: Sequence[SiteRow]) -> list[Listed]:
    whole = {
        site.id: site for site in read_sites(connection, living_sites().where(t.sites.c.id.in_(row.id for row in rows)))
    }
    return [Listed(whole[row.id], row.state, row.since, row.certificate_expires_at) for row in rows]
