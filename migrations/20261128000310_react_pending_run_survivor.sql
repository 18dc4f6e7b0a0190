-- A run that waits is called off by what happens to the record that goes on for its own, once that is merged.
alter table react_pending_run add column survivor_id text collate "C";

update react_pending_run set survivor_id = read_survivor(tenant_id, subject_kind, subject_id);

alter table react_pending_run alter column survivor_id set not null;

create index on react_pending_run (tenant_id, subject_kind, survivor_id);

drop index react_pending_run_tenant_id_subject_kind_subject_id_idx;

comment on column react_pending_run.survivor_id is 'The record that goes on for the one that the run is about: that one itself, unless it is merged.';
