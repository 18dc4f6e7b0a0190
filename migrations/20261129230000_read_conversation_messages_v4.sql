-- Messages of conversations, fourth version: changed, taken back, answered with emoji: see projections/src/chat/conversation_messages.rs.
create table read_conversation_messages_v4 (
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
    edited_at timestamptz,
    deleted_at timestamptz,
    reactions text[] not null,
    own_reaction text collate "C",
    own_reaction_error text collate "C",
    template jsonb,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- A conversation, oldest message first.
create index on read_conversation_messages_v4 (tenant_id, conversation_id, written_at, written_position, id);
create index on read_conversation_messages_v4 (tenant_id, written_at, written_position, id);
create index on read_conversation_messages_v4 (tenant_id, delivery, written_at, written_position, id) where delivery is not null;

comment on table read_conversation_messages_v4 is 'A message of a conversation.';
comment on column read_conversation_messages_v4.tenant_id is 'Whose it is.';
comment on column read_conversation_messages_v4.id is 'Its id.';
comment on column read_conversation_messages_v4.version is 'Version of the last event in it, within its stream.';
comment on column read_conversation_messages_v4.position is 'Position of the last event in it, in the log.';
comment on column read_conversation_messages_v4.conversation_id is 'The conversation it was written in.';
comment on column read_conversation_messages_v4.message_id is 'Its id.';
comment on column read_conversation_messages_v4.direction is 'Which way it goes.';
comment on column read_conversation_messages_v4.body is 'Its text.';
comment on column read_conversation_messages_v4.attachments is 'Files.';
comment on column read_conversation_messages_v4.author_kind is 'What sort of author; absent when the other side wrote it.';
comment on column read_conversation_messages_v4.author_id is 'Who wrote it; absent when the other side wrote it.';
comment on column read_conversation_messages_v4.quick_reply_id is 'The quick reply it was made from.';
comment on column read_conversation_messages_v4.delivery is 'How far a message of ours has come.';
comment on column read_conversation_messages_v4.delivery_error is 'Why it could not be sent.';
comment on column read_conversation_messages_v4.external_id is 'The id it has in its channel.';
comment on column read_conversation_messages_v4.written_at is 'When it was written.';
comment on column read_conversation_messages_v4.received_at is 'When it reached us: messages from outside may come late, and in another order than they were written in.';
comment on column read_conversation_messages_v4.claimed_at is 'When its channel said that it was written, where that was a time to come: it counts as written when it came.';
comment on column read_conversation_messages_v4.written_position is 'The position of the event by which it was written: what was written at the same time stays in this order.';
comment on column read_conversation_messages_v4.sent_at is 'When it left.';
comment on column read_conversation_messages_v4.delivered_at is 'When it arrived.';
comment on column read_conversation_messages_v4.read_at is 'When the other side read it.';
comment on column read_conversation_messages_v4.edited_at is 'When the other side last changed it.';
comment on column read_conversation_messages_v4.deleted_at is 'When the other side took it back: it says nothing any more.';
comment on column read_conversation_messages_v4.reactions is 'With what emoji the other side answers it.';
comment on column read_conversation_messages_v4.own_reaction is 'With what emoji we do.';
comment on column read_conversation_messages_v4.own_reaction_error is 'Why our emoji could not be sent.';
comment on column read_conversation_messages_v4.template is 'The template as which it leaves.';
select read_model_describe('read_conversation_messages', 'read_conversation_messages_v4');
