-- Who owns which product: see projections/src/product_holders.rs.
create table read_product_holders_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    product_id text collate "C" not null,
    holder_kind text collate "C" not null,
    holder_id text collate "C" not null,
    status text collate "C" not null,
    contract_number text collate "C",
    serial_number text collate "C",
    price jsonb,
    quantity bigint,
    valid_from timestamptz,
    valid_to timestamptz,
    custom jsonb not null,
    source text collate "C",
    external_id text collate "C",
    revoked_reason text collate "C",
    granted_at timestamptz not null,
    ended_at timestamptz,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_product_holders_v1 (tenant_id, granted_at, id);
create index on read_product_holders_v1 (tenant_id, product_id, granted_at, id);
create index on read_product_holders_v1 (tenant_id, holder_id, granted_at, id);
create index on read_product_holders_v1 (tenant_id, status, granted_at, id);
create index on read_product_holders_v1 (tenant_id, source, external_id) where external_id is not null;
create index on read_product_holders_v1 using gin (custom jsonb_path_ops);

create view read_product_holders as select * from read_product_holders_v1;

-- Entitlements by product, kind of holder and status; kept in step with the holders.
create table read_entitlements_by_product_v1 (
    tenant_id text collate "C" not null,
    product_id text collate "C" not null,
    holder_kind text collate "C" not null,
    status text collate "C" not null,
    count bigint not null,
    primary key (tenant_id, product_id, holder_kind, status)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

create view read_entitlements_by_product as select * from read_entitlements_by_product_v1;

comment on table read_entitlements_by_product_v1 is 'How many entitlements each product has, by kind of holder and status.';
comment on column read_entitlements_by_product_v1.tenant_id is 'Whose they are.';
comment on column read_entitlements_by_product_v1.product_id is 'The product.';
comment on column read_entitlements_by_product_v1.holder_kind is 'What kind of party holds them: contact, company or user.';
comment on column read_entitlements_by_product_v1.status is 'Where they stand: active, revoked or expired.';
comment on column read_entitlements_by_product_v1.count is 'How many.';
select read_model_describe('read_entitlements_by_product', 'read_entitlements_by_product_v1');
