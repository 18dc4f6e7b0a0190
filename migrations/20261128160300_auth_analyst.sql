-- Logins of analysts: roles of this database, each bound to the API key whose sight it has. See projections/src/insight/analytics.rs.
create table auth_analyst (
    name text collate "C" primary key,
    tenant_id text collate "C" not null,
    key_id text collate "C" not null,
    added_at timestamptz not null default now()
);

create index on auth_analyst (tenant_id, key_id);

comment on table auth_analyst is 'Logins of analysts: roles of this database, each bound to the API key whose sight it has.';
comment on column auth_analyst.name is 'The role of the database.';
comment on column auth_analyst.tenant_id is 'Whose records it may see.';
comment on column auth_analyst.key_id is 'The API key that says which of them.';
comment on column auth_analyst.added_at is 'When it was added.';
