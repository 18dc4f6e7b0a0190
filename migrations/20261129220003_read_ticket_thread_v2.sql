-- Messages, replies and notes, second version, with the mail that one came as: see projections/src/desk/ticket_thread.rs.
create table read_ticket_thread_v2 (
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
    send_at timestamptz,
    external_id text collate "C",
    email_id text collate "C",
    redacted boolean not null,
    redaction_reason text collate "C",
    moved_from text collate "C",
    written_at timestamptz not null,
    written_position bigint not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- A thread, oldest first.
create index on read_ticket_thread_v2 (tenant_id, ticket_id, written_at, written_position, id);
create index on read_ticket_thread_v2 (tenant_id, written_at, written_position, id);

comment on table read_ticket_thread_v2 is 'A message, reply or note.';
comment on column read_ticket_thread_v2.tenant_id is 'Whose it is.';
comment on column read_ticket_thread_v2.id is 'Its id.';
comment on column read_ticket_thread_v2.version is 'Version of the last event in it, within its stream.';
comment on column read_ticket_thread_v2.position is 'Position of the last event in it, in the log.';
comment on column read_ticket_thread_v2.ticket_id is 'The ticket in whose thread it shows: the one it was written in, unless a split moved it.';
comment on column read_ticket_thread_v2.message_id is 'Its id.';
comment on column read_ticket_thread_v2.kind is 'What sort of entry.';
comment on column read_ticket_thread_v2.body is 'Its text; absent once it is redacted.';
comment on column read_ticket_thread_v2.author_kind is 'What sort of author.';
comment on column read_ticket_thread_v2.author_id is 'Who wrote it.';
comment on column read_ticket_thread_v2.attachments is 'Files.';
comment on column read_ticket_thread_v2.delivery is 'How far a reply has come.';
comment on column read_ticket_thread_v2.delivery_error is 'Why it could not be sent.';
comment on column read_ticket_thread_v2.send_at is 'Not before then does a reply leave.';
comment on column read_ticket_thread_v2.external_id is 'The id it has where it came from or went to.';
comment on column read_ticket_thread_v2.email_id is 'The mail that it came as.';
comment on column read_ticket_thread_v2.redacted is 'Whether its text and files were taken out of sight.';
comment on column read_ticket_thread_v2.redaction_reason is 'Why they were.';
comment on column read_ticket_thread_v2.moved_from is 'The ticket it was written in, when a split moved it.';
comment on column read_ticket_thread_v2.written_at is 'When it was written.';
comment on column read_ticket_thread_v2.written_position is 'The position of the event by which it was written: what was written at the same time stays in this order.';
select read_model_describe('read_ticket_thread', 'read_ticket_thread_v2');
