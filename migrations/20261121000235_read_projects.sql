-- Projects: see projections/src/projects.rs.
create table read_projects_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    name text collate "C" not null,
    description text collate "C",
    owner_id text collate "C",
    tags text[] not null,
    shared jsonb not null,
    custom jsonb not null,
    archived boolean not null,
    copied_from text collate "C",
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_projects_v1 (tenant_id, name, id);
create index on read_projects_v1 using gin (tags);
create index on read_projects_v1 using gin (custom jsonb_path_ops);

create view read_projects as select * from read_projects_v1;
