//! Phone calls. Table: `read_calls`.

use domain::{
    Aggregate, Id, Personal, Time,
    catalogue::listed,
    sales::call::{Call, Event, Status},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Column, Listed, ReadModel, Refers, Sort, Unreadable, decode, kernel::fold::raise};

/// The calls.
#[derive(Clone, Copy, Debug)]
pub struct Calls;

/// A phone call from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// The number that calls.
    pub from_number: Personal<String>,
    /// That number as it is dialled from anywhere (E.164); null when nobody can say what was meant.
    pub from_e164: Option<Personal<String>>,
    /// The number that is called.
    pub to_number: String,
    /// That number as it is dialled from anywhere (E.164); null when nobody can say what was meant.
    pub to_e164: Option<String>,
    /// Who calls, as far as known.
    pub contact_id: Option<Id>,
    /// How far it has come.
    pub status: Status,
    /// Who took it.
    pub user_id: Option<Id>,
    /// How long it lasted, in seconds.
    pub duration_s: Option<u32>,
    /// When the phone rang.
    pub received_at: Time,
    /// When somebody took it.
    pub answered_at: Option<Time>,
    /// When it was over, or nobody had taken it.
    pub ended_at: Option<Time>,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// A call with the names of what it refers to as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The call itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of whoever calls.
    pub contact_name: Option<String>,
    /// Name of whoever took it.
    pub user_name: Option<String>,
}

impl ReadModel for Calls {
    const NAME: &'static str = "calls";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Call::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<Call>(event)?;
        if let Event::Received(new) = happened {
            return Ok(Some(Row {
                from_number: new.from,
                from_e164: new.from_e164,
                to_number: new.to,
                to_e164: new.to_e164,
                contact_id: new.contact,
                status: Status::Ringing,
                user_id: None,
                duration_s: None,
                received_at: at,
                answered_at: None,
                ended_at: None,
                updated_at: at,
            }));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Received(_) => {}
            Event::ContactLinked { contact } => row.contact_id = Some(contact),
            Event::Answered { user } => {
                row.status = Status::Answered;
                row.user_id = Some(user);
                row.answered_at = Some(at);
            }
            Event::Missed { .. } => {
                row.status = Status::Missed;
                row.ended_at = Some(at);
            }
            Event::Ended { duration_s } => {
                row.status = Status::Ended;
                row.duration_s = Some(duration_s);
                row.ended_at = Some(at);
            }
        }
        Ok(Some(row))
    }
}

impl Listed for Calls {
    const PATH: &'static str = Call::PLURAL;
    const READ: &'static str = Call::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::phone("from_number"),
        Column::phone("to_number"),
        Column::word("from_e164").nullable(),
        Column::word("to_e164").nullable(),
        Column::reference("contact_id", Refers::To("contact")).nullable(),
        Column::word("status"),
        Column::id("user_id").nullable(),
        Column::integer("duration_s").nullable(),
        Column::time("received_at"),
        Column::time("answered_at").nullable(),
        Column::time("ended_at").nullable(),
        Column::time("updated_at"),
        Column::called(&listed::CONTACT),
        Column::called(&listed::USER),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("received_at")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.from_number, t.from_e164, t.to_number, t.to_e164, r.contact_id, \
        contact.name as contact_name, t.status, t.user_id, taker.name as user_name, t.duration_s, t.received_at, \
        t.answered_at, t.ended_at, t.updated_at";
    const JOINS: &'static str = "\
        left join read_contacts contact on contact.tenant_id = t.tenant_id and contact.id = r.contact_id \
        left join read_users taker on taker.tenant_id = t.tenant_id and taker.id = t.user_id";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    #[test]
    fn a_call_is_answered_and_ends_or_is_missed() {
        let numbers = json!({ "from": "+7 921 555 0101", "to": "+7 812 555 0100" });
        let rings = event::<Call>("received", numbers.clone());
        refuses_strangers::<Calls, Call>(&rings);
        let linked = Event::ContactLinked { contact: id(1) };
        let answered = Event::Answered { user: id(2) };
        let row = folded::<Calls, Call>([rings.clone(), linked, answered, Event::Ended { duration_s: 95 }]).unwrap();
        assert_eq!((row.status, row.contact_id, row.user_id), (Status::Ended, Some(id(1)), Some(id(2))));
        assert_eq!((row.duration_s, row.answered_at, row.ended_at), (Some(95), Some(at(2)), Some(at(3))));
        let row = folded::<Calls, Call>([rings, event::<Call>("missed", numbers)]).unwrap();
        assert_eq!((row.status, row.ended_at, row.duration_s), (Status::Missed, Some(at(1)), None));
    }
}
