-- Made from the description of article: add the indexes that people will miss, and never change it once it is shipped.
create table read_articles_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    name text collate "C" not null,
    body text collate "C" not null,
    category_id text collate "C",
    language text collate "C",
    status text collate "C" not null,
    published_name text collate "C",
    published_body text collate "C",
    published_category_id text collate "C",
    published_language text collate "C",
    published_at timestamptz,
    helpful bigint not null,
    unhelpful bigint not null,
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

create index on read_articles_v1 (tenant_id, name collate "und-x-icu", id);
create index on read_articles_v1 (tenant_id, category_id, name collate "und-x-icu", id) where category_id is not null;
create index on read_articles_v1 (tenant_id, status, name collate "und-x-icu", id);
create index on read_articles_v1 (tenant_id, published_category_id, name collate "und-x-icu", id) where published_category_id is not null;
create index on read_articles_v1 (tenant_id, owner_id, name collate "und-x-icu", id) where owner_id is not null;
create index on read_articles_v1 using gin (tags);
create index on read_articles_v1 using gin (custom jsonb_path_ops);

create view read_articles as select * from read_articles_v1;

comment on table read_articles_v1 is 'An article of the help centre.';
comment on column read_articles_v1.tenant_id is 'Whose it is.';
comment on column read_articles_v1.id is 'Its id.';
comment on column read_articles_v1.version is 'Version of the last event in it, within its stream.';
comment on column read_articles_v1.position is 'Position of the last event in it, in the log.';
comment on column read_articles_v1.archived is 'Whether it is put away.';
comment on column read_articles_v1.body is 'Its text, in Markdown (CommonMark).';
comment on column read_articles_v1.category_id is 'Under what it stands.';
comment on column read_articles_v1.copied_from is 'The record it is a copy of.';
comment on column read_articles_v1.created_at is 'When it was created.';
comment on column read_articles_v1.custom is 'Custom fields.';
comment on column read_articles_v1.helpful is 'How many it helped.';
comment on column read_articles_v1.language is 'Its language, a tag (BCP 47); readers of others do not see it where there is something in theirs.';
comment on column read_articles_v1.name is 'Its title.';
comment on column read_articles_v1.owner_id is 'The user who owns it.';
comment on column read_articles_v1.published_at is 'Since when it is read as it is.';
comment on column read_articles_v1.published_body is 'The text that is read.';
comment on column read_articles_v1.published_category_id is 'Under what it is read.';
comment on column read_articles_v1.published_language is 'In which language it is read.';
comment on column read_articles_v1.published_name is 'The title that is read.';
comment on column read_articles_v1.shared is 'With whom it is shared, and how far.';
comment on column read_articles_v1.status is 'Whether it is read.';
comment on column read_articles_v1.tags is 'Tags.';
comment on column read_articles_v1.unhelpful is 'How many it did not help.';
comment on column read_articles_v1.updated_at is 'When anything last happened to it.';
select read_model_describe('read_articles', 'read_articles_v1');
