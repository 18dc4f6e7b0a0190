//! What was written in tickets, a row for each message and note. Table: `read_ticket_thread`.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Aggregate, Id, PartyKind, Personal, Time,
    desk::ticket::{Attachment, Event, LinkKind, Ticket},
    kernel::filter::{Condition, FieldKind, Filter, Scalar, Test},
};
use eventstore::{Log, Recorded};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::{AssertSqlSafe, PgPool};

use crate::{
    AsOf, Column, Error, Keys, List, Listed, ReadModel, Refers, Sort, Stands, Told, Unreadable, decode,
    desk::ticket_detail::{self, TicketDetail},
    kernel::{
        as_of,
        author::{AuthorKind, author},
        list,
        model::AnyRow,
        redirects,
        time_order::TimeOrder,
    },
};

/// Messages and notes.
#[derive(Clone, Copy, Debug)]
pub struct TicketThread;

/// What sort of entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A message from outside.
    Message,
    /// An answer.
    Reply,
    /// A note that only colleagues see.
    Note,
}

/// How far a reply has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Waits to be sent.
    Queued,
    /// Has left.
    Sent,
    /// Could not be sent.
    Failed,
    /// Nobody knows whether it has left.
    Uncertain,
    /// Was taken back.
    Cancelled,
}

/// A message, reply or note.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// The ticket in whose thread it shows: the one it was written in, unless a split moved it.
    pub ticket_id: Id,
    /// Its id.
    pub message_id: Id,
    /// What sort of entry.
    pub kind: Kind,
    /// Its text; absent once it is redacted.
    pub body: Option<String>,
    /// What sort of author.
    pub author_kind: Option<AuthorKind>,
    /// Who wrote it.
    pub author_id: Option<Id>,
    /// Files.
    pub attachments: Vec<Attachment>,
    /// How far a reply has come.
    pub delivery: Option<Delivery>,
    /// Why it could not be sent.
    pub delivery_error: Option<String>,
    /// Not before then does a reply leave.
    pub send_at: Option<Time>,
    /// The id it has where it came from or went to.
    pub external_id: Option<String>,
    /// The mail that it came as.
    pub email_id: Option<Id>,
    /// Whether its text and files were taken out of sight.
    pub redacted: bool,
    /// Why they were.
    pub redaction_reason: Option<String>,
    /// The ticket it was written in, when a split moved it.
    pub moved_from: Option<Id>,
    /// When it was written.
    pub written_at: Time,
    /// The position of the event by which it was written: what was written at the same time stays in this order.
    pub written_position: i64,
}

/// A message, reply or note, with the name of its author as it is now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Follows from the ticket it was written in and its own id.
    pub id: Id,
    /// The version of the last event that touched it, in the stream of the ticket it was written in.
    pub version: i64,
    /// The position of that event.
    pub position: i64,
    /// The entry itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the author.
    pub author_name: Option<String>,
}

/// The part of an event that says which message it is about.
#[derive(Deserialize)]
struct Which {
    message_id: Id,
}

/// The part of a split that says which messages it moves.
#[derive(Deserialize)]
struct Moved {
    messages: BTreeSet<Id>,
}

/// Message ids are unique within the ticket they were written in.
pub(crate) fn row_id(event: &Recorded, message: Id) -> Id {
    Id::named(&["message", event.key(), &message.to_string()])
}

impl Row {
    fn written(
        kind: Kind,
        message_id: Id,
        body: Personal<String>,
        attachments: Vec<Attachment>,
        event: &Recorded,
    ) -> Result<Row, Unreadable> {
        let ticket_id = event.key().parse().map_err(|_| Unreadable("the stream is no ticket's".into()))?;
        let (author_kind, author_id) = author(event);
        Ok(Row {
            ticket_id,
            message_id,
            kind,
            body: Some(body.0),
            author_kind,
            author_id,
            attachments,
            delivery: None,
            delivery_error: None,
            send_at: None,
            external_id: None,
            email_id: None,
            redacted: false,
            redaction_reason: None,
            moved_from: None,
            written_at: event.occurred_at,
            written_position: event.position,
        })
    }
}

impl ReadModel for TicketThread {
    const NAME: &'static str = "ticket_thread";
    const VERSION: i32 = 2;
    const KINDS: &'static [&'static str] = &[Ticket::KIND];
    const OWN: bool = false;
    type Row = Row;

    fn keys(event: &Recorded) -> Keys {
        // What cannot be read is left to `apply` to refuse.
        let unreadable = |_| Keys::own(event);
        match &*event.kind {
            "ticket.message_received"
            | "ticket.reply_queued"
            | "ticket.reply_sent"
            | "ticket.reply_failed"
            | "ticket.reply_uncertain"
            | "ticket.reply_cancelled"
            | "ticket.note_added"
            | "ticket.message_redacted" => {
                event.decode::<Which>().map_or_else(unreadable, |which| Keys::One(row_id(event, which.message_id)))
            }
            "ticket.split" => event.decode::<Moved>().map_or_else(unreadable, |moved| {
                Keys::Many(moved.messages.into_iter().map(|message| row_id(event, message)).collect())
            }),
            _ => Keys::None,
        }
    }

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let row = match (row, decode::<Ticket>(event)?) {
            (_, Event::MessageReceived { message_id, external_id, from, body, attachments, email, .. }) => {
                let mut row = Row::written(Kind::Message, message_id, body, attachments, event)?;
                (row.external_id, row.email_id) = (external_id, email);
                if let Some(from) = from {
                    row.author_kind = Some(match from.kind {
                        PartyKind::Contact => AuthorKind::Contact,
                        PartyKind::Company => AuthorKind::Company,
                        PartyKind::User => AuthorKind::User,
                    });
                    row.author_id = Some(from.id);
                }
                Some(row)
            }
            // It stays where it was written.
            (Some(row), Event::ReplyQueued { body, attachments, again: true, send_at, .. }) => Some(Row {
                body: Some(body.0),
                attachments,
                delivery: Some(Delivery::Queued),
                delivery_error: None,
                send_at,
                ..row
            }),
            (_, Event::ReplyQueued { message_id, body, attachments, send_at, .. }) => {
                let row = Row::written(Kind::Reply, message_id, body, attachments, event)?;
                Some(Row { delivery: Some(Delivery::Queued), send_at, ..row })
            }
            (_, Event::NoteAdded { message_id, body, attachments, .. }) => {
                Some(Row::written(Kind::Note, message_id, body, attachments, event)?)
            }
            (Some(row), Event::ReplySent { external_id, .. }) => {
                let external_id = external_id.or(row.external_id);
                Some(Row { delivery: Some(Delivery::Sent), delivery_error: None, external_id, ..row })
            }
            (Some(row), Event::ReplyFailed { error, .. }) => {
                Some(Row { delivery: Some(Delivery::Failed), delivery_error: Some(error), ..row })
            }
            (Some(row), Event::ReplyUncertain { reason, .. }) => {
                Some(Row { delivery: Some(Delivery::Uncertain), delivery_error: Some(reason), ..row })
            }
            (Some(row), Event::ReplyCancelled { .. }) => {
                Some(Row { delivery: Some(Delivery::Cancelled), delivery_error: None, ..row })
            }
            (Some(row), Event::MessageRedacted { reason, .. }) => {
                Some(Row { body: None, attachments: Vec::new(), redacted: true, redaction_reason: Some(reason), ..row })
            }
            (Some(row), Event::Split { new_ticket, .. }) => {
                Some(Row { moved_from: Some(row.ticket_id), ticket_id: new_ticket, ..row })
            }
            (row, _) => row,
        };
        Ok(row)
    }
}

impl Listed for TicketThread {
    const PATH: &'static str = "messages";
    const SINGLE: bool = false;
    const READ: &'static str = Ticket::KIND;
    const STANDS: Stands = Stands::PartOf("ticket_id");
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::reference("ticket_id", Refers::To("ticket")),
        Column::id("message_id"),
        Column::word("kind"),
        Column::text("body").nullable(),
        Column::word("author_kind").nullable(),
        Column::reference("author_id", Refers::By("author_kind")).nullable(),
        Column::word("delivery").nullable(),
        Column::word("external_id").nullable(),
        Column::id("email_id").nullable(),
        Column::bool("redacted"),
        Column::time("written_at"),
        Column::integer("written_position"),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::ascending("written_at"), Sort::ascending("written_position")];

    fn outside() -> Option<Filter> {
        let test = Test::Ne(Scalar::Text("note".into()));
        Some(Filter::Condition(Condition { field: "kind".into(), kind: FieldKind::Word, test }))
    }

    const TELLS: &'static [Told] = &[Told::by("author_name", "author_id", "author_kind")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.ticket_id, t.message_id, t.kind, t.body, t.author_kind, \
        r.author_id, coalesce(contact.name, company.name, colleague.name) as author_name, t.attachments, t.delivery, \
        t.delivery_error, t.send_at, t.external_id, t.email_id, t.redacted, t.redaction_reason, t.moved_from, t.written_at, t.written_position";
    const JOINS: &'static str = "\
        left join read_contacts contact \
            on t.author_kind = 'contact' and contact.tenant_id = t.tenant_id and contact.id = r.author_id \
        left join read_companies company \
            on t.author_kind = 'company' and company.tenant_id = t.tenant_id and company.id = r.author_id \
        left join read_users colleague \
            on t.author_kind = 'user' and colleague.tenant_id = t.tenant_id and colleague.id = r.author_id";
}

/// Most entries of a thread that are read at once.
pub const MAX_ENTRIES: i64 = 1000;

/// The thread of a ticket in this order: what was written in it or moved to it, and in the tickets that were merged into
/// it. `after` is the `written_at` and `written_position` of the last entry of the page before.
///
/// # Errors
/// When the database fails.
pub async fn thread(
    pool: &PgPool,
    tenant: Id,
    ticket: Id,
    (order, after): (TimeOrder, Option<(Time, i64)>),
    limit: i64,
) -> Result<Vec<Box<RawValue>>, Error> {
    use jiff_sqlx::ToSqlx;
    let (beyond, sorted) = order.sql();
    let statement = format!(
        "with recursive part (id) as (
             select $2::text collate \"C\"
             union
             select m.id from part join read_ticket_list m on m.tenant_id = $1 and m.merged_into = part.id
         ), page as materialized (
             select entry.* from part cross join lateral (
                 select t.* from read_ticket_thread t
                 where t.tenant_id = $1 and t.ticket_id = part.id
                   and ($3::timestamptz is null or (t.written_at, t.written_position) {beyond} ($3, $4))
                 order by t.written_at {sorted}, t.written_position {sorted} limit $5
             ) entry
             order by entry.written_at {sorted}, entry.written_position {sorted} limit $5
         )
         select (select row_to_json(v) from (select {}) v)::text from {} order by t.written_at {sorted}, t.written_position {sorted}",
        TicketThread::SELECT,
        redirects::shown(List::of::<TicketThread>(), "page", None)
    );
    let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(statement))
        .bind(tenant.to_string())
        .bind(ticket.to_string())
        .bind(after.map(|(time, _)| time.to_sqlx()))
        .bind(after.map_or(0, |(_, position)| position))
        .bind(limit.clamp(1, MAX_ENTRIES + 1))
        .fetch_all(pool)
        .await?;
    Ok(list::raws(List::of::<TicketThread>(), rows)?)
}

/// The thread of a ticket at a point in the past, whole.
///
/// # Errors
/// When the database fails, or an event cannot be understood.
pub async fn thread_as_of(log: &Log, tenant: Id, ticket: Id, as_of: AsOf) -> Result<Vec<Box<RawValue>>, Error> {
    let mut entries: Vec<(Id, Row, i64, i64)> = Vec::new();
    let mut to_read = vec![ticket];
    let mut parts: BTreeSet<Id> = BTreeSet::new();
    while let Some(part) = to_read.pop() {
        if !parts.insert(part) {
            continue;
        }
        let events = as_of::events(log, tenant, Ticket::KIND, part, as_of).await?;
        let detail = events.iter().try_fold(None, |row, event| TicketDetail::apply(part, row, event))?;
        let Some(ticket_detail::Row { ticket: row, ticket_links, .. }) = detail else { continue };
        entries.extend(fold_thread(&events)?.into_iter().filter(|(_, row, ..)| row.ticket_id == part));
        // Messages that a split moved here were written there, by whatever way they came.
        let mut origin = row.split_from;
        let mut seen = BTreeSet::from([part]);
        while let Some(from) = origin.filter(|from| seen.insert(*from)) {
            let events = as_of::events(log, tenant, Ticket::KIND, from, as_of).await?;
            entries.extend(fold_thread(&events)?.into_iter().filter(|(_, row, ..)| row.ticket_id == part));
            let detail = events.iter().try_fold(None, |row, event| TicketDetail::apply(from, row, event))?;
            origin = detail.and_then(|detail| detail.ticket.split_from);
        }
        to_read.extend(ticket_links.iter().filter(|link| link.kind == LinkKind::MergedFrom).map(|link| link.ticket_id));
    }
    entries.sort_by_key(|(_, row, ..)| (row.written_at, row.written_position));
    let mut shown = Vec::with_capacity(entries.len());
    let mut others = as_of::Others::default();
    for (id, row, version, position) in entries {
        let row: AnyRow = Box::new(row);
        let folded = (&row, version, position);
        shown.push(as_of::show(List::of::<TicketThread>(), log, tenant, id, folded, as_of, &mut others).await?);
    }
    Ok(shown)
}

fn fold_thread(events: &[Recorded]) -> Result<Vec<(Id, Row, i64, i64)>, Unreadable> {
    let mut rows: BTreeMap<Id, (Option<Row>, i64, i64)> = BTreeMap::new();
    for event in events {
        for id in TicketThread::keys(event).as_slice() {
            let entry = rows.entry(*id).or_insert((None, -1, 0));
            *entry = (TicketThread::apply(*id, entry.0.take(), event)?, event.version, event.position);
        }
    }
    Ok(rows.into_iter().filter_map(|(id, (row, version, position))| Some((id, row?, version, position))).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{SUBJECT, at, event, folded, id, recorded, refuses_strangers};

    fn reply() -> Event {
        event::<Ticket>("reply_queued", json!({ "message_id": id(3), "body": "Water helps" }))
    }

    #[test]
    fn a_reply_goes_out_is_redacted_and_moves() {
        let failed = Event::ReplyFailed { message_id: id(3), error: "550".into() };
        let sent = Event::ReplySent { message_id: id(3), external_id: Some("<1>".into()) };
        let redacted = Event::MessageRedacted { message_id: id(3), reason: "password".into() };
        let split = Event::Split { new_ticket: id(8), title: "Mouse".into(), messages: [id(3)].into() };
        let row = folded::<TicketThread, Ticket>([reply(), failed.clone()]).unwrap();
        assert_eq!((row.delivery, row.delivery_error.as_deref()), (Some(Delivery::Failed), Some("550")));
        assert_eq!((row.author_kind, row.author_id, row.written_at), (Some(AuthorKind::User), Some(id(10)), at(0)));
        let row = folded::<TicketThread, Ticket>([reply(), failed, sent, redacted, split]).unwrap();
        assert_eq!((row.delivery, row.delivery_error), (Some(Delivery::Sent), None));
        assert_eq!((row.body, row.redacted, row.external_id.as_deref()), (None, true, Some("<1>")));
        assert_eq!((row.ticket_id, row.moved_from), (id(8), Some(SUBJECT)));
        refuses_strangers::<TicketThread, Ticket>(&reply());
    }

    #[test]
    fn events_touch_the_messages_they_are_about() {
        let keys = |event: &Event| TicketThread::keys(&recorded::<Ticket>(0, event));
        let row = |message: Id| row_id(&recorded::<Ticket>(0, &Event::Closed { stage: None }), message);
        assert_eq!(keys(&reply()), Keys::One(row(id(3))));
        assert_eq!(keys(&Event::Closed { stage: None }), Keys::None);
        let split = Event::Split { new_ticket: id(8), title: "Mouse".into(), messages: [id(3), id(4)].into() };
        assert_eq!(keys(&split), Keys::Many(vec![row(id(3)), row(id(4))]));
        // The same message id in another ticket is another message.
        let elsewhere = Recorded { stream: Ticket::stream(id(99)).into(), ..recorded::<Ticket>(0, &reply()) };
        assert_ne!(TicketThread::keys(&elsewhere), keys(&reply()));
        // What cannot be read is not passed over.
        let broken = Recorded { data: "{}".into(), ..recorded::<Ticket>(0, &reply()) };
        assert_eq!(TicketThread::keys(&broken), Keys::One(SUBJECT));
        assert!(TicketThread::apply(SUBJECT, None, &broken).is_err());
    }
}
