-- Messages of conversations, second version, with when they reached us: see projections/src/chat/conversation_messages.rs.
create table read_conversation_messages_v2 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    conversation_id text collate "C" not null,
    message_id text collate "C" not null,
    direction text collate "C" not null,
    body text collate "C" not null,
    attachments jsonb not null,
    author_kind text collate "C",
    author_id text collate "C",
    quick_reply_id text collate "C",
    delivery text collate "C",
    delivery_error text collate "C",
    external_id text collate "C",
    written_at timestamptz not null,
    received_at timestamptz,
    written_position bigint not null,
    sent_at timestamptz,
    delivered_at timestamptz,
    read_at timestamptz,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- A conversation, oldest message first.
create index on read_conversation_messages_v2 (tenant_id, conversation_id, written_at, written_position, id);
create index on read_conversation_messages_v2 (tenant_id, written_at, written_position, id);
create index on read_conversation_messages_v2 (tenant_id, delivery, written_at, written_position, id) where delivery is not null;

comment on table read_conversation_messages_v2 is 'A message of a conversation.';
comment on column read_conversation_messages_v2.tenant_id is 'Whose it is.';
comment on column read_conversation_messages_v2.id is 'Its id.';
comment on column read_conversation_messages_v2.version is 'Version of the last event in it, within its stream.';
comment on column read_conversation_messages_v2.position is 'Position of the last event in it, in the log.';
comment on column read_conversation_messages_v2.conversation_id is 'The conversation it was written in.';
comment on column read_conversation_messages_v2.message_id is 'Its id.';
comment on column read_conversation_messages_v2.direction is 'Which way it goes.';
comment on column read_conversation_messages_v2.body is 'Its text.';
comment on column read_conversation_messages_v2.attachments is 'Files.';
comment on column read_conversation_messages_v2.author_kind is 'What sort of author; absent when the other side wrote it.';
comment on column read_conversation_messages_v2.author_id is 'Who wrote it; absent when the other side wrote it.';
comment on column read_conversation_messages_v2.quick_reply_id is 'The quick reply it was made from.';
comment on column read_conversation_messages_v2.delivery is 'How far a message of ours has come.';
comment on column read_conversation_messages_v2.delivery_error is 'Why it could not be sent.';
comment on column read_conversation_messages_v2.external_id is 'The id it has in its channel.';
comment on column read_conversation_messages_v2.written_at is 'When it was written.';
comment on column read_conversation_messages_v2.received_at is 'When it reached us: messages from outside may come late, and in another order than they were written in.';
comment on column read_conversation_messages_v2.written_position is 'The position of the event by which it was written: what was written at the same time stays in this order.';
comment on column read_conversation_messages_v2.sent_at is 'When it left.';
comment on column read_conversation_messages_v2.delivered_at is 'When it arrived.';
comment on column read_conversation_messages_v2.read_at is 'When the other side read it.';
select read_model_describe('read_conversation_messages', 'read_conversation_messages_v2');
