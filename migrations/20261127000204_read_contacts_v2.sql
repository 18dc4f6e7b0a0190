-- Contacts, second version: see projections/src/contacts.rs.
create table read_contacts_v2 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    name text collate "C" not null,
    kind text collate "C" not null,
    source text collate "C",
    email text collate "C",
    phone text collate "C",
    address text collate "C",
    city text collate "C",
    country text collate "C",
    locale text collate "C",
    time_zone text collate "C",
    description text collate "C",
    owner_id text collate "C",
    tags text[] not null,
    shared jsonb not null,
    custom jsonb not null,
    archived boolean not null,
    copied_from text collate "C",
    created_at timestamptz not null,
    updated_at timestamptz not null,
    identities jsonb not null,
    external_ids jsonb not null,
    company_ids text[] not null,
    company_roles jsonb not null,
    notes jsonb not null,
    consents jsonb not null,
    merged_into text collate "C",
    absorbed text[] not null,
    parts jsonb not null,
    erasure_requested_at timestamptz,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_contacts_v2 (tenant_id, name, id);
create index on read_contacts_v2 (tenant_id, owner_id, name, id);
create index on read_contacts_v2 (tenant_id, created_at, id);
create index on read_contacts_v2 (tenant_id, email);
create index on read_contacts_v2 (tenant_id, phone);
create index on read_contacts_v2 using gin (company_ids);
create index on read_contacts_v2 using gin (tags);
create index on read_contacts_v2 using gin (custom jsonb_path_ops);

comment on column read_contacts_v2.parts is 'Whose tags, companies, addresses, external ids and consents show here, its own among them, while others are merged into it.';
