//! A page of a feed: which entries, then what they say in plain words, with the names that things have now.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{Actor, ActorKind, Id, Metadata, Time, reference::Subject};
use eventstore::{Direction, Log, Recorded};
use jiff_sqlx::{Timestamp, ToSqlx};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

use super::{Row, record_of, row_id, summary};
use crate::{AsOf, Error, Unreadable, ticket_thread};

/// Which part of whose feed.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The record, or the user whose own feed it is.
    pub subject: Subject,
    /// Beyond this entry, in the direction of reading: when it occurred, and the position of its event.
    pub beyond: Option<(Time, i64)>,
    /// Oldest first; newest first otherwise.
    pub forward: bool,
    /// Most entries.
    pub limit: i64,
    /// Only these kinds of records and types of events; everything when both are empty.
    pub kinds: Vec<String>,
    /// See `kinds`.
    pub types: Vec<String>,
    /// Kinds of records of which nothing may be told.
    pub hidden: Vec<String>,
    /// As it was then: entries, and what belongs together.
    pub as_of: Option<AsOf>,
}

/// Entries of a feed.
#[derive(Debug)]
pub struct Page {
    /// In the direction of reading.
    pub entries: Vec<Entry>,
    /// Whether more follow in that direction.
    pub more: bool,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Entry {
    /// The position of its event in the log.
    pub position: i64,
    /// The type of its event, such as `deal.won`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// What happened, in plain words.
    pub summary: String,
    /// The whole text, where somebody wrote one.
    pub text: Option<String>,
    /// Who did it.
    pub actor: Who,
    /// When it happened in the world.
    pub occurred_at: Time,
    /// When it was recorded.
    pub recorded_at: Time,
    /// The record that it happened to, then those that this one refers to now.
    pub subjects: Vec<Named>,
}

/// A record by its present name.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Named {
    /// Its kind.
    pub kind: String,
    /// Its id.
    pub id: Id,
    /// What it is called now; null when it has no name.
    pub name: Option<String>,
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Who {
    /// What sort of actor.
    pub kind: ActorKind,
    /// The user, contact, rule or key.
    pub id: Id,
    /// What it is called now.
    pub name: Option<String>,
    /// The user or contact for whom it was done, when one acted for another.
    pub on_behalf_of: Option<Named>,
}

/// An entry as the tables have it.
#[derive(Clone, Debug, sqlx::FromRow)]
struct Found {
    occurred_at: Timestamp,
    event_position: i64,
    since_position: i64,
}

/// Reads a page of a feed.
///
/// # Errors
/// When the database fails, or an event cannot be understood.
pub async fn page(log: &Log, tenant: Id, asked: &Asked) -> Result<Page, Error> {
    let mut found = find(log, tenant, asked).await?;
    let more = found.len() as i64 > asked.limit;
    found.truncate(usize::try_from(asked.limit).unwrap_or_default());
    let entries = tell(log, tenant, asked, &found).await?;
    Ok(Page { entries, more })
}

async fn find(log: &Log, tenant: Id, asked: &Asked) -> Result<Vec<Found>, Error> {
    let (mut position, mut instant) = (None, None);
    match asked.as_of {
        None => {}
        Some(AsOf::Position(at)) => position = Some(at),
        Some(AsOf::KnownAt(at)) => position = Some(log.position_at(at).await?),
        Some(AsOf::Instant(at)) => instant = Some(at),
    }
    let limits = if asked.forward { (Time::MIN, 0) } else { (Time::MAX, i64::MAX) };
    let (time, beyond) = asked.beyond.unwrap_or(limits);
    // PostgreSQL's times do not reach as far as ours.
    let time = asked.beyond.map(|_| time.to_sqlx());
    let found = sqlx::query_as(AssertSqlSafe(statement(asked)))
        .bind(tenant.to_string())
        .bind(&asked.subject.kind)
        .bind(asked.subject.id.to_string())
        .bind(time)
        .bind(beyond)
        .bind(asked.limit + 1)
        .bind(&asked.hidden)
        .bind(&asked.kinds)
        .bind(&asked.types)
        .bind(position)
        .bind(instant.map(|at| at.to_sqlx()))
        .fetch_all(log.pool())
        .await?;
    Ok(found)
}

/// First the head of every feed that is gathered. As many heads as a page has entries bound the page: what lies beyond the
/// last of them is not on it, and only the feeds whose heads are within that bound are read on, up to it.
fn statement(asked: &Asked) -> String {
    let (order, than, end) = if asked.forward { ("asc", ">", "infinity") } else { ("desc", "<", "-infinity") };
    let begin = if asked.forward { "-infinity" } else { "infinity" };
    let holds = match asked.as_of {
        None => "until_position is null",
        Some(AsOf::Position(_) | AsOf::KnownAt(_)) => {
            "since_position <= $10 and (until_position is null or until_position > $10)"
        }
        Some(AsOf::Instant(_)) => "since_at <= $11 and (until_at is null or until_at > $11)",
    };
    let mut conditions = String::new();
    if matches!(asked.as_of, Some(AsOf::Instant(_))) {
        conditions += " and occurred_at <= $11";
    }
    if !asked.hidden.is_empty() {
        conditions += " and kind <> all ($7)";
    }
    // Each kind of news has an index range of its own: what is rare among the rest is found as fast.
    let (news, is_news) = match asked.kinds.is_empty() && asked.types.is_empty() {
        true => ("(values (null, null)) news (news_kind, news_type)", ""),
        false => (
            "(select unnest($8::text[]) collate \"C\", null::text collate \"C\"
              union all select split_part(name, '.', 1) collate \"C\", name collate \"C\" from unnest($9::text[]) types (name)
             ) news (news_kind, news_type)",
            "and e.kind = news_kind and (news_type is null or e.type = news_type)",
        ),
    };
    format!(
        "with recursive part (kind, id) as (
             select $2::text collate \"C\", $3::text collate \"C\"
             union
             select other_kind, other_id from part
             join read_feed_link on tenant_id = $1 and record_kind = part.kind and record_id = part.id
             where is_part and {holds}
         ), gathered (feed_kind, feed_id) as (
             select kind, id from part
             union
             select other_kind, other_id from part
             join read_feed_link on tenant_id = $1 and record_kind = part.kind and record_id = part.id
             where {holds}
         ), head as materialized (
             select feed_kind, feed_id, news_kind, news_type, first.* from gathered cross join {news} cross join lateral (
                 select e.occurred_at, e.event_position from read_feed_entry e
                 where e.tenant_id = $1 and e.subject_kind = feed_kind and e.subject_id = feed_id {is_news}
                   and (e.occurred_at, e.event_position) {than} (coalesce($4, '{begin}'::timestamptz), $5)
                   and {holds}{conditions}
                 order by e.occurred_at {order}, e.event_position {order} limit 1
             ) first (head_at, head_position)
         ), bound (bound_at, bound_position) as (
             select * from (
                 (select distinct head_at, head_position from head
                  order by head_at {order}, head_position {order} offset $6 - 1 limit 1)
                 union all select '{end}', 0
             ) bound (at, position) order by at {order} limit 1
         )
         select distinct on (occurred_at, event_position) occurred_at, event_position, since_position
         from bound join head on (bound_at, bound_position) {than}= (head_at, head_position) cross join lateral (
             select e.occurred_at, e.event_position, e.since_position from read_feed_entry e
             where e.tenant_id = $1 and e.subject_kind = feed_kind and e.subject_id = feed_id {is_news}
               and (e.occurred_at, e.event_position) {than}= (head_at, head_position)
               and (bound_at, bound_position) {than}= (e.occurred_at, e.event_position)
               and {holds}{conditions}
             order by e.occurred_at {order}, e.event_position {order} limit $6
         ) found
         order by occurred_at {order}, event_position {order}, since_position desc limit $6"
    )
}

/// A record with what feeds know of it.
type Known = HashMap<Subject, Row>;

async fn known(pool: &PgPool, tenant: Id, records: impl IntoIterator<Item = &Subject>) -> Result<Known, Error> {
    let ids: Vec<String> = records.into_iter().map(|record| row_id(record).to_string()).collect();
    if ids.is_empty() {
        return Ok(Known::new());
    }
    let rows: Vec<(String, String, Option<String>, Value)> =
        sqlx::query_as("select kind, record_id, name, refers from read_feed where tenant_id = $1 and id = any ($2)")
            .bind(tenant.to_string())
            .bind(ids)
            .fetch_all(pool)
            .await?;
    let unreadable = |error: serde_json::Error| Unreadable(error.to_string());
    let mut known = Known::new();
    for (kind, id, name, refers) in rows {
        let Ok(record_id) = id.parse() else { continue };
        let refers = serde_json::from_value(refers).map_err(unreadable)?;
        known.insert(Subject::new(&kind, record_id), Row { kind, record_id, name, refers, entries: Vec::new() });
    }
    Ok(known)
}

/// An event and what it says as it stands.
struct Told {
    event: Recorded,
    data: Value,
    actor: Actor,
    record: Subject,
    occurred_at: Time,
}

async fn tell(log: &Log, tenant: Id, asked: &Asked, found: &[Found]) -> Result<Vec<Entry>, Error> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let positions: Vec<i64> = found.iter().map(|found| found.event_position).collect();
    let events = log.read_positions(&tenant.to_string(), &positions).await?;
    let mut events: BTreeMap<i64, Recorded> = events.into_iter().map(|event| (event.position, event)).collect();
    let mut told = Vec::with_capacity(found.len());
    for found in found {
        let Some(event) = events.remove(&found.event_position) else { continue };
        let unreadable = |error: serde_json::Error| Unreadable(error.to_string());
        let Metadata { actor, .. } = serde_json::from_slice(&event.metadata).map_err(unreadable)?;
        let mut data: Value = event.decode().map_err(unreadable)?;
        let record = record_of(&event).ok_or_else(|| Unreadable("an entry's record has no id".into()))?;
        if found.since_position > found.event_position && matches!(&*record.kind, "comment" | "activity") {
            rewrite(log, &event, &mut data, found.since_position).await?;
        }
        let occurred_at = found.occurred_at.to_jiff();
        told.push(Told { event, data, actor, record, occurred_at });
    }
    let records: BTreeSet<&Subject> = told.iter().map(|told| &told.record).collect();
    let rows = known(log.pool(), tenant, records);
    let (redacted, mut known) = futures::future::try_join(redacted(log.pool(), tenant, &told), rows).await?;
    for told in &mut told {
        if message(told).is_some_and(|message| redacted.contains(&message)) {
            told.data["body"] = Value::Null;
        }
    }
    let mut wanted: BTreeSet<Subject> = BTreeSet::new();
    for told in &told {
        let refers = known.get(&told.record).into_iter().flat_map(|row| &row.refers);
        wanted.extend(refers.map(|reference| reference.record.clone()));
        wanted.extend(actor_record(&told.actor));
        wanted.extend(told.actor.on_behalf_of.into_iter().flat_map(for_whom));
        // The same words with no name known say whose names they need.
        summary::of(&told.event.kind, &told.data, &mut |record| {
            wanted.insert(record.clone());
            None
        });
    }
    wanted.retain(|record| !asked.hidden.contains(&record.kind) && !known.contains_key(record));
    known.extend(self::known(log.pool(), tenant, &wanted).await?);
    Ok(told.into_iter().map(|told| show(told, asked, &known)).collect())
}

fn show(told: Told, asked: &Asked, known: &Known) -> Entry {
    let Told { event, data, actor, record, occurred_at } = told;
    let name = |record: &Subject| {
        let may = !asked.hidden.contains(&record.kind);
        known.get(record).filter(|_| may).and_then(|row| row.name.clone())
    };
    let summary = summary::of(&event.kind, &data, &mut |record| name(record));
    let refers = known.get(&record).map(|row| row.refers.as_slice()).unwrap_or_default();
    let refers = refers.iter().map(|reference| reference.record.clone());
    let refers = refers.filter(|record| record.kind != "user" && !asked.hidden.contains(&record.kind));
    let named = |record: Subject| Named { name: name(&record), kind: record.kind, id: record.id };
    let who = Who {
        kind: actor.kind,
        id: actor.id,
        name: actor_record(&actor).as_ref().and_then(name),
        on_behalf_of: actor.on_behalf_of.and_then(|id| {
            let [user, contact] = for_whom(id);
            let whom = if known.contains_key(&user) || !known.contains_key(&contact) { user } else { contact };
            Some(named(whom))
        }),
    };
    Entry {
        position: event.position,
        event_type: event.kind.to_string(),
        text: summary::text(&event.kind, &data),
        summary,
        actor: who,
        occurred_at,
        recorded_at: event.recorded_at,
        subjects: [record].into_iter().chain(refers).map(named).collect(),
    }
}

/// The record that stands behind an actor.
fn actor_record(actor: &Actor) -> Option<Subject> {
    let kind = match actor.kind {
        ActorKind::User => "user",
        ActorKind::Customer => "contact",
        ActorKind::Rule => "rule",
        ActorKind::Integration => "api_key",
        ActorKind::Visitor | ActorKind::System => return None,
    };
    Some(Subject::new(kind, actor.id))
}

/// Whom somebody may act for.
fn for_whom(id: Id) -> [Subject; 2] {
    [Subject::new("user", id), Subject::new("contact", id)]
}

/// What a comment or activity says once it was rewritten, up to a position.
async fn rewrite(log: &Log, event: &Recorded, data: &mut Value, until: i64) -> Result<(), Error> {
    let mut from = event.version + 1;
    loop {
        let later = log.read_stream(&event.tenant, &event.stream, from, Direction::Forward, 1000).await?;
        let Some(last) = later.last() else { return Ok(()) };
        from = last.version + 1;
        for event in later.iter().take_while(|event| event.position <= until) {
            let mut change: Value = event.decode().map_err(|error| Unreadable(error.to_string()))?;
            match &*event.kind {
                "comment.edited" => data["text"] = change["to"].take(),
                "activity.corrected" => {
                    for (attribute, change) in change["changes"].as_object_mut().into_iter().flatten() {
                        data[attribute] = change["to"].take();
                    }
                }
                _ => {}
            }
        }
    }
}

/// The row of the thread that a message in a ticket is.
fn message(told: &Told) -> Option<Id> {
    let of_ticket =
        matches!(&*told.event.kind, "ticket.message_received" | "ticket.reply_queued" | "ticket.note_added");
    let message = told.data["message_id"].as_str().filter(|_| of_ticket)?.parse().ok()?;
    Some(ticket_thread::row_id(&told.event, message))
}

/// The messages whose text is out of sight: also where the past is shown.
async fn redacted(pool: &PgPool, tenant: Id, told: &[Told]) -> Result<BTreeSet<Id>, Error> {
    let messages: Vec<String> = told.iter().filter_map(message).map(|message| message.to_string()).collect();
    if messages.is_empty() {
        return Ok(BTreeSet::new());
    }
    let ids: Vec<String> =
        sqlx::query_scalar("select id from read_ticket_thread where tenant_id = $1 and id = any ($2) and redacted")
            .bind(tenant.to_string())
            .bind(messages)
            .fetch_all(pool)
            .await?;
    Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
}
