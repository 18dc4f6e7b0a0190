-- How far each webhook is: see channels/src/webhooks.rs.
create table react_webhook (
    tenant_id text collate "C" not null,
    webhook_id text collate "C" not null,
    -- Everything up to here has been taken, waits in a lane, or is none of its business.
    position bigint not null,
    -- The position of the last of its own events that was heeded.
    changed_at bigint not null,
    -- Whether it is to be told anything.
    works boolean not null,
    -- Raised whenever somebody else goes on with it: whoever went on before writes nothing more here.
    turn bigint not null default 0,
    -- Raised when everything is sent again from a position.
    round bigint not null default 0,
    -- Attempts since the last one that succeeded, and when the first of them failed.
    failures integer not null default 0,
    failing_since timestamptz,
    -- Until then it is left alone.
    rests_until timestamptz,
    delivered_at timestamptz,
    primary key (tenant_id, webhook_id)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

comment on table react_webhook is 'How far each webhook is.';

-- What waits for its next attempt: of each record the first event; what comes after it is found in the log.
create table react_webhook_lane (
    tenant_id text collate "C" not null,
    webhook_id text collate "C" not null,
    -- The record's stream; or, after an exclamation mark, what is sent by itself and once.
    lane text collate "C" not null,
    position bigint not null,
    attempts integer not null default 0,
    failing_since timestamptz,
    due_at timestamptz not null,
    tried_at timestamptz,
    last_error text collate "C",
    primary key (tenant_id, webhook_id, lane)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

comment on table react_webhook_lane is 'Which records of a webhook wait for the next attempt.';

-- What was sent and what was answered; the bodies are in the log.
create table react_webhook_delivery (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    webhook_id text collate "C" not null,
    -- The event.
    position bigint not null,
    stream text collate "C" not null,
    type text collate "C" not null,
    -- event, test or redelivery.
    cause text collate "C" not null,
    round bigint not null,
    attempt integer not null,
    -- delivered, failed (it is tried again), or given_up.
    status text collate "C" not null,
    url text collate "C" not null,
    request_headers jsonb not null,
    response_status integer,
    response_headers jsonb,
    -- The first bytes of the answer.
    response_body text,
    error text,
    started_at timestamptz not null,
    took_ms bigint not null,
    next_attempt_at timestamptz,
    primary key (tenant_id, id)
);

create index on react_webhook_delivery (tenant_id, webhook_id, id desc);
create index on react_webhook_delivery (tenant_id, webhook_id, position);
create index on react_webhook_delivery (started_at);

comment on table react_webhook_delivery is 'What was sent to webhooks of late, and what was answered.';
