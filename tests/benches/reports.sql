-- Facts of so many tickets, as their events would have told them: four years of a desk, of which the last months were like the first. Random
-- numbers follow from the number of the ticket, so that every run has the same desk.

create function bench_random(g bigint, salt int) returns double precision language sql immutable parallel safe return
    (hashint8extended(g, salt) & 1048575) / 1048576.0;

create function bench_id(what text, number bigint) returns text language sql immutable parallel safe return
    what || lpad(number::text, 26 - length(what), '0');

-- Few have much, many have little: as products, colleagues and companies are.
create function bench_skewed(g bigint, salt int, most int) returns bigint language sql immutable parallel safe return
    floor(power(bench_random(g, salt), 2) * most)::bigint;

create table bench_desk (tenant text, tickets bigint, now_ timestamptz, first bigint, last bigint);

create view bench_life as
select g, bench_id('', g) as record_id, g * 12 as position, opened,
       case when bench_random(g, 1) < 0.9 then opened + interval '2 minutes' end as selected,
       case when bench_random(g, 2) < 0.92 then opened + interval '8 minutes' end as assigned,
       opened + interval '10 minutes' + bench_random(g, 3) ^ 3 * interval '20 hours' as replied,
       case when bench_random(g, 4) < 0.6 then opened + interval '21 hours' + bench_random(g, 4) * interval '10 hours' end as received,
       case when bench_random(g, 5) < 0.2 then opened + interval '5 hours' end as reassigned,
       -- One in fifty is never ended.
       case when bench_random(g, 6) < 0.98 then opened + interval '32 hours' + bench_random(g, 7) ^ 4 * interval '30 days' end as ended,
       case when bench_random(g, 8) < 0.05 then interval '2 days' end as reopens,
       bench_random(g, 9) < 0.5 as resolved
from (select g, now_ - (tickets - g) * (interval '1461 days' / tickets) as opened
      from bench_desk, lateral generate_series(first, last) g) life;

create view bench_moments as
select m.moment, m.at, l.position + m.turn as position, l.record_id, m.value
from bench_life l cross join bench_desk d cross join lateral (values
    ('opened', opened, 0, null::jsonb), ('assigned', assigned, 2, null), ('replied', replied, 3, null), ('sent', replied + interval '2 seconds', 4, null),
    ('received', received, 5, null), ('assigned', reassigned, 6, null), (case when resolved then 'resolved' else 'closed' end, ended, 8, null),
    ('rated', case when bench_random(g, 10) < 0.1 then ended + interval '1 hour' end, 9, to_jsonb(1 + (5 * bench_random(g, 11))::int % 5)),
    ('reopened', ended + reopens, 10, null), ('closed', ended + reopens * 2, 11, null)) m (moment, at, turn, value)
where m.at < d.now_;

create view bench_values as
select v.dimension, l.record_id, v.part, v.at, l.position + v.turn as position, v.value
from bench_life l cross join bench_desk d cross join lateral (values
    ('status', '', opened, 0, to_jsonb('open'::text)), ('stage', '', opened, 0, to_jsonb('new'::text)),
    ('priority', '', opened, 0, to_jsonb(floor(bench_random(g, 12) * 4)::int)), ('channel', '', opened, 0, to_jsonb((array['email','web','phone'])[1 + g % 3])),
    ('requester_kind', '', opened, 0, to_jsonb('contact'::text)), ('requester_id', '', opened, 0, to_jsonb(bench_id('CON', bench_skewed(g, 13, 50000)))),
    ('company_id', '', opened, 0, to_jsonb(bench_id('COM', bench_skewed(g, 14, 2000)))),
    ('team_id', '', opened, 0, to_jsonb(bench_id('TEA', bench_skewed(g, 15, 6)))),
    ('tags', 'tag ' || g % 30, opened, 0, to_jsonb('tag ' || g % 30)),
    ('product_id', '', selected, 1, to_jsonb(bench_id('PRO', bench_skewed(g, 16, 60)))),
    ('entitlement_id', '', selected, 1, to_jsonb(bench_id('ENT', bench_skewed(g, 13, 50000)))),
    ('assignee_id', '', assigned, 2, to_jsonb(bench_id('USE', bench_skewed(g, 17, 40)))),
    ('stage', '', assigned, 2, to_jsonb('in_progress'::text)),
    ('assignee_id', '', reassigned, 6, to_jsonb(bench_id('USE', bench_skewed(g, 18, 40)))),
    ('status', '', ended, 8, to_jsonb(case when resolved then 'resolved' else 'closed' end)),
    ('stage', '', ended, 8, to_jsonb('done'::text)),
    -- One in a hundred turned out to be a part of the one before.
    ('merged_into', '', case when g % 100 = 50 then opened + interval '1 hour' end, 7, to_jsonb(bench_id('', g - 1))),
    ('status', '', ended + reopens, 10, to_jsonb('open'::text)), ('status', '', ended + reopens * 2, 11, to_jsonb('closed'::text))
    ) v (dimension, part, at, turn, value)
where v.at < d.now_;

-- What is worked out ahead of the same tickets.
create view bench_items as
with life as (
    select l.*, d.now_, least(selected, d.now_) as s, least(assigned, d.now_) as a, least(reassigned, d.now_) as r,
           case when ended < d.now_ then ended end as e,
           case when ended + reopens < d.now_ then ended + reopens end as o,
           case when ended + reopens * 2 < d.now_ then ended + reopens * 2 end as c,
           bench_id('TEA', bench_skewed(g, 15, 6)) as team, bench_id('PRO', bench_skewed(g, 16, 60)) as product,
           floor(bench_random(g, 12) * 4)::int::text as priority,
           bench_id('USE', bench_skewed(g, 17, 40)) as first_user, bench_id('USE', bench_skewed(g, 18, 40)) as second_user
    from bench_life l cross join bench_desk d where g % 100 <> 50 or opened + interval '1 hour' >= d.now_
), counted as (
    select record_id, g, m.measure, m.turn, m.at, m.until, m.measured, coalesce(m.seen, m.at) as seen
    from life cross join lateral (
        select 'opened' as measure, 0::bigint as turn, opened as at, opened as until, null::interval as measured, null::timestamptz as seen
        union all select 'assigned', row_number() over (order by at) - 1, at, at, null, null from (values (assigned), (reassigned)) x (at) where at < now_
        union all select 'first_reply', 0, replied + interval '2 seconds', replied + interval '2 seconds', replied + interval '2 seconds' - opened, null
            where replied + interval '2 seconds' < now_
        union all select 'closed', 0, at, at, null, null from (select case when o is not null then c when not resolved then e end as at) x where at is not null
        union all select 'resolved', 0, e, e, null, null where resolved and e is not null and o is null
        union all select 'reopened', 0, o, o, null, null where o is not null
        union all select 'resolution', 0, at, at, at - opened, null from (select case when o is not null then c else e end as at) x where at is not null
        union all select 'backlog', row_number() over (order by at) - 1, at, until, null, null
            from (select at, lead(at) over (order by at) as next, coalesce(e, 'infinity') as ended
                  from (select opened as at union select selected where selected < least(e, now_) union select assigned where assigned < least(e, now_)
                        union select reassigned where reassigned < least(e, now_)) x) y
                 cross join lateral (select coalesce(next, ended) as until) u
        union all select 'backlog', 10, o, coalesce(c, 'infinity'), null, null where o is not null
        union all select 'time_with_assignee', row_number() over (order by until) - 1, until, until, until - at, until - interval '1 microsecond'
            from (values (assigned, least(case when reassigned < now_ and first_user <> second_user or assigned is null then reassigned end, e)),
                         (case when assigned is not null and first_user = second_user and reassigned < e then null else reassigned end, e),
                         (case when coalesce(assigned, reassigned) is not null then o end, c)) x (at, until)
            where at < until and until < now_
    ) m
)
select c.measure, c.record_id, c.turn, c.at, c.until, (extract(epoch from c.measured) * 1000000)::bigint as measured,
       array[case when l.r <= c.seen and l.reassigned <= c.seen then l.second_user when l.assigned <= c.seen then l.first_user end, l.team,
             case when l.selected <= c.seen then l.product end, l.priority] as dims
from counted c join life l using (g);

-- The same tickets as a plain schema has them: a row each, as it is now.
create table crud_tickets (
    id text collate "C" primary key, number bigint, opened_at timestamptz not null, replied_at timestamptz, ended_at timestamptz, status text not null,
    assignee_id text, team_id text, product_id text, priority int not null, channel text not null, company_id text, merged_into text
);

create view bench_crud as
select l.record_id as id, l.g as number, l.opened as opened_at, case when l.replied < d.now_ then l.replied end as replied_at,
       case when l.ended + l.reopens * 2 < d.now_ then l.ended + l.reopens * 2 when l.ended + l.reopens < d.now_ then null
            when l.ended < d.now_ then l.ended end as ended_at,
       case when l.ended + l.reopens * 2 < d.now_ then 'closed' when l.ended + l.reopens < d.now_ then 'open'
            when l.ended < d.now_ then case when l.resolved then 'resolved' else 'closed' end else 'open' end as status,
       bench_id('USE', bench_skewed(g, case when l.reassigned < d.now_ then 18 else 17 end, 40)) as assignee_id,
       bench_id('TEA', bench_skewed(g, 15, 6)) as team_id, bench_id('PRO', bench_skewed(g, 16, 60)) as product_id,
       floor(bench_random(g, 12) * 4)::int as priority, (array['email','web','phone'])[1 + g % 3] as channel,
       bench_id('COM', bench_skewed(g, 14, 2000)) as company_id,
       case when g % 100 = 50 and opened + interval '1 hour' < d.now_ then bench_id('', g - 1) end as merged_into
from bench_life l cross join bench_desk d;
