-- Who stands in what relation to which record, conversations shared with their channels among them: see projections/src/kernel/access.rs.
create table read_record_access_v3 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    kind text collate "C" not null,
    record_id text collate "C" not null,
    creator_id text collate "C",
    owner_id text collate "C",
    assignee_id text collate "C",
    requester_id text collate "C",
    team_id text collate "C",
    shared jsonb not null,
    about jsonb not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02);

-- Who may see a record by a relation of his own.
create table read_record_principal_v3 (
    tenant_id text collate "C" not null,
    kind text collate "C" not null,
    record_id text collate "C" not null,
    principal text collate "C" not null,
    level text collate "C",
    holds boolean not null,
    primary key (tenant_id, kind, record_id, principal) include (holds)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02);

-- What somebody may see.
create index on read_record_principal_v3 (tenant_id, principal, kind, record_id) where holds;

-- What a record is about: who sees that sees the record.
create table read_record_about_v3 (
    tenant_id text collate "C" not null,
    about_kind text collate "C" not null,
    about_id text collate "C" not null,
    kind text collate "C" not null,
    record_id text collate "C" not null,
    holds boolean not null,
    primary key (tenant_id, kind, record_id, about_kind, about_id) include (holds)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02);

-- What is about a record.
create index on read_record_about_v3 (tenant_id, about_kind, about_id, kind, record_id) where holds;


comment on table read_record_principal_v3 is 'Who may see a record by a relation of his own.';
comment on column read_record_principal_v3.tenant_id is 'Whose it is.';
comment on column read_record_principal_v3.kind is 'Kind of the record.';
comment on column read_record_principal_v3.record_id is 'The record.';
comment on column read_record_principal_v3.principal is 'holds: or shared: and the id of a user, contact, team or channel; the id 0 stands for everybody.';
comment on column read_record_principal_v3.level is 'How far that goes: read or write; null when it no longer holds.';
comment on column read_record_principal_v3.holds is 'Whether it holds.';
comment on table read_record_about_v3 is 'What a record is about: who sees that sees the record.';
comment on column read_record_about_v3.tenant_id is 'Whose it is.';
comment on column read_record_about_v3.about_kind is 'Kind of what it is about.';
comment on column read_record_about_v3.about_id is 'What it is about.';
comment on column read_record_about_v3.kind is 'Kind of the record.';
comment on column read_record_about_v3.record_id is 'The record.';
comment on column read_record_about_v3.holds is 'Whether it holds.';

comment on table read_record_access_v3 is 'A record and who stands in what relation to it.';
comment on column read_record_access_v3.tenant_id is 'Whose it is.';
comment on column read_record_access_v3.id is 'Its id.';
comment on column read_record_access_v3.version is 'Version of the last event in it, within its stream.';
comment on column read_record_access_v3.position is 'Position of the last event in it, in the log.';
comment on column read_record_access_v3.kind is 'Its kind.';
comment on column read_record_access_v3.record_id is 'The record itself; the row''s own id follows from both.';
comment on column read_record_access_v3.creator_id is 'The user who began it, as long as nobody else has come to own it.';
comment on column read_record_access_v3.owner_id is 'The user who owns it.';
comment on column read_record_access_v3.assignee_id is 'The user whom it is assigned to.';
comment on column read_record_access_v3.requester_id is 'The user or contact who asks for it.';
comment on column read_record_access_v3.team_id is 'The team that handles it.';
comment on column read_record_access_v3.shared is 'The users, teams and channels with whom it is shared, and how far; the id 0 stands for everybody.';
comment on column read_record_access_v3.about is 'The records that it is about, by attribute.';
select read_model_describe('read_record_access', 'read_record_access_v3');
select read_model_describe('read_record_principal', 'read_record_principal_v3');
select read_model_describe('read_record_about', 'read_record_about_v3');
