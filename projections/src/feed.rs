//! What happened, by the records it concerns, and which records belong together. Tables: `read_feed`, what is known of
//! each record, `read_feed_entry` and `read_feed_link`.
//!
//! An entry stands in the feed of its own record, of the user who did it, and of the records that a *satellite* (a
//! comment, a deal, an offer, ...) refers to. A link says that the feed of one record gathers that of another: a contact's
//! feed that of the tickets it asked for. Both are kept with the times from which and until which they hold, so that a
//! feed can be read as it was. `docs/decisions/0006-feeds.md` says why.

mod page;
mod summary;

use std::collections::BTreeSet;

use domain::{Actor, ActorKind, Id, Metadata, Time, Via, reference::Subject};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::page::{Asked, Entry, Named, Page, Who, page};
use crate::{Further, Keys, ReadModel, Unreadable, fold::micros};

/// Feeds of all records.
#[derive(Clone, Copy, Debug)]
pub struct Feed;

/// What feeds know of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its kind.
    pub kind: String,
    /// The record itself; the row's own id follows from both.
    pub record_id: Id,
    /// What people call it.
    pub name: Option<String>,
    /// The records it refers to.
    pub refers: Vec<Reference>,
    /// What happened to it, as long as it may still come into other feeds: of satellites alone.
    pub entries: Vec<Kept>,
}

/// A record that another refers to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reference {
    /// The record.
    pub record: Subject,
    /// By which of its attributes.
    pub roles: BTreeSet<String>,
    /// Since which event.
    pub since_position: i64,
    /// When that happened.
    pub since_at: Time,
}

/// An entry that may still come into other feeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Kept {
    /// The position of its event.
    pub position: i64,
    /// The type of its event.
    #[serde(rename = "type")]
    pub event_type: String,
    /// When it happened.
    pub occurred_at: Time,
    /// Since which event it reads as it does.
    pub since_position: i64,
    /// When that happened.
    pub since_at: Time,
    /// The users who did it.
    pub users: BTreeSet<Id>,
}

/// The further tables.
const ENTRIES: &str = "feed_entry";
const LINKS: &str = "feed_link";

/// The kinds of records whose events are entries.
pub const KINDS: &[&str] = &[
    "contact",
    "company",
    "property",
    "enquiry",
    "deal",
    "order",
    "ticket",
    "lead",
    "project",
    "task",
    "conversation",
    "call",
    "offer",
    "comment",
    "activity",
    "relation",
    "entitlement",
];

/// Records whose entries also stand in the feeds of what they refer to, past ones included.
const SATELLITES: &[&str] =
    &["comment", "activity", "relation", "offer", "task", "call", "deal", "order", "lead", "enquiry", "entitlement"];

/// Records whose whole feed, with what others remark about them, is gathered by what they refer to.
const GATHERED: &[&str] = &["ticket", "conversation", "enquiry", "deal", "order", "lead", "contact"];

/// The attributes by which records refer to others, and the kind of the other where the attribute does not say it.
fn attributes(kind: &str) -> &'static [(&'static str, &'static str)] {
    match kind {
        "lead" | "enquiry" => &[("contact", "contact"), ("owner", "user")],
        "deal" => &[
            ("contact", "contact"),
            ("company", "company"),
            ("property", "property"),
            ("enquiry", "enquiry"),
            ("owner", "user"),
        ],
        "contact" | "company" | "property" | "project" => &[("owner", "user")],
        "order" => &[("customer", "contact"), ("company", "company"), ("conversation", "conversation")],
        "ticket" => &[("requester", ""), ("company", "company")],
        "task" => &[("project", "project"), ("subjects", "")],
        "call" | "conversation" => &[("contact", "contact")],
        "offer" => &[("enquiry", "enquiry"), ("contact", "contact"), ("properties", "property")],
        "comment" | "activity" => &[("subjects", "")],
        "relation" => &[("from", ""), ("to", "")],
        "entitlement" => &[("holder", ""), ("product", "product")],
        _ => &[],
    }
}

/// Events that nobody reads as news: what programs tell each other, and what another event says already.
fn is_noise(kind: &str, event: &str, data: &Value) -> bool {
    match (kind, event) {
        ("conversation", "read_marker_moved" | "message_sent" | "message_delivered" | "message_read")
        | ("conversation", "bot_step_shown" | "claimed")
        | ("ticket", "reply_sent")
        | ("contact", "offer_received" | "absorbed" | "released")
        | ("company", "absorbed" | "released")
        | ("enquiry", "offer_sent")
        | ("property", "media_reordered")
        | (_, "external_id_added" | "external_id_removed") => true,
        ("ticket", "linked" | "unlinked") => data["kind"] == "merged_from",
        _ => !KINDS.contains(&kind),
    }
}

/// The records in a value: an id, a subject or a list of either.
fn records(value: &Value, kind: &str) -> Vec<Subject> {
    match value {
        Value::String(id) => id.parse().ok().map(|id| Subject::new(kind, id)).into_iter().collect(),
        Value::Array(values) => values.iter().flat_map(|value| records(value, kind)).collect(),
        Value::Object(object) => match (object.get("kind").and_then(Value::as_str), object.get("id")) {
            (Some(kind), Some(id)) => records(id, kind),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// A change of what a record refers to.
enum Change {
    /// By this attribute to these and no others.
    Set(&'static str, Vec<Subject>),
    /// To this one too.
    Add(&'static str, Vec<Subject>),
    /// No longer to this one.
    Remove(&'static str, Vec<Subject>),
}

/// What an event changes of what its record refers to.
fn changes(kind: &str, event: &str, data: &Value, is_first: bool) -> Vec<Change> {
    use Change::{Add, Remove, Set};
    let own = |attribute: &str, other: &str| records(&data[attribute], other);
    match (kind, event) {
        (_, "owner_changed") => vec![Set("owner", own("to", "user"))],
        (_, "assigned") => vec![Set("assignee", own("to", "user"))],
        (_, "unassigned") => vec![Set("assignee", Vec::new())],
        (_, "follower_added") => vec![Add("follower", own("user", "user"))],
        (_, "follower_removed") => vec![Remove("follower", own("user", "user"))],
        (_, "merged") => vec![Set("merged_into", own("into", kind))],
        (_, "unmerged") => vec![Set("merged_into", Vec::new())],
        (_, "contact_linked") => vec![Set("contact", own("contact", "contact"))],
        (_, "contact_unlinked") => vec![Set("contact", Vec::new())],
        ("contact", "company_linked") => vec![Add("company", own("company", "company"))],
        ("contact", "company_unlinked") => vec![Remove("company", own("company", "company"))],
        ("ticket", "requester_changed") => {
            vec![Set("requester", own("to", "")), Set("company", own("company", "company"))]
        }
        ("call", "answered") => vec![Set("answered_by", own("user", "user"))],
        ("deal", "recorded") => {
            vec![Set("sold", own("property", "property")), Set("parties", own("contacts", "contact"))]
        }
        ("lead", "converted") => vec![Set("converted_to", [own("contact", "contact"), own("deal", "deal")].concat())],
        ("offer", "revised") => vec![Set("properties", own("properties", "property"))],
        ("offer", "sent") => {
            vec![Set("properties", own("properties", "property")), Set("contact", own("to", "contact"))]
        }
        ("entitlement", "transferred") => vec![Set("holder", own("to", ""))],
        ("relation", "removed") => vec![Set("from", Vec::new()), Set("to", Vec::new())],
        _ if is_first || kind == "relation" => {
            attributes(kind).iter().map(|(attribute, other)| Set(attribute, own(attribute, other))).collect()
        }
        _ => {
            let changed = |attribute: &str| data["changes"].get(attribute).map(|change| &change["to"]);
            let changed = attributes(kind)
                .iter()
                .filter_map(|(attribute, other)| changed(attribute).map(|to| Set(attribute, records(to, other))));
            changed.collect()
        }
    }
}

/// What people call the record from now on, if the event says so.
fn renamed(kind: &str, event: &str, data: &Value) -> Option<String> {
    let text = |value: &Value| value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(ToOwned::to_owned);
    match (kind, event) {
        ("order", "placed") => data["number"].as_u64().map(|number| format!("Order {number}")),
        ("call", "received") => text(&data["from"]),
        ("conversation", "started") => text(&data["visitor"]["name"]).or_else(|| text(&data["identity"]["value"])),
        (_, "title_changed" | "renamed") => text(&data["to"]),
        _ => ["name", "title"]
            .into_iter()
            .find_map(|attribute| text(&data[attribute]).or_else(|| text(&data["changes"][attribute]["to"]))),
    }
}

/// The row of a record: ids are unique within a kind.
fn row_id(record: &Subject) -> Id {
    Id::named(&["feed", &record.kind, &record.id.to_string()])
}

fn record_of(event: &Recorded) -> Option<Subject> {
    event.key().parse().ok().map(|id| Subject::new(event.category(), id))
}

/// Where in the log, and when in the world.
#[derive(Clone, Copy)]
struct Moment {
    position: i64,
    at: Time,
}

/// The key of a row of `read_feed_entry`, besides its tenant.
#[derive(Serialize)]
struct EntryKey<'a> {
    subject_kind: &'a str,
    subject_id: Id,
    occurred_at: Time,
    event_position: i64,
    since_position: i64,
}

#[derive(Serialize)]
struct EntryRest<'a> {
    kind: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    record_id: Id,
    since_at: Time,
    until_position: Option<i64>,
    until_at: Option<Time>,
}

/// The key of a row of `read_feed_link`, besides its tenant.
#[derive(Serialize)]
struct LinkKey<'a> {
    record_kind: &'a str,
    record_id: Id,
    other_kind: &'a str,
    other_id: Id,
    source_id: Id,
    since_position: i64,
}

#[derive(Serialize)]
struct LinkRest {
    is_part: bool,
    since_at: Time,
    until_position: Option<i64>,
    until_at: Option<Time>,
}

impl Row {
    fn new(record: &Subject) -> Row {
        Row { kind: record.kind.clone(), record_id: record.id, name: None, refers: Vec::new(), entries: Vec::new() }
    }

    fn is_satellite(&self) -> bool {
        SATELLITES.contains(&&*self.kind)
    }

    /// Takes in changes; returns the records that it no longer refers to, and those that it refers to anew.
    fn refer(&mut self, changes: Vec<Change>, now: Moment) -> (Vec<Reference>, Vec<Reference>) {
        if changes.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let before = self.refers.clone();
        for change in changes {
            match change {
                Change::Set(role, records) => {
                    for known in &mut self.refers {
                        known.roles.remove(role);
                    }
                    self.add(role, records, now);
                }
                Change::Add(role, records) => self.add(role, records, now),
                Change::Remove(role, records) => {
                    for known in self.refers.iter_mut().filter(|known| records.contains(&known.record)) {
                        known.roles.remove(role);
                    }
                }
            }
        }
        self.refers.retain(|known| !known.roles.is_empty());
        let lacks = |all: &[Reference], one: &Reference| all.iter().all(|other| other.record != one.record);
        let anew = self.refers.iter().filter(|now| lacks(&before, now)).cloned().collect();
        (before.into_iter().filter(|past| lacks(&self.refers, past)).collect(), anew)
    }

    fn add(&mut self, role: &str, records: Vec<Subject>, now: Moment) {
        for record in records {
            let known = self.refers.iter_mut().find(|known| known.record == record);
            match known {
                Some(known) => known.roles.extend([role.to_owned()]),
                None => self.refers.push(Reference {
                    record,
                    roles: [role.to_owned()].into(),
                    since_position: now.position,
                    since_at: now.at,
                }),
            }
        }
    }

    /// Puts the links that follow from a reference, as they are until `until`.
    fn link(&self, reference: &Reference, until: Option<Moment>, further: &mut Further) -> Result<(), Unreadable> {
        let own = Subject::new(&self.kind, self.record_id);
        let other = &reference.record;
        let mut put = |record: &Subject, other: &Subject, is_part: bool| {
            let key = LinkKey {
                record_kind: &record.kind,
                record_id: record.id,
                other_kind: &other.kind,
                other_id: other.id,
                source_id: self.record_id,
                since_position: reference.since_position,
            };
            let (until_position, until_at) = (until.map(|until| until.position), until.map(|until| until.at));
            further.put(LINKS, &key, &LinkRest { is_part, since_at: reference.since_at, until_position, until_at })
        };
        if reference.roles.contains("merged_into") {
            put(other, &own, true)
        } else if self.kind == "contact" && other.kind == "company" {
            // A company's feed gathers that of its people, theirs that of the company.
            put(other, &own, false)?;
            put(&own, other, false)
        } else if other.kind == "user" || GATHERED.contains(&&*self.kind) {
            put(other, &own, false)
        } else {
            Ok(())
        }
    }

    /// Puts an entry into one feed, as it stands there until `until`. `since` is when it came there, if not at once.
    fn put(
        &self,
        entry: &Kept,
        feed: &Subject,
        since: Option<&Reference>,
        until: Option<Moment>,
        further: &mut Further,
    ) -> Result<(), Unreadable> {
        let later = since.filter(|since| since.since_position > entry.since_position);
        let (since_position, since_at) =
            later.map_or((entry.since_position, entry.since_at), |since| (since.since_position, since.since_at));
        let key = EntryKey {
            subject_kind: &feed.kind,
            subject_id: feed.id,
            occurred_at: entry.occurred_at,
            event_position: entry.position,
            since_position,
        };
        let rest = EntryRest {
            kind: &self.kind,
            event_type: &entry.event_type,
            record_id: self.record_id,
            since_at,
            until_position: until.map(|until| until.position),
            until_at: until.map(|until| until.at),
        };
        further.put(ENTRIES, &key, &rest)
    }

    /// Puts an entry into every feed it belongs to.
    fn put_everywhere(&self, entry: &Kept, until: Option<Moment>, further: &mut Further) -> Result<(), Unreadable> {
        let own = Subject::new(&self.kind, self.record_id);
        self.put(entry, &own, None, until, further)?;
        for user in &entry.users {
            self.put(entry, &Subject::new("user", *user), None, until, further)?;
        }
        if self.is_satellite() {
            for reference in self.refers.iter().filter(|reference| reference.record.kind != "user") {
                self.put(entry, &reference.record, Some(reference), until, further)?;
            }
        }
        Ok(())
    }

    /// Puts the links and past entries where they belong once the record refers to others.
    fn moved(
        &self,
        (gone, anew): (Vec<Reference>, Vec<Reference>),
        now: Moment,
        further: &mut Further,
    ) -> Result<(), Unreadable> {
        let carried = |references: &[Reference]| -> Vec<Reference> {
            let feeds = references.iter().filter(|reference| reference.record.kind != "user" && self.is_satellite());
            feeds.cloned().collect()
        };
        if self.kind == "relation" {
            self.relate(&gone, Some(now), further)?;
            self.relate(&anew, None, further)?;
        } else {
            gone.iter().try_for_each(|reference| self.link(reference, Some(now), further))?;
            anew.iter().try_for_each(|reference| self.link(reference, None, further))?;
        }
        for (references, until) in [(carried(&gone), Some(now)), (carried(&anew), None)] {
            for reference in references {
                for entry in &self.entries {
                    self.put(entry, &reference.record, Some(&reference), until, further)?;
                }
            }
        }
        Ok(())
    }

    /// The two ends of a relation gather each other's feeds.
    fn relate(&self, ends: &[Reference], until: Option<Moment>, further: &mut Further) -> Result<(), Unreadable> {
        let [one, other] = ends else { return Ok(()) };
        for (record, other) in [(one, other), (other, one)] {
            let key = LinkKey {
                record_kind: &record.record.kind,
                record_id: record.record.id,
                other_kind: &other.record.kind,
                other_id: other.record.id,
                source_id: self.record_id,
                since_position: record.since_position,
            };
            let (until_position, until_at) = (until.map(|until| until.position), until.map(|until| until.at));
            let rest = LinkRest { is_part: false, since_at: record.since_at, until_position, until_at };
            further.put(LINKS, &key, &rest)?;
        }
        Ok(())
    }

    /// Lets the record's only entry read differently from now on, or not at all.
    fn rewrite(&mut self, now: Moment, after: Option<Time>, further: &mut Further) -> Result<(), Unreadable> {
        let Some(entry) = self.entries.pop() else { return Ok(()) };
        self.put_everywhere(&entry, Some(now), further)?;
        if let Some(occurred_at) = after {
            let entry = Kept { occurred_at, since_position: now.position, since_at: now.at, ..entry };
            self.put_everywhere(&entry, None, further)?;
            self.entries.push(entry);
        }
        Ok(())
    }
}

/// The users whose doing an event is. What an import brings in, nobody did here.
fn users(event: &Recorded) -> Result<BTreeSet<Id>, Unreadable> {
    let unreadable = |error: serde_json::Error| Unreadable(error.to_string());
    let metadata: Metadata = serde_json::from_slice(&event.metadata).map_err(unreadable)?;
    let Actor { kind, id, on_behalf_of } = metadata.actor;
    if kind != ActorKind::User || metadata.via == Via::Import {
        return Ok(BTreeSet::new());
    }
    Ok([Some(id), on_behalf_of].into_iter().flatten().collect())
}

impl ReadModel for Feed {
    const NAME: &'static str = "feed";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[
        "contact",
        "company",
        "property",
        "enquiry",
        "deal",
        "order",
        "ticket",
        "lead",
        "project",
        "task",
        "conversation",
        "call",
        "offer",
        "comment",
        "activity",
        "relation",
        "entitlement",
        // For their names alone.
        "user",
        "team",
        "rule",
        "product",
        "label",
        "api_key",
    ];
    const FURTHER: &'static [&'static str] = &[ENTRIES, LINKS];
    type Row = Row;

    fn keys(event: &Recorded) -> Keys {
        record_of(event).map_or(Keys::None, |record| Keys::One(row_id(&record)))
    }

    fn apply(id: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        Self::fold(id, row, event, &mut Further::default())
    }

    fn fold(_: Id, row: Option<Row>, event: &Recorded, further: &mut Further) -> Result<Option<Row>, Unreadable> {
        let record = record_of(event).ok_or_else(|| Unreadable("the stream is no record's".into()))?;
        let data: Value = event.decode().map_err(|error| Unreadable(error.to_string()))?;
        let name = event.kind.split_once('.').map_or(&*event.kind, |(_, name)| name);
        let now = Moment { position: event.position, at: micros(event.occurred_at) };
        let is_first = row.is_none();
        let mut row = row.unwrap_or_else(|| Row::new(&record));
        row.name = renamed(&record.kind, name, &data).or(row.name);
        let time = |value: &Value| value.as_str().and_then(|text| text.parse().ok()).map(micros);
        let moved = row.refer(changes(&record.kind, name, &data, is_first), now);
        let ends = (record.kind == "relation" && name == "removed").then(|| moved.0.clone());
        row.moved(moved, now, further)?;
        match (&*record.kind, name) {
            ("comment", "edited") => {
                let occurred_at = row.entries.last().map(|entry| entry.occurred_at);
                row.rewrite(now, occurred_at, further)?;
            }
            ("activity", "corrected") => {
                let occurred_at = row.entries.last().map(|entry| entry.occurred_at);
                row.rewrite(now, time(&data["changes"]["occurred_at"]["to"]).or(occurred_at), further)?;
            }
            ("comment", "deleted") | ("activity", "withdrawn") => row.rewrite(now, None, further)?,
            (kind, name) if is_noise(kind, name, &data) => {}
            (kind, _) => {
                let told = if kind == "activity" { time(&data["occurred_at"]) } else { None };
                let occurred_at = told.unwrap_or(now.at);
                let entry = Kept {
                    position: event.position,
                    event_type: event.kind.to_string(),
                    occurred_at,
                    since_position: event.position,
                    since_at: occurred_at,
                    users: users(event)?,
                };
                row.put_everywhere(&entry, None, further)?;
                for end in ends.into_iter().flatten() {
                    row.put(&entry, &end.record, None, None, further)?;
                }
                // What happened to a relation stays in the feeds of both ends, whatever comes after.
                if row.is_satellite() && kind != "relation" {
                    row.entries.push(entry);
                }
            }
        }
        Ok(Some(row))
    }
}

#[cfg(test)]
mod tests;
