-- Credentials of channels, sealed: see gateway/src/channel_secrets.rs.
create table auth_channel_secret (
    tenant_id text collate "C" not null,
    channel_id text collate "C" not null,
    -- The id that the event names, by which these are the ones in force.
    credential text collate "C" not null,
    sealed bytea not null,
    primary key (tenant_id, channel_id, credential)
);

comment on table auth_channel_secret is 'Credentials of channels, sealed under a key that is not in the database.';
