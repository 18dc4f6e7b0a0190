-- Tickets as a list shows them, third version: with what their stage means, and what merged ones brought along. See projections/src/ticket_list.rs. What changes
-- with every event has no index here, so that a note or a message need not touch one: when a ticket was last updated has a
-- table of its own.
create table read_ticket_list_v3 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    number bigint not null,
    title text collate "C" not null,
    status text collate "C" not null,
    stage text collate "C" not null,
    stage_means text collate "C" not null,
    priority integer not null,
    category text collate "C",
    requester_kind text collate "C",
    requester_id text collate "C",
    company_id text collate "C",
    team_id text collate "C",
    assignee_id text collate "C",
    product_id text collate "C",
    entitlement_id text collate "C",
    tags text[] not null,
    custom jsonb not null,
    channel text collate "C" not null,
    origin text collate "C",
    opened_at timestamptz not null,
    updated_at timestamptz not null,
    first_reply_at timestamptz,
    last_message_at timestamptz,
    last_customer_message_at timestamptz,
    resolved_at timestamptz,
    closed_at timestamptz,
    snoozed_until timestamptz,
    reopened_count integer not null,
    message_count integer not null,
    rating integer,
    merged_into text collate "C",
    status_before_merge text collate "C",
    split_from text collate "C",
    parts jsonb not null,
    primary key (tenant_id, id)
) with (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05);

-- The usual order, most urgent first and then oldest first: of all tickets, and under each thing they are usually
-- filtered by. Any page of such a list is a range of one of these.
create index on read_ticket_list_v3 (tenant_id, priority desc, opened_at, id);
create index on read_ticket_list_v3 (tenant_id, product_id, priority desc, opened_at, id);
create index on read_ticket_list_v3 (tenant_id, status, priority desc, opened_at, id);
create index on read_ticket_list_v3 (tenant_id, stage, priority desc, opened_at, id);
create index on read_ticket_list_v3 (tenant_id, stage_means, priority desc, opened_at, id);
create index on read_ticket_list_v3 (tenant_id, assignee_id, priority desc, opened_at, id);
create index on read_ticket_list_v3 (tenant_id, team_id, priority desc, opened_at, id);
create index on read_ticket_list_v3 (tenant_id, requester_id, priority desc, opened_at, id) where requester_id is not null;
create index on read_ticket_list_v3 (tenant_id, company_id, priority desc, opened_at, id) where company_id is not null;
create index on read_ticket_list_v3 (tenant_id, category, priority desc, opened_at, id) where category is not null;
-- Other orders, either way.
create index on read_ticket_list_v3 (tenant_id, number, id);
create index on read_ticket_list_v3 (tenant_id, opened_at, id);
-- The parts of a merged ticket.
create index on read_ticket_list_v3 (tenant_id, merged_into) where merged_into is not null;
-- Elements of sets, values of custom fields.
create index on read_ticket_list_v3 using gin (tags);
create index on read_ticket_list_v3 using gin (custom jsonb_path_ops);

-- Tickets by their last change.
create table read_ticket_updated_v3 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05);

create index on read_ticket_updated_v3 (tenant_id, updated_at, id);

comment on table read_ticket_updated_v3 is 'Tickets by their last change: an index of read_ticket_list.';
comment on column read_ticket_updated_v3.tenant_id is 'Whose it is.';
comment on column read_ticket_updated_v3.id is 'The ticket.';
comment on column read_ticket_updated_v3.updated_at is 'When anything last happened to it.';
select read_model_describe('read_ticket_updated', 'read_ticket_updated_v3');

-- Tickets by product, day of opening and status; kept in step with the list. An empty product_id counts tickets without one.
create table read_tickets_by_product_v3 (
    tenant_id text collate "C" not null,
    product_id text collate "C" not null,
    day date not null,
    status text collate "C" not null,
    count bigint not null,
    primary key (tenant_id, product_id, day, status)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

comment on table read_tickets_by_product_v3 is 'How many tickets each product has, by day of opening and status.';
comment on column read_tickets_by_product_v3.tenant_id is 'Whose they are.';
comment on column read_tickets_by_product_v3.product_id is 'The product; empty for tickets without one.';
comment on column read_tickets_by_product_v3.day is 'The day on which they were opened, in UTC.';
comment on column read_tickets_by_product_v3.status is 'Where they stand now.';
comment on column read_tickets_by_product_v3.count is 'How many.';
select read_model_describe('read_tickets_by_product', 'read_tickets_by_product_v3');

-- Texts within titles. The extension is trusted since PostgreSQL 13: who may create in this database may add it. Without it
-- `contains` on titles reads all tickets of the tenant.
do $$
begin
    create extension if not exists pg_trgm;
    create index on read_ticket_list_v3 using gin (lower(title collate "und-x-icu") gin_trgm_ops);
exception when insufficient_privilege or feature_not_supported or undefined_file then
    raise notice 'pg_trgm is not available: searching titles will be slower';
end
$$;

comment on column read_ticket_list_v3.parts is 'Whose tags, followers and links show here, its own among them, while others are merged into it.';
