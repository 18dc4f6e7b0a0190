-- Tasks: see projections/src/tasks.rs.
create table read_tasks_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    title text collate "C" not null,
    text text collate "C",
    priority integer not null,
    project_id text collate "C",
    subjects jsonb not null,
    subject_ids text[] not null,
    status text collate "C" not null,
    open boolean not null,
    assignee_id text collate "C",
    due_at timestamptz,
    overdue boolean not null,
    rule_run_id text collate "C",
    outcome text collate "C",
    cancel_reason text collate "C",
    author_kind text collate "C",
    author_id text collate "C",
    created_at timestamptz not null,
    started_at timestamptz,
    closed_at timestamptz,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- The usual order, what is due first: of all, and under each thing tasks are usually filtered by.
create index on read_tasks_v1 (tenant_id, due_at, priority desc, id);
create index on read_tasks_v1 (tenant_id, open, due_at, priority desc, id);
create index on read_tasks_v1 (tenant_id, open, assignee_id, due_at, priority desc, id);
create index on read_tasks_v1 (tenant_id, assignee_id, due_at, priority desc, id);
create index on read_tasks_v1 (tenant_id, status, due_at, priority desc, id);
create index on read_tasks_v1 (tenant_id, overdue, due_at, priority desc, id);
create index on read_tasks_v1 (tenant_id, project_id, due_at, priority desc, id) where project_id is not null;
create index on read_tasks_v1 (tenant_id, rule_run_id, due_at, priority desc, id) where rule_run_id is not null;
create index on read_tasks_v1 (tenant_id, created_at, id);
-- The tasks of a record.
create index on read_tasks_v1 using gin (subject_ids);

create view read_tasks as select * from read_tasks_v1;
