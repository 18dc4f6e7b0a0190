-- Enquiries: see projections/src/enquiries.rs.
create table read_enquiries_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    name text collate "C" not null,
    contact_id text collate "C" not null,
    criteria jsonb not null,
    source text collate "C",
    owner_id text collate "C",
    tags text[] not null,
    shared jsonb not null,
    custom jsonb not null,
    archived boolean not null,
    copied_from text collate "C",
    created_at timestamptz not null,
    updated_at timestamptz not null,
    stage text collate "C" not null,
    status text collate "C" not null,
    outcome text collate "C",
    closed_at timestamptz,
    offered_property_ids text[] not null,
    offer_count integer not null,
    last_offer_at timestamptz,
    external_offers jsonb not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_enquiries_v1 (tenant_id, created_at desc, id);
create index on read_enquiries_v1 (tenant_id, contact_id, created_at desc, id);
create index on read_enquiries_v1 (tenant_id, stage, created_at desc, id);
create index on read_enquiries_v1 (tenant_id, status, created_at desc, id);
create index on read_enquiries_v1 (tenant_id, owner_id, created_at desc, id);
create index on read_enquiries_v1 using gin (criteria jsonb_path_ops);
create index on read_enquiries_v1 using gin (offered_property_ids);
create index on read_enquiries_v1 using gin (tags);
create index on read_enquiries_v1 using gin (custom jsonb_path_ops);

create view read_enquiries as select * from read_enquiries_v1;
