//! Deals. Table: `read_deals`.

use domain::{
    Aggregate, Id, Money, Time,
    catalogue::listed,
    crm::deal::{Deal, Event, Fields, Sale, Spec},
    kernel::named::Either,
};
use eventstore::Recorded;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Listed, ReadModel, Refers, Sort, Unreadable, decode,
    kernel::record::{self, Common, created, stage},
};

/// The deals.
#[derive(Clone, Copy, Debug)]
pub struct Deals;

/// How a deal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not yet.
    Open,
    /// Well.
    Won,
    /// Not well.
    Lost,
}

/// The attributes of a deal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// What it is called.
    pub name: String,
    /// The pipeline it runs through.
    pub pipeline: Option<String>,
    /// What it is worth.
    pub amount: Option<Money>,
    /// With whom.
    pub contact_id: Option<Id>,
    /// With which company.
    pub company_id: Option<Id>,
    /// The property it is about.
    pub property_id: Option<Id>,
    /// The enquiry it came from.
    pub enquiry_id: Option<Id>,
    /// When it should be closed.
    pub expected_on: Option<Date>,
    /// Anything worth knowing.
    pub description: Option<String>,
}

impl record::Attributes for Attributes {
    const REFERENCES: &'static [&'static str] = &["contact", "company", "property", "enquiry"];
}

impl From<Fields> for Attributes {
    fn from(fields: Fields) -> Attributes {
        let Fields { name, pipeline, amount, contact, company, property, enquiry, expected_on, description } = fields;
        Attributes {
            name,
            pipeline,
            amount,
            contact_id: contact,
            company_id: company,
            property_id: property,
            enquiry_id: enquiry,
            expected_on,
            description,
        }
    }
}

/// A sale in the making.
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
    /// How it ended.
    pub status: Status,
    /// Why it was won or lost.
    pub reason: Option<String>,
    /// When it was won or lost, unless it was reopened since.
    pub closed_at: Option<Time>,
    /// What was sold to whom for how much.
    pub sale: Option<Sale>,
    /// When that was put on record.
    pub sold_at: Option<Time>,
}

/// A deal with the names of what it refers to as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The deal itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the owner.
    pub owner_name: Option<String>,
    /// Name of the contact.
    pub contact_name: Option<String>,
    /// Name of the company.
    pub company_name: Option<String>,
    /// Name of the property.
    pub property_name: Option<String>,
    /// Name of the enquiry.
    pub enquiry_name: Option<String>,
}

impl ReadModel for Deals {
    const NAME: &'static str = "deals";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Deal::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let happened = decode::<Deal>(event)?;
        let Some(mut row) = row else {
            let Either::Common(happened) = happened else { return Ok(None) };
            let stage = stage::<Spec>(&happened).unwrap_or_default();
            return Ok(created(happened, event).map(|(attributes, common)| Row {
                attributes,
                common,
                stage,
                status: Status::Open,
                reason: None,
                closed_at: None,
                sale: None,
                sold_at: None,
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
            Event::AmountChanged { to, .. } => self.attributes.amount = to,
            Event::Recorded(sale) => {
                self.sale = Some(sale);
                self.sold_at = Some(at);
            }
            Event::Won { reason } => self.ended(Status::Won, reason, Some(at)),
            Event::Lost { reason } => self.ended(Status::Lost, reason, Some(at)),
            Event::Reopened => self.ended(Status::Open, None, None),
        }
    }

    fn ended(&mut self, status: Status, reason: Option<String>, at: Option<Time>) {
        self.status = status;
        self.reason = reason;
        self.closed_at = at;
    }
}

impl Listed for Deals {
    const PATH: &'static str = Deal::PLURAL;
    const READ: &'static str = Deal::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::text("name"),
        Column::text("pipeline").nullable(),
        Column::decimal("amount.amount").nullable(),
        Column::word("amount.currency").nullable(),
        Column::reference("contact_id", Refers::To("contact")).nullable(),
        Column::reference("company_id", Refers::To("company")).nullable(),
        Column::id("property_id").nullable(),
        Column::id("enquiry_id").nullable(),
        Column::date("expected_on").nullable(),
        Column::text("description").nullable(),
        Column::word("stage"),
        Column::word("status"),
        Column::text("reason").nullable(),
        Column::id("sale.property").nullable(),
        Column::set("sale.contacts").of(Refers::To("contact")).nullable(),
        Column::decimal("sale.price.amount").nullable(),
        Column::word("sale.price.currency").nullable(),
        Column::id("owner_id").nullable(),
        Column::tags("tags"),
        Column::bool("archived").hiding(),
        Column::time("created_at"),
        Column::time("updated_at"),
        Column::time("closed_at").nullable(),
        Column::time("sold_at").nullable(),
        Column::called(&listed::OWNER),
        Column::called(&listed::CONTACT),
        Column::called(&listed::COMPANY),
        Column::called(&listed::PROPERTY),
        Column::called(&listed::ENQUIRY),
        Column::id("id"),
    ];
    const CUSTOM: Option<&'static str> = Some(Deal::KIND);
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("created_at")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.name, t.pipeline, t.amount, r.contact_id, \
        contact.name as contact_name, r.company_id, company.name as company_name, t.property_id, \
        property.name as property_name, t.enquiry_id, enquiry.name as enquiry_name, t.expected_on, t.description, \
        t.stage, t.status, t.reason, t.closed_at, r.sale, t.sold_at, t.owner_id, owner.name as owner_name, t.tags, \
        t.shared, r.custom, t.archived, t.copied_from, t.created_at, t.updated_at";
    const JOINS: &'static str = "\
        left join read_contacts contact on contact.tenant_id = t.tenant_id and contact.id = r.contact_id \
        left join read_companies company on company.tenant_id = t.tenant_id and company.id = r.company_id \
        left join read_properties property on property.tenant_id = t.tenant_id and property.id = t.property_id \
        left join read_enquiries enquiry on enquiry.tenant_id = t.tenant_id and enquiry.id = t.enquiry_id \
        left join read_users owner on owner.tenant_id = t.tenant_id and owner.id = t.owner_id";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    #[test]
    fn a_deal_is_worth_more_recorded_and_won() {
        let created = event::<Deal>("created", json!({ "name": "Flat", "contact": id(1), "property": id(2) }));
        refuses_strangers::<Deals, Deal>(&created);
        let changes = json!({ "changes": {
            "property": { "from": id(2), "to": null }, "enquiry": { "from": null, "to": id(3) },
            "expected_on": { "from": null, "to": "2026-03-31" }, "pipeline": { "from": null, "to": "sales" },
        } });
        let money = json!({ "amount": "310000.00", "currency": "EUR" });
        let events = [
            created,
            event::<Deal>("details_changed", changes),
            event::<Deal>("amount_changed", json!({ "from": null, "to": money })),
            event::<Deal>("recorded", json!({ "property": id(2), "contacts": [id(1)], "price": money })),
            event::<Deal>("stage_changed", json!({ "from": "new", "to": "contract" })),
            Either::Own(Event::Won { reason: Some("Best price".into()) }),
        ];
        let row = folded::<Deals, Deal>(events.clone()).unwrap();
        let Attributes { contact_id, property_id, enquiry_id, expected_on, .. } = row.attributes;
        assert_eq!((contact_id, property_id, enquiry_id), (Some(id(1)), None, Some(id(3))));
        assert_eq!((expected_on, row.stage.as_str()), ("2026-03-31".parse().ok(), "contract"));
        assert_eq!(row.attributes.amount, row.sale.map(|sale| sale.price));
        assert_eq!((row.status, row.closed_at, row.sold_at), (Status::Won, Some(at(5)), Some(at(3))));
        let row = folded::<Deals, Deal>(events.into_iter().chain([Either::Own(Event::Reopened)])).unwrap();
        assert_eq!((row.status, row.reason, row.closed_at), (Status::Open, None, None));
    }
}
