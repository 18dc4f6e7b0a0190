//! A page of a feed: which entries, then what they say in plain words, with the names that things have now.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{Actor, ActorKind, Id, Metadata, Time, kernel::reference::Subject};
use eventstore::{Log, Recorded};
use jiff_sqlx::{Timestamp, ToSqlx};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

use super::{
    REMARKS, Rewrite, record_of, row_id,
    summary::{self, About},
};
use crate::{AsOf, Error, Sight, Unreadable, desk::ticket_thread, kernel::fold::micros};

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
    /// Whether what only colleagues may see is left out.
    pub outside: bool,
    /// As it was then: entries, and what belongs together.
    pub as_of: Option<AsOf>,
    /// What whoever asks sees.
    pub sight: Sight,
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
}

/// The point in the past that a feed is read as of: what is known by an instant is known by a position.
#[derive(Clone, Copy)]
enum Then {
    Now,
    Position(i64),
    Instant(Time),
}

impl Then {
    async fn of(log: &Log, as_of: Option<AsOf>) -> Result<Then, Error> {
        Ok(match as_of {
            None => Then::Now,
            Some(AsOf::Position(position)) => Then::Position(position),
            Some(AsOf::KnownAt(at)) => Then::Position(log.position_at(at).await?),
            Some(AsOf::Instant(at)) => Then::Instant(micros(at)),
        })
    }

    /// Whether an event counts.
    fn includes(self, position: i64, at: Time) -> bool {
        match self {
            Then::Now => true,
            Then::Position(last) => position <= last,
            Then::Instant(last) => at <= last,
        }
    }
}

/// Reads a page of a feed.
///
/// # Errors
/// When the database fails, or an event cannot be understood.
pub async fn page(log: &Log, tenant: Id, asked: &Asked) -> Result<Page, Error> {
    let then = Then::of(log, asked.as_of).await?;
    let mut found = find(log, tenant, asked, then).await?;
    let more = found.len() as i64 > asked.limit;
    found.truncate(usize::try_from(asked.limit).unwrap_or_default());
    let entries = tell(log, tenant, asked, then, &found).await?;
    Ok(Page { entries, more })
}

async fn find(log: &Log, tenant: Id, asked: &Asked, then: Then) -> Result<Vec<Found>, Error> {
    let (position, instant) = match then {
        Then::Now => (None, None),
        Then::Position(position) => (Some(position), None),
        Then::Instant(instant) => (None, Some(instant.to_sqlx())),
    };
    let limits = if asked.forward { (Time::MIN, 0) } else { (Time::MAX, i64::MAX) };
    let (time, beyond) = asked.beyond.unwrap_or(limits);
    // PostgreSQL's times do not reach as far as ours.
    let time = asked.beyond.map(|_| time.to_sqlx());
    let mut query = sqlx::query_as(AssertSqlSafe(statement(asked, then)))
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
        .bind(instant);
    for value in asked.sight.values() {
        query = query.bind(value);
    }
    Ok(query.fetch_all(log.pool()).await?)
}

/// First the head of every feed that is gathered. As many heads as a page has entries bound the page: what lies beyond the
/// last of them is not on it, and only the feeds whose heads are within that bound are read on, up to it.
fn statement(asked: &Asked, then: Then) -> String {
    let (order, than, end) = if asked.forward { ("asc", ">", "infinity") } else { ("desc", "<", "-infinity") };
    let begin = if asked.forward { "-infinity" } else { "infinity" };
    // Links say when they hold; entries only where they do not hold ever since they occurred.
    let (links, entries) = match then {
        Then::Now => ("holds", "e.holds"),
        Then::Position(_) => {
            ("positions @> $10", "(e.positions is null and e.event_position <= $10 or e.positions @> $10)")
        }
        Then::Instant(_) => ("instants @> $11", "(e.instants is null or e.instants @> $11) and e.occurred_at <= $11"),
    };
    let mut conditions = String::new();
    if !asked.hidden.is_empty() {
        conditions += " and e.kind <> all ($7)";
    }
    if asked.outside {
        conditions += " and not e.internal";
    }
    conditions += " and ";
    conditions += &asked.sight.sees(12, "e.kind", "e.record_id");
    // Each kind of news has an index range of its own: what is rare among the rest is found as fast.
    let everything = asked.kinds.is_empty() && asked.types.is_empty();
    let types = "select unnest($8::text[]) collate \"C\", null::text collate \"C\"
         union all select split_part(name, '.', 1) collate \"C\", name collate \"C\" from unnest($9::text[]) types (name)";
    let one = "and e.kind = news_kind and (news_type is null or e.type = news_type)";
    let (news, is_news) = match everything {
        true => ("values (null, null)", ""),
        false => (types, one),
    };
    let remarks: String = REMARKS.iter().map(|kind| format!(", ('{kind}')")).collect();
    let remarks = format!("(values {}) remark (remark_kind)", remarks.trim_start_matches(", "));
    let remarks = match everything {
        true => format!("select remark_kind collate \"C\", null::text collate \"C\" from {remarks}"),
        false => format!(
            "select news_kind, news_type from ({types}) asked (news_kind, news_type) join {remarks} on news_kind = remark_kind"
        ),
    };
    let head = |feeds: &str, news: &str, is_news: &str| {
        format!(
            "select feed_kind, feed_id, news_kind, news_type, first.* from {feeds}
             cross join ({news}) news (news_kind, news_type) cross join lateral (
                 select e.occurred_at, e.event_position from read_feed_entry e
                 where e.tenant_id = $1 and e.subject_kind = feed_kind and e.subject_id = feed_id {is_news}
                   and (e.occurred_at, e.event_position) {than} (coalesce($4, '{begin}'::timestamptz), $5)
                   and {entries}{conditions}
                 order by e.occurred_at {order}, e.event_position {order} limit 1
             ) first (head_at, head_position)"
        )
    };
    let read_on = |heads: &str, is_news: &str| {
        format!(
            "select found.* from bound join {heads} on (bound_at, bound_position) {than}= (head_at, head_position)
             cross join lateral (
                 select e.occurred_at, e.event_position from read_feed_entry e
                 where e.tenant_id = $1 and e.subject_kind = feed_kind and e.subject_id = feed_id {is_news}
                   and (e.occurred_at, e.event_position) {than}= (head_at, head_position)
                   and (bound_at, bound_position) {than}= (e.occurred_at, e.event_position)
                   and {entries}{conditions}
                 order by e.occurred_at {order}, e.event_position {order} limit $6
             ) found"
        )
    };
    format!(
        "with recursive part (kind, id) as (
             select $2::text collate \"C\", $3::text collate \"C\"
             union
             select other_kind, other_id from part
             join read_feed_link on tenant_id = $1 and record_kind = part.kind and record_id = part.id
             where gathers = 'part' and {links}
         ), gathered (feed_kind, feed_id) as (
             select kind, id from part
             union
             select other_kind, other_id from part
             join read_feed_link on tenant_id = $1 and record_kind = part.kind and record_id = part.id
             where gathers = 'feed' and {links}
         ), remarked (feed_kind, feed_id) as (
             select other_kind, other_id from gathered
             join read_feed_link on tenant_id = $1 and record_kind = feed_kind and record_id = feed_id
             where gathers = 'remarks' and {links}
             except select * from gathered
         ), head as materialized ({}), remarked_head as materialized ({}), bound (bound_at, bound_position) as (
             select * from (
                 (select distinct head_at, head_position
                  from (select head_at, head_position from head
                        union all select head_at, head_position from remarked_head) heads
                  order by head_at {order}, head_position {order} offset $6 - 1 limit 1)
                 union all select '{end}', 0
             ) bound (at, position) order by at {order} limit 1
         )
         select distinct occurred_at, event_position from ({} union all {}) found
         order by occurred_at {order}, event_position {order} limit $6",
        head("gathered", news, is_news),
        head("remarked", &remarks, one),
        read_on("head", is_news),
        read_on("remarked_head", one),
    )
}

/// What a page needs to know of a record.
struct Row {
    name: Option<String>,
    worth: Option<Value>,
    refers: Vec<Subject>,
    rewrites: Vec<Rewrite>,
}

/// Records with what feeds know of them.
type Known = HashMap<Subject, Row>;

async fn known(pool: &PgPool, tenant: Id, records: impl IntoIterator<Item = &Subject>) -> Result<Known, Error> {
    let ids: Vec<String> = records.into_iter().map(|record| row_id(record).to_string()).collect();
    if ids.is_empty() {
        return Ok(Known::new());
    }
    type Columns = (String, String, Option<String>, Option<Value>, Value, Value);
    let rows: Vec<Columns> = sqlx::query_as(
        "select kind, record_id, name, worth, refers, rewrites from read_feed where tenant_id = $1 and id = any ($2)",
    )
    .bind(tenant.to_string())
    .bind(ids)
    .fetch_all(pool)
    .await?;
    let mut known = Known::new();
    for (kind, id, name, worth, refers, rewrites) in rows {
        let Ok(record_id) = id.parse() else { continue };
        let refers = serde_json::from_value(refers).map_err(unreadable)?;
        let rewrites = serde_json::from_value(rewrites).map_err(unreadable)?;
        known.insert(Subject::new(&kind, record_id), Row { name, worth, refers, rewrites });
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

async fn tell(log: &Log, tenant: Id, asked: &Asked, then: Then, found: &[Found]) -> Result<Vec<Entry>, Error> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let positions: Vec<i64> = found.iter().map(|found| found.event_position).collect();
    let mut events = events(log, tenant, &positions).await?;
    let mut told = Vec::with_capacity(found.len());
    for found in found {
        let Some(event) = events.remove(&found.event_position) else { continue };
        let Metadata { actor, .. } = serde_json::from_slice(&event.metadata).map_err(unreadable)?;
        let data: Value = event.decode().map_err(unreadable)?;
        let record = record_of(&event).ok_or_else(|| Unreadable("an entry's record has no id".into()))?;
        let occurred_at = found.occurred_at.to_jiff();
        told.push(Told { event, data, actor, record, occurred_at });
    }
    let records: BTreeSet<&Subject> = told.iter().map(|told| &told.record).collect();
    let rows = known(log.pool(), tenant, records);
    let (redacted, mut known) = futures::future::try_join(redacted(log.pool(), tenant, &told), rows).await?;
    rewrite(log, tenant, then, &known, &mut told).await?;
    for told in &mut told {
        if message(told).is_some_and(|message| redacted.contains(&message)) {
            told.data["body"] = Value::Null;
        }
    }
    let mut wanted: BTreeSet<Subject> = BTreeSet::new();
    for told in &told {
        wanted.extend(known.get(&told.record).into_iter().flat_map(|row| &row.refers).cloned());
        wanted.extend(actor_record(&told.actor));
        wanted.extend(told.actor.on_behalf_of.into_iter().flat_map(for_whom));
        // The same words with no name known say whose names they need.
        summary::of(&told.event.kind, &told.data, &about(told, &known), &mut |record| {
            wanted.insert(record.clone());
            None
        });
    }
    wanted.retain(|record| !asked.hidden.contains(&record.kind));
    let wanted = asked.sight.among(log.pool(), tenant, wanted).await?;
    let own: BTreeSet<Subject> = told.iter().map(|told| told.record.clone()).collect();
    let missing: Vec<&Subject> = wanted.iter().filter(|record| !known.contains_key(*record)).collect();
    let further = self::known(log.pool(), tenant, missing).await?;
    known.extend(further);
    let seen = wanted.union(&own).cloned().collect();
    Ok(told.into_iter().map(|told| show(told, &seen, &known)).collect())
}

fn unreadable(error: serde_json::Error) -> Unreadable {
    Unreadable(error.to_string())
}

/// Events by their positions.
async fn events(log: &Log, tenant: Id, positions: &[i64]) -> Result<BTreeMap<i64, Recorded>, Error> {
    let events = log.read_positions(&tenant.to_string(), positions).await?;
    Ok(events.into_iter().map(|event| (event.position, event)).collect())
}

/// What is known of the record that something happened to.
fn about<'a>(told: &'a Told, known: &'a Known) -> About<'a> {
    let row = known.get(&told.record);
    About {
        record: &told.record,
        worth: row.and_then(|row| row.worth.as_ref()),
        refers: row.map(|row| row.refers.as_slice()).unwrap_or_default(),
    }
}

/// `seen` are the records of which something may be told.
fn show(told: Told, seen: &BTreeSet<Subject>, known: &Known) -> Entry {
    let name = |record: &Subject| known.get(record).filter(|_| seen.contains(record)).and_then(|row| row.name.clone());
    let about = about(&told, known);
    let summary = summary::of(&told.event.kind, &told.data, &about, &mut |record| name(record));
    let refers = about.refers.iter().cloned();
    let refers = refers.filter(|record| record.kind != "user" && seen.contains(record));
    let named = |record: Subject| Named { name: name(&record), kind: record.kind, id: record.id };
    let subjects = [told.record.clone()].into_iter().chain(refers).map(named).collect();
    let Told { event, data, actor, occurred_at, .. } = told;
    let who = Who {
        kind: actor.kind,
        id: actor.id,
        name: actor_record(&actor).as_ref().and_then(name),
        on_behalf_of: actor.on_behalf_of.map(|id| {
            let [user, contact] = for_whom(id);
            let whom = if known.contains_key(&user) || !known.contains_key(&contact) { user } else { contact };
            named(whom)
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
        subjects,
    }
}

/// The record that stands behind an actor.
fn actor_record(actor: &Actor) -> Option<Subject> {
    let kind = match actor.kind {
        ActorKind::User => "user",
        ActorKind::Customer => "contact",
        ActorKind::Rule => "rule",
        ActorKind::Bot => "chatbot",
        ActorKind::Integration => "api_key",
        ActorKind::Visitor | ActorKind::System => return None,
    };
    Some(Subject::new(kind, actor.id))
}

/// Whom somebody may act for.
fn for_whom(id: Id) -> [Subject; 2] {
    [Subject::new("user", id), Subject::new("contact", id)]
}

/// Lets comments and activities say what they say once they were rewritten.
async fn rewrite(log: &Log, tenant: Id, then: Then, known: &Known, told: &mut [Told]) -> Result<(), Error> {
    let of = |told: &Told| -> Vec<i64> {
        let rewrites = known.get(&told.record).into_iter().flat_map(|row| &row.rewrites);
        let counting = rewrites.filter(|rewrite| then.includes(rewrite.position, rewrite.at));
        counting.map(|rewrite| rewrite.position).collect()
    };
    let positions: Vec<i64> = told.iter().flat_map(of).collect();
    if positions.is_empty() {
        return Ok(());
    }
    let mut events = events(log, tenant, &positions).await?;
    for told in told {
        for event in of(told).iter().filter_map(|position| events.remove(position)) {
            let mut change: Value = event.decode().map_err(unreadable)?;
            match &*event.kind {
                "comment.edited" => told.data["text"] = change["to"].take(),
                "activity.corrected" => {
                    for (attribute, change) in change["changes"].as_object_mut().into_iter().flatten() {
                        told.data[attribute] = change["to"].take();
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
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
