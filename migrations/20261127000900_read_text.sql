-- How lists compare and search what people type: the same as domain/src/text.rs and domain/src/phone.rs do in memory. A test
-- holds them together letter by letter.

-- The form in which texts are equal that differ in case or in the blanks around them. What is plain ASCII takes the short way.
create function text_typed(text) returns text language sql immutable strict parallel safe
return case when octet_length($1) = length($1)
    then lower(btrim($1, E'\t\n\u000b\f\r ') collate "C")
    else replace(translate(lower(btrim(normalize($1, nfc),
        E'\u0009\u000a\u000b\u000c\u000d\u0020\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff')
        collate "und-x-icu"), 'ς', 'σ'), 'ß', 'ss') collate "C" end;

-- The form in which a text is searched: without accents too.
create function text_loose(text) returns text language sql immutable strict parallel safe
return case when octet_length($1) = length($1)
    then lower(btrim($1, E'\t\n\u000b\f\r ') collate "C")
    else replace(replace(replace(replace(translate(regexp_replace(lower(normalize(translate(btrim(normalize($1, nfc),
        E'\u0009\u000a\u000b\u000c\u000d\u0020\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff'),
        -- Letters of their own, kept from being taken apart.
        'йЙїЇўЎѓЃќЌ', E'\ue000\ue000\ue001\ue001\ue002\ue002\ue003\ue003\ue004\ue004'), nfkd) collate "und-x-icu"),
        -- Accents, the vowel marks of Hebrew and Arabic, and what shows nothing.
        E'[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u064b-\u0652\u0670\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]', '', 'g'),
        'ςłøđðħŧıŋ', 'σloddhtin'), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th') collate "C" end;

-- The elements of a set, each as it is compared.
create function texts_typed(text[]) returns text[] language sql immutable strict parallel safe
return array(select text_typed(element) from unnest($1) element);

-- The digits of a phone number up to its extension, without the 00 of an international one.
create function phone_digits(text) returns text language sql immutable strict parallel safe
return regexp_replace(regexp_replace(coalesce(substring(normalize($1, nfkc) from
    E'[0-9][-0-9()./\\[\\]~\u2010-\u2015\u2212\u30fc\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]*'), ''),
    '[^0-9]', '', 'g'), '^00', '') collate "C";

comment on function text_typed(text) is 'A text without case and the blanks around it: as eq and in compare it.';
comment on function text_loose(text) is 'A text without case, accents and the blanks around it: as contains and starts_with search it.';
comment on function texts_typed(text[]) is 'The elements of a set, each as eq and in compare it.';
comment on function phone_digits(text) is 'The digits of a phone number without its extension: as numbers are compared.';

-- What phone numbers mean stands beside them. What is on record from before has none, so no row need be made again.
do $$
declare
    part record;
begin
    for part in
        select c.relname as tbl, m.col, m.meaning
        from (values
            ('contacts', 'phone_e164', 'The number as it is dialled from anywhere (E.164), worked out from `phone`; absent when nobody can say what was meant.'),
            ('contacts', 'phone_extension', 'The extension in `phone`.'),
            ('companies', 'phone_e164', 'The number as it is dialled from anywhere (E.164), worked out from `phone`; absent when nobody can say what was meant.'),
            ('companies', 'phone_extension', 'The extension in `phone`.'),
            ('users', 'phone_e164', 'The number as it is dialled from anywhere (E.164), worked out from `phone`; absent when nobody can say what was meant.'),
            ('users', 'phone_extension', 'The extension in `phone`.'),
            ('leads', 'phone_e164', 'That number as it is dialled from anywhere (E.164); null when nobody can say what was meant.'),
            ('leads', 'phone_extension', 'The extension in it.'),
            ('orders', 'phone_e164', 'That number as it is dialled from anywhere (E.164); null when nobody can say what was meant.'),
            ('orders', 'phone_extension', 'The extension in it.'),
            ('calls', 'from_e164', 'That number as it is dialled from anywhere (E.164); null when nobody can say what was meant.'),
            ('calls', 'to_e164', 'That number as it is dialled from anywhere (E.164); null when nobody can say what was meant.')
        ) m (model, col, meaning)
        join pg_class c on c.relkind = 'r' and c.relname ~ ('^read_' || m.model || '_v[0-9]+(_g[0-9]+)?$')
            and c.relnamespace = current_schema()::regnamespace
    loop
        execute format('alter table %I add column if not exists %I text collate "C"', part.tbl, part.col);
        execute format('comment on column %I.%I is %L', part.tbl, part.col, part.meaning);
    end loop;
    for part in
        select v.viewname, substring(v.definition from 'FROM (read_[a-z_]+_v[0-9]+(?:_g[0-9]+)?)') as tbl
        from pg_views v
        where v.schemaname = current_schema()
            and v.viewname in ('read_contacts', 'read_companies', 'read_users', 'read_leads', 'read_orders', 'read_calls')
    loop
        execute format('create or replace view %I as select * from %I', part.viewname, part.tbl);
        perform read_model_describe(part.viewname, part.tbl);
    end loop;
end
$$;

-- Indexes for all of this, on every version of the tables. Those that sort or compare byte by byte are of no use any more.
do $$
declare
    part record;
    index record;
    searchable boolean := true;
begin
    begin
        -- Trusted since PostgreSQL 13: who may create in this database may add it.
        create extension if not exists pg_trgm;
    exception when insufficient_privilege or feature_not_supported or undefined_file then
        raise notice 'pg_trgm is not available: contains will be slower';
        searchable := false;
    end;
    for part in
        select c.relname as tbl, m.old, m.new
        from (values
            ('contacts', 'btree (tenant_id, name, id)', '(tenant_id, (name collate "und-x-icu"), id)'),
            ('contacts', 'btree (tenant_id, owner_id, name, id)', '(tenant_id, owner_id, (name collate "und-x-icu"), id)'),
            ('contacts', null, '(tenant_id, text_typed(name))'),
            ('contacts', 'btree (tenant_id, email)', '(tenant_id, text_typed(email))'),
            ('contacts', 'btree (tenant_id, phone)', '(tenant_id, phone_digits(phone))'),
            ('contacts', 'gin (tags)', 'using gin (texts_typed(tags))'),
            ('contacts', null, 'using gin (text_loose(name) gin_trgm_ops)'),
            ('companies', 'btree (tenant_id, name, id)', '(tenant_id, (name collate "und-x-icu"), id)'),
            ('companies', 'btree (tenant_id, owner_id, name, id)', '(tenant_id, owner_id, (name collate "und-x-icu"), id)'),
            ('companies', null, '(tenant_id, text_typed(name))'),
            ('companies', 'btree (tenant_id, domain)', '(tenant_id, text_typed(domain))'),
            ('companies', null, '(tenant_id, phone_digits(phone))'),
            ('companies', 'gin (tags)', 'using gin (texts_typed(tags))'),
            ('companies', null, 'using gin (text_loose(name) gin_trgm_ops)'),
            ('users', 'btree (tenant_id, name, id)', '(tenant_id, (name collate "und-x-icu"), id)'),
            ('users', 'btree (tenant_id, email)', '(tenant_id, text_typed(email))'),
            ('teams', 'btree (tenant_id, name, id)', '(tenant_id, (name collate "und-x-icu"), id)'),
            ('roles', 'btree (tenant_id, name, id)', '(tenant_id, (name collate "und-x-icu"), id)'),
            ('product_catalogue', 'btree (tenant_id, name, id)', '(tenant_id, (name collate "und-x-icu"), id)'),
            ('product_catalogue', 'btree (tenant_id, owner_id, name, id)', '(tenant_id, owner_id, (name collate "und-x-icu"), id)'),
            ('product_catalogue', 'btree (tenant_id, category_id, name, id)', '(tenant_id, category_id, (name collate "und-x-icu"), id)'),
            ('product_catalogue', 'gin (tags)', 'using gin (texts_typed(tags))'),
            ('product_catalogue', null, 'using gin (text_loose(name) gin_trgm_ops)'),
            ('product_categories', 'btree (tenant_id, name, id)', '(tenant_id, (name collate "und-x-icu"), id)'),
            ('product_categories', 'btree (tenant_id, parent_id, name, id)', '(tenant_id, parent_id, (name collate "und-x-icu"), id)'),
            ('projects', 'btree (tenant_id, name, id)', '(tenant_id, (name collate "und-x-icu"), id)'),
            ('projects', 'gin (tags)', 'using gin (texts_typed(tags))'),
            ('labels', 'btree (tenant_id, name, id)', '(tenant_id, (name collate "und-x-icu"), id)'),
            ('quick_replies', 'btree (tenant_id, name, id)', '(tenant_id, (name collate "und-x-icu"), id)'),
            ('quick_replies', 'btree (tenant_id, user_id, name, id)', '(tenant_id, user_id, (name collate "und-x-icu"), id)'),
            ('quick_replies', 'gin (tags)', 'using gin (texts_typed(tags))'),
            ('leads', 'btree (tenant_id, email)', '(tenant_id, text_typed(email))'),
            ('leads', 'btree (tenant_id, phone)', '(tenant_id, phone_digits(phone))'),
            ('leads', 'gin (tags)', 'using gin (texts_typed(tags))'),
            ('leads', null, 'using gin (text_loose(name) gin_trgm_ops)'),
            ('properties', 'btree (tenant_id, city, created_at DESC, id)', '(tenant_id, text_typed(city), created_at desc, id)'),
            ('properties', 'gin (features)', 'using gin (texts_typed(features))'),
            ('properties', 'gin (tags)', 'using gin (texts_typed(tags))'),
            ('properties', null, 'using gin (text_loose(name) gin_trgm_ops)'),
            ('enquiries', 'gin (tags)', 'using gin (texts_typed(tags))'),
            ('deals', 'gin (tags)', 'using gin (texts_typed(tags))'),
            ('deals', null, 'using gin (text_loose(name) gin_trgm_ops)'),
            ('orders', 'btree (tenant_id, city, placed_at DESC, id)', '(tenant_id, text_typed(city), placed_at desc, id)'),
            ('orders', 'btree (tenant_id, phone)', '(tenant_id, phone_digits(phone))'),
            ('orders', 'btree (tenant_id, email)', '(tenant_id, text_typed(email))'),
            ('calls', 'btree (tenant_id, from_number, received_at DESC, id)', '(tenant_id, phone_digits(from_number), received_at desc, id)'),
            ('ticket_list', 'btree (tenant_id, category, priority DESC, opened_at, id) WHERE (category IS NOT NULL)', '(tenant_id, text_typed(category), priority desc, opened_at, id) where category is not null'),
            ('ticket_list', 'gin (tags)', 'using gin (texts_typed(tags))'),
            ('ticket_list', 'gin (lower(%', 'using gin (text_loose(title) gin_trgm_ops)')
        ) m (model, old, new)
        join pg_class c on c.relkind = 'r' and c.relname ~ ('^read_' || m.model || '_v[0-9]+(_g[0-9]+)?$')
            and c.relnamespace = current_schema()::regnamespace
        where searchable or m.new not like '%trgm%'
    loop
        for index in
            select i.indexrelid::regclass as name from pg_index i
            where i.indrelid = part.tbl::regclass and not i.indisprimary
                and split_part(pg_get_indexdef(i.indexrelid), ' USING ', 2) like part.old
        loop
            execute format('drop index %s', index.name);
        end loop;
        execute format('create index on %I ', part.tbl) || part.new;
    end loop;
end
$$;
