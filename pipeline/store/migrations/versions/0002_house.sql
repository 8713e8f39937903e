-- The house: how many probers a region may have, what the autoscaler decided and why, how the fleet fared.

alter table regions
    add column min_probers int not null default 1,
    add column max_probers int not null default 4,
    add column access int not null default 1; -- generation of the credentials of probers elsewhere

-- Entries ever added to the region's checks: the difference of two is what arrived in between.
alter table backlogs add column checks_added bigint not null default 0;

create table decisions (
    id              bigint generated always as identity primary key,
    workspace_id    int not null default 1,
    region_id       int not null references regions,
    at              timestamptz not null,
    before          int not null,
    after           int not null,
    reason          text not null,
    figures         jsonb not null default '{}'
);
create index decisions_region on decisions (region_id, at);

-- One row a region each ten seconds, for the charts of the fleet.
create table region_samples (
    region_id           int not null references regions,
    at                  timestamptz not null,
    workspace_id        int not null default 1,
    probers             int not null,
    in_flight           int not null,
    probed              bigint not null,
    lateness_p50_ms     real,
    lateness_p95_ms     real,
    lateness_p99_ms     real,
    stall_ms            real,
    checks_waiting      int not null,
    checks_pending      int not null,
    oldest_waiting_s    real not null,
    ticks_waiting       int not null,
    primary key (region_id, at)
);
create index region_samples_at on region_samples using brin (at);
