-- Relations: see projections/src/relations.rs.
create table read_relations_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    from_kind text collate "C" not null,
    from_id text collate "C" not null,
    to_kind text collate "C" not null,
    to_id text collate "C" not null,
    role text collate "C" not null,
    record_ids text[] not null,
    removed boolean not null,
    added_at timestamptz not null,
    removed_at timestamptz,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_relations_v1 (tenant_id, added_at desc, id);
create index on read_relations_v1 (tenant_id, from_id, added_at desc, id);
create index on read_relations_v1 (tenant_id, to_id, added_at desc, id);
-- The relations of a record, whichever end it is.
create index on read_relations_v1 using gin (record_ids);

create view read_relations as select * from read_relations_v1;
