-- Runs of rules that another event may call off: kept by the reactor of rules in the transaction of its checkpoint.
create table react_pending_run (
    tenant_id text collate "C" not null,
    run_id text collate "C" not null,
    subject_kind text collate "C" not null,
    subject_id text collate "C" not null,
    trigger_type text collate "C" not null,
    trigger_position bigint not null,
    cancel_on text[] not null,
    primary key (tenant_id, run_id)
);

create index on react_pending_run (tenant_id, subject_kind, subject_id);

comment on table react_pending_run is 'Runs of rules that wait to be carried out and that another event may call off. Follows from the log; written by the reactor of rules alone.';
