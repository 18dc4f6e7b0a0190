-- Leads: see projections/src/leads.rs.
create table read_leads_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    name text collate "C" not null,
    source text collate "C",
    contact_id text collate "C",
    email text collate "C",
    phone text collate "C",
    city text collate "C",
    amount jsonb,
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
    converted_contact_id text collate "C",
    converted_deal_id text collate "C",
    lost_reason text collate "C",
    closed_at timestamptz,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_leads_v1 (tenant_id, created_at desc, id);
create index on read_leads_v1 (tenant_id, stage, created_at desc, id);
create index on read_leads_v1 (tenant_id, status, created_at desc, id);
create index on read_leads_v1 (tenant_id, owner_id, created_at desc, id);
create index on read_leads_v1 (tenant_id, contact_id, created_at desc, id) where contact_id is not null;
create index on read_leads_v1 (tenant_id, email);
create index on read_leads_v1 (tenant_id, phone);
create index on read_leads_v1 using gin (tags);
create index on read_leads_v1 using gin (custom jsonb_path_ops);

create view read_leads as select * from read_leads_v1;
