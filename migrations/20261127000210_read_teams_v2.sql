-- Help desk teams, second version: with what each stage means: see projections/src/teams.rs.
create table read_teams_v2 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    name text collate "C" not null,
    alias text collate "C",
    member_ids text[] not null,
    channels text[] not null,
    stages jsonb not null,
    calendar_id text collate "C",
    help_centre boolean not null,
    archived boolean not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_teams_v2 (tenant_id, name, id);
create index on read_teams_v2 using gin (member_ids);

