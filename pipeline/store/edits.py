"""Every edit ends here: what changed for a (site, region) becomes a revision with an effective time.

An edit's transaction (1) takes the edit lock, so that edits follow each other, (2) writes sites, regions and
links, (3) calls `publish`, which locks the pusher's row last and shortly: the revisions take effect where the
pusher has not been yet, so that no slot is called for twice or behind its back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, delete, func, insert, literal, select, text, update
from sqlalchemy.dialects.postgresql import JSONB, distinct_on
from sqlalchemy.dialects.postgresql import insert as upsert

from pipeline.declared import expect_of
from pipeline.store import tables as t
from pipeline.store.marks import mark_days
from pipeline.vocabulary import Auth, Family, Network, Spec

EDIT_LOCK = 0x65646974  # "edit"
# Up to this many series of one edit are checked at once; more are spread, or 5 000 new sites would be one burst.
AT_ONCE = 200
SPREAD = timedelta(milliseconds=5)


def lock_edits(connection: Connection) -> None:
    """Edits follow each other: ids of revisions then grow in the order of their commits."""
    connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": EDIT_LOCK})


def record(connection: Connection, *, actor: str, action: str, subject: str, now: datetime, **detail: Any) -> None:
    """A line of the audit log."""
    connection.execute(
        insert(t.audit).values(at=now, actor=actor, action=action, subject=subject, detail=detail),
    )


def publish(connection: Connection, site_ids: Collection[int], *, now: datetime, actor: str) -> datetime:
    """Compare what the sites now call for with their last revisions, and write what differs.

    Returns the time at which the change takes effect. Paused and deleted sites, and deleted regions, call for nothing.
    """
    wanted = _wanted(connection, site_ids)
    last = _last_revisions(connection, site_ids)
    changed = {key: row for key, row in wanted.items() if not _same(last.get(key), row)}
    gone = [key for key, row in last.items() if row["active"] and key not in wanted]
    _follow(connection, site_ids, wanted, now)
    effective_at = _lock_schedule(connection, now)  # last, and for one statement only: the pusher waits meanwhile
    if changed or gone:
        _write_revisions(connection, changed, gone, last, effective_at=effective_at, actor=actor)
    return effective_at


def settle_s(timeout_s: float, confirmations: int, spacing_s: float) -> float:
    """How long after its slot a check's last attempt may come in."""
    return timeout_s + confirmations * (spacing_s + timeout_s)


def _wanted(connection: Connection, site_ids: Collection[int]) -> dict[tuple[int, int], dict[str, Any]]:
    """(site, region) -> the revision row that the tables call for."""
    regions = connection.execute(select(t.regions).where(t.regions.c.deleted_at.is_(None))).mappings().all()
    sites = connection.execute(
        select(t.sites).where(t.sites.c.id.in_(site_ids), t.sites.c.deleted_at.is_(None), ~t.sites.c.paused),
    ).mappings()
    links: dict[int, set[int]] = {}
    for site_id, region_id in connection.execute(
        select(t.links.c.site_id, t.links.c.region_id).where(t.links.c.site_id.in_(site_ids)),
    ):
        links.setdefault(site_id, set()).add(region_id)
    networks = {region["id"]: _plain(network_of(region)) for region in regions}
    return {
        (site["id"], region["id"]): {
            "interval_s": site["interval_s"],
            "spec": _plain(spec_of(site)),
            "network": networks[region["id"]],
        }
        for site in sites
        for region in regions
        if site["all_regions"] or region["id"] in links.get(site["id"], set())
    }


def spec_of(site: Mapping[str, Any] | RowMapping) -> Spec:
    """A row of `sites` as the probe reads it."""
    return Spec(
        url=site["url"],
        timeout_s=site["timeout_s"],
        method=site["method"],
        headers=site["headers"],
        expect=expect_of(site["expect"]),
        max_redirects=site["max_redirects"],
        confirmations=site["confirmations"],
        spacing_s=site["spacing_s"],
        body=site["body"],
        auth=_auth_of(site["auth"]),
        client_certificate=site["client_certificate"],
        verify_tls=site["verify_tls"],
        family=Family(site["family"]),
    )


def _auth_of(declared: Mapping[str, str] | None) -> Auth | None:
    if declared is None:
        return None
    return Auth(declared.get("password") or declared.get("token") or "", declared.get("username"))


def network_of(region: Mapping[str, Any] | RowMapping) -> Network:
    """A row of `regions` as the dialer reads it."""
    return Network(
        region["source_address"], region["proxy"], tuple(region["resolvers"]), tuple(region["reference_targets"])
    )


def _plain(value: Spec | Network) -> Any:
    """As it comes back from a jsonb column, so that the two compare."""
    return msgspec.json.decode(msgspec.json.encode(value))


def _last_revisions(connection: Connection, site_ids: Collection[int]) -> dict[tuple[int, int], RowMapping]:
    columns = t.revisions.c
    rows = connection.execute(
        select(t.revisions)
        .where(columns.site_id.in_(site_ids))
        .ext(distinct_on(columns.site_id, columns.region_id))
        .order_by(columns.site_id, columns.region_id, columns.id.desc()),
    ).mappings()
    return {(row["site_id"], row["region_id"]): row for row in rows}


def _same(last: RowMapping | None, wanted: Mapping[str, Any]) -> bool:
    return last is not None and last["active"] and all(last[name] == value for name, value in wanted.items())


def _lock_schedule(connection: Connection, now: datetime) -> datetime:
    """Hold the pusher where it is until this transaction ends; returns the first time that is still ours to set."""
    pushed_until = connection.execute(select(t.pusher.c.pushed_until).with_for_update()).scalar_one()
    return max(now, pushed_until or now)


def _write_revisions(
    connection: Connection,
    changed: Mapping[tuple[int, int], Mapping[str, Any]],
    gone: list[tuple[int, int]],
    last: Mapping[tuple[int, int], RowMapping],
    *,
    effective_at: datetime,
    actor: str,
) -> None:
    # Never before what it replaces: that one may be spread into the future, or written by a clock ahead of ours, and
    # would take effect after its own replacement.
    earliest = {key: max(effective_at, row["effective_at"]) for key, row in last.items()}
    rows = [
        {"site_id": site_id, "region_id": region_id, "effective_at": earliest[site_id, region_id], "active": False}
        | {name: last[site_id, region_id][name] for name in ("interval_s", "spec", "network")}
        for site_id, region_id in gone
    ]
    for position, ((site_id, region_id), row) in enumerate(sorted(changed.items())):
        at = max(effective_at + max(0, position - AT_ONCE) * SPREAD, earliest.get((site_id, region_id), effective_at))
        rows.append({"site_id": site_id, "region_id": region_id, "effective_at": at, "active": True, **row})
    connection.execute(insert(t.revisions), [{**row, "actor": actor} for row in rows])
    times = [row["effective_at"] for row in rows]
    mark_days(connection, {row["site_id"] for row in rows}, min(times), max(times))


def _follow(
    connection: Connection,
    site_ids: Collection[int],
    wanted: Mapping[tuple[int, int], Mapping[str, Any]],
    now: datetime,
) -> None:
    """Current state exists for exactly the series called for: a tick in flight then finds no row to change."""
    lock = select(t.verdicts.c.site_id).where(t.verdicts.c.site_id.in_(site_ids)).order_by(t.verdicts.c.site_id)
    connection.execute(lock.with_for_update())
    if site_ids:
        rows = [{"site_id": site_id} for site_id in sorted(site_ids)]
        connection.execute(upsert(t.verdicts).on_conflict_do_nothing(), rows)
    present = {
        (row.site_id, row.region_id)
        for row in connection.execute(
            select(t.series.c.site_id, t.series.c.region_id).where(t.series.c.site_id.in_(site_ids)),
        )
    }
    for site_id, region_id in present - set(wanted):
        connection.execute(delete(t.series).where(t.series.c.site_id == site_id, t.series.c.region_id == region_id))
    if wanted:
        rows = [_series_row(key, row) for key, row in sorted(wanted.items())]
        statement = upsert(t.series)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["site_id", "region_id"],
                set_={"interval_s": statement.excluded.interval_s, "settle_s": statement.excluded.settle_s},
            ),
            rows,
        )
    silent = set(site_ids) - {site_id for site_id, _ in wanted}
    if silent:
        known = (t.verdicts.c.site_id.in_(silent), t.verdicts.c.state != "unknown")
        closing = select(t.verdicts.c.site_id, literal(now), t.verdicts.c.state, literal("unknown"), literal({}, JSONB))
        names = ["site_id", "at", "from_state", "to_state", "votes"]
        connection.execute(insert(t.transitions).from_select(names, closing.where(*known)))
        connection.execute(update(t.verdicts).where(*known).values(state="unknown", since=now))


def _series_row(key: tuple[int, int], row: Mapping[str, Any]) -> dict[str, Any]:
    spec = msgspec.convert(row["spec"], Spec)
    return {
        "site_id": key[0],
        "region_id": key[1],
        "interval_s": row["interval_s"],
        "settle_s": settle_s(spec.timeout_s, spec.confirmations, spec.spacing_s),
    }


def count_active(connection: Connection) -> int:
    """How many (site, region) pairs are being checked."""
    return connection.execute(select(func.count()).select_from(t.series)).scalar_one()
