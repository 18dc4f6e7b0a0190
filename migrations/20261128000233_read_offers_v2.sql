-- Offers: see projections/src/offers.rs.
create table read_offers_v2 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    enquiry_id text collate "C",
    contact_id text collate "C" not null,
    property_ids text[] not null,
    text text collate "C",
    status text collate "C" not null,
    sent_to_id text collate "C",
    medium text collate "C",
    repeated jsonb not null,
    repeat_reason text collate "C",
    accepted_property_ids text[] not null,
    decline_reason text collate "C",
    drafted_at timestamptz not null,
    sent_at timestamptz,
    opened_at timestamptz,
    answered_at timestamptz,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_offers_v2 (tenant_id, drafted_at desc, id);
create index on read_offers_v2 (tenant_id, enquiry_id, drafted_at desc, id);
create index on read_offers_v2 (tenant_id, contact_id, drafted_at desc, id);
create index on read_offers_v2 (tenant_id, status, drafted_at desc, id);
create index on read_offers_v2 using gin (property_ids);

