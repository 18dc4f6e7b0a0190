-- Systems that hand orders, leads or calls in: see domain/src/data/intake_source.rs.
create table read_intake_sources_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    name text collate "C" not null,
    source text collate "C" not null,
    takes text collate "C" not null,
    mapping text collate "C" not null,
    owner_id text collate "C",
    tags text[] not null,
    shared jsonb not null,
    custom jsonb not null,
    archived boolean not null,
    copied_from text collate "C",
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_intake_sources_v1 (tenant_id, name collate "und-x-icu", id);
create index on read_intake_sources_v1 (tenant_id, owner_id, name collate "und-x-icu", id) where owner_id is not null;
create index on read_intake_sources_v1 using gin (tags);
create index on read_intake_sources_v1 using gin (custom jsonb_path_ops);

create view read_intake_sources as select * from read_intake_sources_v1;

comment on table read_intake_sources_v1 is 'A system that hands orders, leads or calls in.';
comment on column read_intake_sources_v1.tenant_id is 'Whose it is.';
comment on column read_intake_sources_v1.id is 'Its id.';
comment on column read_intake_sources_v1.version is 'Version of the last event in it, within its stream.';
comment on column read_intake_sources_v1.position is 'Position of the last event in it, in the log.';
comment on column read_intake_sources_v1.archived is 'Whether it is put away.';
comment on column read_intake_sources_v1.copied_from is 'The record it is a copy of.';
comment on column read_intake_sources_v1.created_at is 'When it was created.';
comment on column read_intake_sources_v1.custom is 'Custom fields.';
comment on column read_intake_sources_v1.mapping is 'The mapping of its bodies, TOML: see the page about the intake.';
comment on column read_intake_sources_v1.name is 'Its name for people.';
comment on column read_intake_sources_v1.owner_id is 'The user who owns it.';
comment on column read_intake_sources_v1.shared is 'With whom it is shared, and how far.';
comment on column read_intake_sources_v1.source is 'What it calls itself in `?source=`: small letters, digits, hyphens and underscores; no other source that hands the same in has it.';
comment on column read_intake_sources_v1.tags is 'Tags.';
comment on column read_intake_sources_v1.takes is 'What it hands in.';
comment on column read_intake_sources_v1.updated_at is 'When anything last happened to it.';
select read_model_describe('read_intake_sources', 'read_intake_sources_v1');
