-- What events have said, and what is counted of each record by the dashboards that are shipped: see projections/src/insight/facts.rs.
create table read_facts_v3 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    kind text collate "C" not null,
    record_id text collate "C" not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    told_late boolean not null,
    told jsonb not null,
    primary key (tenant_id, id)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

create unique index on read_facts_v3 (tenant_id, kind, record_id);

-- What happened to records, when. Rows are only added.
create table read_fact_moments_v3 (
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
create index on read_fact_moments_v3 (tenant_id, kind, moment, record_id, at, position);

-- The values that dimensions of records had, from when on. Rows are only added.
create table read_fact_values_v3 (
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


-- What is counted of each record, as all that was told of it is known: the items of a report that are worked out ahead.
create table read_fact_items_v3 (
    tenant_id text collate "C" not null,
    kind text collate "C" not null,
    record_id text collate "C" not null,
    measure text collate "C" not null,
    turn bigint not null,
    at timestamptz not null,
    until timestamptz not null,
    measured bigint,
    dims text[] collate "C" not null,
    primary key (tenant_id, kind, record_id, measure, turn)
);

-- What counts within a range of time, without a look at the rows.
create index on read_fact_items_v3 (tenant_id, kind, measure, until) include (at, measured, dims);

create view read_fact_items as select * from read_fact_items_v3;

comment on table read_fact_moments_v3 is 'What happened to records, when. Rows are only added.';
comment on column read_fact_moments_v3.tenant_id is 'Whose it is.';
comment on column read_fact_moments_v3.kind is 'Kind of the record.';
comment on column read_fact_moments_v3.moment is 'What happened: opened, received, resolved, ...';
comment on column read_fact_moments_v3.at is 'When it happened.';
comment on column read_fact_moments_v3.position is 'Position in the log of the event that says so: known from there on.';
comment on column read_fact_moments_v3.record_id is 'The record.';
comment on column read_fact_moments_v3.value is 'What belongs to it: a score, say.';
comment on column read_fact_moments_v3.actor_id is 'Who did it.';
comment on table read_fact_values_v3 is 'The values that dimensions of records had, from when on. Rows are only added.';
comment on column read_fact_values_v3.tenant_id is 'Whose it is.';
comment on column read_fact_values_v3.kind is 'Kind of the record.';
comment on column read_fact_values_v3.dimension is 'The dimension, as lists call the field: team_id, status, custom.size, ...';
comment on column read_fact_values_v3.record_id is 'The record.';
comment on column read_fact_values_v3.part is 'Of a dimension with several values, such as tags, which of them; else empty.';
comment on column read_fact_values_v3.at is 'From when on it had the value, until the next row of the same record, dimension and part.';
comment on column read_fact_values_v3.position is 'Position in the log of the event that says so: known from there on.';
comment on column read_fact_values_v3.value is 'The value; null when it had none, or had this one of several no longer.';
comment on column read_fact_values_v3.actor_id is 'Who changed it.';
comment on table read_fact_items_v3 is 'What is counted of records as all is known now, for the measures and dimensions of the dashboards that are shipped.';
comment on column read_fact_items_v3.tenant_id is 'Whose it is.';
comment on column read_fact_items_v3.kind is 'Kind of the record.';
comment on column read_fact_items_v3.record_id is 'The record.';
comment on column read_fact_items_v3.measure is 'The measure that counts it: opened, closed, backlog, ...';
comment on column read_fact_items_v3.turn is 'Which of those of the record.';
comment on column read_fact_items_v3.at is 'When it counts; of a backlog, from when on.';
comment on column read_fact_items_v3.until is 'The same; of a backlog, until when, and infinity as long as that is not known. -infinity when it counts no longer.';
comment on column read_fact_items_v3.measured is 'Its length in microseconds, or a score.';
comment on column read_fact_items_v3.dims is 'By what it is divided, as it was then: of tickets assignee, team, product and priority; of conversations assignee and medium.';
select read_model_describe('read_fact_moments', 'read_fact_moments_v3');
select read_model_describe('read_fact_values', 'read_fact_values_v3');
comment on table read_facts_v3 is 'A record of which there are facts.';
comment on column read_facts_v3.tenant_id is 'Whose it is.';
comment on column read_facts_v3.id is 'Its id.';
comment on column read_facts_v3.version is 'Version of the last event in it, within its stream.';
comment on column read_facts_v3.position is 'Position of the last event in it, in the log.';
comment on column read_facts_v3.first_at is 'When the first of its facts happened.';
comment on column read_facts_v3.kind is 'Its kind.';
comment on column read_facts_v3.last_at is 'When the last of them happened.';
comment on column read_facts_v3.record_id is 'The record itself; the row''s own id follows from both.';
comment on column read_facts_v3.told is 'What was told of it from which items are worked out ahead.';
comment on column read_facts_v3.told_late is 'Whether one was told after another that happened later.';
select read_model_describe('read_facts', 'read_facts_v3');
select read_model_describe('read_fact_items', 'read_fact_items_v3');
