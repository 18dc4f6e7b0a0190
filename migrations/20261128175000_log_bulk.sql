-- How far bulks are, and what became of each of their items. Operational: what a bulk did is in the log.

create table bulk_job (
    tenant_id text collate "C" not null,
    bulk_id text collate "C" not null,
    actor jsonb not null,
    -- The API key that asked; absent for somebody signed in.
    key_id text collate "C",
    -- preparing: its items are being written down; ready: a runner may take it; halted: until it is resumed; ended.
    state text not null default 'preparing' check (state in ('preparing', 'ready', 'halted', 'ended')),
    -- Where it takes something back: that was written after this position, up to that one; its items are found there.
    undo_after bigint,
    undo_until bigint,
    items_total bigint,
    items_done bigint not null default 0,
    applied bigint not null default 0,
    unchanged bigint not null default 0,
    refused bigint not null default 0,
    events bigint not null default 0,
    lease_owner uuid,
    lease_until timestamptz,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    progressed_at timestamptz,
    ended_at timestamptz,
    -- Why it failed.
    reason text,
    primary key (tenant_id, bulk_id)
) with (fillfactor = 70);

create index bulk_job_open on bulk_job (created_at) where state in ('preparing', 'ready');

create table bulk_item (
    tenant_id text collate "C" not null,
    bulk_id text collate "C" not null,
    number bigint not null,
    kind text collate "C" not null,
    record_id text collate "C" not null,
    -- The positions of the events that are to be taken back, and the command that wrote each.
    undoes jsonb,
    outcome text check (outcome in ('applied', 'unchanged', 'refused')),
    -- The refusal: its code, what it says, and the place in the body at fault.
    code text,
    detail text,
    pointer text,
    -- The events that were written, by type; with their data where it was only tried.
    events jsonb,
    position bigint,
    primary key (tenant_id, bulk_id, number)
) with (fillfactor = 70);

create index bulk_item_outcome on bulk_item (tenant_id, bulk_id, outcome, number);
