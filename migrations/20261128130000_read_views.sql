-- Made from the description of view, with an index for the views of one collection.
create table read_views_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    name text collate "C" not null,
    collection text collate "C" not null,
    filter jsonb not null,
    columns text[] not null,
    sort text collate "C",
    group_by text collate "C",
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

create index on read_views_v1 (tenant_id, name collate "und-x-icu", id);
create index on read_views_v1 (tenant_id, collection, name collate "und-x-icu", id);
create index on read_views_v1 (tenant_id, owner_id, name collate "und-x-icu", id) where owner_id is not null;
create index on read_views_v1 using gin (tags);
create index on read_views_v1 using gin (custom jsonb_path_ops);

create view read_views as select * from read_views_v1;

comment on table read_views_v1 is 'A list as somebody wants to see it.';
comment on column read_views_v1.tenant_id is 'Whose it is.';
comment on column read_views_v1.id is 'Its id.';
comment on column read_views_v1.version is 'Version of the last event in it, within its stream.';
comment on column read_views_v1.position is 'Position of the last event in it, in the log.';
comment on column read_views_v1.archived is 'Whether it is put away.';
comment on column read_views_v1.collection is 'The collection whose list it shows, such as `tickets`.';
comment on column read_views_v1.columns is 'The columns to show, in this order.';
comment on column read_views_v1.copied_from is 'The record it is a copy of.';
comment on column read_views_v1.created_at is 'When it was created.';
comment on column read_views_v1.custom is 'Custom fields.';
comment on column read_views_v1.filter is 'Which records: a filter of that list, all of them where it is empty. `@me` stands for whoever looks.';
comment on column read_views_v1.group_by is 'The field by whose values the records are shown in groups, side by side.';
comment on column read_views_v1.name is 'Its name.';
comment on column read_views_v1.owner_id is 'The user who owns it.';
comment on column read_views_v1.shared is 'With whom it is shared, and how far.';
comment on column read_views_v1.sort is 'In which order, as the list takes it: `-priority,opened_at`.';
comment on column read_views_v1.tags is 'Tags.';
comment on column read_views_v1.updated_at is 'When anything last happened to it.';
select read_model_describe('read_views', 'read_views_v1');
