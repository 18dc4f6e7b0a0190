-- Uploaded files and how far their imports are. Operational: what an import did is in the log.

create table import_job (
    tenant_id text collate "C" not null,
    import_id text collate "C" not null,
    kind text not null,
    source text not null,
    file_name text not null,
    mapping text,
    dry_run boolean not null,
    actor jsonb not null,
    -- uploading: the file is on its way; ready: a runner may take it; ended: completed, failed or cancelled.
    state text not null default 'uploading' check (state in ('uploading', 'ready', 'ended')),
    digest text,
    bytes bigint not null default 0,
    columns text[],
    rows_total bigint,
    rows_done bigint not null default 0,
    applied bigint not null default 0,
    unchanged bigint not null default 0,
    rejected bigint not null default 0,
    events bigint not null default 0,
    -- How often a runner has taken it: above 1 the rows after rows_done may have been carried out.
    attempt integer not null default 0,
    lease_owner uuid,
    lease_until timestamptz,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    progressed_at timestamptz,
    ended_at timestamptz,
    -- Why it failed.
    reason text,
    primary key (tenant_id, import_id)
) with (fillfactor = 70);

create index import_job_open on import_job (created_at) where state <> 'ended';

-- The file, so that any process can run the import and take it up again. Deleted when the import is complete.
create table import_upload (
    tenant_id text collate "C" not null,
    import_id text collate "C" not null,
    chunk integer not null,
    data bytea not null,
    primary key (tenant_id, import_id, chunk)
);

-- Rows that were refused, for the report.
create table import_rejection (
    tenant_id text collate "C" not null,
    import_id text collate "C" not null,
    row_number bigint not null,
    line bigint not null,
    code text not null,
    reason text not null,
    cells jsonb not null,
    primary key (tenant_id, import_id, row_number)
);
