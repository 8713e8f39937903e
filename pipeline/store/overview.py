"""What the pages ask of the store, as of a time: who is down, one page of many sites, one site over time.

The recorder's rows say what held when the last tick came in. Here they are read *as of now*: what is no longer
fresh is unknown, and the verdict is voted anew by the one rule in `pipeline.judge`. SQL only groups sites by
their votes, of which there are few kinds, so 5 000 sites cost one scan and a handful of verdicts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, structs
from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    Subquery,
    any_,
    case,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by, array
from sqlalchemy.types import Text

from pipeline.errors import NotFoundError
from pipeline.health import LOOK_BACK, Health, health
from pipeline.judge.verdict import Standing, verdict, vote
from pipeline.store import fleet
from pipeline.store import tables as t
from pipeline.store.engine import migrated
from pipeline.store.regions import count_unpaused, list_regions
from pipeline.vocabulary import Outcome, Region, State

# What needs a person comes first; unknown before up, since nobody knows that it is well.
ATTENTION = (State.DOWN, State.DEGRADED, State.UNKNOWN, State.MAINTENANCE, State.UP, State.PAUSED)
PAUSED = "paused"  # the votes of a paused site: none are asked for


class Counts(Struct, frozen=True):
    """How many sites are in each state; every state is there."""

    by_state: dict[State, int]

    @property
    def total(self) -> int:
        return sum(self.by_state.values())


class Wanted(Struct, frozen=True):
    """Which sites to list. Words must all occur in name, key or URL; tags must all be there; no state means any.

    With the key of a `region` it is the sites that are meant to be checked from there, and their states as seen there.
    """

    words: str = ""
    states: tuple[State, ...] = ()
    tags: tuple[str, ...] = ()
    sort: str = "attention"
    page: int = 1
    size: int = 50
    region: str = ""


class Seen(Struct, frozen=True):
    """A site from one region, as of now: `state` is what the region still says, `standing` what it last said."""

    region: Region
    state: State
    standing: Standing


class SiteRow(Struct, frozen=True):
    """A site in a list. `since` is None where it is not known, for instance for one never checked."""

    id: int
    key: str
    name: str
    url: str
    interval_s: int
    tags: list[str]
    state: State
    since: datetime | None
    seen: list[Seen]

    @property
    def checked_at(self) -> datetime | None:
        """The newest slot that any region has judged."""
        return max((s.standing.slot_at for s in self.seen if s.standing.slot_at), default=None)

    @property
    def latency_ms(self) -> float | None:
        """The slowest region's last latency; None where none of them got an answer."""
        good = (s.standing.latency_ms for s in self.seen if s.state in (State.UP, State.DEGRADED))
        return max((ms for ms in good if ms is not None), default=None)

    @property
    def certificate_expires_at(self) -> datetime | None:
        """The earliest end of a certificate that a region was shown last; None where there is none."""
        return min((s.standing.expires_at for s in self.seen if s.standing.expires_at), default=None)


class Found(Struct, frozen=True):
    """One page of sites, and how many there are in all."""

    rows: list[SiteRow]
    total: int


class Change(Struct, frozen=True):
    """A change of a site's verdict."""

    key: str
    name: str
    at: datetime
    from_state: State
    to_state: State


def count_states(connection: Connection, now: datetime, region: str = "") -> Counts:
    """Sites by their state as of `now`; with a region's key those checked from there, as seen there."""
    by_state = dict.fromkeys(ATTENTION, 0)
    for votes, count in _kinds(connection, now, region_id(connection, region)).items():
        by_state[_state(votes)] += count
    return Counts(by_state)


def find_sites(connection: Connection, wanted: Wanted, now: datetime) -> Found:
    """One page of the sites that are wanted, with their states as of `now`. Errors: NotFoundError (the region)."""
    there = region_id(connection, wanted.region)
    states = {votes: _state(votes) for votes in _kinds(connection, now, there)}
    standing = _votes(now, there)
    votes = _votes_of(standing)
    query = (
        select(t.sites, t.verdicts.c.state.label("stored"), t.verdicts.c.since, func.count().over().label("total"))
        .outerjoin(standing, standing.c.site_id == t.sites.c.id)
        .outerjoin(t.verdicts, t.verdicts.c.site_id == t.sites.c.id)
        .where(t.sites.c.deleted_at.is_(None), *_checked_from(there), *_conditions(wanted, votes, states))
        .order_by(*_order(wanted.sort, votes, standing, states))
        .limit(wanted.size)
        .offset((max(1, wanted.page) - 1) * wanted.size)
    )
    rows = connection.execute(query).mappings().all()
    if not rows and wanted.page > 1:  # a link to a page that is no more
        return find_sites(connection, structs.replace(wanted, page=1), now)
    return Found(_site_rows(connection, rows, now, there), rows[0]["total"] if rows else 0)


def site_row(connection: Connection, key: str, now: datetime) -> SiteRow:
    """One site as of `now`. Errors: NotFoundError."""
    query = _with_verdict().where(t.sites.c.key == key)
    rows = _site_rows(connection, connection.execute(query).mappings().all(), now)
    if not rows:
        raise NotFoundError(f"there is no site {key!r}")
    return rows[0]


def site_rows(connection: Connection, keys: Collection[str], now: datetime) -> list[SiteRow]:
    """The named sites that exist, oldest first."""
    query = _with_verdict().where(t.sites.c.key == any_(literal(list(keys), ARRAY(Text)))).order_by(t.sites.c.id)
    return _site_rows(connection, connection.execute(query).mappings().all(), now)


def region_id(connection: Connection, key: str) -> int | None:
    """The id of a region by its key, None for every region. Errors: NotFoundError."""
    if not key:
        return None
    living = select(t.regions.c.id).where(t.regions.c.key == key, t.regions.c.deleted_at.is_(None))
    found: int | None = connection.execute(living).scalar()
    if found is None:
        raise NotFoundError(f"there is no region {key!r}")
    return found


def count_tags(connection: Connection) -> dict[str, int]:
    """Every tag in use and how many sites carry it, by name."""
    tag = func.unnest(t.sites.c.tags).label("tag")
    query = select(tag, func.count()).where(t.sites.c.deleted_at.is_(None)).group_by("tag").order_by("tag")
    return {row[0]: row[1] for row in connection.execute(query)}


def watched(connection: Connection, urls: Collection[str]) -> dict[str, str]:
    """Of these URLs, those that a site watches already, with that site's key."""
    query = select(t.sites.c.url, t.sites.c.key).where(
        t.sites.c.deleted_at.is_(None), t.sites.c.url == any_(literal(list(urls), ARRAY(Text)))
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def last_changes(connection: Connection, *, limit: int) -> list[Change]:
    """The newest changes of verdict, newest first."""
    query = (
        select(t.sites.c.key, t.sites.c.name, t.transitions)
        .join(t.sites, t.sites.c.id == t.transitions.c.site_id)
        .where(t.sites.c.deleted_at.is_(None), t.transitions.c.kind == "verdict")
        .order_by(t.transitions.c.id.desc())
        .limit(limit)
    )
    return [
        Change(row["key"], row["name"], row["at"], State(row["from_state"]), State(row["to_state"]))
        for row in connection.execute(query).mappings()
    ]


def our_health(connection: Connection, now: datetime) -> Health:
    """Whether the workbench itself is well; the rule is `pipeline.health`."""
    if not migrated(connection):
        return health(now, None, [], [], migrated=False)
    seen = fleet.workers(connection, since=now - LOOK_BACK)
    regions, beat_at = list_regions(connection), fleet.pusher_row(connection).beat_at
    unwatched = 0 if regions else count_unpaused(connection)
    return health(now, beat_at, seen, regions, True, fleet.backlogs(connection), unwatched=unwatched)


def since_unknown(standings: Sequence[Standing], now: datetime) -> datetime | None:
    """When too few regions were left that know: the first lapse after which the verdict is unknown, up to `now`."""
    lapses = sorted(s.fresh_until for s in standings if s.fresh_until is not None and s.fresh_until <= now)
    return next((lapse for lapse in lapses if _vote(standings, lapse) is State.UNKNOWN), None)


def _vote(standings: Iterable[Standing], at: datetime) -> State:
    return verdict(dict(enumerate(vote(standing, at) for standing in standings)))


def _state(votes: str) -> State:
    """The state of the sites that have these votes, comma-separated."""
    if votes == PAUSED:
        return State.PAUSED
    return verdict(dict(enumerate(State(state) for state in votes.split(",") if state)))


def _checked_from(there: int | None) -> Iterable[ColumnElement[bool]]:
    """The sites that a region is meant to check, also while they are paused; every site where none is named."""
    if there is not None:
        link = select(t.links).where(t.links.c.site_id == t.sites.c.id, t.links.c.region_id == there)
        yield or_(t.sites.c.all_regions, link.exists())


def _votes(now: datetime, there: int | None = None) -> Subquery:
    """(site_id, votes, slowest): the sorted votes of a site's regions as of `now`. It agrees with `judge.vote`."""
    said = case((t.series.c.fresh_until > now, t.series.c.state), else_=State.UNKNOWN.value)
    votes = func.array_to_string(func.array_agg(aggregate_order_by(said, said)), ",").label("votes")
    slowest = func.max(t.series.c.latency_ms).label("slowest")
    seen = () if there is None else (t.series.c.region_id == there,)
    return select(t.series.c.site_id, votes, slowest).where(*seen).group_by(t.series.c.site_id).subquery("standing")


def _votes_of(standing: Subquery) -> ColumnElement[str]:
    return case((t.sites.c.paused, PAUSED), else_=func.coalesce(standing.c.votes, ""))


def _kinds(connection: Connection, now: datetime, there: int | None) -> dict[str, int]:
    """Every kind of votes there is, and how many sites have it."""
    standing = _votes(now, there)
    votes = _votes_of(standing).label("kind")
    query = (
        select(votes, func.count())
        .select_from(t.sites)
        .outerjoin(standing, standing.c.site_id == t.sites.c.id)
        .where(t.sites.c.deleted_at.is_(None), *_checked_from(there))
        .group_by("kind")
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def _conditions(
    wanted: Wanted, votes: ColumnElement[str], states: Mapping[str, State]
) -> Iterable[ColumnElement[bool]]:
    for word in wanted.words.split():
        columns = (t.sites.c.name, t.sites.c.key, t.sites.c.url)
        yield or_(*(column.icontains(word, autoescape=True) for column in columns))
    if wanted.tags:
        yield t.sites.c.tags.contains(list(wanted.tags))
    if wanted.states:
        kinds = [kind for kind, state in states.items() if state in wanted.states]
        yield votes == any_(literal(kinds, ARRAY(Text)))


def _order(
    sort: str, votes: ColumnElement[str], standing: Subquery, states: Mapping[str, State]
) -> tuple[ColumnElement[Any], ...]:
    by_name = (func.lower(t.sites.c.name), t.sites.c.id)
    match sort:
        case "name":
            return by_name
        case "slowest":
            return (standing.c.slowest.desc().nulls_last(), *by_name)
        case "newest":
            return (t.sites.c.id.desc(),)
        case _:
            ranked = sorted(states, key=lambda kind: ATTENTION.index(states[kind]))
            ranks = {kind: ATTENTION.index(states[kind]) for kind in ranked}
            rank = case(*((votes == kind, place) for kind, place in ranks.items()), else_=len(ATTENTION))
            return (rank, *by_name)


def _with_verdict() -> Select[Any]:
    return (
        select(t.sites, t.verdicts.c.state.label("stored"), t.verdicts.c.since)
        .outerjoin(t.verdicts, t.verdicts.c.site_id == t.sites.c.id)
        .where(t.sites.c.deleted_at.is_(None))
    )


def _site_rows(
    connection: Connection, rows: Sequence[RowMapping], now: datetime, there: int | None = None
) -> list[SiteRow]:
    seen = _seen(connection, [row["id"] for row in rows], now)
    found = []
    for row in rows:
        views = [view for view in seen.get(row["id"], []) if there is None or view.region.id == there]
        found.append(_site_row(row, views, now, alone=there is not None))
    return found


def _site_row(row: RowMapping, seen: list[Seen], now: datetime, *, alone: bool) -> SiteRow:
    """`alone` is a site as its one region in `seen` sees it, whatever the others say."""
    state = State.PAUSED if row["paused"] else verdict({s.region.id: s.state for s in seen})
    if alone:
        standing = seen[0].standing if seen else Standing()
        since = standing.since if state is standing.state else standing.fresh_until
    elif state is State.UNKNOWN and row["stored"] != State.UNKNOWN:
        since = since_unknown([s.standing for s in seen], now)
    else:
        since = row["since"] if row["stored"] == state else None
    plain = ("id", "key", "name", "url", "interval_s", "tags")
    return SiteRow(**{name: row[name] for name in plain}, state=state, since=since, seen=seen)


def _seen(connection: Connection, site_ids: Collection[int], now: datetime) -> dict[int, list[Seen]]:
    regions = {region.id: region for region in list_regions(connection)}
    columns = t.series.c
    query = select(t.series).where(columns.site_id == any_(array(site_ids))) if site_ids else None
    seen: dict[int, list[Seen]] = {}
    rows = connection.execute(query).mappings() if query is not None else ()
    for row in rows:
        region = regions.get(row["region_id"])
        if region is not None:
            standing = _standing(row)
            seen.setdefault(row["site_id"], []).append(Seen(region, vote(standing, now), standing))
    for views in seen.values():
        views.sort(key=lambda view: view.region.key)
    return seen


def _standing(row: RowMapping) -> Standing:
    return Standing(
        state=State(row["state"]),
        outcome=Outcome(row["outcome"]) if row["outcome"] else None,
        since=row["since"],
        slot_at=row["slot_at"],
        fresh_until=row["fresh_until"],
        detail=row["detail"],
        latency_ms=row["latency_ms"],
        status=row["status"],
        expires_at=row["expires_at"],
    )
