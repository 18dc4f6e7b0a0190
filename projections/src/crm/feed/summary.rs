//! What happened, in plain words: one general rule, and better words where people expect them.

use domain::{
    Id, Time,
    kernel::{record::WORKED_OUT, reference::Subject},
};
use serde_json::{Map, Value};

use super::attributes;

/// Looks up what a record is called.
type Names<'a> = &'a mut dyn FnMut(&Subject) -> Option<String>;

/// Longest text in a summary, in characters.
const LONGEST: usize = 280;
/// Most changes that a summary names.
const MOST_CHANGES: usize = 4;
/// Most records that a summary names one by one.
const MOST_NAMES: usize = 3;

/// The record that an event happened to, as it is now.
pub(super) struct About<'a> {
    /// The record.
    pub(super) record: &'a Subject,
    /// What it is worth.
    pub(super) worth: Option<&'a Value>,
    /// What it refers to.
    pub(super) refers: &'a [Subject],
}

impl About<'_> {
    /// What the record is called: by its own name, or by the names of what it is about.
    fn name(&self, names: Names<'_>) -> Option<String> {
        let of = match &*self.record.kind {
            "offer" => "property",
            "entitlement" => "product",
            _ => return names(self.record),
        };
        let records = self.of_kind(of);
        if records.is_empty() { None } else { Some(all_of(&records, names)) }
    }

    /// What it refers to of this kind.
    fn of_kind(&self, kind: &str) -> Vec<Subject> {
        self.refers.iter().filter(|record| record.kind == kind).cloned().collect()
    }
}

/// What an event of this type with this data says. `names` is asked for the names of the records in it.
pub(super) fn of(event_type: &str, data: &Value, about: &About<'_>, names: Names<'_>) -> String {
    let (kind, event) = event_type.split_once('.').unwrap_or((event_type, ""));
    particular(kind, event, data, about, names).unwrap_or_else(|| general(kind, event, data, about, names))
}

/// The whole text that somebody wrote.
pub(super) fn text(event_type: &str, data: &Value) -> Option<String> {
    let attribute = match event_type {
        "comment.added" | "activity.logged" | "enquiry.external_offer_noted" | "contact.note_added" => "text",
        "offer.drafted" | "offer.revised" | "task.created" => "text",
        "ticket.opened" => "description",
        "order.placed" => "comment",
        "ticket.message_received" | "ticket.reply_queued" | "ticket.note_added" => "body",
        "conversation.message_received" | "conversation.message_queued" | "conversation.message_edited" => "body",
        _ => return None,
    };
    data[attribute].as_str().map(ToOwned::to_owned)
}

fn particular(kind: &str, event: &str, data: &Value, about: &About<'_>, names: Names<'_>) -> Option<String> {
    let name = about.name(names);
    // What somebody wrote, or else the name of what it is about.
    let said = |what: &str, value: &Value| match value.as_str().map(excerpt).filter(|text| !text.is_empty()) {
        Some(text) => format!("{what}: {text}"),
        None => with(what, name.as_deref()),
    };
    let message = |what: &str| {
        let files = data["attachments"].as_array().map(Vec::as_slice).unwrap_or_default();
        let files: Vec<String> = files.iter().filter_map(|file| file["name"].as_str()).map(excerpt).collect();
        match &data["body"] {
            Value::Null => format!("{what}, taken out of sight"),
            Value::String(body) if body.trim().is_empty() && !files.is_empty() => {
                format!("{what}: {}", files.join(", "))
            }
            body => said(what, body),
        }
    };
    let mut one =
        |kind: &str, value: &Value, otherwise: &str| named(kind, value, names).unwrap_or(otherwise.to_owned());
    Some(match (kind, event) {
        ("comment", "added") => said("Comment", &data["text"]),
        ("activity", "logged") => said(&capital(data["kind"].as_str().unwrap_or("activity")), &data["text"]),
        ("ticket" | "conversation", "message_received") => message("Message"),
        ("ticket", "reply_queued") | ("conversation", "message_queued") => message("Reply"),
        ("ticket", "reply_failed") | ("conversation", "message_failed") => said("Reply not sent", &data["error"]),
        ("conversation", "message_edited") => said("Message changed", &data["body"]),
        ("conversation", "message_reaction_failed") => said("Reaction not sent", &data["error"]),
        ("ticket", "message_redacted") => said("Message taken out of sight", &data["reason"]),
        ("ticket", "note_added") => message("Note"),
        ("contact", "note_added") => said("Note", &data["text"]),
        ("contact", "note_edited") => said("Note changed", &data["to"]),
        ("contact", "note_deleted") => with("Note deleted", name.as_deref()),
        ("contact", "erasure_requested") => detailed("Erasure requested", name.as_deref(), data["basis"].as_str()),
        ("ticket", "opened") => {
            let number = number(data);
            said(&format!("Ticket opened{number}"), &data["title"])
        }
        ("ticket", "priority_changed") => {
            format!("Priority changed from {} to {}", priority(&data["from"]), priority(&data["to"]))
        }
        ("ticket", "category_set") => change("category", data, about, names),
        ("ticket", "requester_changed") => change("requester", data, about, names),
        ("ticket", "product_selected") => {
            format!("Product selected: {}", one("product", &data["product"], "a product"))
        }
        ("ticket", "product_cleared") => with("Product cleared", name.as_deref()),
        ("ticket", "split") => said("Split off into another ticket", &data["title"]),
        ("ticket", "linked" | "unlinked") => {
            let other = one("ticket", &data["ticket"], "another ticket");
            let how = if event == "linked" { "Linked with" } else { "No longer linked with" };
            format!("{how} {other}: {}", spoken(&data["kind"]))
        }
        ("ticket", "snoozed") => format!("Put aside until {}", value_of(&data["until"], names)),
        ("ticket", "woken") => with("Taken up again", name.as_deref()),
        ("ticket", "follower_added") => format!("{} follows", one("user", &data["user"], "Somebody")),
        ("ticket", "follower_removed") => format!("{} no longer follows", one("user", &data["user"], "Somebody")),
        ("ticket" | "conversation", "rated") => {
            said(&format!("Rated {} of 5", value_of(&data["score"], names)), &data["text"])
        }
        (_, "assigned") => format!("Assigned to {}", one("user", &data["to"], "somebody")),
        (_, "unassigned") => format!("No longer assigned to {}", one("user", &data["from"], "anybody")),
        (_, "owner_changed") => reasoned(change("owner", data, about, names), data),
        (_, "merged") => format!("Merged into {}", one(kind, &data["into"], &format!("another {}", plain(kind)))),
        (_, "unmerged") => {
            format!("No longer merged into {}", one(kind, &data["from"], &format!("another {}", plain(kind))))
        }
        (_, "tagged") => format!("Tagged {}", value_of(&data["tag"], names)),
        (_, "untagged") => format!("Tag {} removed", value_of(&data["tag"], names)),
        (_, "shared") => {
            let whom = shared_with(&data["grantee"], names);
            let how = if data["level"] == "write" { "may change it" } else { "may read it" };
            format!("Shared with {whom}, who {how}")
        }
        (_, "unshared") => format!("No longer shared with {}", shared_with(&data["grantee"], names)),
        ("contact", "identity_added" | "identity_removed") => {
            let done = if event == "identity_added" { "added" } else { "removed" };
            format!("{} {} {done}", capital(&spoken(&data["kind"])), value_of(&data["value"], names))
        }
        ("contact", "company_linked") => {
            let company = one("company", &data["company"], "a company");
            match data["role"].as_str() {
                Some(role) => format!("Belongs to {company}: {role}"),
                None => format!("Belongs to {company}"),
            }
        }
        ("contact", "company_unlinked") => {
            format!("No longer belongs to {}", one("company", &data["company"], "a company"))
        }
        ("contact", "consent_changed") => format!("Consent to {} {}", spoken(&data["purpose"]), spoken(&data["to"])),
        (_, "contact_linked") => format!("With {}", one("contact", &data["contact"], "a contact")),
        (_, "contact_unlinked") => format!("Not with {}", one("contact", &data["contact"], "that contact")),
        ("relation", "added" | "removed") => {
            let from = one_of(&data["from"], names);
            let to = one_of(&data["to"], names);
            let role = value_of(&data["role"], names);
            match event {
                "added" => format!("Related: {from}, {role} of {to}"),
                _ => format!("No longer related: {from}, {role} of {to}"),
            }
        }
        ("offer", _) => {
            let listed = ids("property", &data["properties"]);
            let listed = if listed.is_empty() { about.of_kind("property") } else { listed };
            let to = ids("contact", &data["to"]);
            let contact = [to, about.of_kind("contact")].concat().first().and_then(&mut *names);
            let how = match event {
                "sent" => "to",
                "opened" | "accepted" | "declined" => "by",
                _ => "for",
            };
            let whom = contact.map_or_else(String::new, |contact| format!(" {how} {contact}"));
            reasoned(format!("Offer {}{whom}: {}", plain(event), all_of(&listed, names)), data)
        }
        ("enquiry", "external_offer_noted") => {
            let noted = said("Offer from elsewhere noted", &data["text"]);
            data["url"].as_str().map_or(noted.clone(), |url| format!("{noted} ({url})"))
        }
        ("enquiry", "criteria_changed") => changed_within(data, about, names),
        ("deal", "recorded") => {
            let property = one("property", &data["property"], "a property");
            format!("Deal recorded: {property}, {}", value_of(&data["price"], names))
        }
        ("lead", "converted") => format!("Lead converted: {}", one("contact", &data["contact"], "a contact")),
        ("order", "placed") => {
            let total = &data["total"];
            let total = if total.is_null() { String::new() } else { format!(", {}", value_of(total, names)) };
            format!("Order placed{}{total}", number(data).replacen(',', ":", 1))
        }
        ("order", "paid") => {
            let full = if data["in_full"] == true { ", paid in full" } else { "" };
            format!("Payment of {}{full}", value_of(&data["amount"], names))
        }
        ("order", "rejected") => format!("Order rejected: {}", value_of(&data["errors"], names)),
        ("task", "created") => said("Task created", &data["title"]),
        ("task", "due_changed") => match (&data["from"], &data["to"]) {
            (Value::Null, to) => format!("Due {}", value_of(to, names)),
            (_, Value::Null) => "No longer due at any time".to_owned(),
            (from, to) => format!("Due {} instead of {}", value_of(to, names), value_of(from, names)),
        },
        ("task", "became_due_soon") => format!("Due soon, at {}", value_of(&data["due_at"], names)),
        ("task", "became_overdue") => format!("Overdue since {}", value_of(&data["due_at"], names)),
        ("call", "received") => format!("Call from {}", value_of(&data["from"], names)),
        ("call", "missed") => format!("Missed call from {}", value_of(&data["from"], names)),
        ("call", "answered") => format!("Call answered by {}", one("user", &data["user"], "somebody")),
        ("call", "ended") => format!("Call ended after {}", duration(data["duration_s"].as_u64().unwrap_or_default())),
        ("conversation", "started") => format!("Conversation started: {}", spoken(&data["medium"])),
        ("conversation", "labelled" | "unlabelled") => {
            let label = data["name"].as_str().map(ToOwned::to_owned);
            let label = label.unwrap_or_else(|| one("label", &data["label"], "a label"));
            let done = if event == "labelled" { "added" } else { "removed" };
            format!("Label {label} {done}")
        }
        ("conversation", "bot_answer_given") => {
            format!("{} {}", value_of(&data["step"], names), value_of(&data["answer"], names))
        }
        ("conversation", "converted_to_ticket") => said("Made a ticket", &data["title"]),
        ("property", "media_added") => said(&format!("{} added", capital(&spoken(&data["kind"]))), &data["caption"]),
        ("property", "media_removed") => with("Picture or film removed", name.as_deref()),
        ("property", "published_to_portal") => format!("Published on {}", value_of(&data["portal"], names)),
        ("property", "unpublished") => format!("No longer published on {}", value_of(&data["portal"], names)),
        ("property", "portal_rejected") => {
            said(&format!("Not taken by {}", value_of(&data["portal"], names)), &data["error"])
        }
        ("entitlement", "granted") => format!("Owns {}", one("product", &data["product"], "a product")),
        ("entitlement", "transferred") => change("holder", data, about, names),
        _ => return None,
    })
}

/// `Ticket closed: It is dark`.
fn with(what: &str, name: Option<&str>) -> String {
    name.map_or_else(|| what.to_owned(), |name| format!("{what}: {name}"))
}

/// `Deal lost: Flat on Via Roma (Too dear)`.
fn detailed(what: &str, name: Option<&str>, detail: Option<&str>) -> String {
    match (name, detail.map(excerpt).filter(|detail| !detail.is_empty())) {
        (Some(name), Some(detail)) => format!("{what}: {name} ({detail})"),
        (name, detail) => with(what, name.or(detail.as_deref())),
    }
}

/// `Deal won: Flat on Via Roma, 310,000.00 EUR (Best price)`, `Stage changed from new to negotiation`.
fn general(kind: &str, event: &str, data: &Value, about: &About<'_>, names: Names<'_>) -> String {
    if let Some(changes) = data["changes"].as_object() {
        return list_of(changes, about, names);
    }
    if let Some(attribute) = event.strip_suffix("_changed")
        && (data.get("from").is_some() || data.get("to").is_some())
    {
        return reasoned(change(attribute, data, about, names), data);
    }
    let what = capital(&format!("{} {}", plain(kind), plain(event)));
    let text = |of: &[&str]| of.iter().find_map(|name| data[*name].as_str()).map(excerpt);
    // What is created says itself what it is called; of the rest today's names are known.
    let told = text(&["name", "title"]);
    let worth = match (kind, &told) {
        ("deal" | "lead" | "order", Some(_)) => money(&data["amount"]),
        ("deal" | "lead" | "order", None) => about.worth.and_then(money),
        _ => None,
    };
    let name = told.or_else(|| about.name(names));
    let name: Vec<String> = [name, worth].into_iter().flatten().collect();
    let name = Some(name.join(", ")).filter(|name| !name.is_empty());
    detailed(&what, name.as_deref(), text(&["outcome", "reason", "text"]).as_deref())
}

fn list_of(changes: &Map<String, Value>, about: &About<'_>, names: Names<'_>) -> String {
    // What a phone number means is said by the number.
    let told: Vec<_> = changes.iter().filter(|(attribute, _)| !WORKED_OUT.contains(&attribute.as_str())).collect();
    let more = told.len().saturating_sub(MOST_CHANGES);
    let mut said: Vec<String> = told
        .into_iter()
        .take(MOST_CHANGES)
        .map(|(attribute, values)| change(attribute, values, about, names))
        .collect();
    if more > 0 {
        said.push(format!("{more} more"));
    }
    said.join("; ")
}

/// The attributes that differ between two objects, `from` and `to`.
fn changed_within(values: &Value, about: &About<'_>, names: Names<'_>) -> String {
    let empty = Map::new();
    let side = |name: &str| values[name].as_object().unwrap_or(&empty);
    let (before, after) = (side("from"), side("to"));
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differing = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    let changes: Map<String, Value> = differing
        .map(|key| (key.clone(), serde_json::json!({ "from": before.get(key), "to": after.get(key) })))
        .collect();
    if changes.is_empty() {
        return with("Criteria changed", about.name(names).as_deref());
    }
    list_of(&changes, about, names)
}

/// A change of one attribute, `from` and `to`.
fn change(attribute: &str, values: &Value, about: &About<'_>, names: Names<'_>) -> String {
    let what = capital(&plain(attribute));
    let (from, to) = (&values["from"], &values["to"]);
    // Lists of things and long texts are not told one by one.
    let is_long = |value: &Value| match value {
        Value::Array(values) => values.iter().any(Value::is_object),
        Value::String(text) => text.chars().count() > 80,
        Value::Object(_) => money(value).is_none() && subject(value).is_none(),
        _ => false,
    };
    match to {
        Value::String(text) if is_long(from) || is_long(to) => return format!("{what} changed: {}", excerpt(text)),
        _ if is_long(from) || is_long(to) => {
            let name = about.name(names);
            return name.map_or(format!("{what} changed"), |name| format!("{what} of {name} changed"));
        }
        _ => {}
    }
    let other = reference(&about.record.kind, attribute);
    let mut side = |value: &Value| match (other, value) {
        (_, Value::Null) => None,
        (other, value) => match other.map(|kind| ids(kind, value)).filter(|records| !records.is_empty()) {
            Some(records) => Some(all_of(&records, names)),
            None => Some(value_of(value, names)),
        },
    };
    match (side(from), side(to)) {
        (None, None) => with(&format!("{what} changed"), about.name(names).as_deref()),
        (None, Some(to)) => format!("{what} set to {to}"),
        (Some(from), None) => format!("{what} {from} removed"),
        // Two that must not be told apart.
        (Some(from), Some(to)) if from == to => format!("{what} changed to another: {to}"),
        (Some(from), Some(to)) => format!("{what} changed from {from} to {to}"),
    }
}

/// The kind of record to which an attribute of this kind of record refers by its id.
fn reference(kind: &str, attribute: &str) -> Option<&'static str> {
    let known = attributes(kind).find(|(known, other)| *known == attribute && !other.is_empty());
    known.map(|(_, other)| other).or(match attribute {
        "owner" | "assignee" => Some("user"),
        "team" => Some("team"),
        "category" if kind == "product" => Some("product_category"),
        _ => None,
    })
}

fn reasoned(said: String, data: &Value) -> String {
    match data["reason"].as_str().map(excerpt).filter(|reason| !reason.is_empty()) {
        Some(reason) if said.contains(':') => format!("{said} ({reason})"),
        Some(reason) => format!("{said}: {reason}"),
        None => said,
    }
}

/// The records of this kind that an id or a list of ids stands for.
fn ids(kind: &str, value: &Value) -> Vec<Subject> {
    super::records(value, kind)
}

/// The names of several records of one kind: `Flat on Via Roma, House by the river`.
fn all_of(records: &[Subject], names: Names<'_>) -> String {
    let mut said: Vec<String> = records.iter().take(MOST_NAMES).filter_map(&mut *names).collect();
    let nameless = records.len() - said.len();
    match (records, said.is_empty(), nameless) {
        ([], ..) => return "nothing".to_owned(),
        ([one], true, _) => return some(&one.kind),
        ([one, ..], true, _) => return format!("{nameless} {}", plural(&one.kind)),
        (.., 0) => {}
        _ => said.push(format!("{nameless} more")),
    }
    said.join(", ")
}

/// `a property`, where no name is known.
fn some(kind: &str) -> String {
    let kind = plain(kind);
    format!("{} {kind}", if kind.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" })
}

fn plural(kind: &str) -> String {
    domain::catalogue::kind(kind).map_or_else(|| format!("{}s", plain(kind)), |kind| plain(kind.plural))
}

/// The name of the record of this kind that an id stands for.
fn named(kind: &str, id: &Value, names: Names<'_>) -> Option<String> {
    let id: Id = id.as_str()?.parse().ok()?;
    names(&Subject::new(kind, id))
}

fn subject(value: &Value) -> Option<Subject> {
    let (kind, id) = (value.get("kind")?.as_str()?, value.get("id")?.as_str()?);
    Some(Subject::new(kind, id.parse().ok()?))
}

/// The name of a record that a value names with its kind.
fn one_of(value: &Value, names: Names<'_>) -> String {
    subject(value).map_or_else(|| some("record"), |subject| all_of(&[subject], names))
}

/// A user or a team.
fn shared_with(id: &Value, names: Names<'_>) -> String {
    let user = named("user", id, names);
    user.or_else(|| named("team", id, names)).unwrap_or_else(|| "a colleague".to_owned())
}

/// The kinds of records that custom fields may refer to.
const REFERRED: &[&str] = &["contact", "company", "user", "product", "property"];

/// The name of a record whose kind the event does not say.
fn whatever(id: Id, names: Names<'_>) -> String {
    let found: Vec<String> = REFERRED.iter().filter_map(|kind| names(&Subject::new(kind, id))).collect();
    found.first().cloned().unwrap_or_else(|| some("record"))
}

fn number(data: &Value) -> String {
    data["number"].as_u64().map_or_else(String::new, |number| format!(", no. {number}"))
}

fn priority(value: &Value) -> String {
    let words = ["low", "normal", "high", "urgent"];
    let level = value.as_u64().and_then(|level| usize::try_from(level).ok());
    level.and_then(|level| words.get(level)).map_or_else(|| spoken(value), |word| (*word).to_owned())
}

/// A value in words.
fn value_of(value: &Value, names: Names<'_>) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => match text.parse::<Time>() {
            Ok(time) => time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
            Err(_) => match text.parse::<Id>() {
                Ok(id) if text.len() == 26 => whatever(id, names),
                _ => excerpt(text),
            },
        },
        Value::Array(values) => values.iter().map(|value| value_of(value, names)).collect::<Vec<_>>().join(", "),
        Value::Object(_) => match money(value) {
            Some(money) => money,
            None if subject(value).is_some() => one_of(value, names),
            None => "other details".to_owned(),
        },
    }
}

/// `100,500.00 RUB`.
fn money(value: &Value) -> Option<String> {
    let (amount, currency) = (value.get("amount")?.as_str()?, value.get("currency")?.as_str()?);
    let (sign, digits) = amount.strip_prefix('-').map_or(("", amount), |digits| ("-", digits));
    let (whole, cents) = digits.split_once('.').unwrap_or((digits, ""));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    Some(format!("{sign}{grouped}.{cents:0<2} {currency}"))
}

/// `1 min 35 s`.
fn duration(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// A word of ours as people write it: `in_progress` is in progress. Names and texts stay as they are.
fn plain(text: &str) -> String {
    let is_word = text.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
    if is_word { text.replace('_', " ") } else { text.to_owned() }
}

fn spoken(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), plain)
}

/// In one line, and not too long.
fn excerpt(text: &str) -> String {
    let line = plain(text).split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", line[..end].trim_end()),
        None => line,
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use domain::{Aggregate, Id, catalogue, kernel::reference::Subject};
    use serde_json::json;

    use super::*;

    /// What an event says that happened to record 9, which is worth ten euros and refers to property 1 and contact 2.
    fn said(event_type: &str, data: Value) -> String {
        let record = Subject::new(event_type.split_once('.').unwrap().0, Id::from_bits(9));
        let worth = json!({ "amount": "10", "currency": "EUR" });
        let refers = [Subject::new("property", Id::from_bits(1)), Subject::new("contact", Id::from_bits(2))];
        let about = About { record: &record, worth: Some(&worth), refers: &refers };
        of(event_type, &data, &about, &mut |record| Some(format!("the {} {}", record.kind, record.id.bits())))
    }

    #[test]
    fn it_reads_as_people_say_it() {
        let id = |number: u128| Id::from_bits(number);
        let rub = |amount: &str| json!({ "amount": amount, "currency": "RUB" });
        let long_change = format!("Description changed: {}", "a".repeat(90));
        for (event_type, data, expected) in [
            ("order.placed", json!({ "number": 7, "total": rub("100500") }), "Order placed: no. 7, 100,500.00 RUB"),
            (
                "order.paid",
                json!({ "amount": rub("1234567.5"), "in_full": true }),
                "Payment of 1,234,567.50 RUB, paid in full",
            ),
            ("order.status_changed", json!({ "from": "new", "to": "in_work" }), "Status changed from new to in work"),
            ("ticket.priority_changed", json!({ "from": 0, "to": 2 }), "Priority changed from low to high"),
            ("ticket.opened", json!({ "number": 3, "title": "It is dark" }), "Ticket opened, no. 3: It is dark"),
            ("ticket.assigned", json!({ "from": null, "to": id(5) }), "Assigned to the user 5"),
            ("ticket.message_received", json!({ "body": "It\n stays dark." }), "Message: It stays dark."),
            ("ticket.message_received", json!({ "body": null }), "Message, taken out of sight"),
            ("comment.added", json!({ "text": "The client calls on Monday" }), "Comment: The client calls on Monday"),
            ("activity.logged", json!({ "kind": "visit", "text": "Saw it" }), "Visit: Saw it"),
            (
                "offer.sent",
                json!({ "properties": [id(3), id(4)], "to": id(5) }),
                "Offer sent to the contact 5: the property 3, the property 4",
            ),
            ("offer.opened", json!({}), "Offer opened by the contact 2: the property 1"),
            ("offer.declined", json!({ "reason": "Far" }), "Offer declined by the contact 2: the property 1 (Far)"),
            ("deal.won", json!({}), "Deal won: the deal 9, 10.00 EUR"),
            ("deal.won", json!({ "reason": "Best price" }), "Deal won: the deal 9, 10.00 EUR (Best price)"),
            ("deal.created", json!({ "name": "Flat", "amount": rub("7") }), "Deal created: Flat, 7.00 RUB"),
            (
                "deal.details_changed",
                json!({ "changes": { "contact": { "from": id(1), "to": id(2) } } }),
                "Contact changed from the contact 1 to the contact 2",
            ),
            (
                "contact.custom_changed",
                json!({ "changes": { "manager": { "from": null, "to": id(7) } } }),
                "Manager set to the contact 7",
            ),
            ("ticket.closed", json!({}), "Ticket closed: the ticket 9"),
            ("ticket.description_changed", json!({ "from": null, "to": "a".repeat(90) }), &long_change),
            (
                "deal.stage_changed",
                json!({ "from": "new", "to": "negotiation" }),
                "Stage changed from new to negotiation",
            ),
            (
                "deal.owner_changed",
                json!({ "from": id(1), "to": id(2), "reason": "Holidays" }),
                "Owner changed from the user 1 to the user 2: Holidays",
            ),
            (
                "contact.details_changed",
                json!({ "changes": { "phone": { "from": null, "to": "+7 900" }, "phone_e164": { "from": null, "to": "+7900" }, "city": { "from": "Roma", "to": "Bari" } } }),
                "City changed from Roma to Bari; Phone set to +7 900",
            ),
            ("property.price_changed", json!({ "from": rub("2"), "to": null }), "Price 2.00 RUB removed"),
            ("task.became_overdue", json!({ "due_at": "2026-01-01T02:00:00Z" }), "Overdue since 2026-01-01 02:00 UTC"),
            (
                "relation.added",
                json!({ "from": { "kind": "contact", "id": id(1) }, "to": { "kind": "property", "id": id(2) }, "role": "owner" }),
                "Related: the contact 1, owner of the property 2",
            ),
            ("call.ended", json!({ "duration_s": 95 }), "Call ended after 1 min 35 s"),
            ("enquiry.archived", json!({}), "Enquiry archived: the enquiry 9"),
            ("lead.archived", json!({ "reason": "Twice" }), "Lead archived: the lead 9, 10.00 EUR (Twice)"),
        ] {
            assert_eq!(said(event_type, data), expected);
        }
        let long = said("comment.added", json!({ "text": "a ".repeat(1000) }));
        assert!(long.ends_with("...") && long.len() < 300, "{long}");
    }

    /// The values that an event holds, as summaries write them.
    fn values(data: &Value) -> Vec<String> {
        match data {
            Value::Array(values) => values.iter().flat_map(values_of).collect(),
            Value::Object(object) => money(data).into_iter().chain(object.values().flat_map(values_of)).collect(),
            data => values_of(data),
        }
    }

    fn values_of(value: &Value) -> Vec<String> {
        match value {
            Value::Null => Vec::new(),
            Value::String(id) if id.len() == 26 && id.parse::<Id>().is_ok() => Vec::new(),
            Value::Array(_) | Value::Object(_) => values(value),
            Value::Number(number) => {
                vec![number.to_string(), priority(value), duration(number.as_u64().unwrap_or_default())]
            }
            value => vec![value_of(value, &mut |_| None).chars().take(20).collect()],
        }
    }

    /// Shows every event of the catalogue, as its golden file has it, to a check of its words.
    fn each(check: impl Fn(&str, &Value, bool, &str)) -> usize {
        struct Check<F>(F, usize);
        impl<F: Fn(&str, &Value, bool, &str)> catalogue::Visitor for Check<F> {
            fn visit<A: Aggregate>(&mut self) {
                for event in A::events(&mut schemars::SchemaGenerator::default()) {
                    let path =
                        format!("{}/../domain/golden/{}/{}.json", env!("CARGO_MANIFEST_DIR"), A::KIND, event.name);
                    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
                    let event_type = golden["type"].as_str().unwrap();
                    let record = Subject::new(A::KIND, Id::from_bits(9));
                    let refers =
                        [Subject::new("property", Id::from_bits(1)), Subject::new("product", Id::from_bits(2))];
                    let about = About { record: &record, worth: None, refers: &refers };
                    for known in [true, false] {
                        let mut names = |_: &Subject| known.then(|| "Somebody".to_owned());
                        let words = of(event_type, &golden["data"], &about, &mut names);
                        self.0(event_type, &golden["data"], known, &words);
                    }
                    self.1 += 1;
                }
            }
        }
        let mut check = Check(check, 0);
        catalogue::visit_all(&mut check);
        check.1
    }

    #[test]
    fn no_entry_has_a_word_of_ours_in_it() {
        let count = each(|event_type, _, _, words| {
            let odd = words.split_whitespace().find(|word| {
                let word = word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
                (word.contains('_') && !words.contains('@')) || (word.len() == 26 && word.parse::<Id>().is_ok())
            });
            assert!(!words.is_empty() && odd.is_none(), "{event_type}: {words}");
            assert!(words.starts_with(|first: char| !first.is_lowercase()), "{event_type}: {words}");
        });
        assert!(count > 200, "{count}");
    }

    #[test]
    fn every_entry_names_what_it_speaks_of() {
        each(|event_type, data, known, words| {
            let kind = event_type.split('.').next().unwrap_or_default();
            if !crate::crm::feed::KINDS.contains(&kind) {
                return;
            }
            assert!(!words.contains("another record"), "{event_type}: {words}");
            let says = words.contains("Somebody") || values(data).iter().any(|value| words.contains(value.as_str()));
            assert!(says || !known, "{event_type} names nothing: {words}");
        });
    }
}
