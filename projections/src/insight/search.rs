//! What is searched: a row for each record, and one for each message, note and remark within one. Table: `read_search`.
//!
//! The words of a row are made here (`domain/src/kernel/search`), so that they follow from the log alone. Beside them stand marks:
//! whose the row is, of which kind, and when it was written, coarsely. By those an index finds the newest rows of a common
//! word without looking at all others: `docs/decisions/0038-search.md`.

mod page;

use std::{collections::BTreeMap, sync::LazyLock};

use domain::{
    Id, Time, catalogue,
    kernel::{
        reference::Subject,
        search::{Index, Weight},
    },
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::page::{Asked, Fragment, Group, Hit, Only, Page, Writer, search};
use crate::{
    Keys, ReadModel, Unreadable,
    kernel::{
        author::{AuthorKind, author},
        fold::{micros, raise},
    },
};

/// What is searched.
#[derive(Clone, Copy, Debug)]
pub struct Search;

/// A record, or something that was written in it, as it is searched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// The kind of the record.
    pub kind: String,
    /// The record to which it leads.
    pub record_id: Id,
    /// The message, note or remark within it; none for the record itself.
    pub part: Option<Id>,
    /// What the record is called.
    pub title: Option<String>,
    /// Its number, where it has one.
    pub number: Option<i64>,
    /// Its texts by attribute; of addresses each has a name of its own.
    pub texts: BTreeMap<String, String>,
    /// What a comment is about.
    pub about: Vec<Subject>,
    /// What sort of author wrote it.
    pub author_kind: Option<AuthorKind>,
    /// Who wrote it.
    pub author_id: Option<Id>,
    /// Whether only colleagues may see it.
    pub internal: bool,
    /// Whether the record is put away.
    pub archived: bool,
    /// When anything last happened to the record, or when the message was written.
    pub happened_at: Time,
    /// The position of the event of which its marks tell: newer rows are found first.
    pub marked_position: i64,
    /// Its words and marks.
    pub words: String,
}

/// The kinds of records that are searched.
pub const KINDS: &[&str] = &[
    "ticket",
    "contact",
    "company",
    "property",
    "enquiry",
    "deal",
    "order",
    "lead",
    "task",
    "project",
    "product",
    "conversation",
    "comment",
    "user",
];

/// How far apart two events of a record are at which its marks are made anew, in positions of the log.
const STALE: i64 = 1 << 15;

/// How coarsely marks tell when: by so many bits of the position.
pub(crate) const SPANS: [u32; 6] = [9, 12, 15, 18, 21, 24];

/// The mark of a tenant's rows. Others may have the same, hardly ever: it only narrows down.
pub(crate) fn tenant_mark(tenant: &str) -> String {
    let id = Id::named(&["search", tenant]).to_string();
    format!("%t{}", &id[id.len() - 8..])
}

/// The mark of rows within a span of positions.
pub(crate) fn span_mark(tenant_mark: &str, bits: u32, span: i64) -> String {
    format!("{tenant_mark}.{bits}.{span:x}")
}

/// The marks of a kind's rows of a tenant, as whoever fills the table by other means writes them: the kind's, the tenant's, then those of
/// spans, up to the number of the span, with the bits that make it.
pub fn marks(tenant: &str, kind: &str) -> Vec<(String, Option<u32>)> {
    let of_tenant = tenant_mark(tenant);
    let spans = SPANS.map(|bits| (format!("{of_tenant}.{bits}."), Some(bits)));
    [(kind_mark(kind), None), (of_tenant, None)].into_iter().chain(spans).collect()
}

/// The mark of rows of a kind.
pub(crate) fn kind_mark(kind: &str) -> String {
    format!("%k{kind}")
}

/// The mark of what somebody wrote.
pub(crate) fn author_mark(author: Id) -> String {
    format!("%a{author}")
}

/// What an attribute is to whoever searches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Text(Weight),
    Phone,
}

/// What an attribute of this name is, if it is searched.
fn role(attribute: &str) -> Option<Role> {
    let (base, _) = attribute.split_once(':').unwrap_or((attribute, ""));
    Some(match base {
        "name" | "title" => Role::Text(Weight::A),
        "email" | "domain" | "website" | "sku" | "external_number" | "identity" => Role::Text(Weight::B),
        "phone" | "phone_e164" | "phone_identity" => Role::Phone,
        "description" | "text" | "address" | "city" | "country" | "comment" | "industry" | "items" | "job_title"
        | "tag" | "category" => Role::Text(Weight::C),
        "body" => Role::Text(Weight::D),
        base if base.starts_with("custom.") => Role::Text(Weight::C),
        _ => return None,
    })
}

/// Events after which nobody finds anything that was not found before.
fn is_silent(event: &Recorded) -> bool {
    matches!(
        &*event.kind,
        "conversation.read_marker_moved"
            | "conversation.message_sent"
            | "conversation.message_delivered"
            | "conversation.message_read"
            | "conversation.message_failed"
            | "conversation.message_reactions_received"
            | "conversation.message_reaction_queued"
            | "conversation.message_reaction_sent"
            | "conversation.message_reaction_failed"
            | "conversation.bot_step_shown"
            | "ticket.reply_sent"
            | "ticket.reply_failed"
            | "user.presence_changed"
            | "user.link_issued"
            | "user.password_set"
            | "user.password_forgotten"
    )
}

/// The messages, notes and remarks within a record that an event is about.
fn parts(event: &Recorded) -> Result<Vec<Id>, Unreadable> {
    #[derive(Deserialize)]
    struct One {
        #[serde(alias = "note_id")]
        message_id: Id,
    }
    #[derive(Deserialize)]
    struct Several {
        messages: Vec<Id>,
    }
    let unreadable = |error: serde_json::Error| Unreadable(error.to_string());
    match &*event.kind {
        "ticket.message_received"
        | "ticket.reply_queued"
        | "ticket.note_added"
        | "ticket.message_redacted"
        | "conversation.message_received"
        | "conversation.message_queued"
        | "conversation.message_edited"
        | "conversation.message_deleted"
        | "contact.note_added"
        | "contact.note_edited"
        | "contact.note_deleted" => event.decode::<One>().map(|one| vec![one.message_id]).map_err(unreadable),
        "ticket.split" => event.decode::<Several>().map(|several| several.messages).map_err(unreadable),
        _ => Ok(Vec::new()),
    }
}

/// The row of a record, or of a part that was written in it: ids are unique within a kind, those of messages within a record.
fn row_id(record: &Subject, part: Option<Id>) -> Id {
    let part = part.map(|part| part.to_string()).unwrap_or_default();
    Id::named(&["search", &record.kind, &record.id.to_string(), &part])
}

fn record_of(event: &Recorded) -> Option<Subject> {
    event.key().parse().ok().map(|id| Subject::new(event.category(), id))
}

fn plain(value: &Value) -> Option<String> {
    value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(ToOwned::to_owned)
}

/// The words of a custom field, whatever it holds.
fn custom(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.parse::<Id>().is_err() => plain(value),
        Value::Array(values) => {
            let words: Vec<String> = values.iter().filter_map(custom).collect();
            (!words.is_empty()).then(|| words.join(", "))
        }
        _ => None,
    }
}

impl Row {
    fn new(record: &Subject, part: Option<Id>, event: &Recorded) -> Row {
        Row {
            kind: record.kind.clone(),
            record_id: record.id,
            part,
            title: None,
            number: None,
            texts: BTreeMap::new(),
            about: Vec::new(),
            author_kind: None,
            author_id: None,
            internal: false,
            archived: false,
            happened_at: micros(event.occurred_at),
            marked_position: 0,
            words: String::new(),
        }
    }

    /// Takes an attribute in; without a text it is none any more.
    fn set(&mut self, attribute: &str, text: Option<String>) {
        match text {
            Some(text) if role(attribute).is_some() => drop(self.texts.insert(attribute.to_owned(), text)),
            _ => drop(self.texts.remove(attribute)),
        }
    }

    fn set_all(&mut self, attribute: &str, value: &Value) {
        match attribute {
            "items" => {
                let words = |item: &Value| {
                    [plain(&item["name"]), plain(&item["sku"])].into_iter().flatten().collect::<Vec<_>>()
                };
                let items: Vec<String> = value.as_array().into_iter().flatten().flat_map(words).collect();
                self.set("items", (!items.is_empty()).then(|| items.join(", ")));
            }
            "tags" => {
                for tag in value.as_array().into_iter().flatten().filter_map(plain) {
                    self.set(&format!("tag:{tag}"), Some(tag));
                }
            }
            "custom" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    self.set(&format!("custom.{key}"), custom(value));
                }
            }
            "visitor" => self.set("name", plain(&value["name"])),
            "identity" => self.identity(value, true),
            "subjects" => {
                self.about = serde_json::from_value(value.clone()).unwrap_or_default();
            }
            attribute => self.set(attribute, plain(value)),
        }
    }

    fn identity(&mut self, identity: &Value, there: bool) {
        let Some(value) = plain(&identity["value"]) else { return };
        let is_phone = identity["kind"].as_str().is_some_and(|kind| matches!(kind, "phone" | "whatsapp" | "viber"));
        let name = format!("{}:{value}", if is_phone { "phone_identity" } else { "identity" });
        self.set(&name, Some(value).filter(|_| there));
    }

    /// What happened to the record itself.
    fn happened(&mut self, event: &Recorded, name: &str, data: &Value) {
        raise(&mut self.happened_at, micros(event.occurred_at));
        match (&*self.kind, name) {
            _ if event.version == 0 => {
                for (attribute, value) in data.as_object().into_iter().flatten() {
                    self.set_all(attribute, value);
                }
                self.number = data["number"].as_i64();
                self.internal = data["internal"] == true;
                if self.kind == "comment" {
                    (self.author_kind, self.author_id) = author(event);
                }
            }
            (_, "title_changed" | "renamed") => self.set("title", plain(&data["to"])),
            (_, "description_changed") => self.set("description", plain(&data["to"])),
            (_, "description_cleared") => self.set("description", None),
            (_, "category_set") => self.set("category", plain(&data["to"])),
            (_, "tagged") => self.set_all("tags", &Value::Array(vec![data["tag"].clone()])),
            (_, "untagged") => self.set(&format!("tag:{}", plain(&data["tag"]).unwrap_or_default()), None),
            (_, "custom_changed") => {
                for (key, change) in data["changes"].as_object().into_iter().flatten() {
                    self.set(&format!("custom.{key}"), custom(&change["to"]));
                }
            }
            (_, "identity_added") => self.identity(data, true),
            (_, "identity_removed") => self.identity(data, false),
            (_, "archived") => self.archived = true,
            (_, "restored") => self.archived = false,
            ("comment", "edited") => self.set("text", plain(&data["to"])),
            // What is out of sight, or erased, is found by nothing.
            ("comment", "deleted") | (_, "erased") => self.texts.clear(),
            ("user", "email_change_requested") => self.about_email(data),
            ("user", "email_confirmed") => {
                if let Some(wanted) = self.texts.remove(WANTED_EMAIL) {
                    self.set("email", Some(wanted));
                }
            }
            _ => {
                for (attribute, change) in data["changes"].as_object().into_iter().flatten() {
                    self.set_all(attribute, &change["to"]);
                }
            }
        }
    }

    fn about_email(&mut self, data: &Value) {
        if let Some(wanted) = plain(&data["email"]) {
            self.texts.insert(WANTED_EMAIL.to_owned(), wanted);
        }
    }

    /// What happened to a message, a note or a remark within a record.
    fn part_happened(&mut self, event: &Recorded, name: &str, data: &Value) {
        match name {
            "message_redacted" | "message_deleted" | "note_deleted" => self.texts.clear(),
            "message_edited" => self.set("body", plain(&data["body"])),
            "note_edited" => self.set("body", plain(&data["to"])),
            "split" => {
                if let Some(ticket) = data["new_ticket"].as_str().and_then(|id| id.parse().ok()) {
                    self.record_id = ticket;
                }
            }
            _ => {
                let text = if data["body"].is_null() { &data["text"] } else { &data["body"] };
                self.set("body", plain(text));
                self.internal = name == "note_added";
                (self.author_kind, self.author_id) = author(event);
                let from = (data["from"]["kind"].as_str(), data["from"]["id"].as_str().and_then(|id| id.parse().ok()));
                if let (Some(kind), Some(id)) = from {
                    self.author_id = Some(id);
                    self.author_kind = match kind {
                        "contact" => Some(AuthorKind::Contact),
                        "company" => Some(AuthorKind::Company),
                        _ => Some(AuthorKind::User),
                    };
                }
            }
        }
    }

    /// What the record is called, from its texts.
    fn called(&self) -> Option<String> {
        let named = ["title", "name"].iter().find_map(|attribute| self.texts.get(*attribute));
        let or_else = || {
            self.texts
                .iter()
                .find(|(attribute, _)| attribute.starts_with("identity:") || attribute.starts_with("phone"))
                .map(|(_, text)| text)
        };
        named.or_else(or_else).cloned()
    }

    /// Makes words and marks anew.
    fn index(&mut self, event: &Recorded) {
        self.marked_position = event.position;
        let mut index = Index::default();
        for (attribute, text) in &self.texts {
            match role(attribute) {
                Some(Role::Text(weight)) => index.text(text, weight),
                Some(Role::Phone) => index.phone(text),
                None => {}
            }
        }
        if self.texts.is_empty() && self.number.is_none() {
            self.words = String::new();
            return;
        }
        let tenant = tenant_mark(&event.tenant);
        index.mark(&kind_mark(&self.kind));
        for bits in SPANS {
            index.mark(&span_mark(&tenant, bits, event.position >> bits));
        }
        index.mark(&tenant);
        if let Some(author) = self.author_id {
            index.mark(&author_mark(author));
        }
        self.words = index.tsvector();
    }
}

/// An address that somebody wants to be reached at, until it is confirmed.
const WANTED_EMAIL: &str = "wanted_email";

impl ReadModel for Search {
    const NAME: &'static str = "search";
    const VERSION: i32 = 2;
    const KINDS: &'static [&'static str] = KINDS;
    type Row = Row;

    fn kinds() -> &'static [&'static str] {
        static THERE: LazyLock<Vec<&'static str>> =
            LazyLock::new(|| KINDS.iter().copied().filter(|kind| catalogue::kind(kind).is_some()).collect());
        &THERE
    }

    fn keys(event: &Recorded) -> Keys {
        let Some(record) = record_of(event).filter(|_| !is_silent(event)) else { return Keys::None };
        // What cannot be read is refused where it is folded.
        let parts = parts(event).unwrap_or_default();
        let of_parts = parts.into_iter().map(|part| row_id(&record, Some(part)));
        let mut keys: Vec<Id> = [row_id(&record, None)].into_iter().chain(of_parts).collect();
        if keys.len() == 1 { Keys::One(keys.remove(0)) } else { Keys::Many(keys) }
    }

    fn apply(id: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let record = record_of(event).ok_or_else(|| Unreadable(format!("{} names no record", event.stream)))?;
        let data: Value = event.decode().map_err(|error| Unreadable(error.to_string()))?;
        let name = event.kind.split_once('.').map_or(&*event.kind, |(_, name)| name);
        let parts = parts(event)?;
        let part = parts.into_iter().find(|part| row_id(&record, Some(*part)) == id);
        let is_new = row.is_none();
        let mut row = row.unwrap_or_else(|| Row::new(&record, part, event));
        let before = (row.texts.clone(), row.number);
        if part.is_some() {
            row.part_happened(event, name, &data);
        } else {
            row.happened(event, name, &data);
            row.title = row.called();
        }
        let stale = part.is_none() && event.position - row.marked_position > STALE;
        if is_new || stale || (&before.0, before.1) != (&row.texts, row.number) {
            row.index(event);
        }
        Ok(Some(row))
    }
}

#[cfg(test)]
mod tests {
    use domain::{
        crm::{comment::Comment, contact::Contact},
        desk::ticket::Ticket,
        org::user::User,
    };
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{SUBJECT, event, id, recorded};

    /// The row of the record, or of a part of it, after these events.
    fn row<A: domain::Aggregate>(part: Option<Id>, events: &[(&str, Value)]) -> Option<Row> {
        let key = row_id(&Subject::new(A::KIND, SUBJECT), part);
        let events = events.iter().map(|(name, data)| event::<A>(name, data.clone()));
        (0..).zip(events).fold(None, |row, (version, event)| {
            let event = recorded::<A>(version, &event);
            if Search::keys(&event).as_slice().contains(&key) { Search::apply(key, row, &event).unwrap() } else { row }
        })
    }

    fn opened() -> (&'static str, Value) {
        let data = json!({ "number": 7, "title": "Tiskárna hoří", "channel": "api", "priority": 2, "stage": "new", "tags": ["vip"] });
        ("opened", data)
    }

    #[test]
    fn a_ticket_is_found_by_its_title_and_each_message_leads_to_it() {
        let note = json!({ "message_id": id(3), "body": "Secret plan" });
        let events = [opened(), ("title_changed", json!({ "from": "x", "to": "Nová tiskárna" })), ("note_added", note)];
        let ticket = row::<Ticket>(None, &events).unwrap();
        assert_eq!((ticket.title.as_deref(), ticket.number), (Some("Nová tiskárna"), Some(7)));
        assert!(ticket.words.contains("'tiskarna'") && ticket.words.contains("'vip'"), "{}", ticket.words);
        assert!(!ticket.words.contains("hori") && !ticket.words.contains("secret"), "{}", ticket.words);
        let note = row::<Ticket>(Some(id(3)), &events).unwrap();
        assert!(note.internal && note.record_id == SUBJECT && note.words.contains("'secret'"), "{note:?}");
    }

    #[test]
    fn a_moved_message_leads_elsewhere_and_what_is_out_of_sight_is_found_by_nothing() {
        let message = ("message_received", json!({ "message_id": id(3), "from": null, "body": "My password is x" }));
        let split = ("split", json!({ "new_ticket": id(9), "title": "Other", "messages": [id(3)] }));
        let moved = row::<Ticket>(Some(id(3)), &[opened(), message.clone(), split]).unwrap();
        assert_eq!(moved.record_id, id(9));
        let redacted = ("message_redacted", json!({ "message_id": id(3), "reason": "a password" }));
        let gone = row::<Ticket>(Some(id(3)), &[opened(), message, redacted]).unwrap();
        assert_eq!((gone.words.as_str(), gone.texts.len()), ("", 0));
        let added = ("added", json!({ "subjects": [{ "kind": "ticket", "id": id(5) }], "text": "Wrong" }));
        let comment = row::<Comment>(None, std::slice::from_ref(&added)).unwrap();
        assert_eq!((comment.about.len(), comment.words.contains("'wrong'")), (1, true));
        let gone = row::<Comment>(None, &[added, ("deleted", json!({}))]).unwrap();
        assert_eq!(gone.words, "");
    }

    #[test]
    fn people_are_found_by_every_address_that_they_have_and_by_none_that_they_had() {
        let created =
            ("created", json!({ "name": "Anna Nováková", "phone": "+420 777 123 456", "phone_e164": "+420777123456" }));
        let added = ("identity_added", json!({ "kind": "email", "value": "a.novak@example.com" }));
        let whole = row::<Contact>(None, &[created.clone(), added.clone()]).unwrap();
        for lexeme in ["'novakova'", "'^nov'", "'=420777123456'", "'#123456'", "'example'"] {
            assert!(whole.words.contains(lexeme), "{lexeme}: {}", whole.words);
        }
        let removed = ("identity_removed", json!({ "kind": "email", "value": "a.novak@example.com" }));
        let less = row::<Contact>(None, &[created, added, removed]).unwrap();
        assert!(!less.words.contains("'example'"), "{}", less.words);
        let invited = ("invited", json!({ "email": "old@example.com", "name": "Eva" }));
        let asked = ("email_change_requested", json!({ "email": "new@example.com" }));
        let waiting = row::<User>(None, &[invited.clone(), asked.clone()]).unwrap();
        assert!(waiting.words.contains("'old'") && !waiting.words.contains("'new'"), "{}", waiting.words);
        let confirmed = row::<User>(None, &[invited, asked, ("email_confirmed", json!({ "link": id(4) }))]).unwrap();
        assert!(confirmed.words.contains("'new'") && !confirmed.words.contains("'old'"), "{}", confirmed.words);
    }

    #[test]
    fn a_record_of_which_much_happens_stays_among_the_new_ones() {
        let key = row_id(&Subject::new("ticket", SUBJECT), None);
        let first = recorded::<Ticket>(0, &event::<Ticket>("opened", opened().1));
        let at = |position| {
            let woken = event::<Ticket>("woken", json!({}));
            Recorded { position, ..recorded::<Ticket>(1, &woken) }
        };
        let row = Search::apply(key, None, &first).unwrap();
        let soon = Search::apply(key, row.clone(), &at(100)).unwrap().unwrap();
        assert_eq!(soon.marked_position, first.position);
        let late = Search::apply(key, row, &at(100_000)).unwrap().unwrap();
        assert_eq!(late.marked_position, 100_000);
        assert!(late.words.contains(&format!(".12.{:x}'", 100_000 >> 12)), "{}", late.words);
    }
}
