-- What is searched: see projections/src/insight/search.rs.
create table read_search_v1 (
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

-- The rows of a record.
create index on read_search_v1 (tenant_id, kind, record_id);
create index on read_search_v1 (tenant_id, number) where number is not null;
-- What waits to be put into the index is read by every search: little of it.
create index on read_search_v1 using gin (words) with (gin_pending_list_limit = 512);

do $$
begin
    begin
        -- Trusted since PostgreSQL 13: who may create in this database may add it.
        create extension if not exists pg_trgm;
    exception when insufficient_privilege or feature_not_supported or undefined_file then
        raise notice 'pg_trgm is not available: search finds no names with typing errors';
        return;
    end;
    create index on read_search_v1 using gin (text_loose(title) gin_trgm_ops) where part is null;
end
$$;

create view read_search as select * from read_search_v1;

comment on table read_search_v1 is 'A record, or something that was written in it, as it is searched.';
comment on column read_search_v1.tenant_id is 'Whose it is.';
comment on column read_search_v1.id is 'Its id.';
comment on column read_search_v1.version is 'Version of the last event in it, within its stream.';
comment on column read_search_v1.position is 'Position of the last event in it, in the log.';
comment on column read_search_v1.about is 'What a comment is about.';
comment on column read_search_v1.archived is 'Whether the record is put away.';
comment on column read_search_v1.author_id is 'Who wrote it.';
comment on column read_search_v1.author_kind is 'What sort of author wrote it.';
comment on column read_search_v1.happened_at is 'When anything last happened to the record, or when the message was written.';
comment on column read_search_v1.internal is 'Whether only colleagues may see it.';
comment on column read_search_v1.kind is 'The kind of the record.';
comment on column read_search_v1.marked_position is 'The position of the event of which its marks tell: newer rows are found first.';
comment on column read_search_v1.number is 'Its number, where it has one.';
comment on column read_search_v1.part is 'The message, note or remark within it; none for the record itself.';
comment on column read_search_v1.record_id is 'The record to which it leads.';
comment on column read_search_v1.texts is 'Its texts by attribute; of addresses each has a name of its own.';
comment on column read_search_v1.title is 'What the record is called.';
comment on column read_search_v1.words is 'Its words and marks.';
select read_model_describe('read_search', 'read_search_v1');
