-- What each colleague is responsible for: see projections/src/holdings.rs.
create table read_holdings_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    kind text collate "C" not null,
    record_id text collate "C" not null,
    user_id text collate "C",
    responsibility text collate "C" not null,
    since timestamptz not null,
    open boolean not null,
    closed boolean not null,
    merged boolean not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02);

-- What somebody holds, by kind and one after the other.
create index on read_holdings_v1 (tenant_id, user_id, kind, id) where user_id is not null;
-- What all of them hold.
create index on read_holdings_v1 (tenant_id, kind, id);

create view read_holdings as select * from read_holdings_v1;
