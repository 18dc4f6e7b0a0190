//! What a form asks and takes, told by examples.

use super::*;
use crate::kernel::{
    custom::Definition,
    given::{Given, TENANT, created, given},
    record::{Common, Happened},
};

fn form(events: impl IntoIterator<Item = Event>) -> Given<Form> {
    given(created::<Spec>().into_iter().chain(events.into_iter().map(Either::Own)))
}

fn field(key: &str, input_type: InputType) -> Field {
    Field {
        key: key.into(),
        input_type,
        maps_to: None,
        label: key.into(),
        placeholder: None,
        required: false,
        ..example()
    }
}

fn select(key: &str, values: &[&str]) -> Field {
    let options = values.iter().map(|value| Choice { value: (*value).into(), label: None }).collect();
    Field { options, ..field(key, InputType::Select) }
}

fn only_if(field: Field, other: &str, values: &[&str]) -> Field {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    let all = vec![Condition { field: other.into(), values }];
    Field { visible_if: Some(Visible { all, device: None }), ..field }
}

fn added(fields: &[Field]) -> Vec<Event> {
    fields.iter().zip(0..).map(|(field, place)| Event::FieldAdded { field: field.clone(), place }).collect()
}

fn own(command: Command) -> record::Command<Spec> {
    Either::Own(command)
}

fn keys(form: &Given<Form>) -> Vec<&str> {
    form.state.state.draft.iter().map(|field| field.key.as_str()).collect()
}

fn page(fields: &[Field]) -> Page {
    let Happened::Created(new) = (match created::<Spec>().into_iter().next().unwrap() {
        Either::Common(created) => created,
        Either::Own(_) => unreachable!(),
    }) else {
        unreachable!()
    };
    Page { about: new.fields, fields: fields.to_vec() }
}

fn values(given: &[(&str, &str)]) -> Values {
    given.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect()
}

fn faults(page: &Page, given: &[(&str, &str)]) -> Vec<(String, String)> {
    let refusal = page.take(&values(given), Device::Desktop, None).unwrap_err();
    refusal.errors.into_iter().map(|error| (error.pointer, error.code.into_owned())).collect()
}

/// A form as it can be published, with the custom fields that there are.
fn publishing(fields: &[Field], definitions: &[(&str, FieldType, bool)]) -> Given<Form> {
    let kind = field::Field::id_for(TENANT, "ticket");
    let definitions = definitions.iter().map(|(key, field_type, required)| {
        let (field_type, required) = (*field_type, *required);
        let options = Vec::new();
        let definition = Definition {
            field_type,
            label: (*key).into(),
            options,
            target: None,
            required,
            personal: false,
            retired: false,
        };
        ((*key).to_owned(), definition)
    });
    let known = field::Field { definitions: definitions.collect() };
    form(added(fields)).knowing("field", kind, crate::kernel::aggregate::AnyState::new(known))
}

#[test]
fn fields_are_added_changed_moved_and_removed() {
    let (mail, story) = (example(), field("story", InputType::Textarea));
    form([])
        .when(own(Command::AddField { field: mail.clone(), before: None }))
        .then([Either::Own(Event::FieldAdded { field: mail.clone(), place: 0 })]);
    let both = added(&[mail.clone(), story.clone()]);
    form(both.clone()).when(own(Command::AddField { field: mail.clone(), before: None })).nothing();
    let other = Field { label: "Other".into(), ..mail.clone() };
    form(both.clone()).when(own(Command::AddField { field: other.clone(), before: None })).rejected(FIELD_EXISTS);
    let changed = Event::FieldChanged { from: mail.clone(), to: other.clone() };
    form(both.clone()).when(own(Command::ChangeField { field: other })).then([Either::Own(changed)]);
    let moved = Event::FieldMoved { key: "story".into(), from: 1, to: 0 };
    let first = Command::MoveField { key: "story".into(), before: Some("email".into()) };
    form(both.clone()).when(own(first)).then([Either::Own(moved.clone())]);
    assert_eq!(keys(&form(both.clone().into_iter().chain([moved]))), ["story", "email"]);
    let last = Command::MoveField { key: "story".into(), before: None };
    form(both.clone()).when(own(last)).nothing();
    let gone = Event::FieldRemoved { field: mail, place: 0 };
    form(both.clone()).when(own(Command::RemoveField { key: "email".into() })).then([Either::Own(gone.clone())]);
    assert_eq!(keys(&form(both.into_iter().chain([gone]))), ["story"]);
    form([]).when(own(Command::RemoveField { key: "email".into() })).nothing();
    form([]).when(own(Command::MoveField { key: "email".into(), before: None })).rejected(FIELD_UNKNOWN);
}

#[test]
fn a_field_makes_sense_by_itself() {
    let refused = |field: Field, refusal: Rejection| {
        form([]).when(own(Command::AddField { field, before: None })).rejected(refusal);
    };
    refused(Field { key: "E mail".into(), ..example() }, KEY_INVALID);
    refused(Field { label: " ".into(), ..example() }, LABEL_INVALID);
    refused(select("topic", &[]), OPTIONS_INVALID);
    refused(select("topic", &["a", "a"]), OPTIONS_INVALID);
    refused(Field { options: select("x", &["a"]).options, ..example() }, OPTIONS_INVALID);
    refused(Field { default: Some("nobody".into()), ..example() }, DEFAULT_INVALID);
    refused(Field { maps_to: Some("contact.phone".into()), ..example() }, MAPPING_INVALID);
    refused(Field { maps_to: Some("contact.salary".into()), ..example() }, MAPPING_INVALID);
}

#[test]
fn what_could_become_no_ticket_is_not_published() {
    let published = |fields: &[Field]| Either::Own(Event::Published { version: 1, page: page(fields) });
    let refused = |fields: &[Field], definitions: &[(&str, FieldType, bool)], refusal: Rejection| {
        publishing(fields, definitions).when(own(Command::Publish)).rejected(refusal);
    };
    let topic = || select("topic", &["price", "repair"]);
    let serial = || only_if(field("serial", InputType::Text), "topic", &["repair"]);
    let sound = [example(), topic(), serial()];
    publishing(&sound, &[]).when(own(Command::Publish)).then([published(&sound)]);
    publishing(&sound, &[]).may(&["form.*"]).when(own(Command::Publish)).rejected(DENIED);
    refused(&[], &[], FIELDS_MISSING);
    refused(&[topic()], &[], ADDRESS_MISSING);
    refused(&[example(), serial(), topic()], &[], CONDITION_INVALID);
    refused(&[example(), topic(), only_if(field("x", InputType::Text), "topic", &["other"])], &[], CONDITION_INVALID);
    let files: Vec<Field> = (0..=FILES).map(|number| field(&format!("file{number}"), InputType::File)).collect();
    refused(&[&[example()], &files[..]].concat(), &[], TOO_MANY_FILES);
    let twice = Field { key: "again".into(), ..example() };
    refused(&[example(), twice], &[], MAPPING_INVALID);
    let maps = |to: &str, field: Field| Field { maps_to: Some(to.into()), ..field };
    refused(&[example(), maps("ticket.priority", topic())], &[], MAPPING_INVALID);
    refused(&[example(), maps("ticket.custom.room", topic())], &[], MAPPING_INVALID);
    let room = maps("ticket.custom.room", field("room", InputType::Text));
    refused(&[example(), room.clone()], &[("room", FieldType::Number, false)], MAPPING_INVALID);
    refused(&[example()], &[("room", FieldType::Text, true)], CUSTOM_MISSING);
    refused(&[example(), room.clone()], &[("room", FieldType::Text, true)], CUSTOM_MISSING);
    let sure = [example(), Field { required: true, ..room }];
    publishing(&sure, &[("room", FieldType::Text, true)]).when(own(Command::Publish)).then([published(&sure)]);
}

#[test]
fn hidden_fields_are_neither_asked_for_nor_taken() {
    let serial = Field { required: true, ..only_if(field("serial", InputType::Text), "topic", &["repair"]) };
    let floor = only_if(field("floor", InputType::Text), "serial", &[]);
    let small = Visible { all: Vec::new(), device: Some(Device::Phone) };
    let call = Field { visible_if: Some(small), ..field("call", InputType::Checkbox) };
    let page = page(&[example(), select("topic", &["price", "repair"]), serial, floor, call]);
    let mail = ("email", "maria@example.com");
    let taken = |given: &[(&str, &str)], device| page.take(&values(given), device, None).unwrap();
    let price = [mail, ("topic", "price"), ("serial", "77"), ("floor", "2"), ("call", "on")];
    assert_eq!(taken(&price, Device::Desktop), values(&[mail, ("topic", "price")]));
    assert_eq!(taken(&price, Device::Phone), values(&[mail, ("topic", "price"), ("call", "true")]));
    let repair = [mail, ("topic", "repair"), ("serial", " 77 "), ("floor", "2")];
    assert_eq!(taken(&repair, Device::Desktop), values(&[mail, ("topic", "repair"), ("serial", "77"), ("floor", "2")]));
    let missing = |key: &str, code: &str| (format!("/values/{key}"), code.to_owned());
    assert_eq!(faults(&page, &[mail, ("topic", "repair")]), [missing("serial", "form_value_missing")]);
    assert_eq!(
        faults(&page, &[("email", "maria"), ("topic", "other"), ("x", "y")]),
        [missing("email", "email_invalid"), missing("topic", "form_value_invalid"), missing("x", "form_value_unknown"),]
    );
}

#[test]
fn a_slug_is_one_form_s_and_its_page_goes_with_it() {
    let Either::Common(born) = created::<Spec>().into_iter().next().unwrap() else { unreachable!() };
    assert_eq!(given::<Form>([]).claims(&Either::Common(born)), ["+form.slug contact"]);
    let mut patch = serde_json::Map::new();
    patch.insert("slug".into(), "Contact Us".into());
    form([]).when(Either::Common(Common::Edit(patch))).rejected(SLUG_INVALID);
    let published = Event::Published { version: 1, page: page(&[example()]) };
    let gone = form([published]);
    assert!(gone.state.page().is_some());
    gone.when(Either::Common(Common::Archive { reason: None }))
        .then([Either::Own(Event::Unpublished), Either::Common(Happened::Archived { reason: None })]);
    assert_eq!(origin_of("HTTPS://Www.Example.com/").as_deref(), Some("https://www.example.com"));
    for wrong in ["example.com", "ftp://x", "https://x/y", "https://", "javascript://x y"] {
        assert_eq!(origin_of(wrong), None, "{wrong}");
    }
}
