-- Imports: see projections/src/imports.rs.
create table read_imports_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    source text collate "C" not null,
    kind text collate "C" not null,
    file_name text collate "C" not null,
    digest text collate "C" not null,
    dry_run boolean not null,
    status text collate "C" not null,
    expected_rows bigint,
    counts jsonb,
    reason text collate "C",
    started_at timestamptz not null,
    ended_at timestamptz,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_imports_v1 (tenant_id, started_at, id);

create view read_imports as select * from read_imports_v1;
