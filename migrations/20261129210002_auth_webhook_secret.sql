-- Secrets of webhooks, sealed: see gateway/src/sealed.rs.
create table auth_webhook_secret (
    tenant_id text collate "C" not null,
    webhook_id text collate "C" not null,
    -- The id that events name, by which it is known which count.
    credential text collate "C" not null,
    sealed bytea not null,
    primary key (tenant_id, webhook_id, credential)
);

comment on table auth_webhook_secret is 'Secrets of webhooks, sealed under a key that is not in the database.';
