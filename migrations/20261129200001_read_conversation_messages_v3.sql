-- Messages of conversations, third version, with when their channel says that they were written: see projections/src/chat/conversation_messages.rs.
create table read_conversation_messages_v3 (
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
    claimed_at timestamptz,
    written_position bigint not null,
    sent_at timestamptz,
    delivered_at timestamptz,
    read_at timestamptz,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- A conversation, oldest message first.
create index on read_conversation_messages_v3 (tenant_id, conversation_id, written_at, written_position, id);
create index on read_conversation_messages_v3 (tenant_id, written_at, written_position, id);
create index on read_conversation_messages_v3 (tenant_id, delivery, written_at, written_position, id) where delivery is not null;

comment on table read_conversation_messages_v3 is 'A message of a conversation.';
comment on column read_conversation_messages_v3.tenant_id is 'Whose it is.';
comment on column read_conversation_messages_v3.id is 'Its id.';
comment on column read_conversation_messages_v3.version is 'Version of the last event in it, within its stream.';
comment on column read_conversation_messages_v3.position is 'Position of the last event in it, in the log.';
comment on column read_conversation_messages_v3.conversation_id is 'The conversation it was written in.';
comment on column read_conversation_messages_v3.message_id is 'Its id.';
comment on column read_conversation_messages_v3.direction is 'Which way it goes.';
comment on column read_conversation_messages_v3.body is 'Its text.';
comment on column read_conversation_messages_v3.attachments is 'Files.';
comment on column read_conversation_messages_v3.author_kind is 'What sort of author; absent when the other side wrote it.';
comment on column read_conversation_messages_v3.author_id is 'Who wrote it; absent when the other side wrote it.';
comment on column read_conversation_messages_v3.quick_reply_id is 'The quick reply it was made from.';
comment on column read_conversation_messages_v3.delivery is 'How far a message of ours has come.';
comment on column read_conversation_messages_v3.delivery_error is 'Why it could not be sent.';
comment on column read_conversation_messages_v3.external_id is 'The id it has in its channel.';
comment on column read_conversation_messages_v3.written_at is 'When it was written.';
comment on column read_conversation_messages_v3.received_at is 'When it reached us: messages from outside may come late, and in another order than they were written in.';
comment on column read_conversation_messages_v3.claimed_at is 'When its channel said that it was written, where that was a time to come: it counts as written when it came.';
comment on column read_conversation_messages_v3.written_position is 'The position of the event by which it was written: what was written at the same time stays in this order.';
comment on column read_conversation_messages_v3.sent_at is 'When it left.';
comment on column read_conversation_messages_v3.delivered_at is 'When it arrived.';
comment on column read_conversation_messages_v3.read_at is 'When the other side read it.';
select read_model_describe('read_conversation_messages', 'read_conversation_messages_v3');
