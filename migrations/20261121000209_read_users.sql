-- Colleagues: see projections/src/users.rs.
create table read_users_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    email text collate "C" not null,
    name text collate "C" not null,
    phone text collate "C",
    city text collate "C",
    job_title text collate "C",
    locale text collate "C",
    time_zone text collate "C",
    status text collate "C" not null,
    deactivated_reason text collate "C",
    role_ids text[] not null,
    presence text collate "C" not null,
    channel_ids text[] not null,
    calendar_id text collate "C",
    capacity jsonb not null,
    invited_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_users_v1 (tenant_id, name, id);
create index on read_users_v1 (tenant_id, email);
create index on read_users_v1 using gin (role_ids);

create view read_users as select * from read_users_v1;
