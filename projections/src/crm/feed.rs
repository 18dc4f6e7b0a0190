//! What happened, by the records it concerns, and which records belong together. Tables: `read_feed`, what is known of
//! each record, `read_feed_entry` and `read_feed_link`.
//!
//! An entry stands in the feed of its own record, of the user who did it, and of the records that a *satellite* (a
//! comment, a deal, an offer, ...) refers to. A link says that the feed of one record gathers that of another: a contact's
//! feed that of the tickets it asked for, or what is remarked about a satellite. Both are kept with the positions and the
//! instants at which they hold, so that a feed can be read as it was. `docs/decisions/0006-feeds.md` says why.

mod page;
mod spans;
mod summary;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use domain::{Actor, ActorKind, Id, Metadata, Time, Via, catalogue, kernel::reference::Subject};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::page::{Asked, Entry, Named, Page, Who, page};
use self::spans::Held;
use crate::{Further, Keys, ReadModel, Unreadable, kernel::fold::micros};

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
    /// What it is worth: a deal's or lead's amount, an order's total, a property's price.
    pub worth: Option<Value>,
    /// The records it refers to.
    pub refers: Vec<Subject>,
    /// When it came into being; absent for what only others speak of.
    pub begun_at: Option<Time>,
    /// Whether somebody has remarked anything about it.
    pub remarked: bool,
    /// How it came to refer to what it refers to, and referred to before, in the order of the log.
    pub turns: Vec<Turn>,
    /// What happened to it, as long as it may still come into other feeds: of satellites alone.
    pub entries: Vec<Kept>,
    /// How its only entry was rewritten, in the order of the log: of comments and activities alone.
    pub rewrites: Vec<Rewrite>,
}

/// A change of what a record refers to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Turn {
    /// The position of its event.
    pub position: i64,
    /// When that happened.
    pub at: Time,
    /// By which of its attributes.
    pub role: String,
    /// What becomes of it.
    pub way: Way,
    /// The records.
    pub records: Vec<Subject>,
}

/// What a turn makes of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It refers to these records and no others.
    Set,
    /// It refers to these records too.
    Add,
    /// It no longer refers to these records.
    Remove,
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
    /// Whether only colleagues may see it.
    pub internal: bool,
    /// The users who did it.
    pub users: BTreeSet<Id>,
}

/// An event that lets an entry read differently, or takes it out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rewrite {
    /// The position of the event.
    pub position: i64,
    /// When that happened.
    pub at: Time,
    /// When the entry happened, if that is what was corrected.
    pub occurred_at: Option<Time>,
    /// Whether it is taken out.
    pub gone: bool,
}

/// The further tables.
const ENTRIES: &str = "feed_entry";
const LINKS: &str = "feed_link";

/// By which role a record refers to the one that it became a part of.
const MERGED: &str = "merged_into";

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

/// Records that remark about others: whatever a feed shows, it shows what is remarked about it.
const REMARKS: &[&str] = &["comment", "activity"];

/// The attributes by which records refer to others, and the kind of the other where the attribute does not say it.
fn attributes(kind: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let written = written(kind).iter().copied();
    // Of what is described the description says it.
    let listing = catalogue::kind(kind).and_then(|kind| kind.listing).filter(|_| KINDS.contains(&kind));
    written.chain(listing.into_iter().flat_map(|listing| listing.references().chain([("owner", "user")])))
}

/// The same of kinds that are not described.
fn written(kind: &str) -> &'static [(&'static str, &'static str)] {
    match kind {
        "contact" => &[("owner", "user")],
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
        | (
            "conversation",
            "message_deleted" | "message_reactions_received" | "message_reaction_queued" | "message_reaction_sent",
        )
        | ("conversation", "bot_step_shown" | "bot_answer_refused" | "bot_finished" | "bot_started" | "claimed")
        | ("ticket", "reply_sent")
        | ("task", "became_due_soon")
        | ("contact", "offer_received" | "absorbed" | "released" | "forwarded")
        | ("company", "absorbed" | "released")
        | ("ticket", "absorbed" | "released" | "forwarded")
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

/// A change of what a record refers to: by which attribute, how, to which records.
type Change = (&'static str, Way, Vec<Subject>);

/// What an event changes of what its record refers to.
fn changes(kind: &str, event: &str, data: &Value, is_first: bool) -> Vec<Change> {
    use Way::{Add, Remove, Set};
    let own = |attribute: &str, other: &str| records(&data[attribute], other);
    match (kind, event) {
        (_, "owner_changed") => vec![("owner", Set, own("to", "user"))],
        (_, "assigned") => vec![("assignee", Set, own("to", "user"))],
        (_, "unassigned") => vec![("assignee", Set, Vec::new())],
        (_, "follower_added") => vec![("follower", Add, own("user", "user"))],
        (_, "follower_removed") => vec![("follower", Remove, own("user", "user"))],
        (_, "merged") => vec![(MERGED, Set, own("into", kind))],
        (_, "unmerged") => vec![(MERGED, Set, Vec::new())],
        (_, "contact_linked") => vec![("contact", Set, own("contact", "contact"))],
        (_, "contact_unlinked") => vec![("contact", Set, Vec::new())],
        ("contact", "company_linked") => vec![("company", Add, own("company", "company"))],
        ("contact", "company_unlinked") => vec![("company", Remove, own("company", "company"))],
        ("ticket", "requester_changed") => {
            vec![("requester", Set, own("to", "")), ("company", Set, own("company", "company"))]
        }
        ("call", "answered") => vec![("answered_by", Set, own("user", "user"))],
        ("deal", "recorded") => {
            vec![("sold", Set, own("property", "property")), ("parties", Set, own("contacts", "contact"))]
        }
        ("lead", "converted") => {
            vec![("converted_to", Set, [own("contact", "contact"), own("deal", "deal")].concat())]
        }
        ("offer", "revised") => vec![("properties", Set, own("properties", "property"))],
        ("offer", "sent") => {
            vec![("properties", Set, own("properties", "property")), ("contact", Set, own("to", "contact"))]
        }
        ("entitlement", "transferred") => vec![("holder", Set, own("to", ""))],
        ("relation", "removed") => vec![("from", Set, Vec::new()), ("to", Set, Vec::new())],
        _ if is_first || kind == "relation" => {
            let named = attributes(kind).map(|(attribute, other)| (attribute, Set, own(attribute, other)));
            named.filter(|(.., records)| !is_first || !records.is_empty()).collect()
        }
        _ => {
            let changed = |attribute: &str| data["changes"].get(attribute).map(|change| &change["to"]);
            let changed = attributes(kind)
                .filter_map(|(attribute, other)| changed(attribute).map(|to| (attribute, Set, records(to, other))));
            changed.collect()
        }
    }
}

/// What the record is worth from now on, if the event says so.
fn worth(kind: &str, event: &str, data: &Value, is_first: bool) -> Option<Value> {
    let (attribute, event_of) = match kind {
        "deal" | "lead" => ("amount", "amount_changed"),
        "property" => ("price", "price_changed"),
        "order" => ("total", ""),
        _ => return None,
    };
    match event {
        _ if is_first => data.get(attribute).cloned(),
        "recorded" => data.get("price").cloned(),
        event if event == event_of => data.get("to").cloned(),
        _ => data["changes"].get(attribute).and_then(|change| change.get("to")).cloned(),
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
}

#[derive(Serialize)]
struct EntryRest<'a> {
    kind: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    record_id: Id,
    internal: bool,
    holds: bool,
    positions: Option<String>,
    instants: Option<String>,
}

/// The key of a row of `read_feed_link`, besides its tenant.
#[derive(Serialize)]
struct LinkKey<'a> {
    record_kind: &'a str,
    record_id: Id,
    gathers: Gathers,
    other_kind: &'a str,
    other_id: Id,
    source_id: Id,
}

#[derive(Serialize)]
struct LinkRest {
    holds: bool,
    positions: String,
    instants: String,
}

/// What the feed of one record gathers of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Gathers {
    /// Its feed.
    Feed,
    /// Its feed and whatever that gathers: it became a part of the record.
    Part,
    /// What is remarked about it.
    Remarks,
}

/// A record that is referred to, and whether as the one of which the other became a part.
type Referred = (Subject, bool);

impl Row {
    fn new(record: &Subject) -> Row {
        Row {
            kind: record.kind.clone(),
            record_id: record.id,
            name: None,
            worth: None,
            refers: Vec::new(),
            begun_at: None,
            remarked: false,
            turns: Vec::new(),
            entries: Vec::new(),
            rewrites: Vec::new(),
        }
    }

    fn record(&self) -> Subject {
        Subject::new(&self.kind, self.record_id)
    }

    fn is_satellite(&self) -> bool {
        SATELLITES.contains(&&*self.kind)
    }

    /// At which positions and instants the record refers to which others: at an instant to those that follow from the
    /// events that had occurred by then, in the order of the log.
    fn referred(&self) -> BTreeMap<Referred, Held> {
        let Some(begun_at) = self.begun_at else { return BTreeMap::new() };
        let positions = self.turns.iter().map(|turn| (turn.position, turn)).collect::<Vec<_>>();
        // What happened before the record came into being counts from then on.
        let instants = self.turns.iter().map(|turn| (turn.at.max(begun_at), turn)).collect::<Vec<_>>();
        spans::held(&positions, &instants, References::turn, |references| {
            let is_part = |role: &str| role == MERGED;
            let referred = references.0.iter().flat_map(|(record, roles)| {
                let of = |part: bool| roles.iter().any(|role| is_part(role) == part).then(|| (record.clone(), part));
                [of(false), of(true)].into_iter().flatten()
            });
            referred.collect()
        })
    }

    /// When its only entry stands where, if at all: it may be corrected and taken out.
    fn told(&self, entry: &Kept) -> BTreeMap<Time, Held> {
        let first = Rewrite {
            position: entry.position,
            at: entry.occurred_at,
            occurred_at: Some(entry.occurred_at),
            gone: false,
        };
        let all: Vec<&Rewrite> = [&first].into_iter().chain(&self.rewrites).collect();
        let positions = all.iter().map(|rewrite| (rewrite.position, *rewrite)).collect::<Vec<_>>();
        let instants = all.iter().map(|rewrite| (rewrite.at.max(first.at), *rewrite)).collect::<Vec<_>>();
        let step = |now: &mut (Option<Time>, bool), rewrite: &Rewrite| {
            *now = (rewrite.occurred_at.or(now.0), now.1 || rewrite.gone);
        };
        spans::held(&positions, &instants, step, |(occurred_at, gone)| {
            occurred_at.filter(|_| !gone).into_iter().collect()
        })
    }

    /// Takes in what changes of its references, and puts the links and past entries that follow.
    fn refer(&mut self, changes: Vec<Change>, now: Moment, further: &mut Further) -> Result<(), Unreadable> {
        if changes.is_empty() {
            return Ok(());
        }
        let before = self.referred();
        self.turns.extend(changes.into_iter().map(|(role, way, records)| Turn {
            position: now.position,
            at: now.at,
            role: role.to_owned(),
            way,
            records,
        }));
        let mut references = References::default();
        self.turns.iter().for_each(|turn| references.turn(turn));
        self.refers = references.0.into_iter().map(|(record, _)| record).collect();
        let after = self.referred();
        let all: BTreeSet<&Referred> = before.keys().chain(after.keys()).collect();
        for referred in all {
            let (then, held) = (before.get(referred), after.get(referred).cloned().unwrap_or_default());
            if then.cloned().unwrap_or_default() == held {
                continue;
            }
            self.link(referred, &held, further)?;
            if self.is_carried_to(referred) {
                for entry in &self.entries {
                    for (occurred_at, told) in self.told(entry) {
                        self.put(entry, &referred.0, occurred_at, &told.both(&held), further)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether its entries also stand in the feed of a record that it refers to. A relation's stand with both ends anyway.
    fn is_carried_to(&self, (other, is_part): &Referred) -> bool {
        self.is_satellite() && self.kind != "relation" && other.kind != "user" && !is_part
    }

    /// Puts the links that follow from a reference.
    fn link(&self, referred: &Referred, held: &Held, further: &mut Further) -> Result<(), Unreadable> {
        let own = self.record();
        let (other, is_part) = referred;
        if *is_part {
            self.put_link(other, &own, Gathers::Part, held, further)?;
        } else if self.kind == "relation" {
            // Its ends gather each other's feeds. A colleague's own feed is nobody else's.
            let other_end = self.ends().into_iter().find(|end| end != other);
            if let Some(end) = other_end.filter(|end| end.kind != "user" && other.kind != "user") {
                self.put_link(other, &end, Gathers::Feed, held, further)?;
            }
        } else if self.kind == "contact" && other.kind == "company" {
            // A company's feed gathers that of its people, theirs that of the company.
            self.put_link(other, &own, Gathers::Feed, held, further)?;
            self.put_link(&own, other, Gathers::Feed, held, further)?;
        } else if other.kind == "user" || GATHERED.contains(&&*self.kind) {
            self.put_link(other, &own, Gathers::Feed, held, further)?;
        }
        if self.remarked && self.is_carried_to(referred) {
            self.put_link(other, &own, Gathers::Remarks, held, further)?;
        }
        Ok(())
    }

    /// Both ends of a relation: its first turns name them, and they stay the same.
    fn ends(&self) -> Vec<Subject> {
        self.turns.iter().take(2).flat_map(|turn| &turn.records).cloned().collect()
    }

    fn put_link(
        &self,
        record: &Subject,
        other: &Subject,
        gathers: Gathers,
        held: &Held,
        further: &mut Further,
    ) -> Result<(), Unreadable> {
        let key = LinkKey {
            record_kind: &record.kind,
            record_id: record.id,
            gathers,
            other_kind: &other.kind,
            other_id: other.id,
            source_id: self.record_id,
        };
        let (positions, instants) = (spans::text(&held.positions), spans::text(&held.instants));
        further.put(LINKS, &key, &LinkRest { holds: held.now(), positions, instants })
    }

    /// Puts an entry into one feed, as it stands there when `held` says.
    fn put(
        &self,
        entry: &Kept,
        feed: &Subject,
        occurred_at: Time,
        held: &Held,
        further: &mut Further,
    ) -> Result<(), Unreadable> {
        let key =
            EntryKey { subject_kind: &feed.kind, subject_id: feed.id, occurred_at, event_position: entry.position };
        let usual = Held::since(entry.position, occurred_at);
        let rest = EntryRest {
            kind: &self.kind,
            event_type: &entry.event_type,
            record_id: self.record_id,
            internal: entry.internal,
            holds: held.now(),
            positions: (held.positions != usual.positions).then(|| spans::text(&held.positions)),
            instants: (held.instants != usual.instants).then(|| spans::text(&held.instants)),
        };
        further.put(ENTRIES, &key, &rest)
    }

    /// Puts an entry into every feed it belongs to, at one of the times at which it is told to have happened.
    fn put_everywhere(
        &self,
        entry: &Kept,
        occurred_at: Time,
        told: &Held,
        further: &mut Further,
    ) -> Result<(), Unreadable> {
        self.put(entry, &self.record(), occurred_at, told, further)?;
        for user in &entry.users {
            self.put(entry, &Subject::new("user", *user), occurred_at, told, further)?;
        }
        if self.kind == "relation" {
            for end in self.ends().iter().filter(|end| end.kind != "user") {
                self.put(entry, end, occurred_at, told, further)?;
            }
        } else if self.is_satellite() {
            for (referred, held) in self.referred().into_iter().filter(|(referred, _)| self.is_carried_to(referred)) {
                let held = told.both(&held);
                // What was never there leaves nothing to be taken out.
                if !held.is_empty() || !self.rewrites.is_empty() {
                    self.put(entry, &referred.0, occurred_at, &held, further)?;
                }
            }
        }
        Ok(())
    }

    /// Lets the record's only entry read differently, stand elsewhere or not at all.
    fn rewrite(&mut self, rewrite: Rewrite, further: &mut Further) -> Result<(), Unreadable> {
        let Some(entry) = self.entries.first().cloned() else { return Ok(()) };
        let before = self.told(&entry);
        self.rewrites.push(rewrite);
        let after = self.told(&entry);
        let times: BTreeSet<&Time> = before.keys().chain(after.keys()).collect();
        for time in times {
            let (then, told) = (before.get(time), after.get(time).cloned().unwrap_or_default());
            if then == Some(&told) {
                continue;
            }
            self.put_everywhere(&entry, *time, &told, further)?;
        }
        Ok(())
    }

    /// Somebody remarked about the record: where its entries stand, the remarks do too.
    fn remark(&mut self, further: &mut Further) -> Result<(), Unreadable> {
        if !std::mem::replace(&mut self.remarked, true) {
            for (referred, held) in self.referred().iter().filter(|(referred, _)| self.is_carried_to(referred)) {
                self.put_link(&referred.0, &self.record(), Gathers::Remarks, held, further)?;
            }
        }
        Ok(())
    }
}

/// What a record refers to, and by which attributes, in the order in which it came to.
#[derive(Clone, Default)]
struct References(Vec<(Subject, BTreeSet<String>)>);

impl References {
    fn turn(&mut self, turn: &Turn) {
        for (record, roles) in &mut self.0 {
            let goes = match turn.way {
                Way::Set => true,
                Way::Add => false,
                Way::Remove => turn.records.contains(record),
            };
            if goes {
                roles.remove(&turn.role);
            }
        }
        if turn.way != Way::Remove {
            for record in &turn.records {
                match self.0.iter_mut().find(|(known, _)| known == record) {
                    Some((_, roles)) => drop(roles.insert(turn.role.clone())),
                    None => self.0.push((record.clone(), [turn.role.clone()].into())),
                }
            }
        }
        self.0.retain(|(_, roles)| !roles.is_empty());
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

/// The satellites that an event remarks about.
fn remarked(event: &Recorded) -> Vec<Subject> {
    if !matches!(&*event.kind, "comment.added" | "activity.logged") {
        return Vec::new();
    }
    // What cannot be read is refused where it is folded.
    let data: Value = event.decode().unwrap_or_default();
    let subjects: BTreeSet<Subject> = records(&data["subjects"], "").into_iter().collect();
    subjects.into_iter().filter(|subject| SATELLITES.contains(&&*subject.kind)).collect()
}

/// Whether only colleagues may see what an event tells: an internal comment, a note in a ticket.
fn is_internal(event_type: &str, data: &Value) -> bool {
    match event_type {
        "comment.added" => data["internal"] == true,
        "ticket.note_added" => true,
        _ => false,
    }
}

impl ReadModel for Feed {
    const NAME: &'static str = "feed";
    const VERSION: i32 = 2;
    /// For their names alone, besides those whose events are entries.
    const KINDS: &'static [&'static str] =
        &["user", "team", "role", "rule", "product", "product_category", "label", "quick_reply", "api_key"];
    const FURTHER: &'static [&'static str] = &[ENTRIES, LINKS];
    const OWN: bool = false;
    type Row = Row;

    fn kinds() -> &'static [&'static str] {
        static ALL: LazyLock<Vec<&'static str>> = LazyLock::new(|| [KINDS, Feed::KINDS].concat());
        &ALL
    }

    fn keys(event: &Recorded) -> Keys {
        let Some(record) = record_of(event) else { return Keys::None };
        let remarked = remarked(event);
        if remarked.is_empty() {
            return Keys::One(row_id(&record));
        }
        Keys::Many([record].iter().chain(&remarked).map(row_id).collect())
    }

    fn apply(id: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        Self::fold(id, row, event, &mut Further::default())
    }

    fn fold(id: Id, row: Option<Row>, event: &Recorded, further: &mut Further) -> Result<Option<Row>, Unreadable> {
        let record = record_of(event).ok_or_else(|| Unreadable("the stream is no record's".into()))?;
        if let Some(other) = remarked(event).iter().find(|other| row_id(other) == id) {
            let mut row = row.unwrap_or_else(|| Row::new(other));
            row.remark(further)?;
            return Ok(Some(row));
        }
        let data: Value = event.decode().map_err(|error| Unreadable(error.to_string()))?;
        let kind = &*record.kind;
        let name = event.kind.split_once('.').map_or(&*event.kind, |(_, name)| name);
        let mut row = row.unwrap_or_else(|| Row::new(&record));
        let is_first = row.begun_at.is_none();
        let time = |value: &Value| value.as_str().and_then(|text| text.parse().ok()).map(micros);
        // An activity happened when it says so, however late it was logged.
        let logged = if kind == "activity" && is_first { time(&data["occurred_at"]) } else { None };
        let now = Moment { position: event.position, at: logged.unwrap_or_else(|| micros(event.occurred_at)) };
        row.begun_at = row.begun_at.or(Some(now.at));
        row.name = renamed(kind, name, &data).or(row.name);
        if let Some(worth) = worth(kind, name, &data, is_first) {
            row.worth = Some(worth).filter(|worth| !worth.is_null());
        }
        row.refer(changes(kind, name, &data, is_first), now, further)?;
        let rewrite =
            |occurred_at: Option<Time>, gone: bool| Rewrite { position: now.position, at: now.at, occurred_at, gone };
        match (kind, name) {
            ("comment", "edited") => row.rewrite(rewrite(None, false), further)?,
            ("activity", "corrected") => {
                row.rewrite(rewrite(time(&data["changes"]["occurred_at"]["to"]), false), further)?;
            }
            ("comment", "deleted") | ("activity", "withdrawn") => row.rewrite(rewrite(None, true), further)?,
            (kind, name) if is_noise(kind, name, &data) => {}
            _ => {
                let entry = Kept {
                    position: event.position,
                    event_type: event.kind.to_string(),
                    occurred_at: now.at,
                    internal: is_internal(&event.kind, &data),
                    users: users(event)?,
                };
                row.put_everywhere(&entry, now.at, &Held::since(now.position, now.at), further)?;
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
