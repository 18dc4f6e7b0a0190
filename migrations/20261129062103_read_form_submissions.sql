-- What was sent through forms: see projections/src/desk/form_submissions.rs.
create table read_form_submissions_v1 (
    tenant_id text collate "C" not null,
    id text collate "C" not null,
    version bigint not null,
    position bigint not null,
    form_id text collate "C" not null,
    form_version integer not null,
    status text collate "C" not null,
    reason text collate "C",
    reason_code text collate "C",
    form_values jsonb not null,
    form_files jsonb not null,
    site text collate "C",
    device text collate "C" not null,
    ticket_id text collate "C",
    contact_id text collate "C",
    entitlement_id text collate "C",
    received_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- What came last first: of all, of a form, and of those that are kept.
create index on read_form_submissions_v1 (tenant_id, received_at desc, id);
create index on read_form_submissions_v1 (tenant_id, form_id, received_at desc, id);
create index on read_form_submissions_v1 (tenant_id, status, received_at desc, id);
create index on read_form_submissions_v1 (tenant_id, contact_id, received_at desc, id) where contact_id is not null;
create index on read_form_submissions_v1 (tenant_id, ticket_id) where ticket_id is not null;

create view read_form_submissions as select * from read_form_submissions_v1;

comment on table read_form_submissions_v1 is 'What somebody filled in and sent.';
comment on column read_form_submissions_v1.tenant_id is 'Whose it is.';
comment on column read_form_submissions_v1.id is 'Its id.';
comment on column read_form_submissions_v1.version is 'Version of the last event in it, within its stream.';
comment on column read_form_submissions_v1.position is 'Position of the last event in it, in the log.';
comment on column read_form_submissions_v1.form_id is 'The form.';
comment on column read_form_submissions_v1.form_version is 'The version of it that was filled in.';
comment on column read_form_submissions_v1.status is 'Whether it is a ticket or kept.';
comment on column read_form_submissions_v1.reason is 'Why it is kept; why it was, where it became a ticket after all.';
comment on column read_form_submissions_v1.reason_code is 'What stood in the way, where no ticket could be made.';
comment on column read_form_submissions_v1.form_values is 'What was filled in, by the keys of the form''s fields.';
comment on column read_form_submissions_v1.form_files is 'The files, by the keys of their fields.';
comment on column read_form_submissions_v1.site is 'The site that sent it, where it says so.';
comment on column read_form_submissions_v1.device is 'On what it was filled in.';
comment on column read_form_submissions_v1.ticket_id is 'The ticket that it has become.';
comment on column read_form_submissions_v1.contact_id is 'The contact who sent it.';
comment on column read_form_submissions_v1.entitlement_id is 'By what that contact owns the product that was chosen.';
comment on column read_form_submissions_v1.received_at is 'When it came in.';
comment on column read_form_submissions_v1.updated_at is 'When anything last happened to it.';
select read_model_describe('read_form_submissions', 'read_form_submissions_v1');
