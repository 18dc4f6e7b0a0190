-- Made from the description of form: add the indexes that people will miss, and never change it once it is shipped.
create table read_forms_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    name text collate "C" not null,
    slug text collate "C" not null,
    team_id text collate "C",
    text text collate "C",
    thanks text collate "C",
    button text collate "C",
    language text collate "C",
    website text collate "C",
    form_fields jsonb not null,
    sites text[] not null,
    published boolean not null,
    form_version integer not null,
    published_at timestamptz,
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

create index on read_forms_v1 (tenant_id, name collate "und-x-icu", id);
create index on read_forms_v1 (tenant_id, owner_id, name collate "und-x-icu", id) where owner_id is not null;
create index on read_forms_v1 (tenant_id, team_id) where team_id is not null;
create index on read_forms_v1 using gin (tags);
create index on read_forms_v1 using gin (custom jsonb_path_ops);

create view read_forms as select * from read_forms_v1;

comment on table read_forms_v1 is 'A form on a web site that becomes tickets.';
comment on column read_forms_v1.tenant_id is 'Whose it is.';
comment on column read_forms_v1.id is 'Its id.';
comment on column read_forms_v1.version is 'Version of the last event in it, within its stream.';
comment on column read_forms_v1.position is 'Position of the last event in it, in the log.';
comment on column read_forms_v1.archived is 'Whether it is put away.';
comment on column read_forms_v1.button is 'What the button says.';
comment on column read_forms_v1.copied_from is 'The record it is a copy of.';
comment on column read_forms_v1.created_at is 'When it was created.';
comment on column read_forms_v1.custom is 'Custom fields.';
comment on column read_forms_v1.form_fields is 'Its fields, in their order, as they would be published.';
comment on column read_forms_v1.form_version is 'The number of the latest version; 0 before there is one.';
comment on column read_forms_v1.language is 'The language of its page, BCP 47; that of whoever looks by default.';
comment on column read_forms_v1.name is 'Its name, which stands above it.';
comment on column read_forms_v1.owner_id is 'The user who owns it.';
comment on column read_forms_v1.published is 'Whether its page is there.';
comment on column read_forms_v1.published_at is 'When that was published.';
comment on column read_forms_v1.shared is 'With whom it is shared, and how far.';
comment on column read_forms_v1.sites is 'The web sites that may show it.';
comment on column read_forms_v1.slug is 'The last part of its address: small letters, digits and hyphens; no other form of the tenant has it.';
comment on column read_forms_v1.tags is 'Tags.';
comment on column read_forms_v1.team_id is 'The team that its tickets are for.';
comment on column read_forms_v1.text is 'What is said before the fields.';
comment on column read_forms_v1.thanks is 'What is said once it was sent.';
comment on column read_forms_v1.updated_at is 'When anything last happened to it.';
comment on column read_forms_v1.website is 'The web site that it belongs to: the page leads there.';
select read_model_describe('read_forms', 'read_forms_v1');
