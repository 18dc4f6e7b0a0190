-- Orders: see projections/src/orders.rs.
create table read_orders_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    number bigint not null,
    source text collate "C" not null,
    external_number text collate "C",
    customer_id text collate "C",
    company_id text collate "C",
    name text collate "C",
    phone text collate "C",
    email text collate "C",
    city text collate "C",
    address text collate "C",
    items jsonb not null,
    discount jsonb,
    shipping jsonb,
    total jsonb,
    conversation_id text collate "C",
    comment text collate "C",
    status text collate "C" not null,
    payments jsonb not null,
    paid jsonb,
    paid_in_full boolean not null,
    paid_at timestamptz,
    cancelled boolean not null,
    cancel_reason text collate "C",
    cancelled_at timestamptz,
    placed_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_orders_v1 (tenant_id, placed_at desc, id);
create index on read_orders_v1 (tenant_id, customer_id, placed_at desc, id) where customer_id is not null;
create index on read_orders_v1 (tenant_id, company_id, placed_at desc, id) where company_id is not null;
create index on read_orders_v1 (tenant_id, conversation_id, placed_at desc, id) where conversation_id is not null;
create index on read_orders_v1 (tenant_id, status, placed_at desc, id);
create index on read_orders_v1 (tenant_id, city, placed_at desc, id);
create index on read_orders_v1 (tenant_id, paid_in_full, placed_at desc, id);
create index on read_orders_v1 (tenant_id, number, id);
create index on read_orders_v1 (tenant_id, external_number, id) where external_number is not null;
create index on read_orders_v1 (tenant_id, phone);
create index on read_orders_v1 (tenant_id, email);
-- By total: exact decimals are text in JSON.
create index on read_orders_v1 (tenant_id, ((total->>'amount')::numeric), id);

create view read_orders as select * from read_orders_v1;
