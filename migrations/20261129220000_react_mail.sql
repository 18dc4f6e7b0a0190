-- By what a mail is known that answers another: see channels/src/mail. A row for every mail that came in or left, written when it
-- is known where it belongs.
create table react_mail (
    tenant_id text collate "C" not null,
    channel_id text collate "C" not null,
    -- The Message-ID, without angle brackets.
    message_id text collate "C" not null,
    ticket_id text collate "C",
    -- The mail, where it is a record of its own.
    email_id text collate "C",
    -- The message of the ticket.
    thread_message_id text collate "C",
    primary key (tenant_id, message_id, channel_id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

comment on table react_mail is 'By what a mail is known that answers another.';

-- Who wrote when: whoever writes too much is a machine.
create table react_mail_sender (
    tenant_id text collate "C" not null,
    channel_id text collate "C" not null,
    sender text collate "C" not null,
    email_id text collate "C" not null,
    came_at timestamptz not null,
    primary key (tenant_id, channel_id, sender, email_id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create index on react_mail_sender (came_at);

comment on table react_mail_sender is 'Who wrote mail of late.';

-- How far the folder of a mailbox has been fetched: see channels/src/mail/imap.
create table react_mailbox_folder (
    tenant_id text collate "C" not null,
    channel_id text collate "C" not null,
    folder text collate "C" not null,
    -- What numbers mean ends with their validity (RFC 9051, section 2.3.1.1).
    uid_validity bigint not null,
    uid bigint not null,
    primary key (tenant_id, channel_id, folder)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

comment on table react_mailbox_folder is 'How far the folder of a mailbox has been fetched.';

-- How a mailbox fares.
create table react_mailbox (
    tenant_id text collate "C" not null,
    channel_id text collate "C" not null,
    connected boolean not null,
    error text collate "C",
    failures integer not null,
    taken bigint not null,
    checked_at timestamptz not null,
    primary key (tenant_id, channel_id)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

comment on table react_mailbox is 'How a mailbox fares that mail is fetched from.';
