//! What a batch of Meta's says.

use data_encoding::HEXLOWER;
use domain::{
    Personal, Time,
    chat::{channel::Kind, conversation::Visitor},
    crm::contact::{Identity, IdentityKind},
};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Fault;
use crate::messengers::{
    coming::{File, Happening, Message, Receipt, Source},
    store::Brought,
};

/// Something that Meta brought, and to which account.
#[derive(Clone, Debug, PartialEq)]
pub struct OfMeta {
    /// Of which sort the account is.
    pub kind: Kind,
    /// The account.
    pub account: String,
    /// What was brought.
    pub brought: Brought,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The things in a batch, each by itself.
pub(in crate::messengers) fn brought(body: &[u8]) -> Result<Vec<OfMeta>, String> {
    let batch: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let kind = match batch["object"].as_str() {
        Some("whatsapp_business_account") => Kind::Whatsapp,
        Some("instagram") => Kind::Instagram,
        Some("page") => Kind::Messenger,
        _ => return Err("it is of none of the objects whatsapp_business_account, instagram and page".into()),
    };
    let mut all = Vec::new();
    for entry in items(&batch["entry"]) {
        if kind == Kind::Whatsapp {
            let changes = items(&entry["changes"]).filter(|change| change["field"] == "messages");
            changes.for_each(|change| of_whatsapp(&change["value"], &mut all));
            continue;
        }
        for event in items(&entry["messaging"]) {
            let key = HEXLOWER.encode(&Sha256::digest(event.to_string()));
            let brought = Brought { key, lane: text(&event["sender"]["id"]), ordinal: 0, body: event.clone() };
            all.push(OfMeta { kind, account: text(&entry["id"]), brought });
        }
    }
    Ok(all)
}

fn of_whatsapp(value: &Value, all: &mut Vec<OfMeta>) {
    let account = text(&value["metadata"]["phone_number_id"]);
    let mut push = |key: String, lane: String, body: Value| {
        let brought = Brought { key, lane, ordinal: 0, body };
        all.push(OfMeta { kind: Kind::Whatsapp, account: account.clone(), brought });
    };
    for message in items(&value["messages"]) {
        let from = &message["from"];
        let name = items(&value["contacts"]).find(|contact| contact["wa_id"] == *from);
        let name = name.map(|contact| contact["profile"]["name"].clone()).unwrap_or_default();
        push(format!("m:{}", text(&message["id"])), text(from), json!({ "message": message, "name": name }));
    }
    for status in items(&value["statuses"]) {
        let key = format!("s:{}:{}", text(&status["id"]), text(&status["status"]));
        push(key, text(&status["recipient_id"]), json!({ "status": status }));
    }
}

/// What happened by it.
pub(in crate::messengers) fn happened(kind: Kind, body: &Value, came_at: Time) -> Result<Vec<Happening>, String> {
    let happened = match kind {
        Kind::Whatsapp if body["status"].is_object() => status(&body["status"]),
        Kind::Whatsapp => whatsapp(&body["message"], &body["name"])?,
        kind => messaging(kind, body, came_at)?,
    };
    Ok(happened.into_iter().collect())
}

fn seconds(value: &Value) -> Option<Time> {
    let seconds = value.as_i64().or_else(|| value.as_str()?.parse().ok())?;
    Time::from_second(seconds).ok()
}

fn milliseconds(value: &Value) -> Option<Time> {
    Time::from_millisecond(value.as_i64()?).ok()
}

fn status(status: &Value) -> Option<Happening> {
    let receipt = match status["status"].as_str()? {
        "sent" => Receipt::Sent,
        "delivered" => Receipt::Delivered,
        "read" | "played" => Receipt::Read,
        "failed" => {
            let fault = Fault::deserialize(&status["errors"][0]).unwrap_or_default();
            Receipt::Failed(fault.words())
        }
        _ => return None,
    };
    let ours = status["biz_opaque_callback_data"].as_str().map(ToOwned::to_owned);
    Some(Happening::Receipt { external_id: text(&status["id"]), receipt, ours })
}

fn place(location: &Value) -> Option<String> {
    let longitude = location["longitude"].as_f64().or_else(|| location["long"].as_f64())?;
    let latitude = location["latitude"].as_f64().or_else(|| location["lat"].as_f64())?;
    let named = [text(&location["name"]), text(&location["address"])];
    let named = named.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    let map = format!("{latitude}, {longitude} https://www.openstreetmap.org/?mlat={latitude}&mlon={longitude}");
    Some(if named.is_empty() { format!("[location] {map}") } else { format!("[location] {named}\n{map}") })
}

fn whatsapp(message: &Value, name: &Value) -> Result<Option<Happening>, String> {
    let (id, from) = (text(&message["id"]), text(&message["from"]));
    if id.is_empty() || from.is_empty() {
        return Err("a message of nobody's".into());
    }
    let written_at = seconds(&message["timestamp"]);
    let sort = message["type"].as_str().unwrap_or_default();
    let said = &message[sort];
    let (mut files, mut body) = (Vec::new(), String::new());
    match sort {
        "text" => body = text(&said["body"]),
        "image" | "video" | "audio" | "document" | "sticker" => {
            let media_type = text(&said["mime_type"]);
            let plain = media_type.split(';').next().unwrap_or_default().trim().to_owned();
            let ending = plain.rsplit('/').next().unwrap_or_default().to_owned();
            let called = said["filename"].as_str().map_or_else(|| format!("{sort}.{ending}"), ToOwned::to_owned);
            files.push(File { source: Source::Meta(text(&said["id"])), name: called, media_type: plain, size: None });
            body = text(&said["caption"]);
            if said["voice"] == true {
                body = "[voice message]".into();
            } else if sort == "sticker" {
                body = "[sticker]".into();
            }
        }
        "location" => body = place(said).unwrap_or_default(),
        "contacts" => {
            let told = items(said).map(|contact| {
                let phones: Vec<String> = items(&contact["phones"]).map(|phone| text(&phone["phone"])).collect();
                format!("[contact] {}, {}", text(&contact["name"]["formatted_name"]), phones.join(", "))
            });
            body = told.collect::<Vec<_>>().join("\n");
        }
        "button" => body = text(&said["text"]),
        "interactive" => {
            let reply = said.get("button_reply").or_else(|| said.get("list_reply")).unwrap_or(&Value::Null);
            body = text(&reply["title"]);
        }
        "system" => body = format!("[{}]", text(&said["body"])),
        "reaction" => {
            let emoji = text(&said["emoji"]);
            let reactions = Some(emoji).filter(|emoji| !emoji.is_empty()).into_iter().collect();
            return Ok(Some(Happening::Reactions { external_id: text(&said["message_id"]), reactions }));
        }
        "revoke" => return Ok(Some(Happening::Deletion { external_id: text(&said["original_message_id"]) })),
        "edit" => {
            let words = &said["message"];
            let sort = words["type"].as_str().unwrap_or("text");
            let body = words[sort]["body"].as_str().or_else(|| words[sort]["caption"].as_str()).unwrap_or_default();
            let external_id = text(&said["original_message_id"]);
            return Ok(Some(Happening::Edit { external_id, body: body.to_owned(), at: written_at }));
        }
        _ => {}
    }
    if body.is_empty() && files.is_empty() {
        body = "[a message of a kind that WhatsApp does not pass on]".into();
    }
    let name = name.as_str().filter(|name| !name.is_empty()).map(Personal::from);
    Ok(Some(Happening::Message(Box::new(Message {
        external_id: id,
        identity: Identity::new(IdentityKind::Whatsapp, format!("+{from}")),
        sender: from,
        visitor: name.map(|name| Visitor { name: Some(name), country: None, path: None, language: None }),
        body,
        files,
        written_at,
    }))))
}

/// An event of Instagram or Messenger.
fn messaging(kind: Kind, event: &Value, came_at: Time) -> Result<Option<Happening>, String> {
    let sender = text(&event["sender"]["id"]);
    if sender.is_empty() {
        return Err("an event of nobody's".into());
    }
    let at = milliseconds(&event["timestamp"]);
    if let Some(reaction) = event.get("reaction") {
        let emoji = reaction["emoji"].as_str().or_else(|| reaction["reaction"].as_str()).unwrap_or("❤");
        let taken_back = reaction["action"] == "unreact";
        let reactions = if taken_back { vec![] } else { vec![emoji.to_owned()] };
        return Ok(Some(Happening::Reactions { external_id: text(&reaction["mid"]), reactions }));
    }
    if let Some(edit) = event.get("message_edit") {
        return Ok(Some(Happening::Edit { external_id: text(&edit["mid"]), body: text(&edit["text"]), at }));
    }
    if let Some(read) = event.get("read") {
        if let Some(mid) = read["mid"].as_str() {
            let (external_id, receipt) = (mid.to_owned(), Receipt::Read);
            return Ok(Some(Happening::Receipt { external_id, receipt, ours: None }));
        }
        let until = milliseconds(&read["watermark"]).or(at).unwrap_or(came_at);
        return Ok(Some(Happening::ReadUntil { sender, until }));
    }
    if let Some(delivery) = event.get("delivery") {
        // Of several the last has come, and with it those before.
        let Some(mid) = items(&delivery["mids"]).last() else { return Ok(None) };
        let receipt = Receipt::Delivered;
        return Ok(Some(Happening::Receipt { external_id: text(mid), receipt, ours: None }));
    }
    let (mid, body, attachments) = if let Some(message) = event.get("message") {
        if message["is_echo"] == true {
            return Ok(None);
        }
        if message["is_deleted"] == true {
            return Ok(Some(Happening::Deletion { external_id: text(&message["mid"]) }));
        }
        (text(&message["mid"]), text(&message["text"]), items(&message["attachments"]).collect::<Vec<_>>())
    } else if let Some(postback) = event.get("postback") {
        let mid = postback["mid"].as_str().map(ToOwned::to_owned);
        let mid = mid.unwrap_or_else(|| HEXLOWER.encode(&Sha256::digest(event.to_string())));
        (mid, text(&postback["title"]), vec![])
    } else {
        return Ok(None);
    };
    let (mut words, mut files) = (vec![body], Vec::new());
    for (number, attachment) in attachments.into_iter().enumerate() {
        let (sort, payload) = (text(&attachment["type"]), &attachment["payload"]);
        let url = text(&payload["url"]);
        match sort.as_str() {
            "image" | "video" | "audio" | "file" if !url.is_empty() => {
                let called = url.split(['?', '#']).next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
                let name = if called.contains('.') { called.to_owned() } else { format!("{sort}-{}", number + 1) };
                let media_type = match sort.as_str() {
                    "image" => "image/jpeg",
                    "video" => "video/mp4",
                    "audio" => "audio/mp4",
                    _ => "application/octet-stream",
                };
                files.push(File { source: Source::Url(url), name, media_type: media_type.into(), size: None });
            }
            "location" => words.push(place(&payload["coordinates"]).unwrap_or_else(|| "[location]".into())),
            _ => {
                let title = text(&payload["title"]);
                words.push(format!("[{}] {title} {url}", sort.replace('_', " ")).trim().replace("  ", " "));
            }
        }
    }
    let mut body = words.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n");
    if body.is_empty() && files.is_empty() {
        body = "[a message of a kind that cannot be shown here]".into();
    }
    let identity = if kind == Kind::Instagram { IdentityKind::Instagram } else { IdentityKind::Messenger };
    let identity = Identity::new(identity, sender.clone());
    let message = Message { external_id: mid, sender, identity, visitor: None, body, files, written_at: at };
    Ok(Some(Happening::Message(Box::new(message))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    fn now() -> Time {
        "2026-11-29T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_batch_of_whatsapp_is_taken_apart() {
        let batch = json!({ "object": "whatsapp_business_account", "entry": [{ "id": "1", "changes": [{
            "field": "messages",
            "value": {
                "metadata": { "phone_number_id": "555" },
                "contacts": [{ "wa_id": "39065550101", "profile": { "name": "Maria" } }],
                "messages": [
                    { "from": "39065550101", "id": "wamid.1", "timestamp": "1764400000", "type": "text", "text": { "body": "Hi" } },
                    { "from": "39065550101", "id": "wamid.2", "type": "reaction", "reaction": { "message_id": "wamid.9", "emoji": "" } },
                    { "from": "39065550101", "id": "wamid.3", "type": "revoke", "revoke": { "original_message_id": "wamid.1" } },
                    { "from": "39065550101", "id": "wamid.4", "type": "unsupported" },
                ],
                "statuses": [{ "id": "wamid.9", "status": "failed", "recipient_id": "39065550101",
                    "errors": [{ "code": 131_026, "title": "Message undeliverable" }] }],
            },
        }] }] });
        let all = brought(batch.to_string().as_bytes()).unwrap();
        assert_eq!(all.len(), 5);
        assert!(all.iter().all(|one| one.account == "555" && one.brought.lane == "39065550101"));
        let happened: Vec<Happening> =
            all.iter().flat_map(|one| happened(Kind::Whatsapp, &one.brought.body, now()).unwrap()).collect();
        let Happening::Message(message) = &happened[0] else { panic!() };
        assert_eq!((message.body.as_str(), message.identity.value.as_str()), ("Hi", "+39065550101"));
        assert_eq!(message.visitor.as_ref().unwrap().name.as_ref().unwrap().as_str(), "Maria");
        assert_eq!(happened[1], Happening::Reactions { external_id: "wamid.9".into(), reactions: vec![] });
        assert_eq!(happened[2], Happening::Deletion { external_id: "wamid.1".into() });
        assert!(
            matches!(&happened[3], Happening::Message(message) if message.body.starts_with("[a message of a kind"))
        );
        assert!(
            matches!(&happened[4], Happening::Receipt { receipt: Receipt::Failed(why), .. } if why.contains("131026"))
        );
    }

    #[test]
    fn echoes_of_our_own_are_not_heard() {
        let event = |more: Value| {
            let mut event =
                json!({ "sender": { "id": "7" }, "recipient": { "id": "9" }, "timestamp": 1_764_400_000_000_i64 });
            event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            happened(Kind::Messenger, &event, now()).unwrap()
        };
        assert!(event(json!({ "message": { "mid": "m", "text": "x", "is_echo": true } })).is_empty());
        assert!(matches!(
            event(json!({ "read": { "watermark": 1_764_400_000_000_i64 } }))[0],
            Happening::ReadUntil { .. }
        ));
        let picture = json!({ "message": { "mid": "m", "attachments": [
            { "type": "image", "payload": { "url": "https://cdn.example/a/cat.jpg?x=1" } },
            { "type": "story_mention", "payload": { "url": "https://cdn.example/story" } },
        ] } });
        let Happening::Message(message) = &event(picture)[0] else { panic!() };
        assert_eq!(
            (message.files[0].name.as_str(), message.body.as_str()),
            ("cat.jpg", "[story mention] https://cdn.example/story")
        );
    }
}
