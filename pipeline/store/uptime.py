"""The uptime of many sites at once, for lists: one statement over the stored rollups."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from sqlalchemy import Connection, text

DAY = timedelta(days=1)

# Whole days from the daily rows, the rest from the hourly ones. Only the narrow columns are read.
_UPTIME = text("""
    with forced as (
        select site_id, region_id, active, effective_at,
            lead(effective_at) over (partition by site_id, region_id order by effective_at, id) as replaced_at
        from revisions where site_id = any(:sites) and effective_at < :until
            and (region_id = :region or cast(:region as int) is null)
    ), called as (
        select site_id, region_id, max(least(replaced_at, :until)) as called_until,
            sum(extract(epoch from least(replaced_at, :until) - greatest(effective_at, :since))) as expected_s
        from forced where active and greatest(effective_at, :since) < least(replaced_at, :until)
        group by site_id, region_id
    ), known as (
        select site_id, region_id, sum(checks) as checks, sum(up_us + degraded_us) / 1e6 as up_s,
            sum(down_us) / 1e6 as down_s, max(last_until) as held_until,
            (array_agg(last_state order by at desc))[1] as last_state
        from (
            select at, site_id, region_id, checks, up_us, degraded_us, down_us, last_until, last_state
            from rollups_hour
            where site_id = any(:sites) and (at >= :since and at < :first_day or at >= :last_day and at < :until)
                and (region_id = :region or cast(:region as int) is null)
            union all
            select at, site_id, region_id, checks, up_us, degraded_us, down_us, last_until, last_state
            from rollups_day
            where site_id = any(:sites) and at >= :first_day and at < :last_day
                and (region_id = :region or cast(:region as int) is null)
        ) as rows group by site_id, region_id
    ), cut as ( -- what is held past the end of what was called for is the last state's
        select c.site_id, c.expected_s, coalesce(k.checks, 0) as checks,
            greatest(0, coalesce(k.up_s, 0) - case when k.last_state < 2 then b.beyond_s else 0 end) as up_s,
            greatest(0, coalesce(k.down_s, 0) - case when k.last_state = 2 then b.beyond_s else 0 end) as down_s
        from called c left join known k using (site_id, region_id)
        cross join lateral (
            select coalesce(greatest(0, extract(epoch from k.held_until - c.called_until)), 0) as beyond_s
        ) as b
    ), fitting as ( -- and what is too much then is taken back in proportion, series by series
        select site_id, checks, expected_s, up_s, down_s,
            case when up_s + down_s > expected_s then expected_s / (up_s + down_s) else 1 end as share
        from cut
    )
    select s.site_id, coalesce(sum(f.checks), 0)::bigint, coalesce(sum(f.up_s * f.share), 0)::float8,
        coalesce(sum(f.down_s * f.share), 0)::float8, coalesce(sum(f.expected_s), 0)::float8
    from unnest(cast(:sites as int[])) as s (site_id) left join fitting f on f.site_id = s.site_id
    group by s.site_id
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
    where it is now: rollups are by the hour, but what is expected ends there, and what is held beyond it is cut.
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
