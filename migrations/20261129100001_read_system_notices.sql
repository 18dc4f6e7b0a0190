-- What asks for attention: see projections/src/org/system_notices.rs.
create table read_system_notices_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    about text collate "C" not null,
    subject_kind text collate "C" not null,
    subject_id text collate "C" not null,
    code text collate "C" not null,
    reason text not null,
    pointer text collate "C",
    raised_count integer not null,
    raised_at timestamptz not null,
    cleared boolean not null,
    cleared_at timestamptz,
    cleared_by text collate "C",
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- What was raised last first: of those that wait for somebody, and of all.
create index on read_system_notices_v1 (tenant_id, raised_at desc, id) where not cleared;
create index on read_system_notices_v1 (tenant_id, raised_at desc, id);
create index on read_system_notices_v1 (tenant_id, subject_id);

create view read_system_notices as select * from read_system_notices_v1;

comment on table read_system_notices_v1 is 'Something that went wrong and asks for attention until it is cleared.';
comment on column read_system_notices_v1.tenant_id is 'Whose it is.';
comment on column read_system_notices_v1.id is 'Its id.';
comment on column read_system_notices_v1.version is 'Version of the last event in it, within its stream.';
comment on column read_system_notices_v1.position is 'Position of the last event in it, in the log.';
comment on column read_system_notices_v1.about is 'What went wrong.';
comment on column read_system_notices_v1.subject_kind is 'The kind of the record that it went wrong with.';
comment on column read_system_notices_v1.subject_id is 'That record.';
comment on column read_system_notices_v1.code is 'The stable code of what stood in the way.';
comment on column read_system_notices_v1.reason is 'The same for a person.';
comment on column read_system_notices_v1.pointer is 'The field that it lies in, as a JSON pointer, where it is one.';
comment on column read_system_notices_v1.raised_count is 'How often it was raised.';
comment on column read_system_notices_v1.raised_at is 'When it was raised last.';
comment on column read_system_notices_v1.cleared is 'Whether somebody has cleared it since, or it was seen to.';
comment on column read_system_notices_v1.cleared_at is 'When.';
comment on column read_system_notices_v1.cleared_by is 'The colleague who did; absent where it was seen to.';
comment on column read_system_notices_v1.updated_at is 'When anything last happened to it.';
select read_model_describe('read_system_notices', 'read_system_notices_v1');
