-- The inbox, fourth version: the chatbot that talks, the tickets that chats have become, what visitors answered before, whether they are kept out, and what goes by mail.
create table read_conversations_v4 (
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
    uncertain boolean not null,
    uncertain_message_ids text[] not null,
    chatbot_id text collate "C",
    chatbot_version integer,
    bot_step text collate "C",
    bot_answers jsonb not null,
    handed_over boolean not null,
    bot_finished boolean not null,
    ticket_ids text[] not null,
    answers jsonb not null,
    visitor_blocked boolean not null,
    transcripts jsonb not null,
    rating integer,
    rating_text text collate "C",
    reopened_count integer not null,
    started_at timestamptz not null,
    closed_at timestamptz,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- The usual order, what was written last first: of all, and under each thing an inbox is usually filtered by.
create index on read_conversations_v4 (tenant_id, active_at desc, id);
create index on read_conversations_v4 (tenant_id, status, active_at desc, id);
create index on read_conversations_v4 (tenant_id, status, assignee_id, active_at desc, id);
create index on read_conversations_v4 (tenant_id, assignee_id, active_at desc, id);
create index on read_conversations_v4 (tenant_id, unread, active_at desc, id);
create index on read_conversations_v4 (tenant_id, status, unanswered, active_at desc, id);
create index on read_conversations_v4 (tenant_id, medium, active_at desc, id);
create index on read_conversations_v4 (tenant_id, channel_id, active_at desc, id) where channel_id is not null;
create index on read_conversations_v4 (tenant_id, contact_id, active_at desc, id) where contact_id is not null;
-- What somebody must decide about.
create index on read_conversations_v4 (tenant_id, active_at desc, id) where uncertain;
-- Elements of sets.
create index on read_conversations_v4 using gin (label_ids);
create index on read_conversations_v4 using gin (ticket_ids);

-- Conversations by label; kept in step with the inbox.
create table read_conversations_by_label_v4 (
    tenant_id text collate "C" not null,
    label_id text collate "C" not null,
    count bigint not null,
    primary key (tenant_id, label_id)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

comment on table read_conversations_by_label_v4 is 'How many conversations bear each label.';
comment on column read_conversations_by_label_v4.tenant_id is 'Whose they are.';
comment on column read_conversations_by_label_v4.label_id is 'The label.';
comment on column read_conversations_by_label_v4.count is 'How many.';
select read_model_describe('read_conversations_by_label', 'read_conversations_by_label_v4');

comment on table read_conversations_v4 is 'A chat with somebody outside.';
comment on column read_conversations_v4.tenant_id is 'Whose it is.';
comment on column read_conversations_v4.id is 'Its id.';
comment on column read_conversations_v4.version is 'Version of the last event in it, within its stream.';
comment on column read_conversations_v4.position is 'Position of the last event in it, in the log.';
comment on column read_conversations_v4.medium is 'By what means: `live_chat`, `whatsapp`, `telegram`, ...';
comment on column read_conversations_v4.channel_id is 'Through which of the channels of that sort.';
comment on column read_conversations_v4.identity is 'The address of the other side.';
comment on column read_conversations_v4.visitor is 'What is known of the visitor.';
comment on column read_conversations_v4.matched_rule_id is 'The display rule that matched.';
comment on column read_conversations_v4.contact_id is 'Whom it is with, as far as known.';
comment on column read_conversations_v4.matched_by is 'How that is known.';
comment on column read_conversations_v4.status is 'Where it stands.';
comment on column read_conversations_v4.assignee_id is 'Who is responsible.';
comment on column read_conversations_v4.label_ids is 'The labels it bears.';
comment on column read_conversations_v4.unanswered is 'Whether the other side wrote last, leaving aside what we could not send.';
comment on column read_conversations_v4.unread is 'Whether the other side wrote something that none of us has read.';
comment on column read_conversations_v4.unread_count is 'How many such messages there are.';
comment on column read_conversations_v4.read_by_ids is 'The users who have read all that the other side wrote; nobody when it wrote nothing.';
comment on column read_conversations_v4.message_count is 'Messages, both ways.';
comment on column read_conversations_v4.last_message is 'How the last message begins.';
comment on column read_conversations_v4.last_received_at is 'When the other side last wrote.';
comment on column read_conversations_v4.last_sent_at is 'When one of us last wrote.';
comment on column read_conversations_v4.active_at is 'When the last message was written; when it started, as long as there is none.';
comment on column read_conversations_v4.recent_messages is 'The last messages, oldest first.';
comment on column read_conversations_v4.uncertain is 'Whether it is unknown of any message of ours whether it has left.';
comment on column read_conversations_v4.uncertain_message_ids is 'Those messages.';
comment on column read_conversations_v4.bot_step is 'What a chatbot said last: the step of its script.';
comment on column read_conversations_v4.bot_answers is 'What the visitor answered, by step.';
comment on column read_conversations_v4.handed_over is 'Whether people have taken over from a chatbot.';
comment on column read_conversations_v4.rating is 'How satisfied the other side is: 1 (bad) to 5 (good).';
comment on column read_conversations_v4.rating_text is 'The rating in their words.';
comment on column read_conversations_v4.reopened_count is 'How often it was reopened.';
comment on column read_conversations_v4.started_at is 'When it started.';
comment on column read_conversations_v4.closed_at is 'When it was closed, unless it was reopened since.';
comment on column read_conversations_v4.updated_at is 'When anything last happened to it.';
comment on column read_conversations_v4.chatbot_id is 'The chatbot that talks in it, or did.';
comment on column read_conversations_v4.chatbot_version is 'The version of its script.';
comment on column read_conversations_v4.bot_finished is 'Whether the chatbot has said everything.';
comment on column read_conversations_v4.ticket_ids is 'The tickets that it has become.';
comment on column read_conversations_v4.answers is 'What the visitor answered to the questions before the chat.';
comment on column read_conversations_v4.visitor_blocked is 'Whether the other side is kept out.';
comment on column read_conversations_v4.transcripts is 'What was asked to be sent of it by mail.';
select read_model_describe('read_conversations', 'read_conversations_v4');
