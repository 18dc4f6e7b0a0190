-- Files on their way in, and which files there are: see gateway/src/uploads.rs. Operational: what came of them is in the log.

-- A file that comes in several requests.
create table react_upload (
    tenant_id text collate "C" not null,
    upload_id text collate "C" not null,
    -- Who began it: nobody else goes on.
    actor jsonb not null,
    name text not null,
    media_type text not null,
    length bigint not null,
    completed boolean not null default false,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    primary key (tenant_id, upload_id)
);
create index react_upload_expires on react_upload (expires_at);

-- What has come of it: a part counts once it stands here.
create table react_upload_part (
    tenant_id text collate "C" not null,
    upload_id text collate "C" not null,
    start bigint not null,
    size bigint not null check (size > 0),
    name text collate "C" not null,
    primary key (tenant_id, upload_id, start),
    foreign key (tenant_id, upload_id) references react_upload on delete cascade
);

-- The files that there may be, by digest: a row is there before its bytes are, and goes after them.
create table react_file (
    tenant_id text collate "C" not null,
    digest text collate "C" not null,
    -- Until when it is kept although no upload has it, since one is about to.
    held_until timestamptz,
    primary key (tenant_id, digest)
);
create index react_file_held on react_file (held_until) where held_until is not null;
