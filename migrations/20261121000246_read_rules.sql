-- Automation rules: see projections/src/rules.rs.
create table read_rules_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    name text collate "C" not null,
    trigger text collate "C" not null,
    rank bigint not null,
    enabled boolean not null,
    disabled_reason text collate "C",
    rule_version integer not null,
    definition jsonb,
    deleted boolean not null,
    created_at timestamptz not null,
    published_at timestamptz,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_rules_v1 (tenant_id, trigger, rank, id);
create index on read_rules_v1 (tenant_id, name, id);

create view read_rules as select * from read_rules_v1;
