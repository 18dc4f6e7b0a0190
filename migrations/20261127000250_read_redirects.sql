-- Which record goes on for one that was merged: see projections/src/redirects.rs.
create table read_redirects_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    kind text collate "C" not null,
    record_id text collate "C" not null,
    into_id text collate "C",
    primary key (tenant_id, id)
);

create unique index on read_redirects_v1 (tenant_id, kind, record_id);
create index on read_redirects_v1 (tenant_id, record_id) where into_id is not null;
create index on read_redirects_v1 (tenant_id, kind, into_id) where into_id is not null;

create view read_redirects as select * from read_redirects_v1;

-- The record that goes on for another, through chains: itself, unless it was merged. `past` says who went on for whom at
-- another time, `kind-id` by `kind-id`.
create function read_survivor(tenant text, of_kind text, record text, past jsonb default null) returns text
language plpgsql stable parallel safe as $$
declare
    current text collate "C" := record;
    next text collate "C";
begin
    if past is not null then
        return coalesce(past->>(of_kind || '-' || record), record);
    end if;
    -- A chain that bit its own tail would never end.
    for step in 1..1000 loop
        select r.into_id into next from read_redirects r
        where r.tenant_id = tenant and r.kind = of_kind and r.record_id = current;
        exit when next is null;
        current := next;
    end loop;
    return current;
end
$$;

-- Everybody who is one with a record: the one that goes on, and all that were merged into it, through chains.
create function read_family(tenant text, of_kind text, record text) returns table (id text)
language sql stable parallel safe as $$
    with recursive family (id) as (
        select read_survivor($1, $2, $3) collate "C"
        union
        select r.record_id from family
        join read_redirects r on r.tenant_id = $1 and r.kind = $2 and r.into_id = family.id
    )
    select family.id from family
$$;
