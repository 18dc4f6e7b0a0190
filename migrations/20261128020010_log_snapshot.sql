-- Folded states of long streams, so that they are not folded anew after a restart. All of it may be thrown away at any time.
create table log_snapshot (
    tenant_id text collate "C" not null,
    stream text collate "C" not null,
    version bigint not null,
    event_id uuid not null,
    code text not null,
    checksum bigint not null,
    state bytea not null,
    primary key (tenant_id, stream)
);

-- Ids are most of a state, and do not compress.
alter table log_snapshot alter column state set storage external;

comment on table log_snapshot is 'What a long stream came to. It may be truncated at any time: then the streams are read whole again.';
comment on column log_snapshot.version is 'The version of the last event that is in it.';
comment on column log_snapshot.event_id is 'That event: where the log has another one there, the snapshot is of another history.';
comment on column log_snapshot.code is 'The version of the code that folded it; any other code ignores it.';
comment on column log_snapshot.checksum is 'CRC-32 of everything else in the row.';
comment on column log_snapshot.state is 'The state, in a form that only the code knows that folded it.';
