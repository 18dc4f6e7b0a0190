-- Custom-field definitions, second version: options with labels and colours, what references name, and ids that commands
-- take: see projections/src/fields.rs.
create table read_fields_v2 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    entity text collate "C" not null,
    key text collate "C" not null,
    label text collate "C" not null,
    type text collate "C" not null,
    options jsonb not null,
    target text collate "C",
    required boolean not null,
    personal boolean not null,
    retired boolean not null,
    defined_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_fields_v2 (tenant_id, entity, key, id);
