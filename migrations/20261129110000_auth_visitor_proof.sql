-- What pages have shown before a chat begins, by the digest of the visitor's token: each challenge counts for one of them. See
-- gateway/src/visitors.rs.
create table auth_visitor_proof (
    digest text collate "C" primary key,
    channel_id text collate "C" not null,
    -- The challenge that was answered; none where nothing had to be reckoned.
    challenge text collate "C" unique,
    expires_at timestamptz not null
);

create index auth_visitor_proof_expires on auth_visitor_proof (expires_at);

comment on table auth_visitor_proof is 'What pages have shown before a chat begins.';

-- A token that was given up stays so, although whoever has it may write.
alter table auth_visitor add column revoked_at timestamptz;
