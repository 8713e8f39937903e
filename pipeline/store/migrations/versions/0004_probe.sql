-- The probe: what a request carries (secrets sealed, see pipeline.secrets), which addresses it tries, what it trusts.
alter table sites
    add column body                 text not null default '',
    add column auth                 jsonb,
    add column client_certificate   text,
    add column verify_tls           boolean not null default true,
    add column family               text not null default 'any';

-- host:port that answer whenever a region's own network is well.
alter table regions add column reference_targets text[] not null default '{}';

-- When the certificate that a region last saw expires.
alter table series add column expires_at timestamptz;

-- The state that is held last in the row (0 up, 1 degraded, 2 down, 3 unknown) and until when: what of it lies beyond
-- now, or beyond a pause, is taken back on reading.
alter table rollups_hour add column last_until timestamptz, add column last_state smallint;
alter table rollups_day add column last_until timestamptz, add column last_state smallint;

-- What there was to see when an attempt did not come out `ok`: apart from the ticks, and for a while only.
create table snapshots (
    scheduled_at    timestamptz not null,
    site_id         int not null references sites,
    region_id       int not null references regions,
    attempt         smallint not null,
    workspace_id    int not null default 1,
    outcome         smallint not null,
    seen            jsonb not null,
    primary key (site_id, region_id, scheduled_at, attempt)
);
create index snapshots_time on snapshots using brin (scheduled_at);

-- How long the oldest tick of a region waits to be recorded, and how many entries nobody could read or believe.
alter table backlogs
    add column oldest_tick_s double precision not null default 0,
    add column dead_letters int not null default 0;
