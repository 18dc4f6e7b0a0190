-- What messengers brought: see channels/src/messengers. A row is there before the messenger is told that it is; its words are
-- gone once it was taken in, and it stays for a while, so that what is brought twice is known.
create table react_messenger_update (
    tenant_id text collate "C" not null,
    channel_id text collate "C" not null,
    -- What the messenger calls it, or its digest.
    key text collate "C" not null,
    -- What is taken in one after the other: a chat.
    lane text collate "C" not null,
    -- Its place as the messenger counts, and as it came.
    ordinal bigint not null,
    position bigint generated always as identity,
    body jsonb,
    -- waiting, done, or failed: it cannot be taken in.
    state text collate "C" not null default 'waiting',
    attempts integer not null default 0,
    due_at timestamptz not null,
    error text collate "C",
    came_at timestamptz not null,
    primary key (tenant_id, channel_id, key)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

create index on react_messenger_update (due_at, position) where state = 'waiting';
create index on react_messenger_update (tenant_id, channel_id, lane, ordinal, position) where state = 'waiting';
create index on react_messenger_update (came_at);

comment on table react_messenger_update is 'What messengers brought, until it was taken in, and for a while after.';

-- How a channel of Telegram fares, and how far it has been asked.
create table react_messenger (
    tenant_id text collate "C" not null,
    channel_id text collate "C" not null,
    -- What the bot is called.
    called text collate "C",
    -- Which webhook was set, with which secret and token: their digest. None where it is asked what has come.
    hook text collate "C",
    -- What is asked for next: all before it was taken in.
    next_update bigint not null default 0,
    connected boolean not null,
    error text collate "C",
    failures integer not null,
    checked_at timestamptz not null,
    primary key (tenant_id, channel_id)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

comment on table react_messenger is 'How channels of messengers fare.';
