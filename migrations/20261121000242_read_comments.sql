-- Comments: see projections/src/comments.rs.
create table read_comments_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    subjects jsonb not null,
    subject_ids text[] not null,
    text text collate "C",
    internal boolean not null,
    author_kind text collate "C",
    author_id text collate "C",
    deleted boolean not null,
    delete_reason text collate "C",
    written_at timestamptz not null,
    edited_at timestamptz,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_comments_v1 (tenant_id, written_at desc, id);
create index on read_comments_v1 (tenant_id, author_id, written_at desc, id);
-- The comments of a record.
create index on read_comments_v1 using gin (subject_ids);

create view read_comments as select * from read_comments_v1;
