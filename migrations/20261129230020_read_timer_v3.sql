-- What is due when, third version: tasks are due soon. See projections/src/work/timers.rs.
create table read_timer_v3 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    kind text collate "C" not null,
    record_id text collate "C" not null,
    due_at timestamptz,
    held_until timestamptz,
    cause_id text collate "C" not null,
    cause_position bigint not null,
    correlation_id text collate "C" not null,
    depth bigint not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02);

-- What is due next, over all tenants.
create index on read_timer_v3 (due_at) where due_at is not null;

