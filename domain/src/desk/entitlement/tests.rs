//! What an entitlement does, told by examples.

use serde_json::json;

use super::*;
use crate::{
    crm::{
        company,
        contact::{self, Contact},
    },
    desk::product,
    kernel::{
        custom::{Change, FieldType},
        given::{Given, SUBJECT, TENANT, at, given, map},
        named::Either,
        record::{Happened, New, Spec},
    },
    org::{
        field::{self, Field},
        user::{self, User},
    },
};

const HOSTING: Id = Id::from_bits(0xC);
const MARIA: Id = Id::from_bits(0xD);
const ACME: Id = Id::from_bits(0xE);
const ANNA: Id = Id::from_bits(0xF);

fn created<S: Spec>() -> record::Event<S> {
    let fields = S::examples().0;
    let new = New { fields, custom: Custom::new(), owner: None, stage: None, tags: [].into(), copied_from: None };
    Either::Common(Happened::Created(new))
}

fn invited() -> user::Event {
    let Some(user::Command::Invite(profile)) = User::examples().into_iter().next() else { unreachable!() };
    user::Event::Invited(profile)
}

fn size() -> field::Event {
    field::Event::Defined(field::New {
        entity: "entitlement".into(),
        key: "size".into(),
        label: None,
        field_type: FieldType::Number,
        options: vec![],
        target: None,
        required: true,
        personal: false,
    })
}

fn rich() -> Grant {
    let Some(Command::Grant(grant)) = Entitlement::examples().into_iter().next() else { unreachable!() };
    Grant { product: HOSTING, holder: Party::contact(MARIA), custom: map([("size", json!(3))]), ..grant }
}

/// A world with a product and possible holders.
fn world(events: impl IntoIterator<Item = Event>) -> Given<Entitlement> {
    given(events)
        .with::<Product>(HOSTING, [created::<product::Spec>()])
        .with::<Contact>(MARIA, [created::<contact::Spec>()])
        .with::<company::Company>(ACME, [created::<company::Spec>()])
        .with::<User>(ANNA, [invited()])
        .with::<Field>(Field::id_for(TENANT, "entitlement"), [size()])
}

fn owned(more: impl IntoIterator<Item = Event>) -> Given<Entitlement> {
    world([Event::Granted(rich())].into_iter().chain(more))
}

fn revoked() -> Event {
    Event::Revoked { reason: Some("Returned".into()) }
}

fn patch(value: &Value) -> Command {
    Command::ChangeDetails(value.as_object().unwrap().clone())
}

#[test]
fn contacts_companies_and_colleagues_may_own_a_product() {
    for holder in [Party::contact(MARIA), Party::company(ACME), Party::user(ANNA)] {
        let grant = Grant { holder, ..rich() };
        world([]).when(Command::Grant(grant.clone())).then([Event::Granted(grant.clone())]);
        world([Event::Granted(grant.clone())]).when(Command::Grant(grant)).nothing();
    }
    owned([]).when(Command::Grant(Grant { product: ACME, ..rich() })).rejected(EXISTS);
}

#[test]
fn only_what_is_on_offer_is_granted_and_only_to_who_is_there() {
    let grant = || Command::Grant(rich());
    let bare = |events| {
        given::<Entitlement>([])
            .with::<Product>(HOSTING, events)
            .with::<Contact>(MARIA, [created::<contact::Spec>()])
            .with::<Field>(Field::id_for(TENANT, "entitlement"), [size()])
    };
    bare(vec![]).when(grant()).rejected(PRODUCT_UNFIT);
    let retired = Either::Own(product::Event::Retired { reason: None });
    bare(vec![created::<product::Spec>(), retired]).when(grant()).rejected(PRODUCT_UNFIT);
    let archived = Either::Common(Happened::Archived { reason: None });
    bare(vec![created::<product::Spec>(), archived]).when(grant()).rejected(PRODUCT_UNFIT);
    world([]).when(Command::Grant(Grant { holder: Party::contact(ACME), ..rich() })).rejected(HOLDER_UNFIT);
    let gone = user::Event::Deactivated { reason: None };
    world([])
        .with::<User>(ANNA, [invited(), gone])
        .when(Command::Grant(Grant { holder: Party::user(ANNA), ..rich() }))
        .rejected(HOLDER_UNFIT);
}

#[test]
fn details_that_make_no_sense_are_refused() {
    let refused = |grant, rejection| world([]).when(Command::Grant(grant)).rejected(rejection);
    refused(Grant { quantity: Some(0), ..rich() }, QUANTITY_INVALID);
    refused(Grant { valid_from: Some(at(9)), valid_to: Some(at(9)), ..rich() }, PERIOD_INVALID);
    refused(Grant { source: None, ..rich() }, EXTERNAL_ID_INVALID);
    refused(Grant { source: Some("a/b".into()), ..rich() }, EXTERNAL_ID_INVALID);
    refused(Grant { custom: Custom::new(), ..rich() }, custom::REQUIRED_FIELD);
    refused(Grant { custom: map([("size", json!("big"))]), ..rich() }, custom::INVALID_VALUE);
    refused(Grant { custom: map([("size", json!(1)), ("x", json!(1))]), ..rich() }, custom::UNKNOWN_FIELD);
    let debt = serde_json::from_value(json!({ "amount": "-1", "currency": "EUR" })).unwrap();
    refused(Grant { price: Some(debt), ..rich() }, valid::PRICE_INVALID);
}

#[test]
fn its_name_elsewhere_is_its_own() {
    assert_eq!(given::<Entitlement>([]).claims(&Event::Granted(rich())), ["+entitlement.external shop/order-7/1"]);
    assert!(owned([]).claims(&revoked()).is_empty());
    assert!(Entitlement::refusals().contains(&EXTERNAL_ID_TAKEN));
}

#[test]
fn details_and_custom_fields_change() {
    let serial = Changes::from([("serial_number".into(), Change { from: json!("SN-0042"), to: json!("SN-0043") })]);
    let custom = Changes::from([("size".into(), Change { from: json!(3), to: json!(4) })]);
    let events = [Event::DetailsChanged { changes: serial }, Event::CustomChanged { changes: custom }];
    let change = || patch(&json!({ "serial_number": "SN-0043", "custom": { "size": 4 } }));
    owned([]).when(change()).then(events.clone());
    owned(events).when(change()).nothing();
    owned([revoked()]).when(patch(&json!({ "quantity": 2 }))).events();
    owned([]).when(patch(&json!({ "holder": "x" }))).rejected(FIELD_INVALID);
    owned([]).when(patch(&json!({ "quantity": 0 }))).rejected(QUANTITY_INVALID);
    owned([]).when(patch(&json!({ "custom": { "size": null } }))).rejected(custom::REQUIRED_FIELD);
    world([]).when(patch(&json!({}))).rejected(UNKNOWN);
}

#[test]
fn it_is_handed_over_taken_away_and_given_back() {
    let (maria, acme) = (Party::contact(MARIA), Party::company(ACME));
    let transferred = Event::Transferred { from: maria, to: acme };
    owned([]).when(Command::Transfer { to: acme }).then([transferred.clone()]);
    let after = owned([transferred]);
    assert_eq!(after.state.holder, Some(acme));
    after.when(Command::Transfer { to: acme }).nothing();
    owned([]).when(Command::Transfer { to: Party::user(SUBJECT) }).rejected(HOLDER_UNFIT);
    owned([revoked()]).when(Command::Transfer { to: acme }).rejected(NOT_ACTIVE);
    let revoke = || Command::Revoke { reason: Some("Returned".into()) };
    owned([]).when(revoke()).then([revoked()]);
    owned([revoked()]).when(revoke()).nothing();
    owned([revoked()]).when(Command::Reinstate).then([Event::Reinstated]);
    owned([revoked(), Event::Reinstated]).when(Command::Reinstate).nothing();
    let retired = Either::Own(product::Event::Retired { reason: None });
    owned([revoked()])
        .with::<Product>(HOSTING, [created::<product::Spec>(), retired])
        .when(Command::Reinstate)
        .rejected(PRODUCT_UNFIT);
    let merged = Either::Own(contact::Event::Merged { into: ACME, redirects: vec![] });
    owned([revoked()])
        .with::<Contact>(MARIA, [created::<contact::Spec>(), merged])
        .when(Command::Reinstate)
        .rejected(HOLDER_UNFIT);
}

#[test]
fn it_ends_when_its_time_is_over() {
    let until = |valid_to| Event::Granted(Grant { valid_from: None, valid_to, ..rich() });
    world([until(Some(at(0)))]).when(Command::Expire).then([Event::Expired]);
    world([until(Some(at(0))), Event::Expired]).when(Command::Expire).nothing();
    world([until(Some(at(1)))]).when(Command::Expire).rejected(NOT_OVER);
    world([until(None)]).when(Command::Expire).rejected(NOT_OVER);
    let state = world([until(Some(at(5)))]).state;
    assert!(state.is_active_at(at(4)) && !state.is_active_at(at(5)));
    let later = world([Event::Granted(Grant { valid_from: Some(at(2)), valid_to: None, ..rich() })]).state;
    assert!(later.is_active_at(at(2)) && !later.is_active_at(at(1)));
    assert!(!owned([revoked()]).state.is_active_at(at(0)));
}
