-- Labels: see projections/src/labels.rs.
create table read_labels_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    name text collate "C" not null,
    color text collate "C",
    pinned boolean not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_labels_v1 (tenant_id, name, id);

create view read_labels as select * from read_labels_v1;
