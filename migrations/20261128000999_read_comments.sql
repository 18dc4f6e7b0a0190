-- What each read model and each of its columns is, for those who come with SQL; the older ones are explained before.

comment on table read_offers_v2 is 'Properties put before a customer who enquired.';
comment on column read_offers_v2.tenant_id is 'Whose it is.';
comment on column read_offers_v2.id is 'Its id.';
comment on column read_offers_v2.version is 'Version of the last event in it, within its stream.';
comment on column read_offers_v2.position is 'Position of the last event in it, in the log.';
comment on column read_offers_v2.accepted_property_ids is 'The properties that the customer wants.';
comment on column read_offers_v2.answered_at is 'When the customer accepted or declined.';
comment on column read_offers_v2.contact_id is 'Who enquired.';
comment on column read_offers_v2.decline_reason is 'Why the customer wants none.';
comment on column read_offers_v2.drafted_at is 'When it was drafted.';
comment on column read_offers_v2.enquiry_id is 'The enquiry it answers.';
comment on column read_offers_v2.medium is 'By what means, such as `email`.';
comment on column read_offers_v2.opened_at is 'When the customer looked at it.';
comment on column read_offers_v2.property_ids is 'What it offers.';
comment on column read_offers_v2.repeat_reason is 'Why that was offered once more.';
comment on column read_offers_v2.repeated is 'What had been offered before.';
comment on column read_offers_v2.sent_at is 'When it was sent.';
comment on column read_offers_v2.sent_to_id is 'The contact it went to.';
comment on column read_offers_v2.status is 'How far it has come.';
comment on column read_offers_v2.text is 'What is written with it.';
comment on column read_offers_v2.updated_at is 'When anything last happened to it.';
select read_model_describe('read_offers', 'read_offers_v2');
