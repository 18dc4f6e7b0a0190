-- Made from the description of article_category: add the indexes that people will miss, and never change it once it is shipped.
create table read_article_categories_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    name text collate "C" not null,
    description text collate "C",
    language text collate "C",
    place bigint not null,
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

create index on read_article_categories_v1 (tenant_id, place, id);
create index on read_article_categories_v1 (tenant_id, owner_id, place, id) where owner_id is not null;
create index on read_article_categories_v1 using gin (tags);
create index on read_article_categories_v1 using gin (custom jsonb_path_ops);

create view read_article_categories as select * from read_article_categories_v1;

comment on table read_article_categories_v1 is 'What articles of the help centre stand together under.';
comment on column read_article_categories_v1.tenant_id is 'Whose it is.';
comment on column read_article_categories_v1.id is 'Its id.';
comment on column read_article_categories_v1.version is 'Version of the last event in it, within its stream.';
comment on column read_article_categories_v1.position is 'Position of the last event in it, in the log.';
comment on column read_article_categories_v1.archived is 'Whether it is put away.';
comment on column read_article_categories_v1.copied_from is 'The record it is a copy of.';
comment on column read_article_categories_v1.created_at is 'When it was created.';
comment on column read_article_categories_v1.custom is 'Custom fields.';
comment on column read_article_categories_v1.description is 'What is found in it.';
comment on column read_article_categories_v1.language is 'The language of its articles, a tag (BCP 47); readers of others do not see it where there is something in theirs.';
comment on column read_article_categories_v1.name is 'Its name, as customers read it.';
comment on column read_article_categories_v1.owner_id is 'The user who owns it.';
comment on column read_article_categories_v1.place is 'Its place among the others: the lowest first.';
comment on column read_article_categories_v1.shared is 'With whom it is shared, and how far.';
comment on column read_article_categories_v1.tags is 'Tags.';
comment on column read_article_categories_v1.updated_at is 'When anything last happened to it.';
select read_model_describe('read_article_categories', 'read_article_categories_v1');
