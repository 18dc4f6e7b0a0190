-- Which event caused which: see projections/src/causation.rs.
create table read_causation_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    cause bigint not null,
    depth bigint not null,
    primary key (tenant_id, id)
);

-- What followed from an event, in order.
create index on read_causation_v1 (tenant_id, cause, position);

create view read_causation as select * from read_causation_v1;
