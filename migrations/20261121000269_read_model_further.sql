-- Read models may have further tables, to which events add rows.
alter table read_model add column further_names text[] not null default '{}';

comment on column read_model.further_names is 'Its further tables, to which events add rows.';
