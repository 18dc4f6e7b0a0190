-- Properties: see projections/src/properties.rs.
create table read_properties_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    name text collate "C" not null,
    kind text collate "C" not null,
    purpose text collate "C" not null,
    price jsonb,
    address text collate "C",
    city text collate "C",
    country text collate "C",
    location jsonb,
    area text collate "C",
    rooms integer,
    floor integer,
    floors integer,
    features text[] not null,
    description text collate "C",
    owner_id text collate "C",
    tags text[] not null,
    shared jsonb not null,
    custom jsonb not null,
    archived boolean not null,
    copied_from text collate "C",
    created_at timestamptz not null,
    updated_at timestamptz not null,
    media jsonb not null,
    portals text[] not null,
    portal_errors jsonb not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_properties_v1 (tenant_id, created_at desc, id);
create index on read_properties_v1 (tenant_id, city, created_at desc, id);
create index on read_properties_v1 (tenant_id, kind, created_at desc, id);
create index on read_properties_v1 (tenant_id, owner_id, created_at desc, id);
-- By price and by size: exact decimals are text in JSON.
create index on read_properties_v1 (tenant_id, ((price->>'amount')::numeric), id);
create index on read_properties_v1 (tenant_id, (area::numeric), id);
create index on read_properties_v1 (tenant_id, rooms, id);
create index on read_properties_v1 using gin (features);
create index on read_properties_v1 using gin (portals);
create index on read_properties_v1 using gin (tags);
create index on read_properties_v1 using gin (custom jsonb_path_ops);

create view read_properties as select * from read_properties_v1;
