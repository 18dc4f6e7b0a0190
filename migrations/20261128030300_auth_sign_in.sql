-- What signing in needs and nobody may read: secrets, as digests, hashes, or sealed. What is in force is in the log: a user's
-- events name the credential, the link and the session that count, and rows that nobody names are worthless.

create table auth_password (
    tenant_id text collate "C" not null,
    credential_id text collate "C" not null,
    user_id text collate "C" not null,
    -- Argon2id, with the cost that it was made at.
    memory_kib integer not null,
    iterations integer not null,
    parallelism integer not null,
    salt bytea not null,
    hash bytea not null,
    set_at timestamptz not null,
    primary key (tenant_id, credential_id)
);
create index auth_password_user on auth_password (tenant_id, user_id);

create table auth_second_factor (
    tenant_id text collate "C" not null,
    credential_id text collate "C" not null,
    user_id text collate "C" not null,
    secret bytea not null,
    -- The time step of the last code that was taken: no code is taken twice.
    last_step bigint not null default 0,
    made_at timestamptz not null,
    primary key (tenant_id, credential_id)
);
create index auth_second_factor_user on auth_second_factor (tenant_id, user_id);

-- Recovery codes that are not used up.
create table auth_recovery_code (
    tenant_id text collate "C" not null,
    codes_id text collate "C" not null,
    digest text collate "C" not null,
    user_id text collate "C" not null,
    primary key (tenant_id, codes_id, digest)
);
create index auth_recovery_code_user on auth_recovery_code (tenant_id, user_id);

-- Sessions that last, by the digest of what is in the cookie.
create table auth_session (
    digest text collate "C" primary key,
    tenant_id text collate "C" not null,
    session_id text collate "C" not null,
    user_id text collate "C" not null,
    method text collate "C" not null,
    address text collate "C",
    user_agent text,
    started_at timestamptz not null,
    last_seen_at timestamptz not null,
    expires_at timestamptz not null
) with (fillfactor = 70);
create unique index auth_session_id on auth_session (tenant_id, session_id);
create index auth_session_user on auth_session (tenant_id, user_id);

-- Links that were handed out, and the steps between a password and a session.
create table auth_token (
    digest text collate "C" primary key,
    purpose text collate "C" not null check (purpose in ('link', 'sign_in', 'provider')),
    data jsonb not null,
    expires_at timestamptz not null
);
create index auth_token_expires on auth_token (expires_at);

-- The secrets of clients at OpenID providers, sealed.
create table auth_provider_secret (
    tenant_id text collate "C" not null,
    credential_id text collate "C" not null,
    secret bytea not null,
    primary key (tenant_id, credential_id)
);

-- How often somebody failed of late, by the digest of an account or address. Every gateway counts here.
create table auth_throttle (
    key text collate "C" primary key,
    attempts integer not null,
    blocked_until timestamptz not null,
    last_at timestamptz not null
) with (fillfactor = 70);
create index auth_throttle_last on auth_throttle (last_at);
