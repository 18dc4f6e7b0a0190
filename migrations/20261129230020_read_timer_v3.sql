-- What is due when, third version: tasks are due soon. See projections/src/work/timers.rs.
create table read_timer_v3 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    kind text collate "C" not null,
    record_id text collate "C" not null,
    due_at timestamptz,
    held_until timestamptz,
    cause_id text collate "C" not null,
    cause_position bigint not null,
    correlation_id text collate "C" not null,
    depth bigint not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02);

-- What is due next, over all tenants.
create index on read_timer_v3 (due_at) where due_at is not null;


comment on table read_timer_v3 is 'Something that is to happen at a certain time.';
comment on column read_timer_v3.tenant_id is 'Whose it is.';
comment on column read_timer_v3.id is 'Its id.';
comment on column read_timer_v3.version is 'Version of the last event in it, within its stream.';
comment on column read_timer_v3.position is 'Position of the last event in it, in the log.';
comment on column read_timer_v3.cause_id is 'The event that made it due then.';
comment on column read_timer_v3.cause_position is 'The position of that event.';
comment on column read_timer_v3.correlation_id is 'The story that the event is part of.';
comment on column read_timer_v3.depth is 'How many rules lie between the event and what a person or another program did.';
comment on column read_timer_v3.due_at is 'When; absent while the record is closed or merged and might come back.';
comment on column read_timer_v3.held_until is 'When it is due should the record come back.';
comment on column read_timer_v3.kind is 'What is due.';
comment on column read_timer_v3.record_id is 'The record it is about.';
select read_model_describe('read_timer', 'read_timer_v3');
