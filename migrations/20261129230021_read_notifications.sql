-- What colleagues were told: see projections/src/work/notifications.rs.
create table read_notifications_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    user_id text collate "C" not null,
    kind text collate "C" not null,
    record_kind text collate "C" not null,
    record_id text collate "C" not null,
    by_kind text collate "C",
    by_id text collate "C",
    in_app boolean not null,
    sent_at timestamptz not null,
    read boolean not null,
    read_at timestamptz,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- What somebody was told last, and how much of it is unread.
create index on read_notifications_v1 (tenant_id, user_id, sent_at desc, id);
create index on read_notifications_v1 (tenant_id, user_id, sent_at desc, id) where not read;

create view read_notifications as select * from read_notifications_v1;
