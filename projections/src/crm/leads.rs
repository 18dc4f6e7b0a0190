//! Leads. Table: `read_leads`.

use domain::{
    Aggregate, Id, Money, Personal, Time,
    catalogue::listed,
    crm::lead::{Event, Fields, Lead, Spec},
    kernel::named::Either,
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Listed, ReadModel, Refers, Sort, Unreadable, decode,
    kernel::record::{self, Common, created, stage},
};

/// The leads.
#[derive(Clone, Copy, Debug)]
pub struct Leads;

/// What came of a lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing yet.
    Open,
    /// A customer.
    Converted,
    /// Nothing.
    Lost,
}

/// The attributes of a lead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// Name.
    pub name: Personal<String>,
    /// Where the lead came from, such as `website`.
    pub source: Option<String>,
    /// The contact, when it is known already.
    pub contact_id: Option<Id>,
    /// E-mail address.
    pub email: Option<Personal<String>>,
    /// Phone number.
    pub phone: Option<Personal<String>>,
    /// That number as it is dialled from anywhere (E.164); null when nobody can say what was meant.
    pub phone_e164: Option<Personal<String>>,
    /// The extension in it.
    pub phone_extension: Option<Personal<String>>,
    /// City.
    pub city: Option<String>,
    /// What it may be worth.
    pub amount: Option<Money>,
    /// What the lead wants.
    pub description: Option<Personal<String>>,
}

impl record::Attributes for Attributes {
    const REFERENCES: &'static [&'static str] = &["contact"];
}

impl From<Fields> for Attributes {
    fn from(fields: Fields) -> Attributes {
        let Fields { name, source, contact, email, phone, phone_e164, phone_extension, city, .. } = fields;
        let Fields { amount, description, .. } = fields;
        Attributes {
            name,
            source,
            contact_id: contact,
            email,
            phone,
            phone_e164,
            phone_extension,
            city,
            amount,
            description,
        }
    }
}

/// A person who may become a customer.
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
    /// What came of it.
    pub status: Status,
    /// The contact that it has become.
    pub converted_contact_id: Option<Id>,
    /// The deal that came of it.
    pub converted_deal_id: Option<Id>,
    /// Why it was lost.
    pub lost_reason: Option<String>,
    /// When it was converted or lost, unless it was reopened since.
    pub closed_at: Option<Time>,
}

/// A lead with the names of what it refers to as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The lead itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the owner.
    pub owner_name: Option<String>,
    /// Name of the contact.
    pub contact_name: Option<String>,
}

impl ReadModel for Leads {
    const NAME: &'static str = "leads";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Lead::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let happened = decode::<Lead>(event)?;
        let Some(mut row) = row else {
            let Either::Common(happened) = happened else { return Ok(None) };
            let stage = stage::<Spec>(&happened).unwrap_or_default();
            return Ok(created(happened, event).map(|(attributes, common)| Row {
                attributes,
                common,
                stage,
                status: Status::Open,
                converted_contact_id: None,
                converted_deal_id: None,
                lost_reason: None,
                closed_at: None,
            }));
        };
        row.common.touch(event);
        match happened {
            Either::Common(happened) => {
                row.stage = stage::<Spec>(&happened).unwrap_or(row.stage);
                row.common.happened(&mut row.attributes, happened);
            }
            Either::Own(happened) => row.own(happened, event),
        }
        Ok(Some(row))
    }
}

impl Row {
    fn own(&mut self, happened: Event, event: &Recorded) {
        self.closed_at = Some(event.occurred_at);
        match happened {
            Event::Converted { contact, deal } => {
                self.status = Status::Converted;
                self.converted_contact_id = Some(contact);
                self.converted_deal_id = deal;
            }
            Event::Lost { reason } => {
                self.status = Status::Lost;
                self.lost_reason = reason;
            }
            Event::Reopened => {
                self.status = Status::Open;
                self.converted_contact_id = None;
                self.converted_deal_id = None;
                self.lost_reason = None;
                self.closed_at = None;
            }
        }
    }
}

impl Listed for Leads {
    const PATH: &'static str = Lead::PLURAL;
    const READ: &'static str = Lead::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::text("name"),
        Column::text("source").nullable(),
        Column::reference("contact_id", Refers::To("contact")).nullable(),
        Column::email("email").nullable(),
        Column::phone("phone").nullable(),
        Column::word("phone_e164").nullable(),
        Column::word("phone_extension").nullable(),
        Column::text("city").nullable(),
        Column::decimal("amount.amount").nullable(),
        Column::word("amount.currency").nullable(),
        Column::text("description").nullable(),
        Column::word("stage"),
        Column::word("status"),
        Column::reference("converted_contact_id", Refers::To("contact")).nullable(),
        Column::id("converted_deal_id").nullable(),
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
    const CUSTOM: Option<&'static str> = Some(Lead::KIND);
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("created_at")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.name, t.source, r.contact_id, \
        contact.name as contact_name, t.email, t.phone, t.phone_e164, t.phone_extension, t.city, t.amount, t.description, t.stage, t.status, \
        r.converted_contact_id, t.converted_deal_id, t.lost_reason, t.closed_at, t.owner_id, owner.name as owner_name, \
        t.tags, t.shared, r.custom, t.archived, t.copied_from, t.created_at, t.updated_at";
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
    fn a_lead_moves_on_is_converted_and_reopened() {
        let created = event::<Lead>("created", json!({ "name": "Oleg", "contact": id(3) }));
        refuses_strangers::<Leads, Lead>(&created);
        let changes = json!({ "changes": {
            "contact": { "from": id(3), "to": id(4) },
            "amount": { "from": null, "to": { "amount": "90.50", "currency": "RUB" } },
        } });
        let events = [
            created,
            event::<Lead>("details_changed", changes),
            event::<Lead>("stage_changed", json!({ "from": "new", "to": "qualified" })),
            Either::Own(Event::Converted { contact: id(5), deal: Some(id(6)) }),
        ];
        let row = folded::<Leads, Lead>(events.clone()).unwrap();
        assert_eq!((row.attributes.contact_id, row.stage.as_str()), (Some(id(4)), "qualified"));
        assert_eq!(row.attributes.amount.unwrap().amount.to_string(), "90.50");
        assert_eq!((row.status, row.converted_deal_id, row.closed_at), (Status::Converted, Some(id(6)), Some(at(3))));
        let reopened = events.into_iter().chain([Either::Own(Event::Reopened)]);
        let row = folded::<Leads, Lead>(reopened).unwrap();
        assert_eq!((row.status, row.converted_contact_id, row.closed_at), (Status::Open, None, None));
        let cleared = json!({ "changes": { "contact": { "from": id(3), "to": null } } });
        let created = event::<Lead>("created", json!({ "name": "Oleg", "contact": id(3), "stage": "contacted" }));
        let row = folded::<Leads, Lead>([created, event::<Lead>("details_changed", cleared)]).unwrap();
        assert_eq!((row.attributes.contact_id, row.stage.as_str()), (None, "contacted"));
    }
}
