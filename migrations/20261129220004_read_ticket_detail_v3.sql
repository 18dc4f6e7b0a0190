-- Single tickets with all there is to them, third version, with who takes part: see projections/src/desk/ticket_detail.rs.
create table read_ticket_detail_v3 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    number bigint not null,
    title text collate "C" not null,
    status text collate "C" not null,
    stage text collate "C" not null,
    stage_means text collate "C" not null,
    priority integer not null,
    category text collate "C",
    requester_kind text collate "C",
    requester_id text collate "C",
    company_id text collate "C",
    team_id text collate "C",
    assignee_id text collate "C",
    product_id text collate "C",
    entitlement_id text collate "C",
    tags text[] not null,
    custom jsonb not null,
    channel text collate "C" not null,
    origin text collate "C",
    opened_at timestamptz not null,
    updated_at timestamptz not null,
    first_reply_at timestamptz,
    last_message_at timestamptz,
    last_customer_message_at timestamptz,
    resolved_at timestamptz,
    closed_at timestamptz,
    snoozed_until timestamptz,
    reopened_count integer not null,
    message_count integer not null,
    rating integer,
    merged_into text collate "C",
    status_before_merge text collate "C",
    split_from text collate "C",
    parts jsonb not null,
    description text collate "C",
    follower_ids text[] not null,
    participant_ids text[] not null,
    ticket_links jsonb not null,
    split_into text[] not null,
    outcome text collate "C",
    rating_text text collate "C",
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

comment on table read_ticket_detail_v3 is 'A ticket.';
comment on column read_ticket_detail_v3.tenant_id is 'Whose it is.';
comment on column read_ticket_detail_v3.id is 'Its id.';
comment on column read_ticket_detail_v3.version is 'Version of the last event in it, within its stream.';
comment on column read_ticket_detail_v3.position is 'Position of the last event in it, in the log.';
comment on column read_ticket_detail_v3.number is '1, 2, 3, ... within the tenant.';
comment on column read_ticket_detail_v3.title is 'What it is about, in one line.';
comment on column read_ticket_detail_v3.status is 'Where it stands in its life.';
comment on column read_ticket_detail_v3.stage is 'Where it stands in its team''s work.';
comment on column read_ticket_detail_v3.stage_means is 'What that stage means.';
comment on column read_ticket_detail_v3.priority is 'How urgent: 0 (low) to 3 (urgent).';
comment on column read_ticket_detail_v3.category is 'A code from the general list of categories.';
comment on column read_ticket_detail_v3.requester_kind is 'What kind of party asks.';
comment on column read_ticket_detail_v3.requester_id is 'Who asks.';
comment on column read_ticket_detail_v3.company_id is 'The company it concerns.';
comment on column read_ticket_detail_v3.team_id is 'The team that handles it.';
comment on column read_ticket_detail_v3.assignee_id is 'The user who handles it.';
comment on column read_ticket_detail_v3.product_id is 'The product it is about.';
comment on column read_ticket_detail_v3.entitlement_id is 'The entitlement by which the requester, or its company, owns that product.';
comment on column read_ticket_detail_v3.tags is 'Tags.';
comment on column read_ticket_detail_v3.custom is 'Custom fields.';
comment on column read_ticket_detail_v3.channel is 'Where it came in.';
comment on column read_ticket_detail_v3.origin is 'Where exactly it came in.';
comment on column read_ticket_detail_v3.opened_at is 'When it was opened.';
comment on column read_ticket_detail_v3.updated_at is 'When anything last happened to it.';
comment on column read_ticket_detail_v3.first_reply_at is 'When the first reply left.';
comment on column read_ticket_detail_v3.last_message_at is 'When somebody last wrote: the requester or we, notes aside.';
comment on column read_ticket_detail_v3.last_customer_message_at is 'When the requester last wrote.';
comment on column read_ticket_detail_v3.resolved_at is 'When it was resolved, unless it was reopened since.';
comment on column read_ticket_detail_v3.closed_at is 'When it was closed, unless it was reopened since.';
comment on column read_ticket_detail_v3.snoozed_until is 'Until when it is put aside.';
comment on column read_ticket_detail_v3.reopened_count is 'How often it was reopened.';
comment on column read_ticket_detail_v3.message_count is 'Messages received and replies written in it, notes aside. Messages that a split moved away still count here.';
comment on column read_ticket_detail_v3.rating is 'How satisfied the requester is: 1 (bad) to 5 (good).';
comment on column read_ticket_detail_v3.merged_into is 'The ticket it became a part of.';
comment on column read_ticket_detail_v3.status_before_merge is 'Where it stood before it was merged.';
comment on column read_ticket_detail_v3.split_from is 'The ticket it was split off from.';
comment on column read_ticket_detail_v3.parts is 'Whose tags, followers and links show here, its own among them, while others are merged into it.';
comment on column read_ticket_detail_v3.description is 'The whole story.';
comment on column read_ticket_detail_v3.follower_ids is 'The users who follow it.';
comment on column read_ticket_detail_v3.participant_ids is 'The contacts who take part besides the requester.';
comment on column read_ticket_detail_v3.ticket_links is 'Links to other tickets; those merged into it are among them.';
comment on column read_ticket_detail_v3.split_into is 'The tickets that were split off from it.';
comment on column read_ticket_detail_v3.outcome is 'What came of it, when it was resolved.';
comment on column read_ticket_detail_v3.rating_text is 'The rating in the requester''s words.';
select read_model_describe('read_ticket_detail', 'read_ticket_detail_v3');
