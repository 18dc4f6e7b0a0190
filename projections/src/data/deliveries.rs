//! What other systems handed in and what became of it; the bodies themselves are in the log alone. Table: `read_deliveries`.

use domain::{
    Aggregate, Id, Personal, Time,
    data::{
        delivery::{Delivery, Event, Status},
        intake_source::Takes,
    },
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Column, Listed, ReadModel, Refers, Sort, Unreadable, decode, kernel::fold::raise};

/// The deliveries.
#[derive(Clone, Copy, Debug)]
pub struct Deliveries;

/// What another system handed in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DeliveryRow")]
pub struct Row {
    /// What it is.
    pub takes: Takes,
    /// What the system that handed it in calls itself.
    pub source: String,
    /// What that system calls the delivery.
    pub key: Option<String>,
    /// How many bytes its body has.
    pub size: u64,
    /// How far it has come.
    pub status: Status,
    /// How often it was tried.
    pub attempts: u32,
    /// The stable code of what stood in the way, last.
    pub code: Option<String>,
    /// The same for a person.
    pub reason: Option<Personal<String>>,
    /// The field that it lies in, as a JSON pointer, where it is one.
    pub pointer: Option<String>,
    /// The kind of the record that it has become.
    pub record_kind: Option<String>,
    /// That record.
    pub record_id: Option<Id>,
    /// The contact whom it is about.
    pub contact_id: Option<Id>,
    /// When it came in.
    pub received_at: Time,
    /// When it was taken.
    pub taken_at: Option<Time>,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// A delivery.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(rename = "DeliveryView")]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The delivery itself.
    #[serde(flatten)]
    pub row: Row,
}

impl ReadModel for Deliveries {
    const NAME: &'static str = "deliveries";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Delivery::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<Delivery>(event)?;
        if let Event::Received(received) = happened {
            return Ok(Some(Row {
                takes: received.takes,
                source: received.source,
                key: received.key,
                size: received.body.len() as u64,
                status: Status::Received,
                attempts: 1,
                code: None,
                reason: None,
                pointer: None,
                record_kind: None,
                record_id: None,
                contact_id: None,
                received_at: at,
                taken_at: None,
                updated_at: at,
            }));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Received(_) => {}
            Event::Taken { record, contact } => {
                (row.status, row.taken_at) = (Status::Taken, Some(at));
                (row.record_kind, row.record_id, row.contact_id) = (Some(record.kind), Some(record.id), contact);
                (row.code, row.reason, row.pointer) = (None, None, None);
            }
            Event::Refused { code, reason, pointer } => {
                row.status = Status::Refused;
                (row.code, row.reason, row.pointer) = (Some(code), Some(reason), pointer);
            }
            Event::Corrected { body } => {
                (row.status, row.size) = (Status::Received, body.len() as u64);
                row.attempts += 1;
            }
            Event::TriedAgain => {
                row.status = Status::Received;
                row.attempts += 1;
            }
            Event::Dismissed { .. } => row.status = Status::Dismissed,
        }
        Ok(Some(row))
    }
}

impl Listed for Deliveries {
    const PATH: &'static str = Delivery::PLURAL;
    const READ: &'static str = Delivery::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::word("takes"),
        Column::word("source"),
        Column::word("key").nullable(),
        Column::integer("size"),
        Column::word("status"),
        Column::integer("attempts"),
        Column::word("code").nullable(),
        Column::text("reason").nullable(),
        Column::word("pointer").nullable(),
        Column::word("record_kind").nullable(),
        Column::id("record_id").nullable(),
        Column::reference("contact_id", Refers::To("contact")).nullable(),
        Column::time("received_at"),
        Column::time("taken_at").nullable(),
        Column::time("updated_at"),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("received_at")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.takes, t.source, t.key, t.size, t.status, t.attempts, \
        t.code, t.reason, t.pointer, t.record_kind, t.record_id, r.contact_id, t.received_at, t.taken_at, t.updated_at";
}

#[cfg(test)]
mod tests {
    use domain::kernel::reference::Subject;
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    #[test]
    fn a_delivery_is_refused_corrected_and_taken() {
        let said = json!({ "takes": "orders", "source": "shop", "key": "7", "body": "{}" });
        let received = event::<Delivery>("received", said);
        refuses_strangers::<Deliveries, Delivery>(&received);
        let refused = Event::Refused { code: "required".into(), reason: "x".into(), pointer: Some("/name".into()) };
        let row = folded::<Deliveries, Delivery>([received.clone(), refused.clone()]).unwrap();
        assert_eq!((row.status, row.code.as_deref(), row.attempts), (Status::Refused, Some("required"), 1));
        let corrected = Event::Corrected { body: "{\"a\":1}".into() };
        let taken = Event::Taken { record: Subject::new("order", id(3)), contact: Some(id(4)) };
        let row = folded::<Deliveries, Delivery>([received, refused, corrected, taken]).unwrap();
        assert_eq!((row.status, row.attempts, row.size, row.code), (Status::Taken, 2, 7, None));
        assert_eq!((row.record_id, row.contact_id, row.taken_at), (Some(id(3)), Some(id(4)), Some(at(3))));
    }
}
