//! What every descriptive kind does, told by examples; run for each of them.

use serde_json::json;

use super::*;
use crate::{
    crm::company::Company,
    kernel::{
        custom::{Change, FieldType},
        given::{ANNA, BORIS, Given, SUBJECT, given, map},
        named::Never,
    },
    org::field::{self, Field},
};

/// A kind of nothing but a name and stages.
#[derive(Clone, Default)]
struct Deal;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DealFields {
    name: String,
}

impl Spec for Deal {
    const ABOUT: &str = "A record.";
    type Shown = crate::kernel::listing::Nothing;
    const KIND: &'static str = "sample";
    const PLURAL: &'static str = "samples";
    const STAGES: &'static [&'static str] = &["new", "won", "lost"];
    type Fields = DealFields;
    type Command = Never;
    type Event = Never;
    type State = ();

    fn examples() -> (DealFields, Vec<Never>) {
        (DealFields { name: "Ten chairs".into() }, vec![])
    }
}

fn common<S: Spec>(command: Common<S::Fields>) -> Command<S> {
    Either::Common(command)
}

fn happened<S: Spec>(event: Happened<S::Fields>) -> Event<S> {
    Either::Common(event)
}

fn size(required: bool) -> field::Event {
    field::Event::Defined(field::New {
        entity: "any".into(),
        key: "size".into(),
        label: None,
        field_type: FieldType::Number,
        options: vec![],
        target: None,
        required,
        personal: false,
    })
}

/// Everything that a record may start with.
fn rich<S: Spec>() -> New<S::Fields> {
    New {
        fields: S::examples().0,
        custom: map([("size", json!(3))]),
        owner: Some(Some(ANNA)),
        stage: S::STAGES.first().map(|stage| (*stage).to_owned()),
        tags: ["vip".to_owned()].into(),
        copied_from: Some(BORIS),
    }
}

fn record<S: Spec>(events: impl IntoIterator<Item = Happened<S::Fields>>) -> Given<Record<S>> {
    let id = Field::id_for(crate::kernel::given::TENANT, S::KIND);
    given::<Record<S>>(events.into_iter().map(happened::<S>)).with::<Field>(id, [size(false)])
}

/// What `command` leads to after `before`, and that asking again changes nothing.
#[track_caller]
fn leads_to<S: Spec>(
    before: impl IntoIterator<Item = Happened<S::Fields>>,
    command: Common<S::Fields>,
    event: Happened<S::Fields>,
) {
    let before: Vec<_> = before.into_iter().collect();
    record::<S>(before.clone()).when(common::<S>(command.clone())).then([happened::<S>(event.clone())]);
    record::<S>(before.into_iter().chain([event])).when(common::<S>(command)).nothing();
}

pub(super) fn does_what_every_record_does<S: Spec>() {
    use Common::*;
    let created = || [Happened::Created(rich::<S>())];
    let archived = || created().into_iter().chain([Happened::Archived { reason: None }]);
    let reason = || Some("Handed over".to_owned());
    let tag = || "new".to_owned();

    leads_to::<S>([], Create(rich::<S>()), Happened::Created(rich::<S>()));
    let to = Happened::OwnerChanged { from: Some(ANNA), to: Some(BORIS), reason: reason() };
    leads_to::<S>(created(), ChangeOwner { owner: Some(BORIS), reason: reason() }, to);
    let shared = || Happened::Shared { grantee: BORIS, level: Level::Write };
    leads_to::<S>(created(), Share { grantee: BORIS, level: Level::Write }, shared());
    let unshared = Happened::Unshared { grantee: BORIS };
    leads_to::<S>(created().into_iter().chain([shared()]), Unshare { grantee: BORIS }, unshared.clone());
    let put_away = [shared(), Happened::Archived { reason: None }];
    leads_to::<S>(created().into_iter().chain(put_away), Unshare { grantee: BORIS }, unshared);
    leads_to::<S>(created(), Tag { tag: tag() }, Happened::Tagged { tag: tag() });
    leads_to::<S>(created(), Untag { tag: "vip".into() }, Happened::Untagged { tag: "vip".into() });
    leads_to::<S>(created(), Archive { reason: reason() }, Happened::Archived { reason: reason() });
    leads_to::<S>(archived(), Restore, Happened::Restored);

    let changes = Changes::from([(
        "name".into(),
        Change { from: object(&rich::<S>().fields)["name"].clone(), to: json!("Other") },
    )]);
    let patch = |value| Map::from_iter([("name".to_owned(), value)]);
    leads_to::<S>(created(), Edit(patch(json!("Other"))), Happened::DetailsChanged { changes });
    let changes = Changes::from([("size".into(), Change { from: json!(3), to: Value::Null })]);
    let cleared = Edit(Map::from_iter([("custom".to_owned(), json!({ "size": null }))]));
    leads_to::<S>(created(), cleared, Happened::CustomChanged { changes });

    for stage in S::STAGES.iter().skip(1) {
        let moved = Happened::StageChanged { from: S::STAGES[0].to_owned(), to: (*stage).to_owned() };
        leads_to::<S>(created(), MoveStage { stage: (*stage).to_owned() }, moved);
    }

    let live = || record::<S>(created());
    record::<S>([]).when(common::<S>(Restore)).rejected(Record::<S>::unknown());
    record::<S>(archived()).when(common::<S>(Tag { tag: tag() })).rejected(Record::<S>::put_away());
    let mut other = rich::<S>();
    apply_changes(&mut other.fields, &[("name".to_owned(), Change { from: Value::Null, to: json!("Other") })].into());
    live().when(common::<S>(Create(other))).rejected(Record::<S>::exists());
    live().when(common::<S>(MoveStage { stage: "nowhere".into() })).rejected(STAGE_UNKNOWN);
    live().when(common::<S>(Tag { tag: " ".into() })).rejected(TAG_INVALID);
    live().when(common::<S>(Tag { tag: "x".repeat(65) })).rejected(TAG_INVALID);
    live().when(common::<S>(Edit(patch(json!(1))))).rejected(FIELD_INVALID);
    live().when(common::<S>(Edit(patch(Value::Null)))).rejected(FIELD_INVALID);
    live().when(common::<S>(Edit(Map::from_iter([("colour_of_hair".into(), json!(1))])))).rejected(FIELD_INVALID);
    let custom = |value| common::<S>(Edit(Map::from_iter([("custom".to_owned(), value)])));
    live().when(custom(json!([]))).rejected(FIELD_INVALID);
    live().when(custom(json!({ "size": "big" }))).rejected(custom::INVALID_VALUE);
    live().when(custom(json!({ "weight": 1 }))).rejected(custom::UNKNOWN_FIELD);
    let bare = New { custom: Custom::new(), ..rich::<S>() };
    let id = Field::id_for(crate::kernel::given::TENANT, S::KIND);
    record::<S>([]).with::<Field>(id, [size(true)]).when(common::<S>(Create(bare))).rejected(custom::REQUIRED_FIELD);
    let lost = New { stage: Some("nowhere".into()), ..rich::<S>() };
    record::<S>([]).when(common::<S>(Create(lost))).rejected(STAGE_UNKNOWN);
}

/// Every descriptive kind, by being in the catalogue; it writes the golden files of what all of them have in common.
#[test]
fn every_descriptive_kind_does_what_every_record_does() {
    struct Prove;
    impl crate::catalogue::Visitor for Prove {
        fn visit<A: Aggregate>(&mut self) {
            A::prove();
        }
    }
    crate::catalogue::visit_all(&mut Prove);
}

#[test]
fn a_kind_with_stages_moves_through_them() {
    does_what_every_record_does::<Deal>();
    let created = || [Happened::Created(rich::<Deal>())];
    let won = Happened::StageChanged { from: "new".into(), to: "won".into() };
    leads_to::<Deal>(created(), Common::MoveStage { stage: "won".into() }, won);
    let names = |variants: Vec<named::Variant>| variants.into_iter().map(|variant| variant.name).collect::<Vec<_>>();
    let generator = &mut SchemaGenerator::default();
    assert!(names(Record::<Deal>::commands(generator)).contains(&"move_stage".to_owned()));
    assert!(names(Record::<Deal>::events(generator)).contains(&"stage_changed".to_owned()));
    assert!(!names(Company::commands(generator)).contains(&"move_stage".to_owned()));
    assert!(!names(Company::events(generator)).contains(&"stage_changed".to_owned()));
}

#[test]
fn a_body_is_flat_and_its_errors_say_where() {
    let body = json!({ "name": "Ten chairs", "owner": ANNA, "tags": ["vip"], "custom": { "size": 3 } });
    let command = Command::<Deal>::from_value("create", body.clone()).unwrap();
    let Either::Common(Common::Create(new)) = &command else { panic!("{command:?}") };
    assert_eq!((new.fields.name.as_str(), new.owner, new.tags.len()), ("Ten chairs", Some(Some(ANNA)), 1));
    assert_eq!(serde_json::from_slice::<Value>(&command.encode().1).unwrap(), body);
    let error = |body| Command::<Deal>::from_value("create", body).unwrap_err();
    let found = error(json!({ "name": "Ten chairs", "size": 3 }));
    assert_eq!((found.pointer.as_str(), found.code), ("/size", "unknown_field"));
    let found = error(json!({ "name": "Ten chairs", "owner": 3 }));
    assert_eq!((found.pointer.as_str(), found.code), ("/owner", "invalid"));
    let found = error(json!({}));
    assert_eq!((found.pointer.as_str(), found.code), ("/name", "required"));
}

#[test]
fn edits_of_different_fields_do_not_disturb_each_other() {
    let edit = |patch: Value| common::<Deal>(Common::Edit(patch.as_object().unwrap().clone()));
    let change = || Change { from: Value::Null, to: json!(1) };
    let details = happened::<Deal>(Happened::DetailsChanged { changes: [("name".to_owned(), change())].into() });
    let custom = happened::<Deal>(Happened::CustomChanged { changes: [("size".to_owned(), change())].into() });
    let merges = |patch, since: &Event<Deal>| Record::<Deal>::merges(&edit(patch), std::slice::from_ref(since));
    assert!(merges(json!({ "city": "Roma" }), &details));
    assert!(!merges(json!({ "name": "Roma" }), &details));
    assert!(merges(json!({ "custom": { "weight": 1 } }), &custom));
    assert!(!merges(json!({ "custom": { "size": 1 } }), &custom));
    assert!(!merges(json!({ "city": "Roma" }), &happened::<Deal>(Happened::Restored)));
    assert!(!Record::<Deal>::merges(&common::<Deal>(Common::Restore), &[]));
}

#[test]
fn personal_data_is_that_of_the_record_when_it_is_a_person() {
    let (actor, facts) = (Actor::user(ANNA), crate::Facts::default());
    let ctx = Ctx {
        tenant: BORIS,
        id: SUBJECT,
        now: crate::kernel::given::at(0),
        actor: &actor,
        authority: &crate::Authority::full(),
        seed: "x",
        facts: &facts,
    };
    let restored = happened::<crate::crm::contact::Spec>(Happened::Restored);
    assert_eq!(crate::crm::contact::Contact::default().subject(&restored, &ctx), Some(SUBJECT));
    let restored = happened::<crate::crm::company::Spec>(Happened::Restored);
    assert_eq!(Company::default().subject(&restored, &ctx), None);
}

/// Attributes that may and may not be empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Room {
    name: String,
    #[serde(default)]
    floor: Option<u8>,
    #[serde(default)]
    features: Vec<String>,
    #[serde(default = "one")]
    doors: u8,
}

fn one() -> u8 {
    1
}

#[test]
fn a_patch_clears_what_may_be_empty_and_tells_every_fault() {
    let room = Room { name: "Attic".into(), floor: Some(3), features: vec!["lift".into()], doors: 2 };
    let patch = |patch: Value| {
        let mut faults = Faults::default();
        let edited = patched(&room, patch.as_object().unwrap().clone(), &mut faults);
        faults.done().map(|()| edited)
    };
    let (cleared, changes) = patch(json!({ "floor": null, "features": null })).unwrap();
    assert_eq!(cleared, Room { name: "Attic".into(), floor: None, features: vec![], doors: 2 });
    assert_eq!(changes.keys().collect::<Vec<_>>(), ["features", "floor"]);
    let refused = patch(json!({ "name": null, "doors": null, "floor": "top", "colour": null, "features": [] }));
    let refused = refused.unwrap_err();
    assert_eq!(refused, FIELD_INVALID);
    let places: Vec<_> = refused.errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(places, ["/colour", "/doors", "/floor", "/name"]);
    assert_eq!(refused.errors[3].detail, "name must have a value.");
    // Several within one attribute, and what fits stays.
    let mut faults = Faults::default();
    let several = json!({ "features": [1, "lift", 2], "floor": 4 });
    let (edited, _) = patched(&room, several.as_object().unwrap().clone(), &mut faults);
    assert_eq!((edited.floor, edited.features), (Some(4), vec!["lift".to_owned()]));
    let places: Vec<_> = faults.done().unwrap_err().errors.into_iter().map(|error| error.pointer).collect();
    assert_eq!(places, ["/features/0", "/features/2"]);
}
