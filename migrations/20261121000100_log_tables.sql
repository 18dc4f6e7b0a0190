-- The log: what happened, in the order it was committed. Everything else in this database can be rebuilt from it.

-- Settings of the log that must agree between all processes.
create table log_setting (
    name text collate "C" primary key,
    value bigint not null
);

-- Positions per partition. Changing it affects only partitions made from then on.
insert into log_setting (name, value) values ('partition_size', 10000000);

-- One row per event. Columns of fixed width come first: they are read without walking over the text.
create table log_event (
    position bigint not null,
    version bigint not null,
    occurred_at timestamptz not null,
    recorded_at timestamptz not null,
    event_id uuid not null,
    is_json boolean not null,
    tenant_id text collate "C" not null,
    stream text collate "C" not null,
    type text collate "C" not null,
    category text collate "C" not null,
    data bytea not null,
    metadata bytea not null,
    primary key (position)
) partition by range (position);

comment on table log_event is 'Every event, once, never changed. Positions run 1, 2, 3, ... in commit order without a hole.';
comment on column log_event.recorded_at is 'When it was written, by the database clock. Never runs backwards along positions.';
comment on column log_event.occurred_at is 'When it happened in the world; imports and back-dated entries differ from recorded_at.';
comment on column log_event.is_json is 'Whether data and metadata are JSON in UTF-8.';

-- One stream, in order. Uniqueness is held by the row lock on log_stream: a partitioned index cannot hold it.
create index log_event_stream on log_event (tenant_id, stream, version);

-- One category of one tenant, in order.
create index log_event_category on log_event (tenant_id, category, position);

-- The version of every stream: the number of its newest event, -1 when it has none yet.
create table log_stream (
    tenant_id text collate "C" not null,
    stream text collate "C" not null,
    version bigint not null,
    primary key (tenant_id, stream)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

comment on table log_stream is 'Optimistic concurrency: an append locks the rows of its streams and compares versions. Updates stay within the page.';

-- Commands already applied, so that a repeat is answered with the result of the first time.
create table log_command (
    command_id uuid primary key,
    fingerprint bigint not null,
    first_position bigint not null,
    last_position bigint not null,
    recorded_at timestamptz not null,
    tenant_id text collate "C" not null,
    numbers bigint[]
);

comment on column log_command.last_position is 'The last event of the append. Smaller than first_position when the command changed nothing.';

-- Set-wide uniqueness: one owner per (scope, key) of a tenant; a claim of the whole deployment has the empty tenant.
create table log_claim (
    tenant_id text collate "C" not null,
    scope text collate "C" not null,
    key text collate "C" not null,
    owner_tenant text collate "C" not null,
    stream text collate "C" not null,
    primary key (tenant_id, scope, key)
);

-- Numbers people read aloud (ticket 1, 2, 3, ...), drawn within the append so that a refused command burns none. Rows are
-- only added: the highest counts, lower ones are removed now and then. One row updated again and again would bloat.
create table log_counter (
    tenant_id text collate "C" not null,
    name text collate "C" not null,
    value bigint not null,
    primary key (tenant_id, name, value)
);

-- Where each subscription is, and who works on it. The epoch fences a worker that has lost its lease.
create table log_subscription (
    name text collate "C" not null,
    version integer not null,
    position bigint not null default 0,
    epoch bigint not null default 0,
    owner text,
    leased_until timestamptz,
    updated_at timestamptz not null default clock_timestamp(),
    primary key (name, version)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- Events a subscription could not take, with the later events of their streams, waiting to be replayed by command.
create table log_parked (
    subscription text collate "C" not null,
    version integer not null,
    position bigint not null,
    tenant_id text collate "C" not null,
    stream text collate "C" not null,
    type text collate "C" not null,
    reason text not null,
    attempts integer not null,
    retry boolean not null default false,
    parked_at timestamptz not null default clock_timestamp(),
    primary key (subscription, version, position)
);

create index log_parked_stream on log_parked (subscription, version, tenant_id, stream);

comment on column log_parked.retry is 'Somebody asked for it to be handled again; whoever holds the lease does so.';

-- The newest event. A view, not a row: a row updated by every batch bloats as soon as one transaction stays open.
create view log_head as
select position, recorded_at from log_event order by position desc limit 1;

-- The log for people who come with SQL. An event that is not JSON shows null.
create view log_event_json as
select position, tenant_id, stream, version, event_id, type, category, occurred_at, recorded_at,
       case when is_json then convert_from(data, 'UTF8')::jsonb end as data,
       case when is_json then convert_from(metadata, 'UTF8')::jsonb end as metadata
from log_event;
