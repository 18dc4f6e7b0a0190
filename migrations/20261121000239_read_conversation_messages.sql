-- Messages of conversations: see projections/src/conversation_messages.rs.
create table read_conversation_messages_v1 (
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
    written_position bigint not null,
    sent_at timestamptz,
    delivered_at timestamptz,
    read_at timestamptz,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- A conversation, oldest message first.
create index on read_conversation_messages_v1 (tenant_id, conversation_id, written_at, written_position, id);
create index on read_conversation_messages_v1 (tenant_id, written_at, written_position, id);
create index on read_conversation_messages_v1 (tenant_id, delivery, written_at, written_position, id) where delivery is not null;

create view read_conversation_messages as select * from read_conversation_messages_v1;
