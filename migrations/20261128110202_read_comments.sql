-- What each read model and each of its columns is, for those who come with SQL; the older ones are explained before.

comment on table read_facts_v1 is 'A record of which there are facts.';
comment on column read_facts_v1.tenant_id is 'Whose it is.';
comment on column read_facts_v1.id is 'Its id.';
comment on column read_facts_v1.version is 'Version of the last event in it, within its stream.';
comment on column read_facts_v1.position is 'Position of the last event in it, in the log.';
comment on column read_facts_v1.first_at is 'When the first of its facts happened.';
comment on column read_facts_v1.kind is 'Its kind.';
comment on column read_facts_v1.last_at is 'When the last of them happened.';
comment on column read_facts_v1.record_id is 'The record itself; the row''s own id follows from both.';
comment on column read_facts_v1.told_late is 'Whether one was told after another that happened later.';
select read_model_describe('read_facts', 'read_facts_v1');
