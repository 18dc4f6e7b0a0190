//! Mails that came in, and those that leave without being answers in tickets. Table: `read_emails`.

use domain::{
    Aggregate, Id, Personal, Time,
    chat::email::{Address, Authentication, Automatic, Email, Event, MatchedBy, Status},
    desk::ticket::Attachment,
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Column, Listed, ReadModel, Refers, Sort, Told, Unreadable, decode, kernel::fold::raise};

/// The mails.
#[derive(Clone, Copy, Debug)]
pub struct Emails;

/// Whether a mail came in or leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "EmailDirection")]
pub enum Direction {
    /// It came in.
    Incoming,
    /// It leaves.
    Outgoing,
}

/// A mail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Whether it came in or leaves.
    pub direction: Direction,
    /// How far it has come.
    pub status: Status,
    /// The channel that it came or leaves by; that of its ticket without one.
    pub channel_id: Option<Id>,
    /// What it is about.
    pub subject: Personal<String>,
    /// The name of whoever says to have written it.
    pub from_name: Option<Personal<String>>,
    /// The address of whoever says to have written it.
    pub from_address: Option<Personal<String>>,
    /// The address that it was delivered to.
    pub recipient: Option<Personal<String>>,
    /// To whom it goes.
    pub mail_to: Vec<Address>,
    /// Who else gets it.
    pub mail_cc: Vec<Address>,
    /// Who else gets it without the others knowing.
    pub mail_bcc: Vec<Address>,
    /// Its text, where it leaves; what came in is read from what came.
    pub body: Option<Personal<String>>,
    /// The files that leave with it.
    pub attachments: Vec<Attachment>,
    /// The upload that holds it as it came.
    pub raw_id: Option<Id>,
    /// Its Message-ID.
    pub internet_message_id: Option<String>,
    /// The Message-ID that it answers.
    pub in_reply_to: Option<String>,
    /// What made it, where no person did.
    pub automatic: Option<Automatic>,
    /// What is said of who sent it.
    pub authentication: Option<Authentication>,
    /// By what it was known where it belongs.
    pub matched_by: Option<MatchedBy>,
    /// The ticket that it is about.
    pub ticket_id: Option<Id>,
    /// The message or note in it.
    pub message_id: Option<Id>,
    /// The contact who wrote it, or whom it is for.
    pub contact_id: Option<Id>,
    /// Another mail that it answers.
    pub answers_id: Option<Id>,
    /// The code of what stood in the way.
    pub error_code: Option<String>,
    /// The same for a person.
    pub error: Option<Personal<String>>,
    /// Not before then does it leave.
    pub send_at: Option<Time>,
    /// When it was written, as it says.
    pub written_at: Option<Time>,
    /// When it left.
    pub sent_at: Option<Time>,
    /// When it came in, or was to leave.
    pub created_at: Time,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// A mail with the names of what it refers to as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The mail itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the channel.
    pub channel_name: Option<String>,
    /// Name of the contact.
    pub contact_name: Option<String>,
}

impl Row {
    fn new(direction: Direction, channel_id: Option<Id>, subject: Personal<String>, at: Time) -> Row {
        Row {
            direction,
            status: Status::Received,
            channel_id,
            subject,
            from_name: None,
            from_address: None,
            recipient: None,
            mail_to: Vec::new(),
            mail_cc: Vec::new(),
            mail_bcc: Vec::new(),
            body: None,
            attachments: Vec::new(),
            raw_id: None,
            internet_message_id: None,
            in_reply_to: None,
            automatic: None,
            authentication: None,
            matched_by: None,
            ticket_id: None,
            message_id: None,
            contact_id: None,
            answers_id: None,
            error_code: None,
            error: None,
            send_at: None,
            written_at: None,
            sent_at: None,
            created_at: at,
            updated_at: at,
        }
    }

    fn fails(&mut self, status: Status, code: Option<String>, reason: Personal<String>) {
        (self.status, self.error_code, self.error) = (status, code, Some(reason));
    }

    fn goes_on(&mut self, status: Status) {
        (self.status, self.error_code, self.error) = (status, None, None);
    }
}

impl ReadModel for Emails {
    const NAME: &'static str = "emails";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Email::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let (mut row, happened) = match (row, decode::<Email>(event)?) {
            (_, Event::Received(came)) => {
                let (from_name, from_address) =
                    came.from.map(|from| (from.name, Some(from.address))).unwrap_or_default();
                return Ok(Some(Row {
                    from_name,
                    from_address,
                    recipient: came.recipient,
                    mail_to: came.to,
                    mail_cc: came.cc,
                    raw_id: Some(came.raw),
                    internet_message_id: came.message_id,
                    in_reply_to: came.in_reply_to,
                    automatic: came.automatic,
                    authentication: Some(came.authentication),
                    written_at: came.written_at,
                    ..Row::new(Direction::Incoming, Some(came.channel), came.subject, at)
                }));
            }
            (_, Event::Queued(new)) => {
                return Ok(Some(Row {
                    status: Status::Queued,
                    mail_to: new.to,
                    mail_cc: new.cc,
                    mail_bcc: new.bcc,
                    body: Some(new.body),
                    attachments: new.attachments,
                    ticket_id: new.ticket,
                    contact_id: new.contact,
                    send_at: new.send_at,
                    ..Row::new(Direction::Outgoing, new.channel, new.subject, at)
                }));
            }
            (Some(row), happened) => (row, happened),
            (None, _) => return Ok(None),
        };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Received(_) | Event::Queued(_) => {}
            Event::Requeued => row.goes_on(Status::Queued),
            Event::Taken(taken) => {
                row.goes_on(Status::Taken);
                row.matched_by = Some(taken.matched_by);
                (row.ticket_id, row.message_id) = (taken.ticket, taken.message_id);
                (row.contact_id, row.answers_id) = (taken.contact, taken.answers);
            }
            Event::Refused { code, reason } => row.fails(Status::Refused, Some(code), reason),
            Event::TriedAgain => row.goes_on(Status::Received),
            Event::Dismissed { reason } => {
                row.status = Status::Dismissed;
                row.error = reason.map(Personal).or(row.error);
            }
            Event::Sent { message_id } => {
                row.goes_on(Status::Sent);
                (row.internet_message_id, row.sent_at) = (Some(message_id), Some(at));
            }
            Event::Failed { error } => row.fails(Status::Failed, None, error.into()),
            Event::Uncertain { reason } => row.fails(Status::Uncertain, None, reason.into()),
            Event::Cancelled => row.goes_on(Status::Cancelled),
        }
        Ok(Some(row))
    }
}

impl Listed for Emails {
    const PATH: &'static str = Email::PLURAL;
    const READ: &'static str = Email::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::word("direction"),
        Column::word("status"),
        Column::id("channel_id").nullable(),
        Column::text("subject"),
        Column::text("from_address").nullable(),
        Column::word("internet_message_id").nullable(),
        Column::word("automatic").nullable(),
        Column::word("matched_by").nullable(),
        Column::reference("ticket_id", Refers::To("ticket")).nullable(),
        Column::reference("contact_id", Refers::To("contact")).nullable(),
        Column::word("error_code").nullable(),
        Column::time("sent_at").nullable(),
        Column::time("created_at"),
        Column::time("updated_at"),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("created_at")];
    const TELLS: &'static [Told] = &[Told::of("contact_name", "contact_id", "contact")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.direction, t.status, t.channel_id, channel.name as channel_name, \
        t.subject, t.from_name, t.from_address, t.recipient, t.mail_to, t.mail_cc, t.mail_bcc, t.body, t.attachments, \
        t.raw_id, t.internet_message_id, t.in_reply_to, t.automatic, t.authentication, t.matched_by, r.ticket_id, \
        t.message_id, r.contact_id, contact.name as contact_name, t.answers_id, t.error_code, t.error, t.send_at, \
        t.written_at, t.sent_at, t.created_at, t.updated_at";
    const JOINS: &'static str = "\
        left join read_channels channel on channel.tenant_id = t.tenant_id and channel.id = t.channel_id \
        left join read_contacts contact on contact.tenant_id = t.tenant_id and contact.id = r.contact_id";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    #[test]
    fn a_mail_that_came_in_is_refused_and_taken_after_all() {
        let from = json!({ "name": "Maria", "address": "maria@example.com" });
        let came = json!({ "channel": id(1), "raw": id(2), "from": from, "subject": "Dark" });
        let received = event::<Email>("received", came);
        refuses_strangers::<Emails, Email>(&received);
        let refused = Event::Refused { code: "email_flood".into(), reason: "too much".into() };
        let row = folded::<Emails, Email>([received.clone(), refused.clone()]).unwrap();
        assert_eq!((row.direction, row.status), (Direction::Incoming, Status::Refused));
        assert_eq!(
            (row.error_code.as_deref(), row.from_address),
            (Some("email_flood"), Some("maria@example.com".into()))
        );
        let taken = json!({ "ticket": id(3), "message_id": id(4), "contact": id(5), "matched_by": "token" });
        let taken = event::<Email>("taken", taken);
        let row = folded::<Emails, Email>([received, refused, Event::TriedAgain, taken]).unwrap();
        assert_eq!((row.status, row.ticket_id, row.contact_id), (Status::Taken, Some(id(3)), Some(id(5))));
        assert_eq!((row.error_code, row.error, row.updated_at), (None, None, at(3)));
    }

    #[test]
    fn a_mail_that_leaves_is_sent_and_comes_back() {
        let new = json!({ "channel": id(1), "subject": "Offer", "body": "See below", "contact": id(5) });
        let queued = event::<Email>("queued", new);
        let sent = Event::Sent { message_id: "1@x".into() };
        let row = folded::<Emails, Email>([queued.clone(), sent.clone()]).unwrap();
        assert_eq!((row.status, row.sent_at), (Status::Sent, Some(at(1))));
        assert_eq!(row.internet_message_id.as_deref(), Some("1@x"));
        let row = folded::<Emails, Email>([queued, sent, Event::Failed { error: "550".into() }]).unwrap();
        assert_eq!((row.status, row.error), (Status::Failed, Some("550".into())));
    }
}
