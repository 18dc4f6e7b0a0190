-- Deals: see projections/src/deals.rs.
create table read_deals_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    name text collate "C" not null,
    pipeline text collate "C",
    amount jsonb,
    contact_id text collate "C",
    company_id text collate "C",
    property_id text collate "C",
    enquiry_id text collate "C",
    expected_on date,
    description text collate "C",
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
    reason text collate "C",
    closed_at timestamptz,
    sale jsonb,
    sold_at timestamptz,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_deals_v1 (tenant_id, created_at desc, id);
create index on read_deals_v1 (tenant_id, stage, created_at desc, id);
create index on read_deals_v1 (tenant_id, status, created_at desc, id);
create index on read_deals_v1 (tenant_id, owner_id, created_at desc, id);
create index on read_deals_v1 (tenant_id, contact_id, created_at desc, id) where contact_id is not null;
create index on read_deals_v1 (tenant_id, company_id, created_at desc, id) where company_id is not null;
create index on read_deals_v1 (tenant_id, property_id, created_at desc, id) where property_id is not null;
create index on read_deals_v1 (tenant_id, enquiry_id, created_at desc, id) where enquiry_id is not null;
create index on read_deals_v1 (tenant_id, expected_on, id);
create index on read_deals_v1 (tenant_id, ((amount->>'amount')::numeric), id);
create index on read_deals_v1 using gin (tags);
create index on read_deals_v1 using gin (custom jsonb_path_ops);

create view read_deals as select * from read_deals_v1;
