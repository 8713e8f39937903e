-- A region whose shard of the cluster was away: its slots in [since, until) are still to be sent, or accounted for.
create table arrears (
    region_id       int primary key references regions,
    workspace_id    int not null default 1,
    since           timestamptz not null,
    until           timestamptz not null
);
