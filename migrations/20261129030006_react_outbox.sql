-- What is to leave: see channels/src/outbox.rs. A row is there from the moment that the event is answered until it is known what became
-- of it; each attempt is written down before it is made.
create table react_outbox (
    tenant_id text collate "C" not null,
    -- The event by which it was put here: what is sent once more is another row.
    position bigint not null,
    -- What sort of thing it is, which says who knows how to send it.
    sort text collate "C" not null,
    -- What must leave one after the other: a conversation.
    lane text collate "C" not null,
    -- Within that, what it is: a message.
    item text collate "C" not null,
    channel_id text collate "C",
    -- waiting, or trying: an attempt has begun and it is not known what became of it.
    state text collate "C" not null default 'waiting',
    attempts integer not null default 0,
    due_at timestamptz not null,
    tried_at timestamptz,
    last_error text collate "C",
    primary key (tenant_id, position, item)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

create index on react_outbox (due_at, position);
create index on react_outbox (tenant_id, lane, position);

comment on table react_outbox is 'What is to leave, until it is known what became of it.';

-- Which conversations each operator has, so that they can be taken from one who is let go: see commands/src/channel_policies.rs.
create table react_channel_assignment (
    tenant_id text collate "C" not null,
    channel_id text collate "C" not null,
    conversation_id text collate "C" not null,
    user_id text collate "C" not null,
    primary key (tenant_id, conversation_id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on react_channel_assignment (tenant_id, channel_id, user_id);

comment on table react_channel_assignment is 'Which conversations of a channel each of its operators has.';
