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

-- Gives a view or table the comments of another table, its columns' included.
create function read_model_describe(target text, source text) returns void
language plpgsql as $$
declare
    kind text;
    description record;
begin
    select case relkind when 'v' then 'view' else 'table' end into strict kind
    from pg_class where oid = target::regclass;
    for description in
        select d.objsubid as number, a.attname as name, d.description as text
        from pg_description d
        left join pg_attribute a on a.attrelid = d.objoid and a.attnum = d.objsubid and d.objsubid > 0
        where d.classoid = 'pg_class'::regclass and d.objoid = source::regclass
    loop
        if description.number = 0 then
            execute format('comment on %s %s is %L', kind, target::regclass, description.text);
        else
            execute format('comment on column %s.%I is %L', target::regclass, description.name, description.text);
        end if;
    end loop;
end
$$;
