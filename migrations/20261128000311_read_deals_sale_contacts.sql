-- Deals are found by who bought, sold or helped.
create index on read_deals_v1 using gin (sale jsonb_path_ops) where sale is not null;
