-- The inbox, third version: the chatbot that talks, and the tickets that chats have become.
create table read_conversations_v3 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    medium text collate "C" not null,
    channel_id text collate "C",
    identity jsonb,
    visitor jsonb,
    matched_rule_id text collate "C",
    contact_id text collate "C",
    matched_by text collate "C",
    status text collate "C" not null,
    assignee_id text collate "C",
    label_ids text[] not null,
    unanswered boolean not null,
    unread boolean not null,
    unread_count integer not null,
    read_by_ids text[] not null,
    message_count integer not null,
    last_message text collate "C",
    last_received_at timestamptz,
    last_sent_at timestamptz,
    active_at timestamptz not null,
    recent_messages jsonb not null,
    chatbot_id text collate "C",
    chatbot_version integer,
    bot_step text collate "C",
    bot_answers jsonb not null,
    handed_over boolean not null,
    bot_finished boolean not null,
    ticket_ids text[] not null,
    rating integer,
    rating_text text collate "C",
    reopened_count integer not null,
    started_at timestamptz not null,
    closed_at timestamptz,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- The usual order, what was written last first: of all, and under each thing an inbox is usually filtered by.
create index on read_conversations_v3 (tenant_id, active_at desc, id);
create index on read_conversations_v3 (tenant_id, status, active_at desc, id);
create index on read_conversations_v3 (tenant_id, status, assignee_id, active_at desc, id);
create index on read_conversations_v3 (tenant_id, assignee_id, active_at desc, id);
create index on read_conversations_v3 (tenant_id, unread, active_at desc, id);
create index on read_conversations_v3 (tenant_id, status, unanswered, active_at desc, id);
create index on read_conversations_v3 (tenant_id, medium, active_at desc, id);
create index on read_conversations_v3 (tenant_id, channel_id, active_at desc, id) where channel_id is not null;
create index on read_conversations_v3 (tenant_id, contact_id, active_at desc, id) where contact_id is not null;
-- Elements of sets.
create index on read_conversations_v3 using gin (label_ids);
create index on read_conversations_v3 using gin (ticket_ids);

-- Conversations by label; kept in step with the inbox.
create table read_conversations_by_label_v3 (
    tenant_id text collate "C" not null,
    label_id text collate "C" not null,
    count bigint not null,
    primary key (tenant_id, label_id)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

comment on table read_conversations_by_label_v3 is 'How many conversations bear each label.';
comment on column read_conversations_by_label_v3.tenant_id is 'Whose they are.';
comment on column read_conversations_by_label_v3.label_id is 'The label.';
comment on column read_conversations_by_label_v3.count is 'How many.';
select read_model_describe('read_conversations_by_label', 'read_conversations_by_label_v3');
