-- Visitors of pages, by the digest of the token that their browser made: one conversation each. A line that is deleted lets nobody in.
create table auth_visitor (
    digest text collate "C" primary key,
    tenant_id text collate "C" not null,
    channel_id text collate "C" not null,
    -- Who it is: the actor of what he does, and by which name the channel knows him.
    visitor_id text collate "C" not null,
    sender text not null,
    conversation_id text collate "C" not null,
    created_at timestamptz not null,
    expires_at timestamptz not null
);

create index auth_visitor_conversation on auth_visitor (tenant_id, conversation_id);
create index auth_visitor_expires on auth_visitor (expires_at);

comment on table auth_visitor is 'Visitors of pages with a chat, by the digest of their token.';
