-- What colleagues were told: see projections/src/work/notifications.rs.
create table read_notifications_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    user_id text collate "C" not null,
    kind text collate "C" not null,
    record_kind text collate "C" not null,
    record_id text collate "C" not null,
    by_kind text collate "C",
    by_id text collate "C",
    in_app boolean not null,
    sent_at timestamptz not null,
    read boolean not null,
    read_at timestamptz,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- What somebody was told last, and how much of it is unread.
create index on read_notifications_v1 (tenant_id, user_id, sent_at desc, id);
create index on read_notifications_v1 (tenant_id, user_id, sent_at desc, id) where not read;

create view read_notifications as select * from read_notifications_v1;

comment on table read_notifications_v1 is 'What somebody was told.';
comment on column read_notifications_v1.tenant_id is 'Whose it is.';
comment on column read_notifications_v1.id is 'Its id.';
comment on column read_notifications_v1.version is 'Version of the last event in it, within its stream.';
comment on column read_notifications_v1.position is 'Position of the last event in it, in the log.';
comment on column read_notifications_v1.by_id is 'Which one.';
comment on column read_notifications_v1.by_kind is 'What sort of person did it; absent where nobody in particular did.';
comment on column read_notifications_v1.in_app is 'Whether it stands in the list: some want to be told by other media alone.';
comment on column read_notifications_v1.kind is 'Of what.';
comment on column read_notifications_v1.read is 'Whether it has been read.';
comment on column read_notifications_v1.read_at is 'When.';
comment on column read_notifications_v1.record_id is 'That record.';
comment on column read_notifications_v1.record_kind is 'The kind of the record that it is about.';
comment on column read_notifications_v1.sent_at is 'When it was told.';
comment on column read_notifications_v1.updated_at is 'When anything last happened to it.';
comment on column read_notifications_v1.user_id is 'Who was told.';
select read_model_describe('read_notifications', 'read_notifications_v1');
select read_model_describe('read_notifications', 'read_notifications_v1');
