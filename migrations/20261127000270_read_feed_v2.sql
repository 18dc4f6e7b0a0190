-- Feeds, second version: see projections/src/feed.rs. Entries and links say at which positions and at which instants they
-- hold, both exactly, and links which records are remarked about.
create table read_feed_v2 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    kind text collate "C" not null,
    record_id text collate "C" not null,
    name text collate "C",
    worth jsonb,
    refers jsonb not null,
    begun_at timestamptz,
    remarked boolean not null,
    turns jsonb not null,
    entries jsonb not null,
    rewrites jsonb not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- What happened, once in each feed it stands in. The key is the order of a feed; whether an entry still stands there is
-- part of the index, so that a page is read from it alone.
create table read_feed_entry_v2 (
    tenant_id text collate "C" not null,
    subject_kind text collate "C" not null,
    subject_id text collate "C" not null,
    occurred_at timestamptz not null,
    event_position bigint not null,
    kind text collate "C" not null,
    type text collate "C" not null,
    record_id text collate "C" not null,
    internal boolean not null,
    holds boolean not null,
    positions int8multirange,
    instants tstzmultirange,
    primary key (tenant_id, subject_kind, subject_id, occurred_at, event_position) include (kind, internal, holds)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- The feed of one sort of news.
create index on read_feed_entry_v2 (tenant_id, subject_kind, subject_id, kind, occurred_at, event_position)
    include (type, internal, holds);

-- Whose feed gathers whose.
create table read_feed_link_v2 (
    tenant_id text collate "C" not null,
    record_kind text collate "C" not null,
    record_id text collate "C" not null,
    gathers text collate "C" not null,
    other_kind text collate "C" not null,
    other_id text collate "C" not null,
    source_id text collate "C" not null,
    holds boolean not null,
    positions int8multirange not null,
    instants tstzmultirange not null,
    primary key (tenant_id, record_kind, record_id, gathers, other_kind, other_id, source_id) include (holds)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- Until the new tables serve, the old ones are read as the new ones are.
create or replace view read_feed as
select tenant_id, id, version, position, kind, record_id, name,
    coalesce((select jsonb_agg(reference->'record') from jsonb_array_elements(refers) reference), '[]') as refers,
    entries, null::jsonb as worth, null::timestamptz as begun_at, false as remarked, '[]'::jsonb as turns,
    coalesce((
        select jsonb_agg(jsonb_build_object('position', entry->'since_position', 'at', entry->'since_at', 'occurred_at',
                                            null, 'gone', false))
        from jsonb_array_elements(entries) entry where entry->'since_position' > entry->'position'
    ), '[]') as rewrites
from read_feed_v1;

create or replace view read_feed_entry as
select *, kind = 'comment' or type = 'ticket.note_added' as internal, until_position is null as holds,
    int8multirange(int8range(since_position, until_position)) as positions,
    case when until_at is null or until_at > since_at then tstzmultirange(tstzrange(since_at, until_at))
         else '{}' end as instants
from read_feed_entry_v1;

create or replace view read_feed_link as
select *, case when is_part then 'part' else 'feed' end as gathers, until_position is null as holds,
    int8multirange(int8range(since_position, until_position)) as positions,
    case when until_at is null or until_at > since_at then tstzmultirange(tstzrange(since_at, until_at))
         else '{}' end as instants
from read_feed_link_v1
-- A colleague's own feed is nobody else's.
where other_kind <> 'user';

comment on table read_feed_entry_v2 is 'What happened, once for each feed it stands in.';
comment on column read_feed_entry_v2.tenant_id is 'Whose it is.';
comment on column read_feed_entry_v2.subject_kind is 'The kind of the record in whose feed it stands; user for the feed of what a user did.';
comment on column read_feed_entry_v2.subject_id is 'That record.';
comment on column read_feed_entry_v2.occurred_at is 'When it happened in the world.';
comment on column read_feed_entry_v2.event_position is 'The position of its event in the log.';
comment on column read_feed_entry_v2.kind is 'The kind of the record it happened to.';
comment on column read_feed_entry_v2.type is 'The type of its event.';
comment on column read_feed_entry_v2.record_id is 'The record it happened to.';
comment on column read_feed_entry_v2.internal is 'Whether only colleagues may see it.';
comment on column read_feed_entry_v2.holds is 'Whether it stands there now.';
comment on column read_feed_entry_v2.positions is 'After which events of the log it stands there; null for ever since its own.';
comment on column read_feed_entry_v2.instants is 'When in the world it stands there, as that is known now; null for ever since it happened.';
select read_model_describe('read_feed_entry', 'read_feed_entry_v2');

comment on table read_feed_link_v2 is 'Whose feed gathers whose.';
comment on column read_feed_link_v2.tenant_id is 'Whose it is.';
comment on column read_feed_link_v2.record_kind is 'The kind of the record whose feed gathers.';
comment on column read_feed_link_v2.record_id is 'That record.';
comment on column read_feed_link_v2.gathers is 'What of the other: feed, its feed; part, that and whatever it gathers, as it was merged into the record; remarks, what is remarked about it.';
comment on column read_feed_link_v2.other_kind is 'The kind of the record that is gathered.';
comment on column read_feed_link_v2.other_id is 'That record.';
comment on column read_feed_link_v2.source_id is 'The record that says so: one of both, or the relation between them.';
comment on column read_feed_link_v2.holds is 'Whether it is so now.';
comment on column read_feed_link_v2.positions is 'After which events of the log it is so.';
comment on column read_feed_link_v2.instants is 'When in the world it is so, as that is known now.';
select read_model_describe('read_feed_link', 'read_feed_link_v2');
