-- Calls: see projections/src/calls.rs.
create table read_calls_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    from_number text collate "C" not null,
    to_number text collate "C" not null,
    contact_id text collate "C",
    status text collate "C" not null,
    user_id text collate "C",
    duration_s integer,
    received_at timestamptz not null,
    answered_at timestamptz,
    ended_at timestamptz,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_calls_v1 (tenant_id, received_at desc, id);
create index on read_calls_v1 (tenant_id, status, received_at desc, id);
create index on read_calls_v1 (tenant_id, contact_id, received_at desc, id) where contact_id is not null;
create index on read_calls_v1 (tenant_id, user_id, received_at desc, id) where user_id is not null;
create index on read_calls_v1 (tenant_id, from_number, received_at desc, id);

create view read_calls as select * from read_calls_v1;
