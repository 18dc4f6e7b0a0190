-- Read models: tables that follow from the log alone, and may be dropped and filled anew at any time.

-- Which table of each read model serves and which is being filled. Query the view read_<name>: it shows the one that serves.
create table read_model (
    name text collate "C" not null,
    generation integer not null,
    version integer not null,
    table_name text not null,
    tally_name text,
    state text not null check (state in ('building', 'serving')),
    position bigint not null default 0,
    indexes text[] not null default '{}',
    started_at timestamptz not null default clock_timestamp(),
    primary key (name, generation)
);

create unique index read_model_serving on read_model (name) where state = 'serving';
create unique index read_model_building on read_model (name, version) where state = 'building';

comment on table read_model is 'The tables of each read model: the one that serves, and a newer one as long as it is being filled.';
comment on column read_model.generation is 'Counts the tables of a read model; also the version of its subscription in log_subscription.';
comment on column read_model.version is 'Version of the code that fills it.';
comment on column read_model.position is 'How far it is filled while it is being built.';
comment on column read_model.indexes is 'Indexes that are made once it is filled.';
