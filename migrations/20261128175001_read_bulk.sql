-- Bulks: see projections/src/data/bulk.rs.
create table read_bulk_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    kind text collate "C",
    command text collate "C",
    body jsonb not null,
    filter jsonb,
    undoes_kind text collate "C",
    undoes_id text collate "C",
    items bigint,
    dry_run boolean not null,
    user_id text collate "C" not null,
    status text collate "C" not null,
    counts jsonb,
    reason text collate "C",
    undone_by text collate "C",
    undone_at timestamptz,
    requested_at timestamptz not null,
    ended_at timestamptz,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_bulk_v1 (tenant_id, requested_at, id);
create index on read_bulk_v1 (tenant_id, undoes_id) where undoes_id is not null;

create view read_bulk as select * from read_bulk_v1;

comment on table read_bulk_v1 is 'One command for many records.';
comment on column read_bulk_v1.tenant_id is 'Whose it is.';
comment on column read_bulk_v1.id is 'Its id.';
comment on column read_bulk_v1.version is 'Version of the last event in it, within its stream.';
comment on column read_bulk_v1.position is 'Position of the last event in it, in the log.';
comment on column read_bulk_v1.kind is 'The kind of its records; absent where it takes something back.';
comment on column read_bulk_v1.command is 'The command that each record is given.';
comment on column read_bulk_v1.body is 'The body of that command.';
comment on column read_bulk_v1.filter is 'The filter that chose the records; absent where they were named.';
comment on column read_bulk_v1.undoes_kind is 'The kind of what it takes back: `bulk` or `import`.';
comment on column read_bulk_v1.undoes_id is 'The bulk or import that it takes back.';
comment on column read_bulk_v1.items is 'How many records it is about; absent where that is found out as it runs.';
comment on column read_bulk_v1.dry_run is 'Whether it only shows what it would do.';
comment on column read_bulk_v1.user_id is 'The colleague in whose name it runs.';
comment on column read_bulk_v1.status is 'Where it stands.';
comment on column read_bulk_v1.counts is 'What became of the items, once every one has been dealt with.';
comment on column read_bulk_v1.reason is 'Why it failed or was ended.';
comment on column read_bulk_v1.undone_by is 'The bulk that took it back last.';
comment on column read_bulk_v1.undone_at is 'When that was.';
comment on column read_bulk_v1.requested_at is 'When it was asked for.';
comment on column read_bulk_v1.ended_at is 'When it ended.';
comment on column read_bulk_v1.updated_at is 'When anything last happened to it.';
select read_model_describe('read_bulk', 'read_bulk_v1');
