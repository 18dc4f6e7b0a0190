-- Work of several subscriptions is written by one statement; it all fails unless each of their checkpoints moved.
create function log_fence(moved bigint, wanted bigint) returns bigint
language plpgsql as $$
begin
    if moved <> wanted then
        raise exception 'a lease was lost: % of % checkpoints moved', moved, wanted using errcode = 'DF001';
    end if;
    return moved;
end
$$;
comment on function log_fence is 'Refuses the statement it stands in unless as many checkpoints moved as should.';
