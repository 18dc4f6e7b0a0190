-- What events have said, those of tasks, deals, calls, leads, enquiries, offers and runs of rules too: see projections/src/insight/facts.rs.
create table read_facts_v2 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    kind text collate "C" not null,
    record_id text collate "C" not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    told_late boolean not null,
    primary key (tenant_id, id)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

create unique index on read_facts_v2 (tenant_id, kind, record_id);

-- What happened to records, when. Rows are only added.
create table read_fact_moments_v2 (
    tenant_id text collate "C" not null,
    kind text collate "C" not null,
    moment text collate "C" not null,
    at timestamptz not null,
    position bigint not null,
    record_id text collate "C" not null,
    value jsonb,
    actor_id text collate "C",
    primary key (tenant_id, kind, moment, at, position)
);

-- What happened to one record, in order.
create index on read_fact_moments_v2 (tenant_id, kind, moment, record_id, at, position);

-- The values that dimensions of records had, from when on. Rows are only added.
create table read_fact_values_v2 (
    tenant_id text collate "C" not null,
    kind text collate "C" not null,
    dimension text collate "C" not null,
    record_id text collate "C" not null,
    part text collate "C" not null,
    at timestamptz not null,
    position bigint not null,
    value jsonb,
    actor_id text collate "C",
    primary key (tenant_id, kind, dimension, record_id, part, at, position)
);


comment on table read_fact_moments_v2 is 'What happened to records, when. Rows are only added.';
comment on column read_fact_moments_v2.tenant_id is 'Whose it is.';
comment on column read_fact_moments_v2.kind is 'Kind of the record.';
comment on column read_fact_moments_v2.moment is 'What happened: opened, received, resolved, ...';
comment on column read_fact_moments_v2.at is 'When it happened.';
comment on column read_fact_moments_v2.position is 'Position in the log of the event that says so: known from there on.';
comment on column read_fact_moments_v2.record_id is 'The record.';
comment on column read_fact_moments_v2.value is 'What belongs to it: a score, say.';
comment on column read_fact_moments_v2.actor_id is 'Who did it.';
comment on table read_fact_values_v2 is 'The values that dimensions of records had, from when on. Rows are only added.';
comment on column read_fact_values_v2.tenant_id is 'Whose it is.';
comment on column read_fact_values_v2.kind is 'Kind of the record.';
comment on column read_fact_values_v2.dimension is 'The dimension, as lists call the field: team_id, status, custom.size, ...';
comment on column read_fact_values_v2.record_id is 'The record.';
comment on column read_fact_values_v2.part is 'Of a dimension with several values, such as tags, which of them; else empty.';
comment on column read_fact_values_v2.at is 'From when on it had the value, until the next row of the same record, dimension and part.';
comment on column read_fact_values_v2.position is 'Position in the log of the event that says so: known from there on.';
comment on column read_fact_values_v2.value is 'The value; null when it had none, or had this one of several no longer.';
comment on column read_fact_values_v2.actor_id is 'Who changed it.';
select read_model_describe('read_fact_moments', 'read_fact_moments_v2');
select read_model_describe('read_fact_values', 'read_fact_values_v2');
comment on table read_facts_v2 is 'A record of which there are facts.';
comment on column read_facts_v2.tenant_id is 'Whose it is.';
comment on column read_facts_v2.id is 'Its id.';
comment on column read_facts_v2.version is 'Version of the last event in it, within its stream.';
comment on column read_facts_v2.position is 'Position of the last event in it, in the log.';
comment on column read_facts_v2.first_at is 'When the first of its facts happened.';
comment on column read_facts_v2.kind is 'Its kind.';
comment on column read_facts_v2.last_at is 'When the last of them happened.';
comment on column read_facts_v2.record_id is 'The record itself; the row''s own id follows from both.';
comment on column read_facts_v2.told_late is 'Whether one was told after another that happened later.';
select read_model_describe('read_facts', 'read_facts_v2');
