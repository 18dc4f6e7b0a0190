-- Pictures of people, small and without what cameras write into them: see gateway/src/pictures.rs.
create table auth_picture (
    tenant_id text collate "C" not null,
    picture_id text collate "C" not null,
    user_id text collate "C" not null,
    media_type text collate "C" not null check (media_type in ('image/jpeg', 'image/png')),
    bytes bytea not null,
    made_at timestamptz not null,
    primary key (tenant_id, picture_id)
);
create index auth_picture_user on auth_picture (tenant_id, user_id);
