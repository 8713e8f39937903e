"""The uptime of many sites at once, for lists: one statement over the stored rollups."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from sqlalchemy import Connection, text

DAY = timedelta(days=1)

# Whole days from the daily rows, the rest from the hourly ones. Only the narrow columns are read.
_UPTIME = text("""
    with known as (
        select site_id, sum(checks) as checks, sum(up_us + degraded_us) / 1e6 as up_s, sum(down_us) / 1e6 as down_s
        from (
            select site_id, checks, up_us, degraded_us, down_us from rollups_hour
            where site_id = any(:sites) and (at >= :since and at < :first_day or at >= :last_day and at < :until)
                and (region_id = :region or cast(:region as int) is null)
            union all
            select site_id, checks, up_us, degraded_us, down_us from rollups_day
            where site_id = any(:sites) and at >= :first_day and at < :last_day
                and (region_id = :region or cast(:region as int) is null)
        ) as rows group by site_id
    ), forced as (
        select site_id, active, effective_at,
            lead(effective_at) over (partition by site_id, region_id order by effective_at, id) as replaced_at
        from revisions where site_id = any(:sites) and effective_at < :until
            and (region_id = :region or cast(:region as int) is null)
    ), called as (
        select site_id,
            sum(extract(epoch from least(replaced_at, :until) - greatest(effective_at, :since))) as expected_s
        from forced where active and greatest(effective_at, :since) < least(replaced_at, :until)
        group by site_id
    )
    select s.site_id, coalesce(k.checks, 0)::bigint, coalesce(k.up_s, 0)::float8, coalesce(k.down_s, 0)::float8,
        coalesce(c.expected_s, 0)::float8
    from unnest(cast(:sites as int[])) as s (site_id)
    left join known k on k.site_id = s.site_id left join called c on c.site_id = s.site_id
""")


class Uptime(Struct, frozen=True):
    """Shares of one, None where nothing is known (never 100 %) or expected. See `analysis.uptime`."""

    uptime: float | None
    low: float | None
    high: float | None
    coverage: float | None
    down_s: float
    unknown_s: float
    checks: int


def uptime_of(
    connection: Connection,
    site_ids: Collection[int],
    since: datetime,
    until: datetime,
    region_id: int | None = None,
) -> dict[int, Uptime]:
    """The uptime of each of the sites, from the hour in which `since` is to `until`; with a region, as seen from there.

    A site's uptime is here the mean over its regions by seconds; the regions' vote is not taken yet. `until` is now
    where it is now: rollups are by the hour, but what is expected ends there.
    """
    since = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    first_day, last_day = _midnight(since - timedelta(microseconds=1)) + DAY, _midnight(until)
    if first_day >= last_day:
        first_day = last_day = until
    given = {"since": since, "until": until, "first_day": first_day, "last_day": last_day, "sites": list(site_ids)}
    given |= {"region": region_id}
    return {
        site: _uptime(checks, up_s, down_s, expected_s)
        for site, checks, up_s, down_s, expected_s in connection.execute(_UPTIME, given)
    }


def _uptime(checks: int, up_s: float, down_s: float, expected_s: float) -> Uptime:
    share = min(1.0, expected_s / (up_s + down_s)) if up_s + down_s else 1.0  # held past a pause, or past now
    up_s, down_s = up_s * share, down_s * share
    known = up_s + down_s
    whole = max(known, expected_s)
    return Uptime(
        uptime=up_s / known if known else None,
        low=up_s / whole if whole else None,
        high=(up_s + whole - known) / whole if whole else None,
        coverage=min(1.0, known / expected_s) if expected_s else None,
        down_s=down_s,
        unknown_s=whole - known,
        checks=checks,
    )


def _midnight(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
