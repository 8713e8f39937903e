"""The uptime of many sites at once, for lists: one statement over the stored spans."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from sqlalchemy import Connection, text

from pipeline.calendar import DAY, day_of

# Of a site the vote, in which suspect regions have none; from a region its own spans, and what is suspect is unknown.
_SITE, _REGION = "spans_site", "spans_region"
_UPTIME = """
    with asked as (
        select site_id from unnest(cast(:sites as int[])) as s (site_id)
    ), forced as (
        select site_id, region_id, active, greatest(effective_at, :since) as since, least(:until,
            lead(effective_at) over (partition by site_id, region_id order by effective_at, id)) as until
        from revisions where site_id = any(:sites) and effective_at < :until
            and (region_id = :region or cast(:region as int) is null)
    ), called as (
        select site_id, range_agg(tstzrange(since, until)) as during
        from forced where active and since < until group by site_id
    ), overriding as (
        select s.site_id, p.kind, range_agg(tstzrange(p.since, p.until)) as during
        from asked s join periods p on p.site_id = s.site_id or p.site_id is null
        where p.deleted_at is null and p.since < :until and (p.until > :since or p.until is null)
            and (p.kind = 'maintenance' or p.region_id = :region or p.region_id is null)
        group by s.site_id, p.kind
    ), counted as (
        select c.site_id, c.during - coalesce(m.during, '{}') as during,
            c.during - coalesce(m.during, '{}') - coalesce(s.during, '{}') as believed
        from called c left join overriding m on m.site_id = c.site_id and m.kind = 'maintenance'
        left join overriding s on s.site_id = c.site_id and s.kind = 'suspect' and cast(:region as int) is not null
    ), expected as (
        select site_id, sum(extract(epoch from upper(part) - lower(part))) as expected_s
        from counted, unnest(during) as part group by site_id
    ), held as ( -- most spans lie within what was called for as a whole; the others are cut
        select site_id, sum(held_s) filter (where state < 2) as up_s, sum(held_s) filter (where state = 2) as down_s
        from (
            select p.site_id, p.state, case when p.part <@ c.believed then extract(epoch from upper(part) - lower(part))
                else (select sum(extract(epoch from upper(b) - lower(b)))
                    from unnest(c.believed * tstzmultirange(p.part)) as b) end as held_s
            from (
                select site_id, state, tstzrange(greatest(since, :since), least(until, :until)) as part from spans
                where site_id = any(:sites) and at >= :midnight and since < :until and until > :since and state < 3
            ) as p join counted c using (site_id)
        ) as parts group by site_id
    ), made as ( -- whole days from the daily rows, the rest from the hourly ones
        select site_id, sum(checks) as checks from (
            select site_id, checks from rollups_hour
            where site_id = any(:sites) and (at >= :since and at < :first_day or at >= :last_day and at < :until)
                and (region_id = :region or cast(:region as int) is null)
            union all
            select site_id, checks from rollups_day
            where site_id = any(:sites) and at >= :first_day and at < :last_day
                and (region_id = :region or cast(:region as int) is null)
        ) as rows group by site_id
    )
    select site_id, coalesce(checks, 0)::bigint, coalesce(up_s, 0)::float8, coalesce(down_s, 0)::float8,
        coalesce(expected_s, 0)::float8
    from asked left join expected using (site_id) left join held using (site_id) left join made using (site_id)
"""
_OF_SITES = text(_UPTIME.replace("from spans\n", f"from {_SITE}\n"))
_FROM_REGION = text(
    _UPTIME.replace("from spans\n", f"from {_REGION}\n").replace(
        "and state < 3", "and state < 3 and region_id = :region"
    )
)


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

    A site's uptime is that of its regions' vote. What is expected ends at `until`, and what is held beyond it is cut.
    """
    since = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    first_day, last_day = day_of(since - timedelta(microseconds=1)) + DAY, day_of(until)
    if first_day >= last_day:
        first_day = last_day = until
    given = {"since": since, "until": until, "first_day": first_day, "last_day": last_day, "sites": list(site_ids)}
    given |= {"region": region_id, "midnight": day_of(since)}
    query = _OF_SITES if region_id is None else _FROM_REGION
    return {
        site: _uptime(checks, up_s, down_s, expected_s)
        for site, checks, up_s, down_s, expected_s in connection.execute(query, given)
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
