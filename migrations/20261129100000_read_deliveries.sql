-- What other systems handed in: see projections/src/data/deliveries.rs.
create table read_deliveries_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    takes text collate "C" not null,
    source text collate "C" not null,
    key text collate "C",
    size bigint not null,
    status text collate "C" not null,
    attempts integer not null,
    code text collate "C",
    reason text,
    pointer text collate "C",
    record_kind text collate "C",
    record_id text collate "C",
    contact_id text collate "C",
    received_at timestamptz not null,
    taken_at timestamptz,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- What came last first: of all, of a source, and of those that could not be taken.
create index on read_deliveries_v1 (tenant_id, received_at desc, id);
create index on read_deliveries_v1 (tenant_id, source, received_at desc, id);
create index on read_deliveries_v1 (tenant_id, status, received_at desc, id) where status <> 'taken';
create index on read_deliveries_v1 (tenant_id, record_id) where record_id is not null;
create index on read_deliveries_v1 (tenant_id, contact_id, received_at desc, id) where contact_id is not null;

create view read_deliveries as select * from read_deliveries_v1;

comment on table read_deliveries_v1 is 'What another system handed in.';
comment on column read_deliveries_v1.tenant_id is 'Whose it is.';
comment on column read_deliveries_v1.id is 'Its id.';
comment on column read_deliveries_v1.version is 'Version of the last event in it, within its stream.';
comment on column read_deliveries_v1.position is 'Position of the last event in it, in the log.';
comment on column read_deliveries_v1.takes is 'What it is.';
comment on column read_deliveries_v1.source is 'What the system that handed it in calls itself.';
comment on column read_deliveries_v1.key is 'What that system calls the delivery.';
comment on column read_deliveries_v1.size is 'How many bytes its body has.';
comment on column read_deliveries_v1.status is 'How far it has come.';
comment on column read_deliveries_v1.attempts is 'How often it was tried.';
comment on column read_deliveries_v1.code is 'The stable code of what stood in the way, last.';
comment on column read_deliveries_v1.reason is 'The same for a person.';
comment on column read_deliveries_v1.pointer is 'The field that it lies in, as a JSON pointer, where it is one.';
comment on column read_deliveries_v1.record_kind is 'The kind of the record that it has become.';
comment on column read_deliveries_v1.record_id is 'That record.';
comment on column read_deliveries_v1.contact_id is 'The contact whom it is about.';
comment on column read_deliveries_v1.received_at is 'When it came in.';
comment on column read_deliveries_v1.taken_at is 'When it was taken.';
comment on column read_deliveries_v1.updated_at is 'When anything last happened to it.';
select read_model_describe('read_deliveries', 'read_deliveries_v1');
