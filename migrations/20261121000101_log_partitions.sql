-- Partitions of log_event by position, made ahead of the writers.

-- What the catalogue says: positions from first_position up to, not including, end_position.
create view log_partition as
select c.oid::regclass as name,
       substring(pg_get_expr(c.relpartbound, c.oid) from 'FROM \(''?(\d+)''?\)')::bigint as first_position,
       substring(pg_get_expr(c.relpartbound, c.oid) from 'TO \(''?(\d+)''?\)')::bigint as end_position
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'log_event'::regclass;

-- Makes partitions until `ahead` whole ones lie beyond the head, and `room` positions besides. Returns how many it made.
-- A table is made on its own and then attached: `create table ... partition of` would lock out every reader and writer.
create function log_create_partitions(ahead integer, room bigint default 0) returns integer
language plpgsql as $$
declare
    size bigint;
    covered bigint;
    wanted bigint;
    partition text;
    made integer := 0;
begin
    perform pg_advisory_xact_lock(hashtextextended('log_create_partitions', 0));
    select value into strict size from log_setting where name = 'partition_size';
    select coalesce(max(end_position), 1) into covered from log_partition;
    select coalesce(max(position), 0) + 1 + room + size * ahead into wanted from log_event;
    while covered < wanted loop
        partition := 'log_event_' || lpad(covered::text, 15, '0');
        execute format('create table %I (like log_event including defaults including indexes)', partition);
        execute format('alter table log_event attach partition %I for values from (%s) to (%s)', partition, covered, covered + size);
        covered := covered + size;
        made := made + 1;
    end loop;
    return made;
end
$$;

-- The last position recorded at or before an instant; 0 before the first event. Because recorded_at never runs
-- backwards along positions, a binary search on the primary key finds it without an index on time.
create function log_position_at(instant timestamptz) returns bigint
language plpgsql stable parallel safe as $$
declare
    low bigint := 0;
    high bigint;
    middle bigint;
    found_at timestamptz;
begin
    select coalesce(max(position), 0) into high from log_event;
    while low < high loop
        middle := low + (high - low + 1) / 2;
        select e.recorded_at into strict found_at from log_event e where e.position = middle;
        if found_at <= instant then
            low := middle;
        else
            high := middle - 1;
        end if;
    end loop;
    return low;
end
$$;

select log_create_partitions(1);
