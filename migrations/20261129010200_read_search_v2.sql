-- What is searched, with smaller spans, and names as they are with a letter less: see projections/src/insight/search.rs.
create table read_search_v2 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    kind text collate "C" not null,
    record_id text collate "C" not null,
    part text collate "C",
    title text collate "C",
    number bigint,
    texts jsonb not null,
    about jsonb not null,
    author_kind text collate "C",
    author_id text collate "C",
    internal boolean not null,
    archived boolean not null,
    happened_at timestamptz not null,
    marked_position bigint not null,
    words tsvector not null,
    primary key (tenant_id, id)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

-- The rows of a record, and the one that is the record itself.
create index on read_search_v2 (tenant_id, kind, record_id, part);
create index on read_search_v2 (tenant_id, number) where number is not null;
-- What waits to be put into the index is read by every search: little of it.
create index on read_search_v2 using gin (words) with (gin_pending_list_limit = 512);

comment on table read_search_v2 is 'A record, or something that was written in it, as it is searched.';
comment on column read_search_v2.tenant_id is 'Whose it is.';
comment on column read_search_v2.id is 'Its id.';
comment on column read_search_v2.version is 'Version of the last event in it, within its stream.';
comment on column read_search_v2.position is 'Position of the last event in it, in the log.';
comment on column read_search_v2.about is 'What a comment is about.';
comment on column read_search_v2.archived is 'Whether the record is put away.';
comment on column read_search_v2.author_id is 'Who wrote it.';
comment on column read_search_v2.author_kind is 'What sort of author wrote it.';
comment on column read_search_v2.happened_at is 'When anything last happened to the record, or when the message was written.';
comment on column read_search_v2.internal is 'Whether only colleagues may see it.';
comment on column read_search_v2.kind is 'The kind of the record.';
comment on column read_search_v2.marked_position is 'The position of the event of which its marks tell: newer rows are found first.';
comment on column read_search_v2.number is 'Its number, where it has one.';
comment on column read_search_v2.part is 'The message, note or remark within it; none for the record itself.';
comment on column read_search_v2.record_id is 'The record to which it leads.';
comment on column read_search_v2.texts is 'Its texts by attribute; of addresses each has a name of its own.';
comment on column read_search_v2.title is 'What the record is called.';
comment on column read_search_v2.words is 'Its words and marks.';
select read_model_describe('read_search', 'read_search_v2');
