-- Who has the inbox open: a line for each colleague and process, kept alive by that process. It can be emptied at any time; whoever is
-- still there is in it again within seconds.
create unlogged table react_attendance (
    tenant_id text collate "C" not null,
    user_id text collate "C" not null,
    process uuid not null,
    -- Until when he is there, unless the process says so again.
    listens_until timestamptz not null,
    -- When he last touched anything.
    active_at timestamptz not null,
    primary key (tenant_id, user_id, process)
);

comment on table react_attendance is 'Who has the inbox open, for presence: by process, until when, and when he last touched anything.';
