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
