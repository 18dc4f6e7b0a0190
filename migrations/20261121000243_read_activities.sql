-- Activities: see projections/src/activities.rs.
create table read_activities_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    kind text collate "C" not null,
    text text collate "C" not null,
    occurred_at timestamptz not null,
    subjects jsonb not null,
    subject_ids text[] not null,
    author_kind text collate "C",
    author_id text collate "C",
    withdrawn boolean not null,
    withdraw_reason text collate "C",
    logged_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_activities_v1 (tenant_id, occurred_at desc, id);
create index on read_activities_v1 (tenant_id, kind, occurred_at desc, id);
create index on read_activities_v1 (tenant_id, author_id, occurred_at desc, id);
-- The activities of a record.
create index on read_activities_v1 using gin (subject_ids);

create view read_activities as select * from read_activities_v1;
