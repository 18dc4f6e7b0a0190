-- Files that were sent: see projections/src/org/uploads.rs.
create table read_uploads_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    name text not null,
    media_type text collate "C" not null,
    size bigint not null,
    digest text collate "C" not null,
    width bigint,
    height bigint,
    thumbnail_digest text collate "C",
    user_id text collate "C",
    status text collate "C" not null,
    reference_count bigint not null,
    unused_since timestamptz,
    completed_at timestamptz not null,
    deleted_at timestamptz,
    deleted_reason text,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on read_uploads_v1 (tenant_id, completed_at, id);
create index on read_uploads_v1 (tenant_id, digest);
create index on read_uploads_v1 (tenant_id, thumbnail_digest) where thumbnail_digest is not null;
create index on read_uploads_v1 (tenant_id, unused_since) where unused_since is not null;
create index on read_uploads_v1 (deleted_at) where deleted_at is not null;

create view read_uploads as select * from read_uploads_v1;

comment on table read_uploads_v1 is 'A file that was sent.';
comment on column read_uploads_v1.tenant_id is 'Whose it is.';
comment on column read_uploads_v1.id is 'Its id.';
comment on column read_uploads_v1.version is 'Version of the last event in it, within its stream.';
comment on column read_uploads_v1.position is 'Position of the last event in it, in the log.';
comment on column read_uploads_v1.name is 'Its name for people.';
comment on column read_uploads_v1.media_type is 'What it is, as its own bytes tell.';
comment on column read_uploads_v1.size is 'The size in bytes of what is kept.';
comment on column read_uploads_v1.digest is 'SHA-256 of what is kept, in hexadecimal digits.';
comment on column read_uploads_v1.width is 'How wide a picture is, in pixels.';
comment on column read_uploads_v1.height is 'How high a picture is, in pixels.';
comment on column read_uploads_v1.thumbnail_digest is 'SHA-256 of the small picture of it, where there is one.';
comment on column read_uploads_v1.user_id is 'The colleague who sent it; absent for a program or somebody outside.';
comment on column read_uploads_v1.status is 'Where it stands.';
comment on column read_uploads_v1.reference_count is 'How many records refer to it.';
comment on column read_uploads_v1.unused_since is 'Since when none does.';
comment on column read_uploads_v1.completed_at is 'When it had come whole.';
comment on column read_uploads_v1.deleted_at is 'When its bytes were given up.';
comment on column read_uploads_v1.deleted_reason is 'Why, in somebody''s words.';
comment on column read_uploads_v1.updated_at is 'When anything last happened to it.';
select read_model_describe('read_uploads', 'read_uploads_v1');
