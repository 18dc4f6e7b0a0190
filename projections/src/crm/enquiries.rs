//! Enquiries with what was offered for them. Table: `read_enquiries`.

use std::collections::BTreeSet;

use domain::{
    Aggregate, Id, Time,
    catalogue::listed,
    crm::enquiry::{Criteria, Enquiry, Event, Fields, Spec},
    kernel::named::Either,
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Listed, ReadModel, Refers, Sort, Unreadable, decode,
    kernel::record::{self, Common, created, stage},
};

/// The enquiries.
#[derive(Clone, Copy, Debug)]
pub struct Enquiries;

/// Whether an enquiry goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It does.
    Open,
    /// It is over.
    Closed,
}

/// The attributes of an enquiry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// What it is called.
    pub name: String,
    /// Who is looking.
    pub contact_id: Id,
    /// What for.
    pub criteria: Criteria,
    /// Where it came from, such as `website`.
    pub source: Option<String>,
}

impl record::Attributes for Attributes {
    const REFERENCES: &'static [&'static str] = &["contact"];
}

impl From<Fields> for Attributes {
    fn from(fields: Fields) -> Attributes {
        let Fields { name, contact, criteria, source } = fields;
        Attributes { name, contact_id: contact, criteria, source }
    }
}

/// A property from elsewhere that was offered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExternalOffer {
    /// The note.
    pub note_id: Id,
    /// What it is.
    pub text: String,
    /// Where it is advertised.
    pub url: Option<String>,
    /// When it was noted.
    pub noted_at: Time,
}

/// What a buyer or tenant is looking for, and what was offered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its attributes.
    #[serde(flatten)]
    pub attributes: Attributes,
    /// What every record has.
    #[serde(flatten)]
    pub common: Common,
    /// Its stage.
    pub stage: String,
    /// Whether it goes on.
    pub status: Status,
    /// What came of it.
    pub outcome: Option<String>,
    /// When it was closed, unless it was reopened since.
    pub closed_at: Option<Time>,
    /// The properties that were offered.
    pub offered_property_ids: BTreeSet<Id>,
    /// How many offers were sent.
    pub offer_count: u32,
    /// When the last of them was sent.
    pub last_offer_at: Option<Time>,
    /// Properties from elsewhere that were offered, oldest first.
    pub external_offers: Vec<ExternalOffer>,
}

/// An enquiry with the names of what it refers to as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The enquiry itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the owner.
    pub owner_name: Option<String>,
    /// Name of whoever is looking.
    pub contact_name: Option<String>,
}

impl ReadModel for Enquiries {
    const NAME: &'static str = "enquiries";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Enquiry::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let happened = decode::<Enquiry>(event)?;
        let Some(mut row) = row else {
            let Either::Common(happened) = happened else { return Ok(None) };
            let stage = stage::<Spec>(&happened).unwrap_or_default();
            return Ok(created(happened, event).map(|(attributes, common)| Row {
                attributes,
                common,
                stage,
                status: Status::Open,
                outcome: None,
                closed_at: None,
                offered_property_ids: BTreeSet::new(),
                offer_count: 0,
                last_offer_at: None,
                external_offers: Vec::new(),
            }));
        };
        row.common.touch(event);
        match happened {
            Either::Common(happened) => {
                row.stage = stage::<Spec>(&happened).unwrap_or(row.stage);
                row.common.happened(&mut row.attributes, happened);
            }
            Either::Own(happened) => row.own(happened, event.occurred_at),
        }
        Ok(Some(row))
    }
}

impl Row {
    fn own(&mut self, happened: Event, at: Time) {
        match happened {
            Event::CriteriaChanged { to, .. } => self.attributes.criteria = to,
            Event::OfferSent { properties, .. } => {
                self.offered_property_ids.extend(properties);
                self.offer_count += 1;
                self.last_offer_at = self.last_offer_at.max(Some(at));
            }
            Event::ExternalOfferNoted { note_id, text, url } => {
                self.external_offers.push(ExternalOffer { note_id, text, url, noted_at: at });
            }
            Event::Closed { outcome } => {
                self.status = Status::Closed;
                self.outcome = outcome;
                self.closed_at = Some(at);
            }
            Event::Reopened => {
                self.status = Status::Open;
                self.outcome = None;
                self.closed_at = None;
            }
        }
    }
}

impl Listed for Enquiries {
    const PATH: &'static str = Enquiry::PLURAL;
    const READ: &'static str = Enquiry::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::text("name"),
        Column::reference("contact_id", Refers::To("contact")),
        Column::word("criteria.purpose"),
        Column::set("criteria.kinds"),
        Column::tags("criteria.cities"),
        Column::decimal("criteria.price_from.amount").nullable(),
        Column::decimal("criteria.price_to.amount").nullable(),
        Column::integer("criteria.rooms_from").nullable(),
        Column::decimal("criteria.area_from").nullable(),
        Column::text("source").nullable(),
        Column::word("stage"),
        Column::word("status"),
        Column::word("outcome").nullable(),
        Column::set("offered_property_ids"),
        Column::integer("offer_count"),
        Column::time("last_offer_at").nullable(),
        Column::id("owner_id").nullable(),
        Column::tags("tags"),
        Column::bool("archived").hiding(),
        Column::time("created_at"),
        Column::time("updated_at"),
        Column::time("closed_at").nullable(),
        Column::called(&listed::OWNER),
        Column::called(&listed::CONTACT),
        Column::id("id"),
    ];
    const CUSTOM: Option<&'static str> = Some(Enquiry::KIND);
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("created_at")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.name, r.contact_id, contact.name as contact_name, \
        t.criteria, t.source, t.stage, t.status, t.outcome, t.closed_at, t.offered_property_ids, t.offer_count, \
        t.last_offer_at, t.external_offers, t.owner_id, owner.name as owner_name, t.tags, t.shared, r.custom, \
        t.archived, t.copied_from, t.created_at, t.updated_at";
    const JOINS: &'static str = "\
        left join read_contacts contact on contact.tenant_id = t.tenant_id and contact.id = r.contact_id \
        left join read_users owner on owner.tenant_id = t.tenant_id and owner.id = t.owner_id";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    #[test]
    fn an_enquiry_knows_what_was_offered_for_it() {
        let flat = json!({ "name": "A flat", "contact": id(3), "criteria": { "rooms_from": 2 } });
        let created = event::<Enquiry>("created", flat);
        refuses_strangers::<Enquiries, Enquiry>(&created);
        let sent = |offer: u128, properties: &[u128]| {
            let properties: Vec<_> = properties.iter().map(|property| id(*property)).collect();
            let sent = json!({ "offer": id(offer), "properties": properties, "to": id(3), "medium": "email" });
            event::<Enquiry>("offer_sent", sent)
        };
        let criteria = json!({ "from": { "rooms_from": 2 }, "to": { "rooms_from": 3, "kinds": ["house"] } });
        let events = [
            created,
            event::<Enquiry>("criteria_changed", criteria),
            event::<Enquiry>("stage_changed", json!({ "from": "new", "to": "viewing" })),
            sent(1, &[7, 8]),
            sent(2, &[8, 9]),
            Either::Own(Event::ExternalOfferNoted { note_id: id(5), text: "By the river".into(), url: None }),
            Either::Own(Event::Closed { outcome: Some("Bought".into()) }),
        ];
        let row = folded::<Enquiries, Enquiry>(events.clone()).unwrap();
        assert_eq!((row.attributes.contact_id, row.attributes.criteria.rooms_from), (id(3), Some(3)));
        assert_eq!((row.stage.as_str(), row.status, row.closed_at), ("viewing", Status::Closed, Some(at(6))));
        assert_eq!(row.offered_property_ids, [id(7), id(8), id(9)].into());
        assert_eq!((row.offer_count, row.last_offer_at), (2, Some(at(4))));
        assert_eq!((row.external_offers[0].noted_at, row.external_offers.len()), (at(5), 1));
        let row = folded::<Enquiries, Enquiry>(events.into_iter().chain([Either::Own(Event::Reopened)])).unwrap();
        assert_eq!((row.status, row.outcome), (Status::Open, None));
    }
}
