//! What was sent through forms, tickets or not. Table: `read_form_submissions`.

use std::collections::BTreeMap;

use domain::{
    Aggregate, Id, Personal, Time,
    desk::{
        form::Device,
        form_submission::{Event, FormSubmission, Reason, Status},
        ticket::Attachment,
    },
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Column, Listed, ReadModel, Refers, Sort, Unreadable, decode, kernel::fold::raise};

/// The submissions.
#[derive(Clone, Copy, Debug)]
pub struct FormSubmissions;

/// What somebody filled in and sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// The form.
    pub form_id: Id,
    /// The version of it that was filled in.
    pub form_version: u32,
    /// Whether it is a ticket or kept.
    pub status: Status,
    /// Why it is kept; why it was, where it became a ticket after all.
    pub reason: Option<Reason>,
    /// What stood in the way, where no ticket could be made.
    pub reason_code: Option<String>,
    /// What was filled in, by the keys of the form's fields.
    pub form_values: BTreeMap<String, Personal<String>>,
    /// The files, by the keys of their fields.
    pub form_files: BTreeMap<String, Attachment>,
    /// The site that sent it, where it says so.
    pub site: Option<String>,
    /// On what it was filled in.
    pub device: Device,
    /// The ticket that it has become.
    pub ticket_id: Option<Id>,
    /// The contact who sent it.
    pub contact_id: Option<Id>,
    /// By what that contact owns the product that was chosen.
    pub entitlement_id: Option<Id>,
    /// When it came in.
    pub received_at: Time,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// A submission.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The submission itself.
    #[serde(flatten)]
    pub row: Row,
}

impl ReadModel for FormSubmissions {
    const NAME: &'static str = "form_submissions";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[FormSubmission::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<FormSubmission>(event)?;
        if let Event::Received(received) = happened {
            return Ok(Some(Row {
                form_id: received.form,
                form_version: received.version,
                status: Status::Rejected,
                reason: None,
                reason_code: None,
                form_values: received.values,
                form_files: received.files,
                site: received.site,
                device: received.device,
                ticket_id: None,
                contact_id: None,
                entitlement_id: None,
                received_at: at,
                updated_at: at,
            }));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Received(_) => {}
            Event::Accepted { ticket, contact, entitlement } => {
                row.status = Status::Accepted;
                row.ticket_id = Some(ticket);
                row.contact_id = contact;
                row.entitlement_id = entitlement;
            }
            Event::Rejected { reason, code } => {
                row.reason = Some(reason);
                row.reason_code = code;
            }
        }
        Ok(Some(row))
    }
}

impl Listed for FormSubmissions {
    const PATH: &'static str = FormSubmission::PLURAL;
    const READ: &'static str = FormSubmission::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::id("form_id"),
        Column::integer("form_version"),
        Column::word("status"),
        Column::word("reason").nullable(),
        Column::word("reason_code").nullable(),
        Column::word("site").nullable(),
        Column::word("device"),
        Column::reference("ticket_id", Refers::To("ticket")).nullable(),
        Column::reference("contact_id", Refers::To("contact")).nullable(),
        Column::id("entitlement_id").nullable(),
        Column::time("received_at"),
        Column::time("updated_at"),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("received_at")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.form_id, t.form_version, t.status, t.reason, \
        t.reason_code, t.form_values, t.form_files, t.site, t.device, r.ticket_id, r.contact_id, t.entitlement_id, t.received_at, \
        t.updated_at";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    #[test]
    fn a_submission_is_kept_and_becomes_a_ticket_after_all() {
        let sent = json!({ "form": id(1), "version": 2, "values": { "email": "m@example.com" }, "device": "phone" });
        let received = event::<FormSubmission>("received", sent);
        refuses_strangers::<FormSubmissions, FormSubmission>(&received);
        let kept = Event::Rejected { reason: Reason::Unfit, code: Some("team_unfit".into()) };
        let row = folded::<FormSubmissions, FormSubmission>([received.clone(), kept.clone()]).unwrap();
        assert_eq!(
            (row.status, row.reason, row.reason_code.as_deref()),
            (Status::Rejected, Some(Reason::Unfit), Some("team_unfit"))
        );
        let accepted = Event::Accepted { ticket: id(3), contact: Some(id(4)), entitlement: None };
        let row = folded::<FormSubmissions, FormSubmission>([received, kept, accepted]).unwrap();
        assert_eq!((row.status, row.ticket_id, row.contact_id), (Status::Accepted, Some(id(3)), Some(id(4))));
        assert_eq!((row.reason, row.updated_at), (Some(Reason::Unfit), at(2)));
    }
}
