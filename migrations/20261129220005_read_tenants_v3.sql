-- Tenants, third version, with further domains of mail: see projections/src/org/tenants.rs.
create table read_tenants_v3 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    name text collate "C" not null,
    settings jsonb not null,
    features text[] not null,
    alias_domain text collate "C",
    alias_domains text[] not null,
    mail_servers jsonb not null,
    retention jsonb not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

comment on table read_tenants_v3 is 'The organisation whose help desk this is.';
comment on column read_tenants_v3.tenant_id is 'Whose it is.';
comment on column read_tenants_v3.id is 'Its id.';
comment on column read_tenants_v3.version is 'Version of the last event in it, within its stream.';
comment on column read_tenants_v3.position is 'Position of the last event in it, in the log.';
comment on column read_tenants_v3.name is 'Its name.';
comment on column read_tenants_v3.settings is 'Its settings that are not at their default.';
comment on column read_tenants_v3.features is 'The features that are on.';
comment on column read_tenants_v3.alias_domain is 'Under which domain the teams'' e-mail aliases are; none for the usual one.';
comment on column read_tenants_v3.alias_domains is 'Under which further domains mail to the teams'' aliases comes in.';
comment on column read_tenants_v3.mail_servers is 'Its own mail servers.';
comment on column read_tenants_v3.retention is 'For how many days data of each class is kept; what is absent is kept for ever.';
comment on column read_tenants_v3.created_at is 'When it was created.';
comment on column read_tenants_v3.updated_at is 'When anything last happened to it.';
select read_model_describe('read_tenants', 'read_tenants_v3');
