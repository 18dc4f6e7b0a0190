-- Not every command is remembered in log_command: of one that comes again only as it was, at the version it expects, its
-- events tell. Its element of fingerprints is null. Otherwise log_append does what it did: its first form explains it.
create or replace function log_append(
    careful boolean, hint boolean,
    command_ids uuid[], fingerprints bigint[], tenants text[], append_first bigint[], append_last bigint[],
    write_append integer[], write_stream text[], write_expected bigint[], write_events bigint[],
    some_new boolean, some_old boolean,
    event_write integer[], event_place bigint[], event_version bigint[],
    event_ids uuid[], event_types text[], event_occurred timestamptz[], event_json boolean[], event_data bytea[], event_metadata bytea[],
    claim_append integer[], claim_tenant text[], claim_scope text[], claim_key text[], claim_stream text[], claim_take boolean[],
    number_append integer[], number_event integer[], number_counter text[], number_offset integer[],
    out head bigint, out recorded timestamptz, out before bigint[], out statuses integer[], out details integer[],
    out stored_first bigint[], out stored_last bigint[], out stored_at timestamptz[], out owners text[], out numbers bigint[],
    out began timestamptz, out waiting timestamptz, out alone timestamptz, out ended timestamptz
)
language plpgsql volatile as $$
#variable_conflict use_variable
declare
    appends constant integer := cardinality(command_ids);
    writes constant integer := cardinality(write_append);
    accepted bigint := cardinality(event_write);
    remembered constant boolean := cardinality(array_remove(fingerprints, null)) > 0;
    claims constant integer := cardinality(claim_append);
    drawn constant integer := cardinality(number_event);
    moved integer := 0;
    step integer;
    a integer;
    w integer;
    n integer;
    same bigint;
    owner text;
    owner_tenant text;
    command record;
    number record;
begin
    began := clock_timestamp();

    if not careful then
        if some_new then
            insert into log_stream (tenant_id, stream, version)
            select tenants[w.append], w.stream, w.events - 1
            from (select unnest(write_append) as append, unnest(write_stream) as stream,
                         unnest(write_expected) as expected, unnest(write_events) as events) w
            where w.expected = -1;
            get diagnostics moved = row_count;
        end if;
        if some_old then
            update log_stream s
            set version = s.version + w.events
            from (select unnest(write_append) as append, unnest(write_stream) as stream,
                         unnest(write_expected) as expected, unnest(write_events) as events) w
            where s.tenant_id = tenants[w.append] and s.stream = w.stream and s.version = w.expected and w.expected >= 0;
            get diagnostics step = row_count;
            moved := moved + step;
        end if;
        if moved <> writes then
            raise exception 'not all streams are as expected' using errcode = 'LG001';
        end if;
    else
        -- Rows to lock, for streams that may not exist yet.
        insert into log_stream (tenant_id, stream, version)
        select tenants[write_append[i]], write_stream[i], -1
        from generate_series(1, writes) i
        where write_expected[i] in (-1, -2)
        order by 1, 2
        on conflict do nothing;

        -- The streams, in the order of their keys, so that two batches never wait for each other.
        with locked as materialized (
            select i, s.version
            from generate_series(1, writes) i
            join log_stream s on s.tenant_id = tenants[write_append[i]] and s.stream = write_stream[i]
            order by s.tenant_id, s.stream
            for update of s
        )
        select coalesce(array_agg(coalesce(locked.version, -1) order by i), '{}')
        into before
        from generate_series(1, writes) i
        left join locked using (i);

        statuses := array_fill(0, array[appends]);
        details := statuses;
        stored_first := array_fill(0::bigint, array[appends]);
        stored_last := stored_first;
        stored_at := array_fill(null::timestamptz, array[appends]);
        owners := array_fill(null::text, array[appends]);

        -- Commands applied before.
        for command in
            select i, c.* from generate_series(1, appends) i join log_command c on c.command_id = command_ids[i]
        loop
            a := command.i;
            if command.tenant_id = tenants[a] and command.fingerprint = fingerprints[a] then
                statuses[a] := 1;
                stored_first[a] := command.first_position;
                stored_last[a] := command.last_position;
                stored_at[a] := command.recorded_at;
            else
                statuses[a] := 4;
            end if;
        end loop;

        -- Commands that are not remembered: what stands where their first event is to stand has its id. Then all of their
        -- events must be there, as they are now.
        for i in 1 .. appends loop
            n := append_first[i];
            continue when fingerprints[i] is not null or statuses[i] <> 0 or before[event_write[n]] < event_version[n];
            select e.position, e.recorded_at into command
            from log_event e
            where e.tenant_id = tenants[i] and e.stream = write_stream[event_write[n]] and e.version = event_version[n]
                and e.event_id = event_ids[n];
            continue when not found;
            select count(*) into same
            from generate_series(n::bigint, append_last[i]) g
            join log_event e on e.position = command.position + g - n
            where e.tenant_id = tenants[i] and e.stream = write_stream[event_write[g]] and e.version = event_version[g]
                and e.event_id = event_ids[g] and e.type = event_types[g] and e.data = event_data[g];
            if same = append_last[i] - n + 1 then
                statuses[i] := 1;
                stored_first[i] := command.position;
                stored_last[i] := command.position + same - 1;
                stored_at[i] := command.recorded_at;
            else
                statuses[i] := 4;
            end if;
        end loop;

        -- Versions.
        for w in 1 .. writes loop
            a := write_append[w];
            if statuses[a] = 0 and not (case write_expected[w]
                when -2 then true
                when -4 then before[w] >= 0
                else before[w] = write_expected[w]
            end) then
                statuses[a] := 2;
                details[a] := w;
            end if;
        end loop;

        -- Claims. The keys are locked first, by bucket and in order, so that what is read stays true until the commit.
        if claims > 0 then
            perform pg_advisory_xact_lock(1818453863, bucket)
            from (
                select distinct hashtext(claim_scope[i] || ' ' || claim_key[i]) & 1023 as bucket
                from generate_series(1, claims) i
                order by 1
            ) buckets;

            -- A key held by another stream refuses the append, unless the append itself makes that stream let go.
            for n in 1 .. claims loop
                a := claim_append[n];
                if claim_take[n] and statuses[a] = 0 then
                    select c.stream, c.owner_tenant into owner, owner_tenant
                    from log_claim c
                    where c.tenant_id = claim_tenant[n] and c.scope = claim_scope[n] and c.key = claim_key[n];
                    if found and (owner <> claim_stream[n] or owner_tenant <> tenants[a]) and not exists (
                        select from generate_series(1, claims) i
                        where claim_append[i] = a and not claim_take[i] and claim_tenant[i] = claim_tenant[n]
                            and claim_scope[i] = claim_scope[n] and claim_key[i] = claim_key[n]
                            and claim_stream[i] = owner and tenants[a] = owner_tenant
                    ) then
                        statuses[a] := 3;
                        details[a] := n;
                        -- Another tenant's stream is none of this tenant's business.
                        owners[a] := case when owner_tenant = tenants[a] then owner end;
                    end if;
                end if;
            end loop;

            delete from log_claim c
            using generate_series(1, claims) i
            where not claim_take[i] and statuses[claim_append[i]] = 0
                and c.tenant_id = claim_tenant[i] and c.scope = claim_scope[i] and c.key = claim_key[i]
                and c.stream = claim_stream[i] and c.owner_tenant = tenants[claim_append[i]];

            insert into log_claim (tenant_id, scope, key, owner_tenant, stream)
            select claim_tenant[i], claim_scope[i], claim_key[i], tenants[claim_append[i]], claim_stream[i]
            from generate_series(1, claims) i
            where claim_take[i] and statuses[claim_append[i]] = 0
            on conflict do nothing;
        end if;

        update log_stream s
        set version = before[i] + write_events[i]
        from generate_series(1, writes) i
        where s.tenant_id = tenants[write_append[i]] and s.stream = write_stream[i] and write_events[i] > 0
            and statuses[write_append[i]] = 0;

        -- Only accepted events take a place, and their versions follow what was found.
        n := 0;
        for i in 1 .. accepted loop
            w := event_write[i];
            if statuses[write_append[w]] = 0 then
                n := n + 1;
                event_place[i] := n;
                event_version[i] := event_version[i] + before[w] - greatest(write_expected[w], -1);
            else
                event_place[i] := null;
            end if;
        end loop;
        n := 0;
        for i in 1 .. appends loop
            if statuses[i] = 0 then
                step := append_last[i] - append_first[i] + 1;
                append_first[i] := n + 1;
                append_last[i] := n + step;
                n := n + step;
            else
                append_first[i] := null;
            end if;
        end loop;
        accepted := n;
        if not 0 = any (statuses) then
            ended := clock_timestamp();
            return;
        end if;
    end if;

    -- Numbers, drawn by accepted appends only and written into the event where its `0` stands. Locked like claims.
    if drawn > 0 then
        perform pg_advisory_xact_lock(1668247156, bucket)
        from (
            select distinct hashtext(tenants[number_append[i]] || ' ' || number_counter[i]) & 1023 as bucket
            from generate_series(1, drawn) i
            order by 1
        ) buckets;

        numbers := array_fill(null::bigint, array[drawn]);
        for number in
            with wanted as materialized (
                select i, tenants[number_append[i]] as tenant_id, number_counter[i] as name
                from generate_series(1, drawn) i
                where event_place[number_event[i]] is not null
            ), counter as materialized (
                select wanted.tenant_id, wanted.name, count(*) as draws,
                       coalesce((select max(c.value) from log_counter c
                                 where c.tenant_id = wanted.tenant_id and c.name = wanted.name), 0) as value
                from wanted group by 1, 2
            ), raised as (
                insert into log_counter (tenant_id, name, value)
                select counter.tenant_id, counter.name, counter.value + counter.draws from counter
            )
            select i, counter.value + row_number() over (partition by tenant_id, name order by i) as value
            from wanted join counter using (tenant_id, name)
        loop
            n := number.i;
            numbers[n] := number.value;
            a := number_event[n];
            event_data[a] := overlay(event_data[a] placing convert_to(number.value::text, 'UTF8') from number_offset[n] + 1 for 1);
        end loop;
    end if;

    -- The head last: from here to the commit nobody else can take positions. Read in a statement of its own, because
    -- the snapshot of the statement that waits for the lock is older than the lock.
    waiting := clock_timestamp();
    perform pg_advisory_xact_lock(7813887466);
    alone := clock_timestamp();
    select e.position, e.recorded_at into head, recorded from log_event e order by e.position desc limit 1;
    head := coalesce(head, 0);
    recorded := greatest(recorded, alone);

    insert into log_event (position, version, occurred_at, recorded_at, event_id, is_json, tenant_id, stream, type, category, data, metadata)
    select head + e.place, e.version, coalesce(e.occurred_at, recorded), recorded, e.event_id, coalesce(e.is_json, true),
           tenants[write_append[e.write]], write_stream[e.write], e.type, split_part(write_stream[e.write], '-', 1), e.data, e.metadata
    from (select unnest(event_place) as place, unnest(event_version) as version, unnest(event_occurred) as occurred_at,
                 unnest(event_ids) as event_id, unnest(event_json) as is_json, unnest(event_write) as write,
                 unnest(event_types) as type, unnest(event_data) as data, unnest(event_metadata) as metadata) e
    where e.place is not null;

    -- A command id taken by a concurrent batch since the look-up violates the key: that batch's result stands, and this
    -- batch starts again and finds it.
    if not remembered then
        null;
    elsif drawn = 0 then
        insert into log_command (command_id, fingerprint, first_position, last_position, recorded_at, tenant_id)
        select c.command_id, c.fingerprint, head + c.first, head + c.last, recorded, c.tenant_id
        from (select unnest(command_ids) as command_id, unnest(fingerprints) as fingerprint, unnest(append_first) as first,
                     unnest(append_last) as last, unnest(tenants) as tenant_id) c
        where c.first is not null and c.fingerprint is not null;
    else
        insert into log_command (command_id, fingerprint, first_position, last_position, recorded_at, tenant_id, numbers)
        select command_ids[i], fingerprints[i], head + append_first[i], head + append_last[i], recorded, tenants[i],
               (select array_agg(numbers[d] order by d) from generate_series(1, drawn) d where number_append[d] = i)
        from generate_series(1, appends) i
        where append_first[i] is not null and fingerprints[i] is not null;
    end if;

    if hint then
        perform pg_notify('log', (head + accepted)::text);
    end if;
    ended := clock_timestamp();
end
$$;
