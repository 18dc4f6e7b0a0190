-- Made from the description of dashboard: add the indexes that people will miss, and never change it once it is shipped.
create table read_dashboards_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    name text collate "C" not null,
    description text collate "C",
    range text collate "C" not null,
    time_zone text collate "C",
    from_shipped text collate "C",
    pages jsonb not null,
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

create index on read_dashboards_v1 (tenant_id, name collate "und-x-icu", id);
create index on read_dashboards_v1 (tenant_id, owner_id, name collate "und-x-icu", id) where owner_id is not null;
create index on read_dashboards_v1 using gin (tags);
create index on read_dashboards_v1 using gin (custom jsonb_path_ops);

create view read_dashboards as select * from read_dashboards_v1;

comment on table read_dashboards_v1 is 'Pages of charts, numbers, lists and texts.';
comment on column read_dashboards_v1.tenant_id is 'Whose it is.';
comment on column read_dashboards_v1.id is 'Its id.';
comment on column read_dashboards_v1.version is 'Version of the last event in it, within its stream.';
comment on column read_dashboards_v1.position is 'Position of the last event in it, in the log.';
comment on column read_dashboards_v1.archived is 'Whether it is put away.';
comment on column read_dashboards_v1.copied_from is 'The record it is a copy of.';
comment on column read_dashboards_v1.created_at is 'When it was created.';
comment on column read_dashboards_v1.custom is 'Custom fields.';
comment on column read_dashboards_v1.description is 'What it is for.';
comment on column read_dashboards_v1.from_shipped is 'The dashboard that Deskfold brings along of which it is a copy: its pages are those, unless others are given.';
comment on column read_dashboards_v1.name is 'Its name.';
comment on column read_dashboards_v1.owner_id is 'The user who owns it.';
comment on column read_dashboards_v1.pages is 'Its pages, in their order.';
comment on column read_dashboards_v1.range is 'Over what its widgets go, those aside that have a range of their own: the last 30 days by default.';
comment on column read_dashboards_v1.shared is 'With whom it is shared, and how far.';
comment on column read_dashboards_v1.tags is 'Tags.';
comment on column read_dashboards_v1.time_zone is 'The time zone of its days, from the IANA database; the tenant''s by default.';
comment on column read_dashboards_v1.updated_at is 'When anything last happened to it.';
select read_model_describe('read_dashboards', 'read_dashboards_v1');
