-- What records were called at a point in the past: `past` has it at `read_name`, by kind and id.
create function read_name_then(past json, kind text, id text) returns text
language sql immutable parallel safe as $$
    select $1->'read_name'->>($2 || '-' || $3)
$$;

-- The same for a list of {"kind", "id"}: an object of names by id.
create function read_names_then(past json, subjects jsonb) returns jsonb
language sql immutable parallel safe as $$
    select coalesce(jsonb_object_agg(s->>'id', read_name_then($1, s->>'kind', s->>'id')), '{}') from jsonb_array_elements($2) s
$$;
