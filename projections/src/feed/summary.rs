//! What happened, in plain words: one general rule, and better words where people expect them.

use domain::{Id, Time, reference::Subject};
use serde_json::{Map, Value};

/// Looks up what a record is called.
type Names<'a> = &'a mut dyn FnMut(&Subject) -> Option<String>;

/// Longest text in a summary, in characters.
const LONGEST: usize = 280;
/// Most changes that a summary names.
const MOST_CHANGES: usize = 4;

/// What an event of this type with this data says. `names` is asked for the names of the records in it.
pub(super) fn of(event_type: &str, data: &Value, names: Names<'_>) -> String {
    let (kind, event) = event_type.split_once('.').unwrap_or((event_type, ""));
    particular(kind, event, data, names).unwrap_or_else(|| general(kind, event, data, names))
}

/// The whole text that somebody wrote.
pub(super) fn text(event_type: &str, data: &Value) -> Option<String> {
    let attribute = match event_type {
        "comment.added" | "activity.logged" | "enquiry.external_offer_noted" | "contact.note_added" => "text",
        "offer.drafted" | "offer.revised" | "task.created" => "text",
        "ticket.opened" => "description",
        "order.placed" => "comment",
        "ticket.message_received" | "ticket.reply_queued" | "ticket.note_added" => "body",
        "conversation.message_received" | "conversation.message_queued" => "body",
        _ => return None,
    };
    data[attribute].as_str().map(ToOwned::to_owned)
}

fn particular(kind: &str, event: &str, data: &Value, names: Names<'_>) -> Option<String> {
    let said = |what: &str, value: &Value| match value.as_str().map(excerpt).filter(|text| !text.is_empty()) {
        Some(text) => format!("{what}: {text}"),
        None => what.to_owned(),
    };
    let message = |what: &str| match data["body"].is_null() {
        true => format!("{what}, taken out of sight"),
        false => said(what, &data["body"]),
    };
    let mut one =
        |kind: &str, value: &Value, otherwise: &str| named(kind, value, names).unwrap_or(otherwise.to_owned());
    Some(match (kind, event) {
        ("comment", "added") => said("Comment", &data["text"]),
        ("activity", "logged") => said(&capital(data["kind"].as_str().unwrap_or("activity")), &data["text"]),
        ("ticket" | "conversation", "message_received") => message("Message"),
        ("ticket", "reply_queued") | ("conversation", "message_queued") => message("Reply"),
        ("ticket", "reply_failed") | ("conversation", "message_failed") => said("Reply not sent", &data["error"]),
        ("ticket", "message_redacted") => said("Message taken out of sight", &data["reason"]),
        ("ticket", "note_added") => message("Note"),
        ("contact", "note_added") => said("Note", &data["text"]),
        ("contact", "note_edited") => said("Note changed", &data["to"]),
        ("contact", "note_deleted") => "Note deleted".to_owned(),
        ("ticket", "opened") => {
            let number = number(data);
            said(&format!("Ticket opened{number}"), &data["title"])
        }
        ("ticket", "priority_changed") => {
            format!("Priority changed from {} to {}", priority(&data["from"]), priority(&data["to"]))
        }
        ("ticket", "category_set") => change("category", &data["from"], &data["to"], names),
        ("ticket", "requester_changed") => change("requester", &data["from"], &data["to"], names),
        ("ticket", "product_selected") => {
            format!("Product selected: {}", one("product", &data["product"], "a product"))
        }
        ("ticket", "product_cleared") => "Product cleared".to_owned(),
        ("ticket", "split") => said("Split off into another ticket", &data["title"]),
        ("ticket", "linked" | "unlinked") => {
            let other = one("ticket", &data["ticket"], "another ticket");
            let how = if event == "linked" { "Linked with" } else { "No longer linked with" };
            format!("{how} {other}: {}", spoken(&data["kind"]))
        }
        ("ticket", "snoozed") => format!("Put aside until {}", value_of(&data["until"], names)),
        ("ticket", "woken") => "Taken up again".to_owned(),
        ("ticket", "follower_added") => format!("{} follows", one("user", &data["user"], "Somebody")),
        ("ticket", "follower_removed") => format!("{} no longer follows", one("user", &data["user"], "Somebody")),
        ("ticket" | "conversation", "rated") => {
            said(&format!("Rated {} of 5", value_of(&data["score"], names)), &data["text"])
        }
        ("ticket" | "conversation", "reopened") => format!("{} reopened", capital(kind)),
        (_, "assigned") => format!("Assigned to {}", one("user", &data["to"], "somebody")),
        (_, "unassigned") => format!("No longer assigned to {}", one("user", &data["from"], "anybody")),
        (_, "owner_changed") => reasoned(change_of("owner", "user", data, names), data),
        (_, "team_changed") => change_of("team", "team", data, names),
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
        ("offer", "drafted" | "revised" | "sent" | "accepted") => {
            let what = properties(&data["properties"], names);
            format!("Offer {event}: {what}")
        }
        ("offer", "opened") => "Offer opened by the customer".to_owned(),
        ("enquiry", "external_offer_noted") => {
            let noted = said("Offer from elsewhere noted", &data["text"]);
            data["url"].as_str().map_or(noted.clone(), |url| format!("{noted} ({url})"))
        }
        ("enquiry", "criteria_changed") => changed_within(&data["from"], &data["to"], names),
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
        ("property", "media_added") => said(&format!("{} added", capital(&spoken(&data["kind"]))), &data["caption"]),
        ("property", "media_removed") => "Picture or film removed".to_owned(),
        ("property", "published_to_portal") => format!("Published on {}", value_of(&data["portal"], names)),
        ("property", "unpublished") => format!("No longer published on {}", value_of(&data["portal"], names)),
        ("property", "portal_rejected") => {
            said(&format!("Not taken by {}", value_of(&data["portal"], names)), &data["error"])
        }
        ("entitlement", "granted") => format!("Owns {}", one("product", &data["product"], "a product")),
        ("entitlement", "transferred") => change("holder", &data["from"], &data["to"], names),
        _ => return None,
    })
}

/// `Deal won: Best price`, `Stage changed from new to negotiation`, `Phone changed from ... to ...`.
fn general(kind: &str, event: &str, data: &Value, names: Names<'_>) -> String {
    if let Some(changes) = data["changes"].as_object() {
        return list_of(changes, names);
    }
    if let Some(attribute) = event.strip_suffix("_changed")
        && (data.get("from").is_some() || data.get("to").is_some())
    {
        return reasoned(change(attribute, &data["from"], &data["to"], names), data);
    }
    let what = capital(&format!("{} {}", plain(kind), plain(event)));
    let detail = ["name", "title", "outcome", "reason", "text"].into_iter().find_map(|name| data[name].as_str());
    detail.map(excerpt).filter(|detail| !detail.is_empty()).map_or(what.clone(), |detail| format!("{what}: {detail}"))
}

fn list_of(changes: &Map<String, Value>, names: Names<'_>) -> String {
    let mut said: Vec<String> = changes
        .iter()
        .take(MOST_CHANGES)
        .map(|(attribute, values)| change(attribute, &values["from"], &values["to"], names))
        .collect();
    if changes.len() > MOST_CHANGES {
        said.push(format!("{} more", changes.len() - MOST_CHANGES));
    }
    said.join("; ")
}

/// The attributes that differ between two objects.
fn changed_within(from: &Value, to: &Value, names: Names<'_>) -> String {
    let empty = Map::new();
    let (before, after) = (from.as_object().unwrap_or(&empty), to.as_object().unwrap_or(&empty));
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differing = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    let changes: Map<String, Value> = differing
        .map(|key| (key.clone(), serde_json::json!({ "from": before.get(key), "to": after.get(key) })))
        .collect();
    if changes.is_empty() { "Criteria changed".to_owned() } else { list_of(&changes, names) }
}

fn change(attribute: &str, from: &Value, to: &Value, names: Names<'_>) -> String {
    let what = capital(&plain(attribute));
    // Lists of things and long texts are not told one by one.
    let is_long = |value: &Value| match value {
        Value::Array(values) => values.iter().any(Value::is_object),
        Value::String(text) => text.chars().count() > 80,
        Value::Object(_) => money(value).is_none() && subject(value).is_none(),
        _ => false,
    };
    if is_long(from) || is_long(to) {
        return format!("{what} changed");
    }
    match (from, to) {
        (Value::Null, to) => format!("{what} set to {}", value_of(to, names)),
        (from, Value::Null) => format!("{what} {} removed", value_of(from, names)),
        (from, to) => format!("{what} changed from {} to {}", value_of(from, names), value_of(to, names)),
    }
}

/// As [`change`], where the values are ids of records of this kind.
fn change_of(attribute: &str, kind: &str, data: &Value, names: Names<'_>) -> String {
    let mut side = |value: &Value| match value {
        Value::Null => Value::Null,
        value => named(kind, value, names).unwrap_or_else(|| format!("another {}", plain(kind))).into(),
    };
    let (from, to) = (side(&data["from"]), side(&data["to"]));
    change(attribute, &from, &to, &mut |_| None)
}

fn reasoned(said: String, data: &Value) -> String {
    match data["reason"].as_str().map(excerpt).filter(|reason| !reason.is_empty()) {
        Some(reason) => format!("{said}: {reason}"),
        None => said,
    }
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
    let subject = subject(value);
    let name = subject.as_ref().and_then(|subject| names(subject));
    let kind = subject.map_or("record".to_owned(), |subject| plain(&subject.kind));
    name.unwrap_or_else(|| format!("{} {kind}", if kind.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" }))
}

/// A user or a team.
fn shared_with(id: &Value, names: Names<'_>) -> String {
    let user = named("user", id, names);
    user.or_else(|| named("team", id, names)).unwrap_or_else(|| "a colleague".to_owned())
}

fn properties(ids: &Value, names: Names<'_>) -> String {
    match ids.as_array().map(Vec::as_slice).unwrap_or_default() {
        [one] => named("property", one, names).unwrap_or_else(|| "1 property".to_owned()),
        several => format!("{} properties", several.len()),
    }
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
            Err(_) if text.parse::<Id>().is_ok() && text.len() == 26 => "another record".to_owned(),
            Err(_) => excerpt(text),
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
    use domain::{Aggregate, Id, catalogue, reference::Subject};
    use serde_json::json;

    use super::*;

    fn said(event_type: &str, data: Value) -> String {
        of(event_type, &data, &mut |record: &Subject| Some(format!("the {} {}", record.kind, record.id.bits())))
    }

    #[test]
    fn it_reads_as_people_say_it() {
        let id = |number: u128| Id::from_bits(number);
        let rub = |amount: &str| json!({ "amount": amount, "currency": "RUB" });
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
            ("offer.sent", json!({ "properties": [id(1), id(2)] }), "Offer sent: 2 properties"),
            ("offer.sent", json!({ "properties": [id(1)] }), "Offer sent: the property 1"),
            ("deal.won", json!({ "reason": "Best price" }), "Deal won: Best price"),
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
                json!({ "changes": { "phone": { "from": null, "to": "+7 900" }, "city": { "from": "Roma", "to": "Bari" } } }),
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
            ("enquiry.archived", json!({}), "Enquiry archived"),
        ] {
            assert_eq!(said(event_type, data), expected);
        }
        let long = said("comment.added", json!({ "text": "a ".repeat(1000) }));
        assert!(long.ends_with("...") && long.len() < 300, "{long}");
    }

    /// Every event of the catalogue has a golden file with an example.
    #[test]
    fn no_entry_has_a_word_of_ours_in_it() {
        struct Check(usize);
        impl catalogue::Visitor for Check {
            fn visit<A: Aggregate>(&mut self) {
                for event in A::events(&mut schemars::SchemaGenerator::default()) {
                    let path =
                        format!("{}/../domain/golden/{}/{}.json", env!("CARGO_MANIFEST_DIR"), A::KIND, event.name);
                    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
                    let event_type = golden["type"].as_str().unwrap();
                    for known in [true, false] {
                        let words = of(event_type, &golden["data"], &mut |_| known.then(|| "Somebody".to_owned()));
                        let odd = words.split_whitespace().find(|word| {
                            let word = word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
                            (word.contains('_') && !words.contains('@'))
                                || (word.len() == 26 && word.parse::<Id>().is_ok())
                        });
                        assert!(!words.is_empty() && odd.is_none(), "{event_type}: {words}");
                        assert!(words.starts_with(|first: char| !first.is_lowercase()), "{event_type}: {words}");
                    }
                    self.0 += 1;
                }
            }
        }
        let mut check = Check(0);
        catalogue::visit_all(&mut check);
        assert!(check.0 > 200, "{}", check.0);
    }
}
