-- Messages, replies and notes: see projections/src/ticket_thread.rs.
create table read_ticket_thread_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    ticket_id text collate "C" not null,
    message_id text collate "C" not null,
    kind text collate "C" not null,
    body text collate "C",
    author_kind text collate "C",
    author_id text collate "C",
    attachments jsonb not null,
    delivery text collate "C",
    delivery_error text collate "C",
    external_id text collate "C",
    redacted boolean not null,
    redaction_reason text collate "C",
    moved_from text collate "C",
    written_at timestamptz not null,
    written_position bigint not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- A thread, oldest first.
create index on read_ticket_thread_v1 (tenant_id, ticket_id, written_at, written_position, id);
create index on read_ticket_thread_v1 (tenant_id, written_at, written_position, id);

create view read_ticket_thread as select * from read_ticket_thread_v1;
