-- Tenants, fourth version, with the portal: see projections/src/org/tenants.rs.
create table read_tenants_v4 (
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
    portal jsonb,
    retention jsonb not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

comment on table read_tenants_v4 is 'The organisation whose help desk this is.';
comment on column read_tenants_v4.tenant_id is 'Whose it is.';
comment on column read_tenants_v4.id is 'Its id.';
comment on column read_tenants_v4.version is 'Version of the last event in it, within its stream.';
comment on column read_tenants_v4.position is 'Position of the last event in it, in the log.';
comment on column read_tenants_v4.name is 'Its name.';
comment on column read_tenants_v4.settings is 'Its settings that are not at their default.';
comment on column read_tenants_v4.features is 'The features that are on.';
comment on column read_tenants_v4.alias_domain is 'Under which domain the teams'' e-mail aliases are; none for the usual one.';
comment on column read_tenants_v4.alias_domains is 'Under which further domains mail to the teams'' aliases comes in.';
comment on column read_tenants_v4.mail_servers is 'Its own mail servers.';
comment on column read_tenants_v4.portal is 'What its portal is like; none while that is closed.';
comment on column read_tenants_v4.retention is 'For how many days data of each class is kept; what is absent is kept for ever.';
comment on column read_tenants_v4.created_at is 'When it was created.';
comment on column read_tenants_v4.updated_at is 'When anything last happened to it.';
select read_model_describe('read_tenants', 'read_tenants_v4');
