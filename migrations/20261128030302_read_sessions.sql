-- Sessions, without their secrets: see projections/src/org/sessions.rs.
create table read_sessions_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    user_id text collate "C" not null,
    method text collate "C" not null,
    second_factor boolean not null,
    address text collate "C",
    user_agent text collate "C",
    status text collate "C" not null,
    started_at timestamptz not null,
    expires_at timestamptz not null,
    ended_at timestamptz,
    ended_reason text collate "C",
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_sessions_v1 (tenant_id, started_at, id);
create index on read_sessions_v1 (tenant_id, user_id, started_at);

create view read_sessions as select * from read_sessions_v1;

comment on table read_sessions_v1 is 'A session.';
comment on column read_sessions_v1.tenant_id is 'Whose it is.';
comment on column read_sessions_v1.id is 'Its id.';
comment on column read_sessions_v1.version is 'Version of the last event in it, within its stream.';
comment on column read_sessions_v1.position is 'Position of the last event in it, in the log.';
comment on column read_sessions_v1.address is 'From which address.';
comment on column read_sessions_v1.ended_at is 'When it ended.';
comment on column read_sessions_v1.ended_reason is 'Why it ended.';
comment on column read_sessions_v1.expires_at is 'When it ends at the latest.';
comment on column read_sessions_v1.method is 'How the person proved who he is.';
comment on column read_sessions_v1.second_factor is 'Whether by a second factor too.';
comment on column read_sessions_v1.started_at is 'When it began.';
comment on column read_sessions_v1.status is 'Where it stands.';
comment on column read_sessions_v1.updated_at is 'When anything last happened to it.';
comment on column read_sessions_v1.user_agent is 'What the browser or app calls itself.';
comment on column read_sessions_v1.user_id is 'Who signed in.';
select read_model_describe('read_sessions', 'read_sessions_v1');
