//! What was written in conversations, a row for each message. Table: `read_conversation_messages`.

use std::collections::BTreeMap;

use domain::{
    Aggregate, Id, Personal, Time,
    chat::conversation::{Conversation, Event, Template},
    desk::ticket::Attachment,
};
use eventstore::{Log, Recorded};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::{AssertSqlSafe, PgPool};

use crate::{
    AsOf, Column, Error, Keys, List, Listed, ReadModel, Refers, Sort, Stands, Told, Unreadable,
    chat::conversations::Conversations,
    decode,
    kernel::{
        as_of,
        author::{AuthorKind, author},
        list,
        model::AnyRow,
        redirects,
        time_order::TimeOrder,
    },
};

/// Messages of conversations.
#[derive(Clone, Copy, Debug)]
pub struct ConversationMessages;

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the other side to us.
    Received,
    /// From us to the other side.
    Sent,
}

/// How far a message of ours has come; it only moves on, unless it is sent once more after it has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "MessageDelivery")]
pub enum Delivery {
    /// Waits to be sent.
    Queued,
    /// May have left or not: only a person sends it once more.
    Uncertain,
    /// Has left.
    Sent,
    /// Could not be sent, or has left and was not delivered.
    Failed,
    /// Has arrived.
    Delivered,
    /// The other side has read it.
    Read,
}

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// The conversation it was written in.
    pub conversation_id: Id,
    /// Its id.
    pub message_id: Id,
    /// Which way it goes.
    pub direction: Direction,
    /// Its text.
    pub body: Personal<String>,
    /// Files.
    pub attachments: Vec<Attachment>,
    /// What sort of author; absent when the other side wrote it.
    pub author_kind: Option<AuthorKind>,
    /// Who wrote it; absent when the other side wrote it.
    pub author_id: Option<Id>,
    /// The quick reply it was made from.
    pub quick_reply_id: Option<Id>,
    /// How far a message of ours has come.
    pub delivery: Option<Delivery>,
    /// Why it could not be sent.
    pub delivery_error: Option<String>,
    /// The id it has in its channel.
    pub external_id: Option<String>,
    /// When it was written.
    pub written_at: Time,
    /// When it reached us: messages from outside may come late, and in another order than they were written in.
    pub received_at: Option<Time>,
    /// When its channel said that it was written, where that was a time to come: it counts as written when it came.
    pub claimed_at: Option<Time>,
    /// The position of the event by which it was written: what was written at the same time stays in this order.
    pub written_position: i64,
    /// When it left.
    pub sent_at: Option<Time>,
    /// When it arrived.
    pub delivered_at: Option<Time>,
    /// When the other side read it.
    pub read_at: Option<Time>,
    /// When the other side last changed it.
    pub edited_at: Option<Time>,
    /// When the other side took it back: it says nothing any more.
    pub deleted_at: Option<Time>,
    /// With what emoji the other side answers it.
    pub reactions: Vec<String>,
    /// With what emoji we do.
    pub own_reaction: Option<String>,
    /// Why our emoji could not be sent.
    pub own_reaction_error: Option<String>,
    /// The template as which it leaves.
    pub template: Option<Template>,
}

/// A message, with the name of its author as it is now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Follows from the conversation and the message's own id.
    pub id: Id,
    /// The version of the last event that touched it, in the stream of its conversation.
    pub version: i64,
    /// The position of that event.
    pub position: i64,
    /// The message itself.
    #[serde(flatten)]
    pub row: Row,
    /// The contact who wrote it, where the other side did and it is known who that is.
    pub contact_id: Option<Id>,
    /// Name of the author: of the contact or visitor when the other side wrote it.
    pub author_name: Option<String>,
}

/// The part of an event that says which message it is about.
#[derive(Deserialize)]
struct Which {
    message_id: Id,
}

/// Message ids are unique within their conversation.
fn row_id(event: &Recorded, message: Id) -> Id {
    Id::named(&["message", event.key(), &message.to_string()])
}

impl Row {
    fn written(
        message_id: Id,
        direction: Direction,
        body: Personal<String>,
        attachments: Vec<Attachment>,
        event: &Recorded,
    ) -> Result<Row, Unreadable> {
        let conversation = event.key().parse().map_err(|_| Unreadable("the stream is no conversation's".into()))?;
        Ok(Row {
            conversation_id: conversation,
            message_id,
            direction,
            body,
            attachments,
            author_kind: None,
            author_id: None,
            quick_reply_id: None,
            delivery: None,
            delivery_error: None,
            external_id: None,
            written_at: event.occurred_at,
            received_at: (direction == Direction::Received).then_some(event.recorded_at),
            claimed_at: None,
            written_position: event.position,
            sent_at: None,
            delivered_at: None,
            read_at: None,
            edited_at: None,
            deleted_at: None,
            reactions: Vec::new(),
            own_reaction: None,
            own_reaction_error: None,
            template: None,
        })
    }
}

impl ReadModel for ConversationMessages {
    const NAME: &'static str = "conversation_messages";
    const VERSION: i32 = 4;
    const KINDS: &'static [&'static str] = &[Conversation::KIND];
    const OWN: bool = false;
    type Row = Row;

    fn keys(event: &Recorded) -> Keys {
        match event.kind.strip_prefix("conversation.message_") {
            // What cannot be read is left to `apply` to refuse.
            Some(_) => event
                .decode::<Which>()
                .map_or_else(|_| Keys::own(event), |which| Keys::One(row_id(event, which.message_id))),
            None => Keys::None,
        }
    }

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = Some(event.occurred_at);
        let row = match (row, decode::<Conversation>(event)?) {
            (_, Event::MessageReceived { message_id, external_id, body, attachments, claimed_at, .. }) => {
                let row = Row::written(message_id, Direction::Received, body, attachments, event)?;
                Some(Row { external_id, claimed_at, ..row })
            }
            // It stays where it was written.
            (Some(row), Event::MessageQueued { body, attachments, template, again: true, .. }) => {
                Some(Row { body, attachments, template, delivery: Some(Delivery::Queued), delivery_error: None, ..row })
            }
            (_, Event::MessageQueued { message_id, body, attachments, quick_reply, template, .. }) => {
                let row = Row::written(message_id, Direction::Sent, body, attachments, event)?;
                let (author_kind, author_id) = author(event);
                Some(Row {
                    author_kind,
                    author_id,
                    quick_reply_id: quick_reply,
                    delivery: Some(Delivery::Queued),
                    template,
                    ..row
                })
            }
            (Some(row), Event::MessageSent { external_id, .. }) => {
                let external_id = external_id.or(row.external_id);
                let delivery = Some(Delivery::Sent);
                Some(Row { delivery, delivery_error: None, external_id, sent_at: at, ..row })
            }
            (Some(row), Event::MessageDelivered { .. }) => {
                let delivery = Some(Delivery::Delivered);
                Some(Row { delivery, delivery_error: None, delivered_at: at, ..row })
            }
            (Some(row), Event::MessageRead { .. }) => {
                Some(Row { delivery: Some(Delivery::Read), delivery_error: None, read_at: at, ..row })
            }
            (Some(row), Event::MessageUncertain { reason, .. }) => {
                Some(Row { delivery: Some(Delivery::Uncertain), delivery_error: Some(reason), ..row })
            }
            (Some(row), Event::MessageFailed { error, .. }) => {
                Some(Row { delivery: Some(Delivery::Failed), delivery_error: Some(error), ..row })
            }
            (Some(row), Event::MessageEdited { body, edited_at, .. }) => {
                Some(Row { body, edited_at: Some(edited_at), ..row })
            }
            (Some(row), Event::MessageDeleted { .. }) => {
                Some(Row { body: "".into(), attachments: Vec::new(), deleted_at: at, ..row })
            }
            (Some(row), Event::MessageReactionsReceived { reactions, .. }) => Some(Row { reactions, ..row }),
            (Some(row), Event::MessageReactionQueued { reaction, .. }) => {
                Some(Row { own_reaction: reaction, own_reaction_error: None, ..row })
            }
            (Some(row), Event::MessageReactionFailed { error, .. }) => {
                Some(Row { own_reaction: None, own_reaction_error: Some(error), ..row })
            }
            (row, _) => row,
        };
        Ok(row)
    }
}

impl Listed for ConversationMessages {
    const PATH: &'static str = "conversation_messages";
    const SINGLE: bool = false;
    const READ: &'static str = Conversation::KIND;
    const STANDS: Stands = Stands::PartOf("conversation_id");
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::id("conversation_id"),
        Column::id("message_id"),
        Column::word("direction"),
        Column::text("body"),
        Column::word("author_kind").nullable(),
        Column::reference("author_id", Refers::By("author_kind")).nullable(),
        Column::id("quick_reply_id").nullable(),
        Column::word("delivery").nullable(),
        Column::word("external_id").nullable(),
        Column::time("written_at"),
        Column::time("received_at").nullable(),
        Column::time("claimed_at").nullable(),
        Column::integer("written_position"),
        Column::time("sent_at").nullable(),
        Column::time("delivered_at").nullable(),
        Column::time("read_at").nullable(),
        Column::time("edited_at").nullable(),
        Column::time("deleted_at").nullable(),
        Column::word("own_reaction").nullable(),
        Column::id("id"),
    ];
    const THROUGH: &'static [&'static str] = &[Conversations::NAME];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::ascending("written_at"), Sort::ascending("written_position")];
    const TELLS: &'static [Told] =
        &[Told::by("author_name", "author_id", "author_kind"), Told::of("author_name", "contact_id", "contact")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.conversation_id, t.message_id, t.direction, t.body, \
        t.attachments, t.author_kind, r.author_id, \
        case t.direction when 'received' then contact.id end as contact_id, \
        case t.direction when 'received' then coalesce(contact.name, conversation.visitor->>'name') \
            else read_name(t.tenant_id, t.author_kind, r.author_id) end as author_name, \
        t.quick_reply_id, t.delivery, t.delivery_error, t.external_id, t.written_at, t.received_at, t.claimed_at, \
        t.written_position, t.sent_at, t.delivered_at, t.read_at, t.edited_at, t.deleted_at, t.reactions, t.own_reaction, \
        t.own_reaction_error, t.template";
    const JOINS: &'static str = "\
        left join read_conversations conversation \
            on conversation.tenant_id = t.tenant_id and conversation.id = t.conversation_id \
        left join read_contacts contact \
            on contact.tenant_id = t.tenant_id \
            and contact.id = read_survivor(t.tenant_id, 'contact', conversation.contact_id, r.past)";
}

/// The messages of a conversation in this order. `after` is the `written_at` and `written_position` of the last message of the
/// page before.
///
/// # Errors
/// When the database fails.
pub async fn conversation_messages(
    pool: &PgPool,
    tenant: Id,
    conversation: Id,
    (order, after): (TimeOrder, Option<(Time, i64)>),
    limit: i64,
) -> Result<Vec<Box<RawValue>>, Error> {
    use jiff_sqlx::ToSqlx;
    let (beyond, sorted) = order.sql();
    let statement = format!(
        "with page as materialized (
             select t.* from read_conversation_messages t
             where t.tenant_id = $1 and t.conversation_id = $2
               and ($3::timestamptz is null or (t.written_at, t.written_position) {beyond} ($3, $4))
             order by t.written_at {sorted}, t.written_position {sorted} limit $5
         )
         select (select row_to_json(v) from (select {}) v)::text from {} order by t.written_at {sorted}, t.written_position {sorted}",
        ConversationMessages::SELECT,
        redirects::shown(List::of::<ConversationMessages>(), "page", None)
    );
    let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(statement))
        .bind(tenant.to_string())
        .bind(conversation.to_string())
        .bind(after.map(|(time, _)| time.to_sqlx()))
        .bind(after.map_or(0, |(_, position)| position))
        .bind(limit)
        .fetch_all(pool)
        .await?;
    Ok(list::raws(List::of::<ConversationMessages>(), rows)?)
}

/// A message as the events of its stream make it: the row's id, the row, and the version and position of the last event that touched it.
type Folded = (Id, Row, i64, i64);

/// The messages of a conversation as its events up to a point make them, by when they were written.
async fn folded(log: &Log, tenant: Id, conversation: Id, as_of: AsOf) -> Result<Vec<Folded>, Error> {
    let mut rows: BTreeMap<Id, (Option<Row>, i64, i64)> = BTreeMap::new();
    for event in as_of::events(log, tenant, Conversation::KIND, conversation, as_of).await? {
        for id in ConversationMessages::keys(&event).as_slice() {
            let entry = rows.entry(*id).or_insert((None, -1, 0));
            let row = ConversationMessages::apply(*id, entry.0.take(), &event)?;
            *entry = (row, event.version, event.position);
        }
    }
    let messages = rows.into_iter().filter_map(|(id, (row, version, position))| Some((id, row?, version, position)));
    let mut messages: Vec<_> = messages.collect();
    messages.sort_by_key(|(_, row, ..)| (row.written_at, row.written_position));
    Ok(messages)
}

/// The messages of a conversation as the log has them up to a position, oldest first: for whoever takes part in it from outside.
///
/// # Errors
/// When the database fails, or an event cannot be understood.
pub async fn conversation_said(log: &Log, tenant: Id, conversation: Id, position: i64) -> Result<Vec<Row>, Error> {
    let messages = folded(log, tenant, conversation, AsOf::Position(position)).await?;
    Ok(messages.into_iter().map(|(_, row, ..)| row).collect())
}

/// The message that an event begins, if it begins one.
///
/// # Errors
/// When the event cannot be understood.
pub fn conversation_message(event: &Recorded) -> Result<Option<Row>, Unreadable> {
    let begins = ["conversation.message_received", "conversation.message_queued"].contains(&&*event.kind);
    if begins { ConversationMessages::apply(Id::NIL, None, event) } else { Ok(None) }
}

/// The messages of a conversation at a point in the past, all of them.
///
/// # Errors
/// When the database fails, or an event cannot be understood.
pub async fn conversation_messages_as_of(
    log: &Log,
    tenant: Id,
    conversation: Id,
    as_of: AsOf,
) -> Result<Vec<Box<RawValue>>, Error> {
    let messages = folded(log, tenant, conversation, as_of).await?;
    let mut shown = Vec::with_capacity(messages.len());
    let mut others = as_of::Others::default();
    for (id, row, version, position) in messages {
        let row: AnyRow = Box::new(row);
        let folded = (&row, version, position);
        shown.push(as_of::show(List::of::<ConversationMessages>(), log, tenant, id, folded, as_of, &mut others).await?);
    }
    Ok(shown)
}
