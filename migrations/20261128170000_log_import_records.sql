-- Imports of records: how their files are written, and what may be one record with another.

alter table import_job
    -- Found out when the file came in, so that whoever reads it again reads the same.
    add column encoding text,
    add column delimiter text,
    add column quote text;

-- Records that rows led to, with others that may be the same: told, never merged by themselves.
create table import_duplicate (
    tenant_id text collate "C" not null,
    import_id text collate "C" not null,
    row_number bigint not null,
    line bigint not null,
    kind text not null,
    record_id text collate "C" not null,
    -- [{"id": "...", "by": ["email"]}]
    candidates jsonb not null,
    primary key (tenant_id, import_id, row_number)
);
