-- As before, but a column that the target lacks is passed over: a view shows a newer table's columns only once that serves.
create or replace function read_model_describe(target text, source text) returns void
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
          and (d.objsubid = 0 or exists (
              select from pg_attribute t
              where t.attrelid = target::regclass and t.attname = a.attname and not t.attisdropped))
    loop
        if description.number = 0 then
            execute format('comment on %s %s is %L', kind, target::regclass, description.text);
        else
            execute format('comment on column %s.%I is %L', target::regclass, description.name, description.text);
        end if;
    end loop;
end
$$;
