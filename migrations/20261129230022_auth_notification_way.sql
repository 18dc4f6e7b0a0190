-- How colleagues are reached, sealed: addresses of chats' webhooks, and of browsers with their keys. See gateway/src/sealed.rs.
create table auth_notification_way (
    tenant_id text collate "C" not null,
    user_id text collate "C" not null,
    -- The id that events name, by which it is known which count.
    credential text collate "C" not null,
    sealed bytea not null,
    primary key (tenant_id, user_id, credential)
);

comment on table auth_notification_way is 'How colleagues are reached, sealed under a key that is not in the database.';
