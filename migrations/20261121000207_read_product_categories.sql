-- Product categories: see projections/src/product_categories.rs.
create table read_product_categories_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    name text collate "C" not null,
    parent_id text collate "C",
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_product_categories_v1 (tenant_id, name, id);
create index on read_product_categories_v1 (tenant_id, parent_id, name, id);

create view read_product_categories as select * from read_product_categories_v1;
