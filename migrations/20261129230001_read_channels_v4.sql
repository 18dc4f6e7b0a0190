-- Channels, fourth version: the account of a messenger.
create table read_channels_v4 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    kind text collate "C" not null,
    name text collate "C" not null,
    team_id text collate "C",
    enabled boolean not null,
    greeting text collate "C",
    color text collate "C",
    display text collate "C" not null,
    delay_s integer,
    display_rules jsonb not null,
    operator_ids text[] not null,
    allowed_origins text[] not null,
    reopen_after_s integer,
    max_per_minute integer,
    url text collate "C",
    dedupes boolean not null,
    account text collate "C",
    mail jsonb not null,
    mail_credentials text[] not null,
    credentials_rotated_at timestamptz,
    questions jsonb not null,
    proof_of_work integer,
    captcha jsonb,
    blocked_identities jsonb not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_channels_v4 (tenant_id, name collate "und-x-icu", id);
create index on read_channels_v4 using gin (operator_ids);

comment on table read_channels_v4 is 'A way in which people outside reach the desk.';
comment on column read_channels_v4.tenant_id is 'Whose it is.';
comment on column read_channels_v4.id is 'Its id.';
comment on column read_channels_v4.version is 'Version of the last event in it, within its stream.';
comment on column read_channels_v4.position is 'Position of the last event in it, in the log.';
comment on column read_channels_v4.kind is 'Of what sort.';
comment on column read_channels_v4.name is 'Its name.';
comment on column read_channels_v4.team_id is 'The team that answers it.';
comment on column read_channels_v4.enabled is 'Whether it is open.';
comment on column read_channels_v4.greeting is 'The text beside the button.';
comment on column read_channels_v4.color is 'The colour of the button; none for the usual one.';
comment on column read_channels_v4.display is 'How the chat appears on pages.';
comment on column read_channels_v4.delay_s is 'After how many seconds it opens by itself.';
comment on column read_channels_v4.display_rules is 'What holds on some pages, for visitors from some countries: the first one that fits counts.';
comment on column read_channels_v4.operator_ids is 'The users who answer.';
comment on column read_channels_v4.allowed_origins is 'The origins of pages that may speak to it; all when there is none.';
comment on column read_channels_v4.reopen_after_s is 'For so many seconds after it was closed a conversation reopens; always without it.';
comment on column read_channels_v4.max_per_minute is 'Most messages that leave in a minute.';
comment on column read_channels_v4.url is 'The URL of the program that messages go to.';
comment on column read_channels_v4.dedupes is 'Whether that program lets a message that is sent twice arrive once.';
comment on column read_channels_v4.account is 'The account at Meta that writes.';
comment on column read_channels_v4.mail is 'How mail comes in and leaves.';
comment on column read_channels_v4.mail_credentials is 'Which secrets it has besides: passwords of mail servers, the secret of Meta''s app.';
comment on column read_channels_v4.credentials_rotated_at is 'When it last got other credentials; none when it has none.';
comment on column read_channels_v4.questions is 'What visitors are asked before their first message.';
comment on column read_channels_v4.proof_of_work is 'How much a browser must reckon before a chat begins, in bits.';
comment on column read_channels_v4.captcha is 'Who tells people from programs before a chat begins.';
comment on column read_channels_v4.blocked_identities is 'Addresses that are kept out.';
comment on column read_channels_v4.created_at is 'When it was connected.';
comment on column read_channels_v4.updated_at is 'When anything last happened to it.';
select read_model_describe('read_channels', 'read_channels_v4');
