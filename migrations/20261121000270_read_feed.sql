-- Feeds: see projections/src/feed.rs.
create table read_feed_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    kind text collate "C" not null,
    record_id text collate "C" not null,
    name text collate "C",
    refers jsonb not null,
    entries jsonb not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create view read_feed as select * from read_feed_v1;

-- What happened, once in each feed it stands in. The key is the order of a feed; whether an entry still stands there is
-- part of the index, so that a page is read from it alone.
create table read_feed_entry_v1 (
    tenant_id text collate "C" not null,
    subject_kind text collate "C" not null,
    subject_id text collate "C" not null,
    occurred_at timestamptz not null,
    event_position bigint not null,
    since_position bigint not null,
    kind text collate "C" not null,
    type text collate "C" not null,
    record_id text collate "C" not null,
    since_at timestamptz not null,
    until_position bigint,
    until_at timestamptz,
    primary key (tenant_id, subject_kind, subject_id, occurred_at, event_position, since_position)
        include (kind, until_position)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- The feed of one sort of news.
create index on read_feed_entry_v1 (tenant_id, subject_kind, subject_id, kind, occurred_at, event_position)
    include (type, since_position, until_position);

create view read_feed_entry as select * from read_feed_entry_v1;

-- Whose feed gathers whose.
create table read_feed_link_v1 (
    tenant_id text collate "C" not null,
    record_kind text collate "C" not null,
    record_id text collate "C" not null,
    other_kind text collate "C" not null,
    other_id text collate "C" not null,
    source_id text collate "C" not null,
    since_position bigint not null,
    is_part boolean not null,
    since_at timestamptz not null,
    until_position bigint,
    until_at timestamptz,
    primary key (tenant_id, record_kind, record_id, other_kind, other_id, source_id, since_position)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create view read_feed_link as select * from read_feed_link_v1;

comment on table read_feed_entry_v1 is 'What happened, once for each feed it stands in.';
comment on column read_feed_entry_v1.tenant_id is 'Whose it is.';
comment on column read_feed_entry_v1.subject_kind is 'The kind of the record in whose feed it stands; user for the feed of what a user did.';
comment on column read_feed_entry_v1.subject_id is 'That record.';
comment on column read_feed_entry_v1.occurred_at is 'When it happened in the world.';
comment on column read_feed_entry_v1.event_position is 'The position of its event in the log.';
comment on column read_feed_entry_v1.since_position is 'The event since which it stands there as it does: its own, one that rewrote it, or one that brought it there.';
comment on column read_feed_entry_v1.kind is 'The kind of the record it happened to.';
comment on column read_feed_entry_v1.type is 'The type of its event.';
comment on column read_feed_entry_v1.record_id is 'The record it happened to.';
comment on column read_feed_entry_v1.since_at is 'Since when in the world it stands there as it does.';
comment on column read_feed_entry_v1.until_position is 'The event that rewrote it or took it out, if one did.';
comment on column read_feed_entry_v1.until_at is 'When that happened.';
select read_model_describe('read_feed_entry', 'read_feed_entry_v1');

comment on table read_feed_link_v1 is 'Whose feed gathers whose.';
comment on column read_feed_link_v1.tenant_id is 'Whose it is.';
comment on column read_feed_link_v1.record_kind is 'The kind of the record whose feed gathers.';
comment on column read_feed_link_v1.record_id is 'That record.';
comment on column read_feed_link_v1.other_kind is 'The kind of the record whose feed is gathered.';
comment on column read_feed_link_v1.other_id is 'That record.';
comment on column read_feed_link_v1.source_id is 'The record that says so: one of both, or the relation between them.';
comment on column read_feed_link_v1.since_position is 'The event since which it is so.';
comment on column read_feed_link_v1.is_part is 'Whether the other was merged into the record: what the other gathers is gathered too.';
comment on column read_feed_link_v1.since_at is 'Since when in the world it is so.';
comment on column read_feed_link_v1.until_position is 'The event since which it is so no longer, if there is one.';
comment on column read_feed_link_v1.until_at is 'When that happened.';
select read_model_describe('read_feed_link', 'read_feed_link_v1');
