-- Roles: see projections/src/roles.rs.
create table read_roles_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    name text collate "C" not null,
    permissions text[] not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_roles_v1 (tenant_id, name, id);

create view read_roles as select * from read_roles_v1;
