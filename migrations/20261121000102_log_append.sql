-- One batch of appends, decided and written in one call. See docs/decisions/0001-the-log.md.
--
-- Parallel arrays, because they arrive as one message and cost nothing to walk:
--   one element per append:  command_ids, fingerprints, tenants, append_offset (events before it in the batch), append_events
--   one element per stream:  write_append (its append), write_tenant, write_stream, write_expected, write_events, write_offset
--   one element per event:   event_write (its stream), event_index (1 for the first of the stream), event_ids, ...
-- An expected version is a number, or -1: no events yet, -2: whatever there is, -4: at least one event.
-- event_occurred and event_json may be empty: then every event occurred now, and is JSON.
-- Within a batch a stream, a claimed key and a command id belong to one append only; the caller sees to that.
--
-- statuses is null when everything was accepted, else one element per append:
--   0 accepted, 1 duplicate, 2 conflict (detail: the stream's index), 3 claimed (detail: the claim's index), 4 command reused.
--
-- Every statement of a volatile function sees what was committed before that statement began. Order matters:
-- streams are locked before command ids are looked up, and the head is locked before it is read.
create function log_append(
    command_ids uuid[], fingerprints bigint[], tenants text[], append_offset bigint[], append_events bigint[],
    write_append integer[], write_tenant text[], write_stream text[], write_expected bigint[], write_events bigint[], write_offset bigint[],
    event_write integer[], event_index bigint[], event_ids uuid[], event_types text[], event_occurred timestamptz[], event_json boolean[],
    event_data bytea[], event_metadata bytea[],
    claim_append integer[], claim_tenant text[], claim_scope text[], claim_key text[], claim_stream text[], claim_take boolean[],
    number_event integer[], number_counter text[], number_offset integer[],
    may_create boolean, hint boolean,
    out head bigint, out recorded timestamptz, out before bigint[], out statuses integer[], out details integer[],
    out stored_first bigint[], out stored_last bigint[], out stored_at timestamptz[], out owners text[], out numbers bigint[]
)
language plpgsql volatile as $$
#variable_conflict use_variable
declare
    appends constant integer := cardinality(command_ids);
    writes constant integer := cardinality(write_append);
    events constant integer := cardinality(event_write);
    claims constant integer := cardinality(claim_append);
    drawn constant integer := cardinality(number_event);
    known boolean;
    a integer;
    w integer;
    n integer;
    running bigint := 0;
    accepted bigint := events;
    owner text;
    owner_tenant text;
    command record;
    number record;
begin
    -- Rows to lock, for streams that may not exist yet.
    if may_create then
        insert into log_stream (tenant_id, stream, version)
        select write_tenant[i], write_stream[i], -1
        from generate_series(1, writes) i
        where write_expected[i] in (-1, -2)
        order by 1, 2
        on conflict do nothing;
    end if;

    -- The streams, in the order of their keys, so that two batches never wait for each other.
    if writes > 0 then
        with locked as materialized (
            select i, s.version
            from generate_series(1, writes) i
            join log_stream s on s.tenant_id = write_tenant[i] and s.stream = write_stream[i]
            order by s.tenant_id, s.stream
            for update of s
        )
        select array_agg(coalesce(locked.version, -1) order by i)
        into before
        from generate_series(1, writes) i
        left join locked using (i);
    else
        before := '{}';
    end if;

    known := exists (select from log_command c where c.command_id = any (command_ids));

    if known or claims > 0 or before is distinct from write_expected then
        statuses := array_fill(0, array[appends]);
        details := array_fill(0, array[appends]);

        -- Commands applied before.
        if known then
            stored_first := array_fill(0::bigint, array[appends]);
            stored_last := stored_first;
            stored_at := array_fill(null::timestamptz, array[appends]);
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
        end if;

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
            owners := array_fill(null::text, array[appends]);
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

        -- Only accepted events take a position.
        append_offset := array_fill(0::bigint, array[appends]);
        w := 1;
        for a in 1 .. appends loop
            append_offset[a] := running;
            while w <= writes and write_append[w] = a loop
                write_offset[w] := running;
                if statuses[a] = 0 then
                    running := running + write_events[w];
                end if;
                w := w + 1;
            end loop;
        end loop;
        accepted := running;
        if not 0 = any (statuses) then
            return;
        end if;
        if not exists (select from unnest(statuses) s where s <> 0) then
            statuses := null;
        end if;
    end if;

    -- Numbers, drawn by accepted appends only and written into the event where its `0` stands. Locked like claims.
    if drawn > 0 then
        perform pg_advisory_xact_lock(1668247156, bucket)
        from (
            select distinct hashtext(tenants[write_append[event_write[number_event[i]]]] || ' ' || number_counter[i]) & 1023 as bucket
            from generate_series(1, drawn) i
            order by 1
        ) buckets;

        numbers := array_fill(null::bigint, array[drawn]);
        for number in
            with wanted as materialized (
                select i, tenants[write_append[event_write[number_event[i]]]] as tenant_id, number_counter[i] as name
                from generate_series(1, drawn) i
                where statuses is null or statuses[write_append[event_write[number_event[i]]]] = 0
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

    update log_stream s
    set version = before[i] + write_events[i]
    from generate_series(1, writes) i
    where s.tenant_id = write_tenant[i] and s.stream = write_stream[i] and write_events[i] > 0
        and (statuses is null or statuses[write_append[i]] = 0);

    -- The head last: from here to the commit nobody else can take positions. Read in a statement of its own, because
    -- the snapshot of the statement that waits for the lock is older than the lock.
    perform pg_advisory_xact_lock(7813887466);
    select e.position, e.recorded_at into head, recorded from log_event e order by e.position desc limit 1;
    head := coalesce(head, 0);
    recorded := greatest(recorded, clock_timestamp());

    insert into log_event (position, version, occurred_at, recorded_at, event_id, is_json, tenant_id, stream, type, category, data, metadata)
    select head + write_offset[write] + event_index[i], before[write] + event_index[i],
           coalesce(event_occurred[i], recorded), recorded, event_ids[i], coalesce(event_json[i], true),
           write_tenant[write], write_stream[write], event_types[i], split_part(write_stream[write], '-', 1),
           event_data[i], event_metadata[i]
    from (select i, event_write[i] as write from generate_series(1, events) i) event
    where statuses is null or statuses[write_append[write]] = 0;

    -- A command id taken by a concurrent batch since the look-up violates the key: that batch's result stands, and this
    -- batch starts again and finds it.
    insert into log_command (command_id, fingerprint, first_position, last_position, recorded_at, tenant_id, numbers)
    select command_ids[i], fingerprints[i], head + append_offset[i] + 1, head + append_offset[i] + append_events[i], recorded, tenants[i],
           case when drawn > 0 then (
               select array_agg(numbers[d] order by d) from generate_series(1, drawn) d
               where write_append[event_write[number_event[d]]] = i and numbers[d] is not null
           ) end
    from generate_series(1, appends) i
    where statuses is null or statuses[i] = 0;

    if hint then
        perform pg_notify('log', (head + accepted)::text);
    end if;
end
$$;
