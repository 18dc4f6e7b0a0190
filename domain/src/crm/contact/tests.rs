//! What a contact does, told by examples.

use super::*;
use crate::{
    Aggregate,
    kernel::{
        given::{ANNA, Given, SUBJECT, given},
        record::{Happened, New},
    },
};

const ACME: Id = Id::from_bits(0xC);
const OTHER: Id = Id::from_bits(0xD);
const NOTE: Id = Id::from_bits(0xE);

fn own(event: Event) -> record::Event<Spec> {
    Either::Own(event)
}

fn new(fields: Fields) -> New<Fields> {
    New { fields, custom: Default::default(), owner: None, stage: None, tags: [].into(), copied_from: None }
}

fn fields() -> Fields {
    <Spec as record::Spec>::examples().0
}

fn created() -> record::Event<Spec> {
    Either::Common(Happened::Created(new(fields())))
}

fn maria(events: impl IntoIterator<Item = Event>) -> Given<Contact> {
    given([created()].into_iter().chain(events.into_iter().map(Either::Own)))
}

fn acme() -> record::Event<crate::crm::company::Spec> {
    let fields = <crate::crm::company::Spec as record::Spec>::examples().0;
    Either::Common(Happened::Created(New {
        fields,
        custom: Default::default(),
        owner: None,
        stage: None,
        tags: [].into(),
        copied_from: None,
    }))
}

fn identity(kind: IdentityKind, value: &str) -> Identity {
    Identity::new(kind, value)
}

/// What `command` leads to after `before`, and that asking again changes nothing.
#[track_caller]
fn leads_to<const N: usize>(before: [Event; N], command: &Command, event: Event) {
    maria(before.clone()).when(Either::Own(command.clone())).then([own(event.clone())]);
    maria(before.into_iter().chain([event])).when(Either::Own(command.clone())).nothing();
}

#[track_caller]
fn refused<const N: usize>(before: [Event; N], command: Command, rejection: Rejection) {
    maria(before).when(Either::Own(command)).rejected(rejection);
}

#[test]
fn attributes_that_make_no_sense_are_refused() {
    let refused = |fields, rejection| {
        given::<Contact>([]).when(Either::Common(record::Common::Create(new(fields)))).rejected(rejection);
    };
    refused(Fields { name: " ".into(), ..fields() }, valid::NAME_INVALID);
    refused(Fields { email: Some("maria".into()), ..fields() }, valid::EMAIL_INVALID);
    refused(Fields { phone: Some("none".into()), ..fields() }, valid::PHONE_INVALID);
    refused(Fields { country: Some("Italy".into()), ..fields() }, valid::COUNTRY_INVALID);
    refused(Fields { locale: Some("Italian".into()), ..fields() }, valid::LOCALE_INVALID);
    refused(Fields { time_zone: Some("Rome".into()), ..fields() }, valid::TIME_ZONE_INVALID);
}

#[test]
fn what_was_recorded_before_it_was_checked_stands_until_it_changes() {
    let old = || Fields { country: Some("XX".into()), ..fields() };
    let edit = |patch: Value| {
        let created = Either::Common(Happened::Created(new(old())));
        let patch = patch.as_object().unwrap().clone();
        given::<Contact>([created]).when(Either::Common(record::Common::Edit(patch)))
    };
    assert_eq!(edit(serde_json::json!({ "city": "Bari" })).events().len(), 1);
    edit(serde_json::json!({ "country": "YY" })).rejected(valid::COUNTRY_INVALID);
    edit(serde_json::json!({ "city": "Bari", "email": "maria" })).rejected(valid::EMAIL_INVALID);
}

#[test]
fn addresses_come_and_go_and_are_the_same_however_written() {
    let telegram = identity(IdentityKind::Telegram, "@Maria_R");
    let added = Event::IdentityAdded(telegram.clone());
    leads_to([], &Command::AddIdentity(telegram.clone()), added.clone());
    let again = Command::AddIdentity(identity(IdentityKind::Telegram, "maria_r"));
    maria([added.clone()]).when(Either::Own(again)).nothing();
    let removed = Event::IdentityRemoved(telegram);
    leads_to([added], &Command::RemoveIdentity(identity(IdentityKind::Telegram, "maria_r")), removed);
    let primary = identity(IdentityKind::Email, "Maria.Rossi@example.com");
    maria([]).when(Either::Own(Command::AddIdentity(primary.clone()))).nothing();
    refused([], Command::RemoveIdentity(primary), IDENTITY_PRIMARY);
    refused([], Command::AddIdentity(identity(IdentityKind::Email, "maria")), IDENTITY_INVALID);
    refused([], Command::AddIdentity(identity(IdentityKind::Whatsapp, "maria")), IDENTITY_INVALID);
    refused([], Command::AddIdentity(identity(IdentityKind::Instagram, "@")), IDENTITY_INVALID);
    let key = |kind, value| identity(kind, value).key();
    assert_eq!(key(IdentityKind::Phone, "+39 (06) 555-01"), key(IdentityKind::Phone, "0039 06 55501"));
    assert_eq!(key(IdentityKind::Viber, "06 555"), "viber:06555");
    assert_eq!(key(IdentityKind::Messenger, " 17 "), "messenger:17");
}

#[test]
fn every_address_is_one_contact_s_alone() {
    let nobody = given::<Contact>([]);
    assert_eq!(
        nobody.claims(&created()),
        [
            "+contact.identity email:maria.rossi@example.com",
            "+contact.identity phone:+39065550101",
            "+contact.identity phone:39065550101"
        ]
    );
    let patch = serde_json::json!({ "email": { "from": "maria.rossi@example.com", "to": "m@example.com" } });
    let changed = Either::Common(Happened::DetailsChanged { changes: serde_json::from_value(patch).unwrap() });
    assert_eq!(
        maria([]).claims(&changed),
        ["-contact.identity email:maria.rossi@example.com", "+contact.identity email:m@example.com"]
    );
    // The new primary address was a further one: it is taken already.
    let further = Event::IdentityAdded(identity(IdentityKind::Email, "m@example.com"));
    assert_eq!(maria([further]).claims(&changed), ["-contact.identity email:maria.rossi@example.com"]);
    assert!(maria([]).claims(&own(Event::Merged { into: OTHER, redirects: vec![] })).is_empty());
}

#[test]
fn other_systems_call_it_what_they_like() {
    let id = ExternalId { source: "shop".into(), external_id: "C-7".into() };
    let added = Event::ExternalIdAdded(id.clone());
    leads_to([], &Command::AddExternalId(id.clone()), added.clone());
    assert_eq!(maria([]).claims(&own(added.clone())), ["+contact.external shop/C-7"]);
    let removed = Event::ExternalIdRemoved(id.clone());
    assert_eq!(maria([added.clone()]).claims(&own(removed.clone())), ["-contact.external shop/C-7"]);
    leads_to([added], &Command::RemoveExternalId(id.clone()), removed);
    refused([], Command::AddExternalId(ExternalId { source: "a/b".into(), ..id }), EXTERNAL_ID_INVALID);
}

#[test]
fn it_belongs_to_companies_that_exist() {
    let link = |role: Option<&str>| Command::LinkCompany { company: ACME, role: role.map(Into::into) };
    let linked = |role: Option<&str>| Event::CompanyLinked { company: ACME, role: role.map(Into::into) };
    let company = || maria([]).with::<Company>(ACME, [acme()]);
    company().when(Either::Own(link(Some("buyer")))).then([own(linked(Some("buyer")))]);
    maria([linked(Some("buyer"))]).when(Either::Own(link(Some("buyer")))).nothing();
    maria([linked(Some("buyer"))])
        .with::<Company>(ACME, [acme()])
        .when(Either::Own(link(None)))
        .then([own(linked(None))]);
    assert!(maria([linked(None)]).state.companies().contains(&ACME));
    let unlink = Command::UnlinkCompany { company: ACME };
    leads_to([linked(None)], &unlink, Event::CompanyUnlinked { company: ACME });
}

#[test]
fn notes_are_written_rewritten_and_removed() {
    let add = |note_id, text: &str| Command::AddNote { note_id, text: text.into() };
    let added = Event::NoteAdded { note_id: NOTE, text: "Likes tea.".into(), via_contact: None };
    leads_to([], &add(Some(NOTE), "Likes tea."), added.clone());
    refused([added.clone()], add(Some(NOTE), "Likes coffee."), NOTE_EXISTS);
    refused([], add(None, " "), TEXT_INVALID);
    let events = maria([]).when(Either::Own(add(None, "Likes tea."))).events();
    maria(events.into_iter().map(|event| if let Either::Own(event) = event { event } else { unreachable!() }))
        .when(Either::Own(add(None, "Likes tea.")))
        .nothing();
    let edit = |text: &str| Command::EditNote { note_id: NOTE, text: text.into() };
    let edited = Event::NoteEdited { note_id: NOTE, from: "Likes tea.".into(), to: "Likes coffee.".into() };
    leads_to([added.clone()], &edit("Likes coffee."), edited);
    refused([], edit("Likes coffee."), NOTE_UNKNOWN);
    refused([added.clone()], edit(""), TEXT_INVALID);
    leads_to([added], &Command::DeleteNote { note_id: NOTE }, Event::NoteDeleted { note_id: NOTE });
}

#[test]
fn a_merged_contact_leads_to_the_other_until_that_is_taken_back() {
    let redirects = maria([]).state.addresses();
    let merged = || Event::Merged { into: OTHER, redirects: redirects.clone() };
    let merge = || Either::Own(Command::Merge { into: OTHER });
    maria([]).with::<Contact>(OTHER, [created()]).when(merge()).then([own(merged())]);
    maria([merged()]).when(merge()).nothing();
    maria([]).when(merge()).rejected(MERGE_UNFIT);
    maria([]).when(Either::Own(Command::Merge { into: SUBJECT })).rejected(MERGE_UNFIT);
    let chained = [created(), own(Event::Merged { into: ANNA, redirects: vec![] })];
    maria([]).with::<Contact>(OTHER, chained).when(merge()).rejected(MERGE_UNFIT);
    refused([merged()], Command::Merge { into: ANNA }, MERGED);
    refused([merged()], Command::RequestErasure { basis: "wish".into() }, MERGED);
    let tag = Either::Common(record::Common::Tag { tag: "vip".into() });
    maria([merged()]).when(tag).rejected(MERGED);
    assert!(!maria([merged()]).state.is_live());
    leads_to([merged()], &Command::Unmerge, Event::Unmerged { from: OTHER });
    assert!(maria([merged(), Event::Unmerged { from: OTHER }]).state.is_live());
    maria([]).when(Either::Own(Command::Unmerge)).nothing();
}

/// What was claimed by its digits alone before numbers were read is taken for every spelling of that number.
#[test]
fn an_old_address_and_a_new_one_meet() {
    let old = |value: &str| format!("phone:{}", plain_digits(value));
    let new = |value: &str| {
        let e164 = phone::number(value, "UA".parse().ok()).map(|number| number.e164.into());
        Identity { e164, ..identity(IdentityKind::Phone, value) }.keys()
    };
    for (before, after) in [
        ("380671234567", "+380 (67) 123-45-67"),
        ("380671234567", "067 123-45-67"),
        ("+380671234567", "067 123-45-67"),
        ("00380671234567", "380671234567"),
        ("067 123-45-67", "0671234567"),
    ] {
        assert!(new(after).contains(&old(before)), "{before} and {after}: {:?}", new(after));
    }
    assert!(!new("+380 67 123-45-68").contains(&old("380671234567")));
    let mail = |value| identity(IdentityKind::Email, value);
    assert!(mail("user@bücher.example").is_same(&mail("USER@xn--bcher-kva.example")));
    assert!(mail("User@Bücher.example").keys().contains("email:user@bücher.example"), "as it was claimed before");
}

#[test]
fn the_contact_that_remains_knows_what_came_to_it() {
    let moved = identity(IdentityKind::Phone, "+7 900 555 01 01");
    let moved = vec![Identity { e164: Some("+79005550101".into()), ..moved }];
    let merged = own(Event::Merged { into: OTHER, redirects: moved.clone() });
    let own_part = maria([]).state.brings(SUBJECT);
    let absorbed = Event::Absorbed { contact: SUBJECT, redirects: moved.clone(), parts: own_part };
    assert_eq!(maria([]).echoes(&merged), [(OTHER, own(absorbed.clone()))]);
    let released = Event::Released { contact: SUBJECT, parts: [SUBJECT].into() };
    assert_eq!(maria([]).echoes(&own(Event::Unmerged { from: OTHER })), [(OTHER, own(released.clone()))]);
    assert!(maria([]).echoes(&own(absorbed.clone())).is_empty());
    let add = || Either::Own(Command::AddIdentity(moved[0].clone()));
    maria([absorbed.clone()]).when(add()).nothing();
    maria([absorbed, released]).when(add()).then([own(Event::IdentityAdded(moved[0].clone()))]);
}

#[test]
fn what_a_merged_contact_had_the_other_shows_until_that_is_taken_back() {
    let brought = Brought {
        tags: ["vip".to_owned()].into(),
        companies: [ACME].into(),
        roles: [(ACME, "buyer".to_owned())].into(),
        identities: [identity(IdentityKind::Telegram, "@maria")].into(),
        external_ids: [ExternalId { source: "shop".into(), external_id: "C-7".into() }].into(),
        consents: [("newsletter".to_owned(), Consent::Granted)].into(),
    };
    let parts = BTreeMap::from([(OTHER, brought)]);
    let absorbed = || Event::Absorbed { contact: OTHER, redirects: vec![], parts: parts.clone() };
    let document = |events: Vec<Event>| Aggregate::document(&maria(events).state).unwrap();
    let whole = document(vec![absorbed()]);
    assert_eq!((&whole["tags"], &whole["companies"]), (&json!(["vip"]), &json!([ACME.to_string()])));
    let released = || Event::Released { contact: OTHER, parts: [OTHER].into() };
    assert_eq!(document(vec![absorbed(), released()]), document(vec![]));
    // What is on record of either counts until this one says otherwise; saying so is kept.
    let change = |state| Command::ChangeConsent { purpose: "newsletter".into(), state };
    let changed = |to| {
        let (purpose, from) = ("newsletter".into(), Some(Consent::Granted));
        Event::ConsentChanged { purpose, from, to, via_contact: None }
    };
    leads_to([absorbed()], &change(Consent::Withdrawn), changed(Consent::Withdrawn));
    leads_to([absorbed()], &change(Consent::Granted), changed(Consent::Granted));
    let tag = || Either::Common(record::Common::Tag { tag: "vip".into() });
    maria([absorbed()]).when(tag()).then([Either::Common(Happened::Tagged { tag: "vip".into() })]);
    let untag = Either::Common(record::Common::Untag { tag: "vip".into() });
    maria([absorbed()]).when(untag).then([Either::Common(Happened::Untagged { tag: "vip".into() })]);
    let unlink = Command::UnlinkCompany { company: ACME };
    leads_to([absorbed()], &unlink, Event::CompanyUnlinked { company: ACME });
    maria([absorbed()]).when(Either::Own(Command::AddIdentity(identity(IdentityKind::Telegram, "maria")))).nothing();
    // A chain brings all of it.
    let onward = maria([absorbed()]).echoes(&own(Event::Merged { into: ANNA, redirects: vec![] }));
    let [(ANNA, Either::Own(Event::Absorbed { parts, .. }))] = &onward[..] else { panic!("{onward:?}") };
    assert_eq!(parts.keys().collect::<Vec<_>>(), [&SUBJECT, &OTHER]);
    assert_eq!(parts[&OTHER].tags, ["vip".to_owned()].into());
}

#[test]
fn what_is_said_of_a_merged_contact_belongs_to_the_one_that_goes_on() {
    let note = |note_id| Command::AddNote { note_id, text: "Likes tea.".into() };
    let added = Event::NoteAdded { note_id: NOTE, text: "Likes tea.".into(), via_contact: None };
    let merged = || maria([added.clone(), Event::Merged { into: OTHER, redirects: vec![] }]);
    let passes_on = |command: Command| merged().state.passes_on(&Either::Own(command)).is_some();
    assert!(passes_on(note(None)) && passes_on(Command::RequestErasure { basis: "wish".into() }));
    assert!(!passes_on(note(Some(NOTE))) && !passes_on(Command::DeleteNote { note_id: NOTE }));
    merged().when(Either::Own(note(Some(NOTE)))).nothing();
    // A note stays where it was written, and can be mended there.
    let deleted = own(Event::NoteDeleted { note_id: NOTE });
    merged().when(Either::Own(Command::DeleteNote { note_id: NOTE })).then([deleted]);
    let forwarded = Event::Forwarded { command: "add_note".into(), into: OTHER, note_id: Some(ACME) };
    let later = maria([Event::Merged { into: OTHER, redirects: vec![] }, forwarded]);
    assert!(later.state.passes_on(&Either::Own(Command::DeleteNote { note_id: ACME })).is_some());
    let via = <Spec as record::Spec>::came_via(added, SUBJECT);
    assert!(matches!(via, Event::NoteAdded { via_contact: Some(SUBJECT), .. }));
}

#[test]
fn consent_and_the_wish_to_be_forgotten_are_on_record() {
    let change = |state| Command::ChangeConsent { purpose: "newsletter".into(), state };
    let changed = |from, to| Event::ConsentChanged { purpose: "newsletter".into(), from, to, via_contact: None };
    leads_to([], &change(Consent::Granted), changed(None, Consent::Granted));
    let withdrawn = changed(Some(Consent::Granted), Consent::Withdrawn);
    leads_to([changed(None, Consent::Granted)], &change(Consent::Withdrawn), withdrawn);
    let blank = Command::ChangeConsent { purpose: String::new(), state: Consent::Granted };
    refused([], blank, TEXT_INVALID);
    let request = |basis: &str| Command::RequestErasure { basis: basis.into() };
    leads_to(
        [],
        &request("GDPR article 17"),
        Event::ErasureRequested { basis: "GDPR article 17".into(), via_contact: None },
    );
    refused([], request(" "), TEXT_INVALID);
    given::<Contact>([]).when(Either::Own(request("wish"))).rejected(Contact::unknown());
    assert!(Contact::refusals().contains(&IDENTITY_TAKEN));
}
