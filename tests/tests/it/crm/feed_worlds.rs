//! Random worlds, orderly and disorderly ones: every feed, now and as of any past, is what a slow and simple fold of the log
//! says, whatever the size of its pages and the direction of reading.

use std::collections::{BTreeMap, BTreeSet};

use deskfold_tests::{Client, Server};
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use crate::{
    org::auth::user_with,
    world::{colleague, encoded, instant, party},
};

/// Kinds whose events are news.
const NEWS: &[&str] = &[
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
/// What also shows with whatever it refers to.
const SATELLITES: &[&str] =
    &["comment", "activity", "offer", "task", "call", "deal", "order", "lead", "enquiry", "entitlement"];
/// What is gathered with all that is said about it.
const GATHERED: &[&str] = &["ticket", "conversation", "enquiry", "deal", "order", "lead", "contact"];
/// What programs tell each other, and what another event says already.
const NOISE: &[&str] = &[
    "conversation.read_marker_moved",
    "conversation.message_sent",
    "conversation.message_delivered",
    "conversation.message_read",
    "conversation.message_deleted",
    "conversation.message_reactions_received",
    "conversation.message_reaction_queued",
    "conversation.message_reaction_sent",
    "conversation.bot_step_shown",
    "conversation.claimed",
    "ticket.reply_sent",
    "contact.offer_received",
    "contact.absorbed",
    "contact.released",
    "contact.forwarded",
    "company.absorbed",
    "company.released",
    "ticket.absorbed",
    "ticket.released",
    "ticket.forwarded",
    "enquiry.offer_sent",
    "property.media_reordered",
];

type Record = (String, String);

/// An event as the log shows it.
struct Event {
    position: i64,
    version: i64,
    record: Record,
    name: String,
    /// When it happened; an activity, when it says so.
    at: Timestamp,
    recorded_at: Timestamp,
    data: Value,
    users: BTreeSet<String>,
}

/// Which events count.
#[derive(Clone, Copy, Debug)]
enum Then {
    Now,
    Position(i64),
    Instant(Timestamp),
    KnownAt(Timestamp),
}

impl Then {
    fn counts(self, event: &Event) -> bool {
        match self {
            Then::Now => true,
            Then::Position(position) => event.position <= position,
            Then::Instant(at) => event.at <= at,
            Then::KnownAt(at) => event.recorded_at <= at,
        }
    }

    fn query(self) -> String {
        match self {
            Then::Now => String::new(),
            Then::Position(position) => format!("&as_of={position}"),
            Then::Instant(at) => format!("&as_of={}", encoded(&at.to_string())),
            Then::KnownAt(at) => format!("&known_at={}", encoded(&at.to_string())),
        }
    }
}

/// The whole log, read page by page.
async fn log(client: &Client) -> Vec<Event> {
    let (mut events, mut next) = (Vec::new(), Some("/v1/events?limit=1000".to_owned()));
    while let Some(path) = next {
        let page = client.read(&path).await;
        next = page["next"].as_str().map(ToOwned::to_owned);
        for event in page["data"].as_array().unwrap() {
            let text = |name: &str| event[name].as_str().unwrap().to_owned();
            let (kind, id) = event["stream"].as_str().unwrap().split_once('-').unwrap();
            let actor = &event["actor"];
            let users = [&actor["id"], &actor["on_behalf_of"]].into_iter().filter_map(Value::as_str);
            let is_user = actor["kind"] == "user" && event["via"] != "import";
            let name = text("type");
            let told = event["data"].get("occurred_at").filter(|_| name == "activity.logged");
            events.push(Event {
                position: event["position"].as_i64().unwrap(),
                version: event["version"].as_i64().unwrap(),
                record: (kind.to_owned(), id.to_owned()),
                at: instant(told.unwrap_or(&event["occurred_at"])),
                recorded_at: instant(&event["recorded_at"]),
                data: event["data"].clone(),
                users: users.filter(|_| is_user).map(ToOwned::to_owned).collect(),
                name,
            });
        }
    }
    events
}

/// A record as far as feeds go: what it refers to by which attribute, and where it stands itself.
#[derive(Default)]
struct State {
    exists: bool,
    refers: BTreeMap<String, BTreeSet<Record>>,
    /// When a comment or an activity happened, unless it is out of sight.
    stands_at: Option<Timestamp>,
    gone: bool,
}

fn ids(value: &Value, kind: &str) -> BTreeSet<Record> {
    match value {
        Value::String(id) => [(kind.to_owned(), id.clone())].into(),
        Value::Array(values) => values.iter().flat_map(|value| ids(value, kind)).collect(),
        Value::Object(subject) if subject.contains_key("kind") => {
            [(subject["kind"].as_str().unwrap().to_owned(), subject["id"].as_str().unwrap().to_owned())].into()
        }
        _ => BTreeSet::new(),
    }
}

/// The attributes of a new record that name others.
fn attributes(kind: &str) -> &'static [(&'static str, &'static str)] {
    match kind {
        "contact" | "company" | "property" | "project" => &[("owner", "user")],
        "lead" | "enquiry" => &[("contact", "contact"), ("owner", "user")],
        "deal" => &[
            ("contact", "contact"),
            ("company", "company"),
            ("property", "property"),
            ("enquiry", "enquiry"),
            ("owner", "user"),
        ],
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

impl State {
    fn set(&mut self, role: &str, records: BTreeSet<Record>) {
        self.refers.insert(role.to_owned(), records);
    }

    fn fold(&mut self, event: &Event) {
        if event.version == 0 {
            self.exists = true;
        }
        let (kind, data) = (event.record.0.as_str(), &event.data);
        let name = event.name.split_once('.').unwrap().1;
        if matches!(kind, "comment" | "activity") {
            match name {
                "added" | "logged" => self.stands_at = Some(event.at),
                "deleted" | "withdrawn" => self.gone = true,
                "corrected" if data["changes"]["occurred_at"]["to"].is_string() => {
                    self.stands_at = Some(instant(&data["changes"]["occurred_at"]["to"]));
                }
                _ => {}
            }
        }
        match (kind, name) {
            (_, "owner_changed") => self.set("owner", ids(&data["to"], "user")),
            (_, "assigned") => self.set("assignee", ids(&data["to"], "user")),
            (_, "unassigned") => self.set("assignee", BTreeSet::new()),
            (_, "follower_added") => {
                self.refers.entry("follower".into()).or_default().extend(ids(&data["user"], "user"));
            }
            (_, "follower_removed") => {
                let user = ids(&data["user"], "user");
                self.refers.entry("follower".into()).or_default().retain(|known| !user.contains(known));
            }
            (_, "merged") => self.set("merged", ids(&data["into"], kind)),
            (_, "unmerged") => self.set("merged", BTreeSet::new()),
            (_, "contact_linked") => self.set("contact", ids(&data["contact"], "contact")),
            (_, "contact_unlinked") => self.set("contact", BTreeSet::new()),
            ("contact", "company_linked") => {
                self.refers.entry("company".into()).or_default().extend(ids(&data["company"], "company"));
            }
            ("contact", "company_unlinked") => {
                let company = ids(&data["company"], "company");
                self.refers.entry("company".into()).or_default().retain(|known| !company.contains(known));
            }
            ("ticket", "requester_changed") => {
                self.set("requester", ids(&data["to"], ""));
                self.set("company", ids(&data["company"], "company"));
            }
            ("call", "answered") => self.set("answered_by", ids(&data["user"], "user")),
            ("deal", "recorded") => {
                self.set("sold", ids(&data["property"], "property"));
                self.set("parties", ids(&data["contacts"], "contact"));
            }
            ("lead", "converted") => {
                let both = [ids(&data["contact"], "contact"), ids(&data["deal"], "deal")];
                self.set("converted", both.into_iter().flatten().collect());
            }
            ("offer", "revised") => self.set("properties", ids(&data["properties"], "property")),
            ("offer", "sent") => {
                self.set("properties", ids(&data["properties"], "property"));
                self.set("contact", ids(&data["to"], "contact"));
            }
            ("entitlement", "transferred") => self.set("holder", ids(&data["to"], "")),
            ("relation", "removed") => self.refers.clear(),
            _ if event.version == 0 || kind == "relation" => {
                for (attribute, other) in attributes(kind) {
                    self.set(attribute, ids(&data[*attribute], other));
                }
            }
            _ => {
                for (attribute, other) in attributes(kind) {
                    if let Some(change) = data["changes"].get(*attribute) {
                        self.set(attribute, ids(&change["to"], other));
                    }
                }
            }
        }
    }

    /// Whom it refers to, besides the one that it became a part of.
    fn others(&self) -> BTreeSet<&Record> {
        let roles = self.refers.iter().filter(|(role, _)| self.exists && *role != "merged");
        roles.flat_map(|(_, records)| records).collect()
    }
}

/// Every record as it was: each event that counts, in the order of the log.
fn states(events: &[Event], then: Then) -> BTreeMap<&Record, State> {
    let mut states: BTreeMap<&Record, State> = BTreeMap::new();
    for event in events.iter().filter(|event| then.counts(event)) {
        states.entry(&event.record).or_default().fold(event);
    }
    states
}

/// A feed as it is told in `docs/decisions/0006-feeds.md`: the positions of its entries, newest first.
fn feed(events: &[Event], states: &BTreeMap<&Record, State>, whose: &Record, then: Then) -> Vec<i64> {
    // The record, and what became a part of it.
    let mut parts: BTreeSet<&Record> = [whose].into();
    loop {
        let before = parts.len();
        let merged = states.iter().filter(|(_, state)| {
            state.exists && state.refers.get("merged").is_some_and(|into| into.iter().any(|into| parts.contains(into)))
        });
        let merged: Vec<&Record> = merged.map(|(record, _)| *record).collect();
        parts.extend(merged);
        if parts.len() == before {
            break;
        }
    }
    // What belongs to them.
    let mut gathered = parts.clone();
    for (record, state) in states {
        let others = state.others();
        for part in &parts {
            if record.0 == "relation" {
                let ends: Vec<&&Record> = others.iter().collect();
                if ends.contains(&part) && ends.iter().all(|end| end.0 != "user") {
                    gathered.extend(ends.into_iter().filter(|end| end != &part));
                }
            } else if others.contains(part)
                && (part.0 == "user"
                    || GATHERED.contains(&record.0.as_str())
                    || (record.0 == "contact" && part.0 == "company"))
            {
                gathered.insert(record);
            }
            if record == part && record.0 == "contact" {
                gathered.extend(others.iter().filter(|other| other.0 == "company"));
            }
        }
    }
    // What stands with them, and what is remarked about any of it.
    let near = |record: &Record| {
        let others = states.get(record).map(State::others).unwrap_or_default();
        others.into_iter().any(|other| other.0 != "user" && gathered.contains(other))
    };
    let shows = |event: &Event| -> bool {
        let record = &event.record;
        if gathered.contains(record) || (whose.0 == "user" && event.users.contains(&whose.1)) {
            return true;
        }
        match record.0.as_str() {
            "relation" => [&event.data["from"], &event.data["to"]]
                .into_iter()
                .flat_map(|end| ids(end, ""))
                .any(|end| end.0 != "user" && gathered.contains(&end)),
            "comment" | "activity" => {
                let subjects = states.get(record).map(State::others).unwrap_or_default();
                near(record)
                    || subjects.into_iter().any(|subject| SATELLITES.contains(&subject.0.as_str()) && near(subject))
            }
            kind => SATELLITES.contains(&kind) && near(record),
        }
    };
    let mut entries = Vec::new();
    for event in events.iter().filter(|event| then.counts(event)) {
        let kind = event.record.0.as_str();
        let is_noise = !NEWS.contains(&kind)
            || NOISE.contains(&event.name.as_str())
            || event.name.contains(".external_id_")
            || (matches!(event.name.as_str(), "ticket.linked" | "ticket.unlinked")
                && event.data["kind"] == "merged_from");
        let is_remark = matches!(kind, "comment" | "activity");
        if is_noise || (is_remark && event.version > 0) || !shows(event) {
            continue;
        }
        if !is_remark {
            entries.push((event.at, event.position));
            continue;
        }
        let state = &states[&event.record];
        if !state.gone {
            entries.extend(state.stands_at.map(|at| (at, event.position)));
        }
    }
    entries.sort_unstable();
    entries.into_iter().rev().map(|(_, position)| position).collect()
}

/// A small generator whose numbers follow from its seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// What there is, by collection, and how it goes on.
pub(crate) struct World<'a> {
    client: &'a Client,
    dice: Dice,
    /// How often what happens happened earlier than it is told: one time in so many, never at 0.
    late: usize,
    now: Timestamp,
    all: BTreeMap<&'static str, Vec<String>>,
    accepted: usize,
}

impl World<'_> {
    fn when(&mut self) -> Timestamp {
        self.now - i64::try_from(self.dice.below(40 * 24)).unwrap().hours()
    }

    /// The client, as of some other time perhaps.
    fn asking(&mut self) -> Client {
        match self.late {
            late if late > 0 && self.dice.one_in(late) => {
                let when = self.when();
                self.client.header("deskfold-occurred-at", when)
            }
            _ => self.client.clone(),
        }
    }

    /// One of a collection; null when there is none.
    fn some(&mut self, collection: &str) -> Value {
        let all = self.all.get(collection).cloned().unwrap_or_default();
        if all.is_empty() { Value::Null } else { json!(self.dice.pick(&all)) }
    }

    fn perhaps(&mut self, collection: &str) -> Value {
        if self.dice.one_in(3) { Value::Null } else { self.some(collection) }
    }

    fn several(&mut self, collection: &str) -> Value {
        let count = 1 + self.dice.below(2);
        let all: BTreeSet<String> =
            (0..count).filter_map(|_| self.some(collection).as_str().map(ToOwned::to_owned)).collect();
        json!(all)
    }

    fn subject(&mut self) -> Value {
        let kinds = [
            ("contact", "contacts"),
            ("contact", "contacts"),
            ("company", "companies"),
            ("property", "properties"),
            ("enquiry", "enquiries"),
            ("deal", "deals"),
            ("offer", "offers"),
            ("task", "tasks"),
            ("call", "calls"),
            ("order", "orders"),
            ("ticket", "tickets"),
            ("lead", "leads"),
            ("conversation", "conversations"),
            ("user", "users"),
            ("project", "projects"),
        ];
        loop {
            let (kind, collection) = *self.dice.pick(&kinds);
            if let Some(id) = self.some(collection).as_str() {
                return party(kind, id);
            }
        }
    }

    fn subjects(&mut self) -> Value {
        let count = 1 + self.dice.below(3);
        let mut all: Vec<Value> = (0..count).map(|_| self.subject()).collect();
        all.dedup();
        json!(all)
    }

    async fn create(&mut self, collection: &'static str, body: Value) {
        let client = self.asking();
        let reply = client.post(&format!("/v1/{collection}"), body).await;
        assert!(!reply.status.is_server_error(), "{collection}: {}", reply.text);
        if reply.status.is_success() {
            self.accepted += 1;
            let id = reply.json()["id"].as_str().unwrap().to_owned();
            let known = self.all.entry(collection).or_default();
            if !known.contains(&id) {
                known.push(id);
            }
        }
    }

    /// Asks a command of some record; one that is refused changes nothing.
    async fn run(&mut self, collection: &str, command: &str, body: Value) {
        let Some(id) = self.some(collection).as_str().map(ToOwned::to_owned) else { return };
        let client = self.asking();
        let path = format!("/v1/{collection}/{id}");
        let reply = match command {
            "" => client.patch(&path, body).await,
            command => client.post(&format!("{path}/{command}"), body).await,
        };
        assert!(!reply.status.is_server_error(), "{path} {command}: {}", reply.text);
        self.accepted += usize::from(reply.status.is_success());
    }

    async fn begin(&mut self) {
        let users = ["Anna", "Boris"];
        for name in users {
            let id = colleague(self.client, name, "agent").await;
            self.all.entry("users").or_default().push(id);
        }
        for name in ["Maria", "Oleg", "Pia", "Rita"] {
            self.create("contacts", json!({ "name": name })).await;
        }
        for name in ["Rossi", "Bianchi", "Verdi"] {
            self.create("companies", json!({ "name": name })).await;
        }
        for name in ["Flat", "House", "Field"] {
            self.create("properties", json!({ "name": name })).await;
        }
        for name in ["Router", "Hosting"] {
            self.create("products", json!({ "name": name })).await;
        }
        self.create("projects", json!({ "name": "Sales" })).await;
        for _ in 0..4 {
            let contact = self.some("contacts");
            self.create("enquiries", json!({ "name": "Wants", "contact": contact })).await;
            let (contact, property) = (self.some("contacts"), self.some("properties"));
            self.create("deals", json!({ "name": "Sale", "contact": contact, "property": property })).await;
        }
    }

    #[allow(clippy::too_many_lines)] // One arm for each thing that may happen.
    async fn step(&mut self) {
        let number = self.accepted;
        match self.dice.below(50) {
            0 | 1 => {
                let body = json!({ "name": format!("Enquiry {number}"), "contact": self.some("contacts") });
                self.create("enquiries", body).await;
            }
            2 | 3 => {
                let body = json!({
                    "name": format!("Deal {number}"), "contact": self.perhaps("contacts"),
                    "company": self.perhaps("companies"), "property": self.perhaps("properties"),
                    "enquiry": self.perhaps("enquiries"), "owner": self.perhaps("users"),
                });
                self.create("deals", body).await;
            }
            4 | 5 => {
                let body = json!({ "enquiry": self.some("enquiries"), "properties": self.several("properties") });
                self.create("offers", body).await;
            }
            6 => {
                let body = json!({ "title": "Call", "subjects": self.subjects(), "project": self.perhaps("projects") });
                self.create("tasks", body).await;
            }
            7 => {
                let body = json!({ "from": "+39 06 555 0101", "to": "main", "contact": self.perhaps("contacts") });
                self.create("calls", body).await;
            }
            8 => {
                let body = json!({ "medium": "live_chat", "contact": self.perhaps("contacts") });
                self.create("conversations", body).await;
            }
            9 => {
                let price = json!({ "amount": "5", "currency": "EUR" });
                let body = json!({
                    "source": "shop", "customer": self.perhaps("contacts"), "company": self.perhaps("companies"),
                    "total": price,
                });
                self.create("orders", body).await;
            }
            10 => {
                let contact = self.perhaps("contacts");
                let requester = contact.as_str().map(|id| party("contact", id));
                let body = json!({ "title": "Dark", "requester": requester, "company": self.perhaps("companies") });
                self.create("tickets", body).await;
            }
            11 => {
                let body = json!({ "name": format!("Lead {number}"), "contact": self.perhaps("contacts") });
                self.create("leads", body).await;
            }
            12..=15 => {
                let body = json!({ "subjects": self.subjects(), "text": "Hm", "internal": self.dice.one_in(2) });
                self.create("comments", body).await;
            }
            16 | 17 => {
                let when = self.when();
                let body = json!({
                    "kind": "visit", "subjects": self.subjects(), "text": "Came by", "occurred_at": when.to_string(),
                });
                self.create("activities", body).await;
            }
            18 | 19 => {
                let body = json!({ "from": self.subject(), "to": self.subject(), "role": "owner" });
                self.create("relations", body).await;
            }
            20 => self.run("relations", "remove", json!({})).await,
            21 => {
                let (kind, holder) = *self.dice.pick(&[("contact", "contacts"), ("company", "companies")]);
                let holder = self.some(holder).as_str().map(|id| party(kind, id));
                let body = json!({ "product": self.some("products"), "holder": holder });
                self.create("entitlements", body).await;
            }
            22 => {
                let to = self.some("contacts").as_str().map(|id| party("contact", id));
                self.run("entitlements", "transfer", json!({ "to": to })).await;
            }
            23 | 24 => {
                let (field, collection) = *self.dice.pick(&[
                    ("contact", "contacts"),
                    ("company", "companies"),
                    ("property", "properties"),
                    ("enquiry", "enquiries"),
                ]);
                let to = self.perhaps(collection);
                self.run("deals", "", json!({ (field): to })).await;
            }
            25 => {
                let contact = self.some("contacts");
                self.run("enquiries", "", json!({ "contact": contact })).await;
            }
            26 => {
                let contact = self.perhaps("contacts");
                self.run("leads", "", json!({ "contact": contact })).await;
            }
            27 => {
                let kinds = ["contacts", "companies", "properties", "deals", "enquiries", "leads"];
                let (collection, owner) = (*self.dice.pick(&kinds), self.perhaps("users"));
                self.run(collection, "change_owner", json!({ "owner": owner })).await;
            }
            28 => {
                let kinds = ["contacts", "companies", "properties", "deals", "enquiries"];
                let (collection, command) =
                    (*self.dice.pick(&kinds), *self.dice.pick(&["archive", "restore", "restore"]));
                self.run(collection, command, json!({})).await;
            }
            29 | 30 => {
                let collection = *self.dice.pick(&["contacts", "companies", "tickets"]);
                let into = self.some(collection);
                self.run(collection, "merge", json!({ "into": into })).await;
            }
            31 | 32 => {
                let collection = *self.dice.pick(&["contacts", "companies", "tickets"]);
                self.run(collection, "unmerge", json!({})).await;
            }
            33 => self.run("comments", "edit", json!({ "text": format!("Hm {number}") })).await,
            34 => self.run("comments", "delete", json!({})).await,
            35 | 36 => {
                let body = match self.dice.below(3) {
                    0 => json!({ "text": format!("Came {number}") }),
                    _ => json!({ "occurred_at": self.when().to_string() }),
                };
                self.run("activities", "correct", body).await;
            }
            37 => self.run("activities", "withdraw", json!({})).await,
            38 => {
                let company = self.some("companies");
                self.run("contacts", "link_company", json!({ "company": company })).await;
            }
            39 => {
                let company = self.some("companies");
                self.run("contacts", "unlink_company", json!({ "company": company })).await;
            }
            40 => {
                let collection = *self.dice.pick(&["tasks", "tickets", "conversations"]);
                let user = self.some("users");
                match self.dice.below(3) {
                    0 => self.run(collection, "unassign", json!({})).await,
                    _ => self.run(collection, "assign", json!({ "assignee": user })).await,
                }
            }
            41 => {
                let (command, user) = (*self.dice.pick(&["follow", "unfollow"]), self.some("users"));
                self.run("tickets", command, json!({ "user": user })).await;
            }
            42 => {
                let requester = self.perhaps("contacts").as_str().map(|id| party("contact", id));
                self.run("tickets", "change_requester", json!({ "requester": requester })).await;
            }
            43 => {
                let (contact, user) = (self.some("contacts"), self.some("users"));
                match self.dice.below(2) {
                    0 => self.run("calls", "link_contact", json!({ "contact": contact })).await,
                    _ => self.run("calls", "answer", json!({ "user": user })).await,
                }
            }
            44 => {
                let contact = self.some("contacts");
                match self.dice.below(2) {
                    0 => self.run("conversations", "link_contact", json!({ "contact": contact })).await,
                    _ => self.run("conversations", "unlink_contact", json!({})).await,
                }
            }
            45 | 46 => {
                let price = json!({ "amount": "5", "currency": "EUR" });
                let (property, contacts) = (self.some("properties"), self.several("contacts"));
                let sale = json!({ "property": property, "contacts": contacts, "price": price });
                self.run("deals", "record", sale).await;
            }
            47 => {
                let properties = self.several("properties");
                match self.dice.below(3) {
                    0 => self.run("offers", "revise", json!({ "properties": properties })).await,
                    1 => self.run("offers", "mark_opened", json!({})).await,
                    _ => self.run("offers", "send", json!({ "medium": "email", "repeat_reason": "again" })).await,
                }
            }
            48 => {
                let (contact, deal) = (self.some("contacts"), self.perhaps("deals"));
                self.run("leads", "convert", json!({ "contact": contact, "deal": deal })).await;
            }
            _ => self.run("deals", "move_stage", json!({ "stage": "negotiation" })).await,
        }
    }
}

/// Reads a feed page by page, and back again from its last page.
async fn pages(client: &Client, path: &str) -> (Vec<i64>, Vec<i64>) {
    let positions = |page: &Value| -> Vec<i64> {
        page["data"].as_array().unwrap().iter().map(|entry| entry["position"].as_i64().unwrap()).collect()
    };
    let (mut there, mut next, mut last) = (Vec::new(), Some(path.to_owned()), Value::Null);
    while let Some(path) = next {
        last = client.read(&path).await;
        there.extend(positions(&last));
        next = last["next"].as_str().map(ToOwned::to_owned);
        assert!(there.len() < 10_000, "{path} never ends");
    }
    let mut back = positions(&last);
    loop {
        last = client.read(last["previous"].as_str().expect("previous is never null")).await;
        let page = positions(&last);
        if page.is_empty() {
            return (there, back);
        }
        back.splice(0..0, page);
    }
}

/// Plays a world of so many steps; some of it a colleague does.
pub(crate) async fn play<'a>(
    server: &'a Server,
    (colleague, agent): (&str, &'a Client),
    seed: u64,
    steps: usize,
    late: usize,
) -> World<'a> {
    let all = BTreeMap::from([("users", vec![colleague.to_owned()])]);
    let mut world = World { client: &server.admin, dice: Dice(seed), late, now: Timestamp::now(), all, accepted: 0 };
    world.begin().await;
    for step in 0..steps {
        // His own feed has it.
        world.client = if step % 5 == 0 { agent } else { &server.admin };
        world.step().await;
    }
    server.settle().await;
    assert!(world.accepted > steps / 3, "seed {seed}: {} of {steps} commands were accepted", world.accepted);
    world
}

/// Plays a world of so many steps and compares every feed of it with the fold.
async fn agrees(seed: u64, steps: usize, late: usize) {
    let server = Server::start().await;
    let (anna, agent) = user_with(&server, "agent@example.com", &["*"]).await;
    let mut world = play(&server, (&anna, &agent), seed, steps, late).await;
    let events = log(&server.admin).await;
    let mut feeds: Vec<(String, Record)> = Vec::new();
    let kinds = [
        ("contact", "contacts"),
        ("company", "companies"),
        ("property", "properties"),
        ("enquiry", "enquiries"),
        ("deal", "deals"),
        ("offer", "offers"),
        ("task", "tasks"),
        ("call", "calls"),
        ("order", "orders"),
        ("ticket", "tickets"),
        ("lead", "leads"),
        ("conversation", "conversations"),
        ("project", "projects"),
        ("product", "products"),
        ("entitlement", "entitlements"),
    ];
    for (kind, collection) in kinds {
        for id in world.all.get(collection).into_iter().flatten() {
            feeds.push((format!("/v1/{collection}/{id}/feed?"), (kind.to_owned(), id.clone())));
        }
    }
    feeds.push(("/v1/me/feed?".to_owned(), ("user".to_owned(), anna)));
    let dice = &mut world.dice;
    let mut thens = vec![Then::Now];
    for _ in 0..3 {
        thens.push(Then::Position(dice.pick(&events).position));
        thens.push(Then::Instant(dice.pick(&events).at));
    }
    // Between what happened, and what was known when.
    thens.push(Then::Instant(dice.pick(&events).at - 1.microsecond()));
    thens.push(Then::KnownAt(dice.pick(&events).recorded_at));
    for then in thens {
        let states = states(&events, then);
        for (path, whose) in &feeds {
            let path = format!("{path}{}", then.query().trim_start_matches('&'));
            let client = if whose.0 == "user" { &agent } else { &server.admin };
            let exists = whose.0 == "user" || states.get(whose).is_some_and(|state| state.exists);
            if !exists {
                client.get(&path).await.problem(404, &format!("{}_unknown", whose.0));
                continue;
            }
            let mut expected = feed(&events, &states, whose, then);
            let whole = client.read(&format!("{path}&limit=1000")).await;
            let found = whole["data"].as_array().unwrap().iter().map(|entry| entry["position"].as_i64().unwrap());
            let found: Vec<i64> = found.collect();
            let told = |position: &i64| {
                let event = events.iter().find(|event| event.position == *position).unwrap();
                format!("{position} {} {} {}", event.name, event.at, event.data)
            };
            let lacks: Vec<String> = expected.iter().filter(|one| !found.contains(one)).map(told).collect();
            let excess: Vec<String> = found.iter().filter(|one| !expected.contains(one)).map(told).collect();
            assert_eq!(found, expected, "seed {seed}: {path} ({then:?}) lacks {lacks:#?} and has {excess:#?} too much");
            // Small pages of some of them, both ways.
            if expected.len() < 60 && dice.one_in(5) {
                let limit = 1 + dice.below(3);
                let order = *dice.pick(&["newest", "oldest"]);
                if order == "oldest" {
                    expected.reverse();
                }
                let (there, back) = pages(client, &format!("{path}&limit={limit}&order={order}")).await;
                assert_eq!(there, expected, "seed {seed}: {path} by {limit}, {order} first");
                assert_eq!(back, expected, "seed {seed}: {path} by {limit}, {order} first, and back again");
            }
        }
    }
    let log = eventstore::Log::open(server.database.pool.clone(), eventstore::Options::default()).await.unwrap();
    assert_eq!(projections::compare(&log, "feed").await.unwrap().differences, [], "seed {seed}");
    log.close().await;
}

#[tokio::test]
async fn feeds_of_an_orderly_world_agree_with_the_log() {
    agrees(11, 220, 0).await;
}

#[tokio::test]
async fn feeds_of_a_disorderly_world_agree_with_the_log() {
    agrees(22, 220, 2).await;
}

#[tokio::test]
async fn feeds_of_a_world_told_backwards_agree_with_the_log() {
    agrees(33, 220, 1).await;
}
