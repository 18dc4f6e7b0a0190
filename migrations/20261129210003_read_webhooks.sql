-- Webhooks: see projections/src/work/webhooks.rs.
create table read_webhooks_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    url text not null,
    types text[] collate "C" not null,
    filter jsonb not null,
    description text,
    status text collate "C" not null,
    user_id text collate "C" not null,
    key_id text collate "C",
    disabled_at timestamptz,
    disabled_by text collate "C",
    disabled_reason text,
    secret_rotated_at timestamptz,
    former_secret_until timestamptz,
    subscribed_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_webhooks_v1 (tenant_id, subscribed_at, id);

create view read_webhooks as select * from read_webhooks_v1;

comment on table read_webhooks_v1 is 'A webhook.';
comment on column read_webhooks_v1.tenant_id is 'Whose it is.';
comment on column read_webhooks_v1.id is 'Its id.';
comment on column read_webhooks_v1.version is 'Version of the last event in it, within its stream.';
comment on column read_webhooks_v1.position is 'Position of the last event in it, in the log.';
comment on column read_webhooks_v1.url is 'Where it is called.';
comment on column read_webhooks_v1.types is 'The types of events that it is told of.';
comment on column read_webhooks_v1.filter is 'Which of them: a filter.';
comment on column read_webhooks_v1.description is 'What it is for.';
comment on column read_webhooks_v1.status is 'Whether it works.';
comment on column read_webhooks_v1.user_id is 'The user with whose eyes it sees.';
comment on column read_webhooks_v1.key_id is 'The key by which it was set up, which bounds what it sees.';
comment on column read_webhooks_v1.disabled_at is 'When it was disabled; absent when it is not.';
comment on column read_webhooks_v1.disabled_by is 'Who or what disabled it.';
comment on column read_webhooks_v1.disabled_reason is 'Why it was disabled.';
comment on column read_webhooks_v1.secret_rotated_at is 'When its secret was last changed.';
comment on column read_webhooks_v1.former_secret_until is 'Until when the former secret counts too; absent when none does.';
comment on column read_webhooks_v1.subscribed_at is 'When it was set up.';
comment on column read_webhooks_v1.updated_at is 'When anything last happened to it.';
select read_model_describe('read_webhooks', 'read_webhooks_v1');
