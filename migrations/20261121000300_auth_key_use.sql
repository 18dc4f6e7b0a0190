-- When each API key was last used. Telemetry, not history: it is no event.
create table auth_key_use (
    tenant_id text collate "C" not null,
    key_id text collate "C" not null,
    last_used_at timestamptz not null,
    primary key (tenant_id, key_id)
) with (fillfactor = 70);
