-- Tenants, second version: settings under their present names, and the features that are on unless they were switched off:
-- see projections/src/tenants.rs.
create table read_tenants_v2 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    name text collate "C" not null,
    settings jsonb not null,
    features text[] not null,
    alias_domain text collate "C",
    mail_servers jsonb not null,
    retention jsonb not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

