-- Runs of rules: see projections/src/rule_runs.rs.
create table read_rule_runs_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    rule_id text collate "C" not null,
    rule_version bigint not null,
    status text collate "C" not null,
    reason text collate "C",
    stopped_by text collate "C",
    trigger_type text collate "C" not null,
    trigger_position bigint not null,
    trigger_event_id text collate "C" not null,
    subject_kind text collate "C" not null,
    subject_id text collate "C" not null,
    contact_id text collate "C",
    trace jsonb not null,
    due_at timestamptz,
    prepared_at timestamptz,
    candidates jsonb not null,
    chosen text[] not null,
    actions jsonb not null,
    unknown jsonb not null,
    produced jsonb not null,
    attempts bigint not null,
    error text collate "C",
    cancelled_by jsonb,
    recheck jsonb not null,
    asked_at timestamptz not null,
    executed_at timestamptz,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- Newest first: of all rules, of one, and by status.
create index on read_rule_runs_v1 (tenant_id, trigger_position, id);
create index on read_rule_runs_v1 (tenant_id, rule_id, trigger_position, id);
create index on read_rule_runs_v1 (tenant_id, rule_id, status, trigger_position, id);
create index on read_rule_runs_v1 (tenant_id, status, trigger_position, id);
create index on read_rule_runs_v1 (tenant_id, subject_id, trigger_position, id);
create index on read_rule_runs_v1 (tenant_id, contact_id, trigger_position, id) where contact_id is not null;
-- How many wait for somebody, in the whole deployment.
create index on read_rule_runs_v1 (status) where status = 'parked';

create view read_rule_runs as select * from read_rule_runs_v1;
