-- Mails that came in, and those that leave without being answers in tickets: see projections/src/chat/emails.rs.
create table read_emails_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    direction text collate "C" not null,
    status text collate "C" not null,
    channel_id text collate "C",
    subject text collate "C" not null,
    from_name text collate "C",
    from_address text collate "C",
    recipient text collate "C",
    mail_to jsonb not null,
    mail_cc jsonb not null,
    mail_bcc jsonb not null,
    body text collate "C",
    attachments jsonb not null,
    raw_id text collate "C",
    internet_message_id text collate "C",
    in_reply_to text collate "C",
    automatic text collate "C",
    authentication jsonb,
    matched_by text collate "C",
    ticket_id text collate "C",
    message_id text collate "C",
    contact_id text collate "C",
    answers_id text collate "C",
    error_code text collate "C",
    error text collate "C",
    send_at timestamptz,
    written_at timestamptz,
    sent_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- What came last first: of all, of a channel, of those that wait for somebody; and those of a ticket and of a contact.
create index on read_emails_v1 (tenant_id, created_at desc, id);
create index on read_emails_v1 (tenant_id, channel_id, created_at desc, id);
create index on read_emails_v1 (tenant_id, status, created_at desc, id);
create index on read_emails_v1 (tenant_id, ticket_id, created_at desc, id) where ticket_id is not null;
create index on read_emails_v1 (tenant_id, contact_id, created_at desc, id) where contact_id is not null;
create index on read_emails_v1 (tenant_id, internet_message_id) where internet_message_id is not null;

create view read_emails as select * from read_emails_v1;

comment on table read_emails_v1 is 'A mail.';
comment on column read_emails_v1.tenant_id is 'Whose it is.';
comment on column read_emails_v1.id is 'Its id.';
comment on column read_emails_v1.version is 'Version of the last event in it, within its stream.';
comment on column read_emails_v1.position is 'Position of the last event in it, in the log.';
comment on column read_emails_v1.direction is 'Whether it came in or leaves.';
comment on column read_emails_v1.status is 'How far it has come.';
comment on column read_emails_v1.channel_id is 'The channel that it came or leaves by; that of its ticket without one.';
comment on column read_emails_v1.subject is 'What it is about.';
comment on column read_emails_v1.from_name is 'The name of whoever says to have written it.';
comment on column read_emails_v1.from_address is 'The address of whoever says to have written it.';
comment on column read_emails_v1.recipient is 'The address that it was delivered to.';
comment on column read_emails_v1.mail_to is 'To whom it goes.';
comment on column read_emails_v1.mail_cc is 'Who else gets it.';
comment on column read_emails_v1.mail_bcc is 'Who else gets it without the others knowing.';
comment on column read_emails_v1.body is 'Its text, where it leaves; what came in is read from what came.';
comment on column read_emails_v1.attachments is 'The files that leave with it.';
comment on column read_emails_v1.raw_id is 'The upload that holds it as it came.';
comment on column read_emails_v1.internet_message_id is 'Its Message-ID.';
comment on column read_emails_v1.in_reply_to is 'The Message-ID that it answers.';
comment on column read_emails_v1.automatic is 'What made it, where no person did.';
comment on column read_emails_v1.authentication is 'What is said of who sent it.';
comment on column read_emails_v1.matched_by is 'By what it was known where it belongs.';
comment on column read_emails_v1.ticket_id is 'The ticket that it is about.';
comment on column read_emails_v1.message_id is 'The message or note in it.';
comment on column read_emails_v1.contact_id is 'The contact who wrote it, or whom it is for.';
comment on column read_emails_v1.answers_id is 'Another mail that it answers.';
comment on column read_emails_v1.error_code is 'The code of what stood in the way.';
comment on column read_emails_v1.error is 'The same for a person.';
comment on column read_emails_v1.send_at is 'Not before then does it leave.';
comment on column read_emails_v1.written_at is 'When it was written, as it says.';
comment on column read_emails_v1.sent_at is 'When it left.';
comment on column read_emails_v1.created_at is 'When it came in, or was to leave.';
comment on column read_emails_v1.updated_at is 'When anything last happened to it.';
select read_model_describe('read_emails', 'read_emails_v1');
