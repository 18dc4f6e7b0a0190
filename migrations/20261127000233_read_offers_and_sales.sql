-- An offer may be for a contact without an enquiry, and a deal is found by the property that it sold.
alter table read_offers_v1 alter column enquiry_id drop not null;

create index on read_deals_v1 (tenant_id, (sale->>'property'), created_at desc, id) where sale is not null;
