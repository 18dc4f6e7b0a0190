-- API keys, without their secrets: see projections/src/api_keys.rs.
create table read_api_keys_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    name text collate "C" not null,
    user_id text collate "C" not null,
    role_id text collate "C",
    prefix text collate "C" not null,
    status text collate "C" not null,
    expires_at timestamptz,
    issued_at timestamptz not null,
    revoked_at timestamptz,
    revoked_reason text collate "C",
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_api_keys_v1 (tenant_id, issued_at, id);
create index on read_api_keys_v1 (tenant_id, user_id);

create view read_api_keys as select * from read_api_keys_v1;
