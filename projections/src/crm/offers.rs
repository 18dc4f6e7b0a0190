//! Offers of properties. Table: `read_offers`.

use domain::{
    Aggregate, Id, Personal, Time,
    catalogue::listed,
    crm::offer::{Event, Offer, Repeated, Status},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Listed, ReadModel, Refers, Sort, Told, Unreadable, decode, kernel::fold::raise, org::users::Reference,
};

/// The offers.
#[derive(Clone, Copy, Debug)]
pub struct Offers;

/// Properties put before a customer who enquired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// The enquiry it answers.
    pub enquiry_id: Option<Id>,
    /// Who enquired.
    pub contact_id: Id,
    /// What it offers.
    pub property_ids: Vec<Id>,
    /// What is written with it.
    pub text: Option<Personal<String>>,
    /// How far it has come.
    pub status: Status,
    /// The contact it went to.
    pub sent_to_id: Option<Id>,
    /// By what means, such as `email`.
    pub medium: Option<String>,
    /// What had been offered before.
    pub repeated: Vec<Repeated>,
    /// Why that was offered once more.
    pub repeat_reason: Option<String>,
    /// The properties that the customer wants.
    pub accepted_property_ids: Vec<Id>,
    /// Why the customer wants none.
    pub decline_reason: Option<String>,
    /// When it was drafted.
    pub drafted_at: Time,
    /// When it was sent.
    pub sent_at: Option<Time>,
    /// When the customer looked at it.
    pub opened_at: Option<Time>,
    /// When the customer accepted or declined.
    pub answered_at: Option<Time>,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// An offer with the names of what it refers to as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The offer itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the enquiry.
    pub enquiry_name: Option<String>,
    /// Name of whoever enquired.
    pub contact_name: Option<String>,
    /// What it offers, with names.
    pub properties: Vec<Reference>,
}

impl ReadModel for Offers {
    const NAME: &'static str = "offers";
    const VERSION: i32 = 2;
    const KINDS: &'static [&'static str] = &[Offer::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<Offer>(event)?;
        if let Event::Drafted { enquiry, contact, properties, text } = happened {
            return Ok(Some(Row {
                enquiry_id: enquiry,
                contact_id: contact,
                property_ids: properties,
                text,
                status: Status::Draft,
                sent_to_id: None,
                medium: None,
                repeated: Vec::new(),
                repeat_reason: None,
                accepted_property_ids: Vec::new(),
                decline_reason: None,
                drafted_at: at,
                sent_at: None,
                opened_at: None,
                answered_at: None,
                updated_at: at,
            }));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Drafted { .. } => {}
            Event::Revised { properties, text } => {
                row.property_ids = properties;
                row.text = text;
            }
            Event::Sent { to, properties, medium, repeated, repeat_reason } => {
                row.status = Status::Sent;
                row.contact_id = to;
                row.sent_to_id = Some(to);
                row.property_ids = properties;
                row.medium = Some(medium);
                row.repeated = repeated;
                row.repeat_reason = repeat_reason;
                row.sent_at = Some(at);
            }
            Event::Opened => {
                row.status = Status::Opened;
                row.opened_at = Some(at);
            }
            Event::Accepted { properties } => {
                row.status = Status::Accepted;
                row.accepted_property_ids = properties;
                row.answered_at = Some(at);
            }
            Event::Declined { reason } => {
                row.status = Status::Declined;
                row.decline_reason = reason;
                row.answered_at = Some(at);
            }
        }
        Ok(Some(row))
    }
}

impl Listed for Offers {
    const PATH: &'static str = Offer::PLURAL;
    const READ: &'static str = Offer::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::id("enquiry_id").nullable(),
        Column::reference("contact_id", Refers::To("contact")),
        Column::set("property_ids"),
        Column::text("text").nullable(),
        Column::word("status"),
        Column::reference("sent_to_id", Refers::To("contact")).nullable(),
        Column::word("medium").nullable(),
        Column::text("repeat_reason").nullable(),
        Column::set("accepted_property_ids"),
        Column::time("drafted_at"),
        Column::time("sent_at").nullable(),
        Column::time("opened_at").nullable(),
        Column::time("answered_at").nullable(),
        Column::time("updated_at"),
        Column::called(&listed::ENQUIRY),
        Column::called(&listed::CONTACT),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("drafted_at")];
    const TELLS: &'static [Told] = &[Told::listed("properties", "property")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.enquiry_id, enquiry.name as enquiry_name, r.contact_id, \
        contact.name as contact_name, t.property_ids, \
        array(select json_build_object('id', p.id, 'name', p.name) from read_properties p \
            where p.tenant_id = t.tenant_id and p.id = any (t.property_ids) \
            order by array_position(t.property_ids, p.id)) as properties, \
        t.text, t.status, r.sent_to_id, t.medium, t.repeated, t.repeat_reason, t.accepted_property_ids, \
        t.decline_reason, t.drafted_at, t.sent_at, t.opened_at, t.answered_at, t.updated_at";
    const JOINS: &'static str = "\
        left join read_enquiries enquiry on enquiry.tenant_id = t.tenant_id and enquiry.id = t.enquiry_id \
        left join read_contacts contact on contact.tenant_id = t.tenant_id and contact.id = r.contact_id";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fold::tests::{at, folded, id, refuses_strangers};

    fn drafted() -> Event {
        Event::Drafted { enquiry: Some(id(2)), contact: id(3), properties: vec![id(8), id(7)], text: None }
    }

    #[test]
    fn an_offer_is_revised_sent_opened_and_answered() {
        refuses_strangers::<Offers, Offer>(&drafted());
        let sent = Event::Sent {
            to: id(4),
            properties: vec![id(9)],
            medium: "email".into(),
            repeated: vec![Repeated { property: id(9), offer: id(1) }],
            repeat_reason: Some("Cheaper".into()),
        };
        let revised = Event::Revised { properties: vec![id(9)], text: Some("One".into()) };
        let events = [drafted(), revised, sent, Event::Opened];
        let row = folded::<Offers, Offer>(events.clone()).unwrap();
        assert_eq!((row.status, row.property_ids.clone(), row.sent_to_id), (Status::Opened, vec![id(9)], Some(id(4))));
        assert_eq!((row.repeated.len(), row.repeat_reason.as_deref()), (1, Some("Cheaper")));
        assert_eq!((row.sent_at, row.opened_at, row.answered_at), (Some(at(2)), Some(at(3)), None));
        let accepted = Event::Accepted { properties: vec![id(9)] };
        let row = folded::<Offers, Offer>(events.clone().into_iter().chain([accepted])).unwrap();
        assert_eq!(
            (row.status, row.accepted_property_ids, row.answered_at),
            (Status::Accepted, vec![id(9)], Some(at(4)))
        );
        let declined = Event::Declined { reason: Some("Too far out".into()) };
        let row = folded::<Offers, Offer>(events.into_iter().chain([declined])).unwrap();
        assert_eq!((row.status, row.decline_reason.as_deref()), (Status::Declined, Some("Too far out")));
    }
}
